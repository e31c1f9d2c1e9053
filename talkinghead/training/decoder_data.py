"""Pairs for the decoder's networks: patches of warped photos beside the pictures that they should have become.

    talkinghead train decoder_data --shared SHARED --cache CACHE [--workers 2]

A portrait and a target show one person: two frames of a clip (the sharp hq clips; some of GRID s1, marked soft), or the
neutral and the smiling photo of the London set. The target is encoded with the portrait's identity and the portrait driven by
its latents, as at run time. Stills with open mouths teach teeth: their interior is hidden from warp and appearance, and is to be
drawn again. Hundreds of stills go there and back: warped to another look they are portraits, the photo itself is the target.
Pictures of the news anchors are not used. One ``.npz`` a source lies in CACHE/decoder.
"""

from __future__ import annotations

import argparse
import itertools
import zlib
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from talkinghead.constants import SIZE_PX
from talkinghead.motion.latent import RIGID, FaceCode, LatentModel, latent_from_pose, similarity
from talkinghead.motion.rest import resting_dynamics
from talkinghead.portrait.crop import Crop
from talkinghead.portrait.portrait import frame_face
from talkinghead.render.refine import Spot, eye_spots, motion_code, mouth_spots
from talkinghead.render.warp import Driven, WarpDecoder
from talkinghead.training.latent import lid_gap, opening
from talkinghead.training.motion_data import encode_frames, load_clips
from talkinghead.training.track import frames_of, load_track, read_tsv

KINDS = ("hq", "grid_s1", "london", "teeth", "returned")
ARRAYS = ("mouth_drawn", "mouth_cover", "mouth_true", "eye_drawn", "eye_cover", "eye_true", "code", "portrait")
PHOTOS = ("mouth_photo", "mouth_photo_cover", "eye_photo", "eye_photo_cover")
_HELD_PEOPLE = {"hq": 3, "london": 15, "teeth": 60}
_RETURNS = 2
_LARGEST_RETURN = np.radians([6.0, 9.0, 5.0])
_PORTRAITS, _TARGETS = 8, 36
_GRID_CLIPS, _GRID_TARGETS = 60, 12
_JITTER_PX = 0.4
_TEETH_GAP_FH = 0.03
_SMALLEST_FACE_PX = 150
_LARGEST_TURN, _LARGEST_RETURNED_TURN = 0.5, 0.35
_MOST_PADDING = 0.3
"""For pairs of photos. One whose mouth alone is looked at may have more: it is far from the border."""


@dataclass(frozen=True)
class Posed:
    """A portrait ready to be driven: crop (of its picture), code, resting z_dyn (D,), the warp and what it shows of the photo."""

    crop: Crop
    code: FaceCode
    rest: np.ndarray
    warp: WarpDecoder
    photo: dict[str, np.ndarray]


def posed(latent: LatentModel, image: np.ndarray, points: np.ndarray, rng: np.random.Generator, *, hidden: bool = False) -> Posed:
    """A portrait from its picture (h, w, 3) and the teacher's points (478, 3) px, a little wrong as a detector's are.
    ``hidden``: an open mouth's interior is not shown."""
    crop = frame_face(points, latent.encode(points).pose.scale_px, image.shape)
    return posed_crop(latent, crop, crop.extract(image), cropped(crop, points), rng, hidden=hidden)


def posed_crop(
    latent: LatentModel, crop: Crop, face: np.ndarray, inside: np.ndarray, rng: np.random.Generator, *, hidden: bool = False
) -> Posed:
    """The same of a crop's face (512, 512, 3) and the points inside it."""
    noisy = inside + smooth_error(latent, rng)
    code = latent.encode(noisy)
    warp = WarpDecoder(face, noisy, code.pose, latent.mean, photographed=not hidden)
    driven = warp.driven(noisy, code.pose)
    shown = warp.lipped if hidden else face
    photo = {}
    for part, spots in spots_of(driven).items():
        photo[f"{part}_photo"], photo[f"{part}_photo_cover"] = patches(shown, spots), covers(spots)
    return Posed(crop, code, resting_dynamics(latent, code), warp, photo)


def smooth_error(latent: LatentModel, rng: np.random.Generator) -> np.ndarray:
    """Errors (478, 3) px of points, alike where points are near each other."""
    knots = rng.standard_normal((24, 3)) * [1, 1, 0] * _JITTER_PX
    near = latent.mean[rng.integers(0, len(latent.mean), len(knots)), :2]
    weight = np.exp(-((latent.mean[:, None, :2] - near) ** 2).sum(2) / (2 * 0.12**2))
    return (weight @ knots / np.maximum(np.linalg.norm(weight, axis=1, keepdims=True), 0.3)).astype(np.float32)


