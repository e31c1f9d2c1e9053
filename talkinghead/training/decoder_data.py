"""Pairs for the decoder's networks: patches of warped photos beside the pictures that they should have become.

    talkinghead train decoder_data --shared SHARED --cache CACHE [--workers 2]

A portrait and a target show one person: two frames of a clip (the sharp hq clips; some of GRID s1, marked soft), the neutral and
the smiling photo of the London set, or two renders of an avatar. The target is encoded with the portrait's identity and the
portrait driven by its latents, as at run time. Stills with open mouths teach teeth: their interior is hidden from warp and
appearance, and is to be drawn again. Hundreds of stills go there and back: warped to another look they are portraits, the photo
itself is the target. Pictures of the news anchors are not used. One ``.npz`` a source lies in CACHE/decoder.
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

import cv2
import numpy as np

from talkinghead.motion.latent import LatentModel
from talkinghead.training.avatars import head_names, load_head
from talkinghead.training.decoder_avatars import avatar_shard
from talkinghead.training.decoder_pairs import Shard, cropped, pair, posed
from talkinghead.training.decoder_stills import returned_shard, smile_shard, still_of, teeth_shard
from talkinghead.training.latent import lid_gap, opening
from talkinghead.training.motion_data import load_clips
from talkinghead.training.track import frames_of, load_track, read_tsv

KINDS = ("hq", "grid_s1", "london", "teeth", "returned", "avatar")
_HELD_PEOPLE = {"hq": 3, "london": 15, "teeth": 60, "avatar": 3}
_PORTRAITS, _TARGETS = 8, 36
_GRID_CLIPS, _GRID_TARGETS = 60, 12


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
    groups["avatar"] = [(name, ({"file": name},)) for name in head_names(shared)]
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
    elif job.kind == "avatar":
        shard = avatar_shard(latent, load_head(shared, job.name))
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
    _looks(args.shared, args.cache, args.models)  # writes files that all workers read
    with ProcessPoolExecutor(args.workers) as pool:
        total = 0
        for done, count in enumerate(pool.map(_work, tasks, chunksize=2), 1):
            total += count
            if done % 100 == 0 or done == len(tasks):
                print(f"{done}/{len(tasks)} sources, {total} new pairs", flush=True)
