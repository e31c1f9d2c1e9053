"""Talking clips as motion: 40 Hz latents and the sound, one cached file a clip.

    talkinghead train motion_data --shared SHARED --cache CACHE

A clip's z_id comes from its rest face; each frame is then coded with that person known. Codes are taken to 40 Hz by time stamp
(cubic, no delay); the pose alone is lightly smoothed, forward and back. Lips are left as tracked: smoothing would rob closures.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from talkinghead.constants import FRAME_RATE_HZ, SAMPLE_RATE_HZ
from talkinghead.motion.latent import RIGID, LatentModel, latent_from_pose
from talkinghead.motion.pose import HeadPose, rotation_from_vector, vector_from_rotation
from talkinghead.training.latent import rest_face
from talkinghead.training.track import load_track, read_tsv

SOURCES = ("grid_s1", "grid", "anchors", "hq")
_ROUNDS = 4
_FEWEST_FOUND = 0.9
_FEWEST_FRAMES = 12
_LARGEST_TURN = 0.35
"""Radians from one frame to the next: more is another face or a cut."""
_POSE_SMOOTHING_FRAMES = 1.2
_TRACK_PX = 512.0
_HELD_PEOPLE = {"anchors": 3, "hq": 3}
_HELD_CLIPS = 40


@dataclass(frozen=True)
class Clip:
    """A clip as motion: n frames at 40 Hz; frame k shows the instant k / 40 s.

    name, identity, source, split; audible: its sound is speech in time with the face; z_id (I,), z_dyn (n, D), z_pose (n, 6) from
    the clip's rest pose; sound (400 n + rest,) float32 at 16 kHz, empty when the clip has none.
    """

    name: str
    identity: str
    source: str
    split: str
    audible: bool
    z_id: np.ndarray
    z_dyn: np.ndarray
    z_pose: np.ndarray
    sound: np.ndarray


def load_sound(path: Path) -> np.ndarray:
    """Sound of a file as float32 mono at 16 kHz, empty when it has none."""
    with av.open(str(path)) as box:
        if not box.streams.audio:
            return np.zeros(0, np.float32)
        mono = av.AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE_HZ)
        parts = [part.to_ndarray()[0] for frame in box.decode(audio=0) for part in mono.resample(frame)]
    return np.concatenate(parts).astype(np.float32) if parts else np.zeros(0, np.float32)


def similarities(moving: np.ndarray, fixed: np.ndarray, weight: np.ndarray) -> list[HeadPose]:
    """`similarity` of many frames at once: canonical (n or 1, p, 3) onto (n, p, 3) px, weights (p,)."""
    w = (weight / weight.sum())[:, None]
    centre_a, centre_b = (moving * w).sum(1, keepdims=True), (fixed * w).sum(1, keepdims=True)
    a0, b0 = moving - centre_a, fixed - centre_b
    u, d, vt = np.linalg.svd(np.swapaxes(b0 * w, 1, 2) @ np.broadcast_to(a0, b0.shape))
    sign = np.ones_like(d)
    sign[:, 2] = np.sign(np.linalg.det(u @ vt))
    rotation = (u * sign[:, None]) @ vt
    scale = (d * sign).sum(1) / (w * a0**2).sum((1, 2))
    shift = centre_b[:, 0] - scale[:, None] * np.einsum("nij,nj->ni", rotation, np.broadcast_to(centre_a, b0[:, :1].shape)[:, 0])
    return [HeadPose(r, t[:2], float(s), float(t[2])) for r, s, t in zip(rotation, scale, shift, strict=True)]


def canonical(points: np.ndarray, poses: list[HeadPose]) -> np.ndarray:
    """Frames (n, 478, 3) px with their poses taken off."""
    return np.stack([pose.inverse(p) for pose, p in zip(poses, points, strict=True)])


def encode_frames(latent: LatentModel, points: np.ndarray, z_id: np.ndarray) -> tuple[np.ndarray, list[HeadPose]]:
    """z_dyn (n, D) and poses of frames (n, 478, 3) px of a known person: `LatentModel.encode`, all frames at once."""
    neutral = latent.mean + np.tensordot(z_id, latent.basis_id, 1)
    keep = list(RIGID)
    poses = similarities(latent.mean[None, keep], points[:, keep], np.ones(len(keep)))
    for _ in range(_ROUNDS):
        z_dyn = latent.solve_dyn(canonical(points, poses) - neutral)
        shapes = neutral + np.tensordot(z_dyn, latent.basis_dyn, 1)
        poses = similarities(shapes, points, latent.precision)
    return z_dyn, poses


def rest_pose(poses: list[HeadPose]) -> HeadPose:
    """The middle of a clip's poses: medians of turn, place and size."""
    base = poses[len(poses) // 2].rotation
    turn = np.median([vector_from_rotation(p.rotation @ base.T) for p in poses], 0)
    place = np.median([p.translation_px for p in poses], 0)
    return HeadPose(rotation_from_vector(turn) @ base, place, float(np.median([p.scale_px for p in poses])))


def is_sound(track: dict[str, np.ndarray]) -> bool:
    """Quality filter: found in nine frames of ten, long enough, in order, and no jump of the head between neighbours."""
    found = track["found"]
    if found.mean() < _FEWEST_FOUND or found.sum() < _FEWEST_FRAMES or (np.diff(track["time_s"]) <= 0).any():
        return False
    points = track["points"][found][:, list(RIGID)]
    eyes = np.linalg.norm(points[:, 9] - points[:, 12], axis=1)  # outer corners
    return bool((np.abs(np.diff(points.mean(1), axis=0)).max() < 0.5 * np.median(eyes)) and eyes.min() > 0.3 * np.median(eyes))


def spline(time_s: np.ndarray, values: np.ndarray, at_s: np.ndarray) -> np.ndarray:
    """Natural cubic spline through values (n, k) at rising times (n,), at other times (m,) within them: (m, k)."""
    step = np.diff(time_s)
    slope = np.diff(values, axis=0) / step[:, None]
    system = np.diag(np.r_[1.0, 2 * (step[1:] + step[:-1]), 1.0])
    inner = np.arange(1, len(time_s) - 1)
    system[inner, inner - 1], system[inner, inner + 1] = step[:-1], step[1:]
    right = np.zeros_like(values, dtype=np.float64)
    right[1:-1] = 6 * np.diff(slope, axis=0)
    bend = np.linalg.solve(system, right)
    i = np.clip(np.searchsorted(time_s, at_s, "right") - 1, 0, len(step) - 1)
    after, h = (at_s - time_s[i])[:, None], step[i][:, None]
    first = slope[i] - h * (2 * bend[i] + bend[i + 1]) / 6
    return values[i] + after * (first + after * (bend[i] / 2 + after * (bend[i + 1] - bend[i]) / (6 * h)))


def smoothed(values: np.ndarray, width_frames: float) -> np.ndarray:
    """Rows (n, k) under a Gaussian of that standard deviation; no delay, the ends repeated."""
    reach = int(np.ceil(4 * width_frames))
    bell = np.exp(-0.5 * (np.arange(-reach, reach + 1) / width_frames) ** 2)
    padded = np.pad(values, ((reach, reach), (0, 0)), mode="edge")
    return np.stack([np.convolve(column, bell / bell.sum(), "valid") for column in padded.T], 1)


def motion_of(track: dict[str, np.ndarray], latent: LatentModel) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """z_id (I,), z_dyn (n, D), z_pose (n, 6) at 40 Hz from time 0 of a track, or None when it fails the filters."""
    if not is_sound(track):
        return None
    found = track["found"]
    points = track["points"][found] * _TRACK_PX
    keep = list(RIGID)
    frames = canonical(points, similarities(latent.mean[None, keep], points[:, keep], np.ones(len(keep))))
    z_id = latent.encode(rest_face(frames)).z_id
    z_dyn, poses = encode_frames(latent, points, z_id)
    turns = [vector_from_rotation(b.rotation @ a.rotation.T) for a, b in itertools.pairwise(poses)]
    if np.linalg.norm(turns, axis=1).max() > _LARGEST_TURN:
        return None
    rest = rest_pose(poses)
    z_pose = np.stack([latent_from_pose(rest, p) for p in poses])
    time_s = track["time_s"][found].astype(np.float64)
    grid_s = np.arange(int(time_s[-1] * FRAME_RATE_HZ) + 1) / FRAME_RATE_HZ
    inside = np.clip(grid_s, time_s[0], time_s[-1])
    z_dyn, z_pose = (spline(time_s, z, inside) for z in (z_dyn, z_pose))
    return z_id, z_dyn, smoothed(z_pose, _POSE_SMOOTHING_FRAMES)


def fingerprint(latent: LatentModel) -> str:
    """Names the latent that codes were made with; another latent, another cache."""
    return hashlib.sha256(latent.basis_dyn.tobytes() + latent.basis_id.tobytes() + latent.mean.tobytes()).hexdigest()[:12]


def _make(row: dict[str, str], shared: Path, cache: Path, latent: LatentModel, target: Path) -> None:
    motion = motion_of(load_track((cache / "track" / "video" / row["file"]).with_suffix(".npz")), latent)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(".part.npz")
    if motion is None:
        np.savez(part, rejected=True)
    else:
        sound = load_sound(shared / "data" / "video" / row["file"])
        z_id, z_dyn, z_pose = (z.astype(np.float32) for z in motion)
        np.savez(part, z_id=z_id, z_dyn=z_dyn, z_pose=z_pose, sound=sound.astype(np.float16))
    part.replace(target)


def load_clips(
    shared: Path, cache: Path, latent: LatentModel, split: str, sources: Iterable[str] = SOURCES, audible: bool | None = None
) -> list[Clip]:
    """Clips of a split (``train`` or ``test``) that pass the filters, made where not yet cached."""
    clips, chosen = [], set(sources)
    folder = cache / "motion" / fingerprint(latent)
    for row in read_tsv(shared / "data" / "video" / "clips.tsv"):
        source, heard = row["file"].split("/")[0], row["audible"] == "1"
        if row["split"] != split or source not in chosen or audible not in (None, heard):
            continue
        target = (folder / row["file"]).with_suffix(".npz")
        if not target.exists():
            _make(row, shared, cache, latent, target)
        with np.load(target) as data:
            if "rejected" not in data:
                codes = (data[k].astype(np.float32) for k in ("z_id", "z_dyn", "z_pose", "sound"))
                clips.append(Clip(row["file"], row["identity"], source, split, heard, *codes))
    return clips


def hold_out(clips: list[Clip], seed: int = 5) -> tuple[list[Clip], list[Clip]]:
    """(train, held out for choosing): whole people of anchors and hq, clips of the one GRID speaker."""
    rng = np.random.default_rng(seed)
    people: set[tuple[str, str]] = set()
    for source, count in _HELD_PEOPLE.items():
        names = sorted({c.identity for c in clips if c.source == source and c.audible})
        people |= {(source, str(n)) for n in rng.choice(names, min(count, len(names) - 1), replace=False)}
    grid = sorted(c.name for c in clips if c.source == "grid_s1")
    some = {str(n) for n in rng.choice(grid, min(_HELD_CLIPS, len(grid) // 4), replace=False)} if grid else set()
    held = [c for c in clips if (c.source, c.identity) in people or c.name in some]
    chosen = {c.name for c in held}
    return [c for c in clips if c.name not in chosen], held


def main(argv: list[str]) -> None:
    """Entry point of ``talkinghead train motion_data``: fills the cache and prints what there is."""
    parser = argparse.ArgumentParser(prog="talkinghead train motion_data", description=__doc__)
    parser.add_argument("--shared", type=Path, required=True, help="folder with data/")
    parser.add_argument("--cache", type=Path, required=True, help="folder of `talkinghead train track`")
    parser.add_argument("--latent", type=Path, default=Path("models/latent/latent.npz"))
    args = parser.parse_args(argv)
    latent = LatentModel.load(args.latent)
    for split in ("train", "test"):
        for source in SOURCES:
            clips = load_clips(args.shared, args.cache, latent, split, (source,))
            minutes = sum(len(c.z_dyn) for c in clips) / FRAME_RATE_HZ / 60
            heard = sum(c.audible for c in clips)
            print(f"{split:5} {source:8} {len(clips):5} clips {minutes:6.1f} min, {heard} audible", flush=True)