def cropped(crop: Crop, points: np.ndarray) -> np.ndarray:
    """Points (..., 3) px of a picture in its crop, float32."""
    flat = crop.from_photo(points[..., :2].reshape(-1, 2)).reshape(*points.shape[:-1], 2)
    return np.concatenate([flat, points[..., 2:] * (SIZE_PX / crop.side)], -1).astype(np.float32)


def spots_of(driven: Driven) -> dict[str, list[Spot]]:
    """Patches by part."""
    return {"mouth": mouth_spots(driven), "eye": eye_spots(driven)}


def patches(frame: np.ndarray, spots: list[Spot]) -> np.ndarray:
    """(n, h, w, 3) uint8."""
    return np.stack([spot.cut(frame) for spot in spots])


def covers(spots: list[Spot]) -> np.ndarray:
    """(n, 2, h, w) uint8, 255 covered."""
    return np.round(255 * np.stack([spot.covers() for spot in spots])).astype(np.uint8)


def pair(latent: LatentModel, at: Posed, true: np.ndarray, points: np.ndarray) -> dict[str, np.ndarray]:
    """One target: its picture (512, 512, 3) and the teacher's points (478, 3) px, both in the portrait's crop."""
    z_dyn, poses = encode_frames(latent, points[None], at.code.z_id)
    z_pose = latent_from_pose(at.code.pose, poses[0])
    driven = at.warp.driven(*latent.draw(at.code, z_pose, z_dyn[0]))
    frame = at.warp.paint(driven)
    row: dict[str, np.ndarray] = {"code": motion_code(z_pose, z_dyn[0] - at.rest)}
    for part, spots in spots_of(driven).items():
        row[f"{part}_drawn"], row[f"{part}_cover"], row[f"{part}_true"] = (
            patches(frame, spots),
            covers(spots),
            patches(true, spots),
        )
    return row


class Shard:
    """Pairs of one source on their way to a file."""

    def __init__(self) -> None:
        self._rows: dict[str, list[np.ndarray]] = {name: [] for name in ARRAYS}
        self._photos: dict[str, list[np.ndarray]] = {name: [] for name in PHOTOS}

    def portrait(self, at: Posed) -> None:
        """The pairs that follow are of this one."""
        for name, values in self._photos.items():
            values.append(at.photo[name])

    def add(self, row: dict[str, np.ndarray]) -> None:
        """One pair."""
        row["portrait"] = np.int32(len(self._photos["mouth_photo"]) - 1)  # type: ignore[assignment]
        for name, values in self._rows.items():
            values.append(row[name])

    def save(self, path: Path, kind: str, held: bool) -> int:
        """Write the file; gives the number of pairs."""
        path.parent.mkdir(parents=True, exist_ok=True)
        arrays: dict[str, Any] = {name: np.stack(v) for name, v in (*self._rows.items(), *self._photos.items()) if v}
        beside = path.with_suffix(".part.npz")
        np.savez(beside, kind=kind, held=held, **arrays)
        beside.replace(path)
        return len(self._rows["code"])


def spread_choice(values: np.ndarray, count: int, rng: np.random.Generator) -> list[int]:
    """Indices of ``count`` of the values (n,): one at random of each equal share of them by rank, however they lie in time."""
    order = np.argsort(values + 1e-9 * rng.standard_normal(len(values)))
    edges = np.linspace(0, len(order), min(count, len(order)) + 1).astype(int)
    return [int(order[rng.integers(a, b)]) for a, b in itertools.pairwise(edges)]


def clip_shard(latent: LatentModel, video: Path, track: Path, kind: str) -> Shard:
    """Pairs within a clip, portraits and targets diverse in lips and lids."""
    shard, found = Shard(), load_track(track)
    rng = np.random.default_rng(zlib.crc32(video.stem.encode()))
    good = np.flatnonzero(found["found"])
    if len(good) < 12:
        return shard
    frames = [image for image, _ in frames_of(video)]
    points = found["points"] * np.float32(frames[0].shape[1])
    shapes = found["points"][good]
    widths = np.linalg.norm(shapes[:, 33] - shapes[:, 263], axis=1)
    lips, lids = opening(shapes) / widths, lid_gap(shapes) / widths
    counts = (_PORTRAITS, _TARGETS) if kind == "hq" else (1, _GRID_TARGETS)
    for p in spread_choice(lips, counts[0], rng):
        at = posed(latent, frames[good[p]], points[good[p]], rng)
        shard.portrait(at)
        by_lids = spread_choice(lids, counts[1] // 3, rng)
        for t in {*spread_choice(lips, counts[1] - len(by_lids), rng), *by_lids}:
            shard.add(pair(latent, at, at.crop.extract(frames[good[t]]), cropped(at.crop, points[good[t]])))
    return shard


def still_of(shared: Path, cache: Path, row: dict[str, str], kind: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Picture and points (478, 3) px of a still fit to learn from: found, large, in colour, and for pairs little padded."""
    if int(row["face_height_px"] or 0) < _SMALLEST_FACE_PX:
        return None
    if kind == "london" and float(row["padding"] or 0) > _MOST_PADDING:
        return None
    track = load_track((cache / "track" / "stills" / row["file"]).with_suffix(".npz"))
    image = next(frames_of(shared / "data" / "stills" / row["file"]))[0]
    if not track["found"][0] or np.ptp(image.astype(np.int16), axis=2).mean() < 8:
        return None
    return image, track["points"][0] * np.float32(image.shape[1])


def smile_shard(latent: LatentModel, stills: list[tuple[np.ndarray, np.ndarray]], name: str) -> Shard:
    """Pairs of a person's photos, each brought onto the other by the points that move with the skull."""
    shard, rng, keep = Shard(), np.random.default_rng(zlib.crc32(name.encode())), list(RIGID)
    for (image, points), (other, there) in itertools.permutations(stills, 2):
        at = posed(latent, image, points, rng)
        onto = similarity(there[keep] * [1, 1, 0], points[keep] * [1, 1, 0])
        flat = np.concatenate([onto.scale_px * onto.rotation[:2, :2], np.array(onto.translation_px)[:, None]], 1)
        moved = cv2.warpAffine(other, flat, image.shape[1::-1], flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        seen = np.concatenate([there[:, :2] @ flat[:, :2].T + flat[:, 2], there[:, 2:] * onto.scale_px], 1)
        shard.portrait(at)
        shard.add(pair(latent, at, at.crop.extract(moved), cropped(at.crop, seen)))
    return shard


def teeth_shard(latent: LatentModel, image: np.ndarray, points: np.ndarray, name: str) -> Shard:
    """A photo with an open mouth that is to be drawn again; empty when the mouth is closed or the head turned away."""
    shard, code = Shard(), latent.encode(points)
    gap = opening(points[None] / np.float32(code.pose.scale_px))[0]
    if gap < _TEETH_GAP_FH or _turned(code) > _LARGEST_TURN:
        return shard
    at = posed(latent, image, points, np.random.default_rng(zlib.crc32(name.encode())), hidden=True)
    shard.portrait(at)
    shard.add(pair(latent, at, at.crop.extract(image), cropped(at.crop, points)))
    return shard


def returned_shard(latent: LatentModel, image: np.ndarray, points: np.ndarray, looks: np.ndarray, name: str) -> Shard:
    """A photo that is warped to other looks and from there back: many people, and what a warp loses is known exactly.

    ``looks`` (n, D): z_dyn from rest that people really show. Two resamplings make a picture soft, so the target is as soft.
    """
    shard, rng = Shard(), np.random.default_rng(zlib.crc32(name.encode()))
    first = posed(latent, image, points, rng)
    if _turned(first.code) > _LARGEST_RETURNED_TURN:
        return shard
    inside = cropped(first.crop, points)
    true = _half_a_pixel(_half_a_pixel(first.crop.extract(image), 1), -1)
    for _ in range(_RETURNS):
        turn = np.concatenate([rng.uniform(-1, 1, 3) * _LARGEST_RETURN, rng.normal(0, 0.02, 3)])
        seen, pose = latent.draw(first.code, turn, first.rest + looks[rng.integers(len(looks))])
        driven = first.warp.driven(seen, pose)
        at = posed_crop(latent, Crop(0.0, 0.0, float(SIZE_PX)), first.warp.paint(driven), driven.points.astype(np.float32), rng)
        shard.portrait(at)
        shard.add(pair(latent, at, true, inside))
    return shard


def _turned(code: FaceCode) -> float:
    """How far a head looks past the camera, radians."""
    return float(np.arccos(np.clip(code.pose.rotation[2, 2], -1, 1)))


def _half_a_pixel(picture: np.ndarray, way: int) -> np.ndarray:
    """A picture (h, w, 3) moved by half a pixel each way: as much is lost as in a warp."""
    shift = np.array([[1, 0, way / 2], [0, 1, way / 2]], np.float64)
    return cv2.warpAffine(picture, shift, picture.shape[1::-1], flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


@lru_cache(maxsize=1)
def _looks(shared: Path, cache: Path, models: Path) -> np.ndarray:
    """z_dyn (n, D) from rest of the sharp clips, people alike often."""
    latent = LatentModel.load(models / "latent" / "latent.npz")
    rng, parts = np.random.default_rng(3), []
    for clip in load_clips(shared, cache, latent, "train", ("hq",)):
        moved = clip.z_dyn - np.median(clip.z_dyn, 0)
        parts.append(moved[rng.integers(0, len(moved), 120)])
    return np.concatenate(parts)


@dataclass(frozen=True)
class _Job:
    kind: str
    name: str
    held: bool
    rows: tuple[dict[str, str], ...]


def jobs_of(shared: Path) -> Iterator[_Job]:
    """What there is of the `train` split; whole people are held out for watching the training."""
    rng = np.random.default_rng(7)
    clips = [r for r in read_tsv(shared / "data" / "video" / "clips.tsv") if r["split"] == "train"]
    stills = [r for r in read_tsv(shared / "data" / "stills" / "stills.tsv") if r["split"] == "train"]
    grid = [r for r in clips if r["file"].startswith("grid_s1/")]
    some = rng.permutation(len(grid))[:_GRID_CLIPS]
    people: dict[str, list[dict[str, str]]] = {}
    for row in stills:
        people.setdefault(row["identity"], []).append(row)
    groups: dict[str, list[tuple[str, tuple[dict[str, str], ...]]]] = {
        "hq": [(r["identity"], (r,)) for r in clips if r["file"].startswith("hq/")],
        "grid_s1": [("s1", (grid[i],)) for i in some],
        "london": [(name, tuple(rows)) for name, rows in people.items() if len(rows) == 2 and "london" in name],
        "teeth": [(name, tuple(rows[:1])) for name, rows in people.items() if len(rows) == 1],
        "returned": [(name, tuple(rows[:1])) for name, rows in people.items() if len(rows) == 1],
    }
    held: set[str] = set()
    for kind, group in groups.items():
        names = sorted({name for name, _ in group})
        if kind != "returned":  # the people of the stills before
            held = {str(n) for n in rng.choice(names, min(_HELD_PEOPLE.get(kind, 0), len(names) - 1), replace=False)}
        for name, rows in group:
            yield _Job(kind, Path(rows[0]["file"]).stem, name in held, rows)


def _work(task: tuple[_Job, Path, Path, Path]) -> int:
    job, shared, cache, models = task
    target = cache / "decoder" / job.kind / f"{job.name}.npz"
    if target.exists():
        return 0
    cv2.setNumThreads(1)
    latent = LatentModel.load(models / "latent" / "latent.npz")
    if job.kind in ("hq", "grid_s1"):
        file = job.rows[0]["file"]
        shard = clip_shard(
            latent, shared / "data" / "video" / file, (cache / "track" / "video" / file).with_suffix(".npz"), job.kind
        )
    else:
        stills = [still for row in job.rows if (still := still_of(shared, cache, row, job.kind)) is not None]
        if len(stills) < len(job.rows):
            return Shard().save(target, job.kind, job.held)
        if job.kind == "london":
            shard = smile_shard(latent, stills, job.name)
        elif job.kind == "teeth":
            shard = teeth_shard(latent, *stills[0], job.name)
        else:
            shard = returned_shard(latent, *stills[0], _looks(shared, cache, models), job.name)
    return shard.save(target, job.kind, job.held)


def main(argv: list[str]) -> None:
    """Entry point of ``talkinghead train decoder_data``; what is there already is kept."""
    parser = argparse.ArgumentParser(prog="talkinghead train decoder_data", description=__doc__)
    parser.add_argument("--shared", type=Path, required=True, help="folder with data/")
    parser.add_argument("--cache", type=Path, required=True, help="folder of `talkinghead train track`")
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args(argv)
    tasks = [(job, args.shared, args.cache, args.models) for job in jobs_of(args.shared)]
    with ProcessPoolExecutor(args.workers) as pool:
        total = 0
        for done, count in enumerate(pool.map(_work, tasks, chunksize=2), 1):
            total += count
            if done % 100 == 0 or done == len(tasks):
                print(f"{done}/{len(tasks)} sources, {total} new pairs", flush=True)
