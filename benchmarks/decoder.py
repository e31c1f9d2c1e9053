"""Figures of the decoder: real faces drawn again from one picture and their motion.

    python benchmarks/decoder.py --shared ../shared [--cache CACHE] [--json FILE] [--limit N] [--only SECTION ...] [--split train]

Needs MediaPipe (``pip install "talkinghead[train]"``), the teacher that tracks the real pictures; CACHE holds clips that are
already tracked (`talkinghead train track`). Faces are of the test split; what is to be chosen is measured on the other. Sections:

* reconstruction: a clip's frames drawn from its first one, beside the real ones, by decoder and against the still photo; people
  of stills smile from their neutral picture. The 3-D avatars are left out: their renders are not among the shared data.
* points: where MediaPipe finds the drawn face, against where it was driven, % of the inter-ocular distance
* swap: one person's face under another's motion
* cost: milliseconds a frame by stage on one thread, GFLOP of the networks
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import decoder_cost
import decoder_figures as figures
import numpy as np
from decoder_figures import Figures, Regions, Score
from decoder_play import (
    PAIRS,
    REFINED,
    WARP,
    Face,
    Shot,
    Teacher,
    moments,
    set_clips,
    set_pairs,
    shot_of_clip,
    shot_of_pair,
)
from motion import run_sections, show
from quality import identity_drift, load_scorer

from talkinghead.constants import FRAME_RATE_HZ
from talkinghead.errors import PortraitError
from talkinghead.motion.latent import EYE_OUTER_CORNERS, LatentModel
from talkinghead.runtime.weights import model_path
from talkinghead.training.motion_data import motion_of

STILL = "still photo"
SETS = {"hq": None, "grid": None, "grid_s1": 10, "anchors": 10, PAIRS: None}
"""Sets and how many clips of each are taken."""
_RATE_HZ, _RUN, _LONGEST_S = 8.0, 4, 12.0
_POINTS_RATE_HZ, _SWAP_RATE_HZ = 4.0, 5.0


class Bench:
    """The material of a split, opened as it is needed."""

    def __init__(self, shared: Path, cache: Path | None, limit: int | None, sets: list[str], split: str) -> None:
        self.shared, self.cache, self._limit, self.sets, self.split = shared, cache, limit, sets, split
        self.latent = LatentModel.load(model_path("latent", "latent.npz"))
        self.teacher = Teacher(shared)
        self.scorer = load_scorer(shared)

    def shots(self, name: str) -> Iterator[tuple[Shot, Face]]:
        """A set's real faces in motion, with their portraits opened; those that cannot be used are named and left out."""
        most = SETS[name] if self._limit is None else self._limit
        for shot in self._pairs(most) if name == PAIRS else self._clips(name, most):
            if not shot.found[0]:
                print(f"left out {shot.name}: the teacher finds no face in its first picture")
                continue
            try:
                face = Face(self.latent, shot.portrait)
            except PortraitError as error:
                print(f"left out {shot.name}: {error}")
                continue
            yield shot, face

    def _clips(self, name: str, most: int | None) -> Iterator[Shot]:
        for file in set_clips(self.shared, name, most, self.split):
            yield shot_of_clip(self.shared, self.cache, file, self.teacher)

    def _pairs(self, most: int | None) -> Iterator[Shot]:
        for pair in set_pairs(self.shared, most, self.split):
            shot = shot_of_pair(self.shared, pair, self.teacher)
            if shot is not None:
                yield shot


def redrawn(shot: Shot, face: Face) -> dict[str, Figures]:
    """A shot's figures by column: the still photo, then each decoder."""
    chosen = moments(shot.found, shot.time_s, _RATE_HZ, _RUN, _LONGEST_S)
    latents = dict(zip(chosen, zip(*face.follow(shot.points[chosen], shot.points[0]), strict=True), strict=True))
    inside = dict(zip(chosen, face.inside(shot.points[chosen]), strict=True))
    crop, scores = face.portrait.crop, {name: Score() for name in (STILL, *face.avatars)}
    last: tuple[int, dict[str, np.ndarray], np.ndarray] | None = None
    for k, picture in enumerate(itertools.islice(shot.frames(), chosen[-1] + 1)):
        if k not in latents:
            continue
        real, regions = crop.extract(picture), Regions.of(inside[k])
        drawn = {STILL: face.portrait.face} | {name: avatar.draw(*latents[k]) for name, avatar in face.avatars.items()}
        for name, image in drawn.items():
            scores[name].add(image, real, regions)
            if last is not None and last[0] == k - 1:
                scores[name].step((last[1][name], image), (last[2], real), regions.face)
        last = k, drawn, real
    return {name: score.figures() for name, score in scores.items()}


def returned(face: Face) -> Figures:
    """PSNR by decoder of the portrait's own latents against the portrait."""
    photo = face.portrait.face.astype(np.float32)
    return {name: figures.psnr_db(float(((avatar.draw(*face.own) - photo) ** 2).mean())) for name, avatar in face.avatars.items()}


def reconstruction(bench: Bench) -> dict[str, Any]:
    """Real faces drawn again."""
    out: dict[str, Any] = {"clips": {}, "means": {}, "gains": {}, "own latents PSNR dB": {}}
    for name in bench.sets:
        rows: dict[str, dict[str, Figures]] = {}
        own: list[Figures] = []
        for shot, face in bench.shots(name):
            rows[shot.name] = redrawn(shot, face)
            own.append(returned(face))
        if not rows:
            continue
        out["clips"][name], out["means"][name] = rows, figures.mean_of(list(rows.values()))
        out["gains"][name] = figures.gains(out["means"][name], STILL, WARP, REFINED)
        out["own latents PSNR dB"][name] = {
            f"{column}, {kind}": float(of([row[column] for row in own]))
            for column in own[0]
            for kind, of in (("mean", np.mean), ("least", np.min))
        }
        show(f"{name}: {len(rows)} faces drawn again, means", out["means"][name])
    show("reconstruction, last decoder", out["gains"])
    show("the portrait's own latents, PSNR dB", out["own latents PSNR dB"])
    return out


def points(bench: Bench) -> dict[str, dict[str, Figures]]:
    """The drawn face's points against those that drove it; a still photo's for comparison."""
    out: dict[str, dict[str, Figures]] = {}
    for name in bench.sets:
        rows = [row for shot, face in bench.shots(name) if (row := _points_of(bench, shot, face))]
        for column, row in figures.mean_of(rows).items():
            out[f"{name}, {column}"] = row
    show("point error, % of the inter-ocular distance (target <= 2)", out)
    return out


def _points_of(bench: Bench, shot: Shot, face: Face) -> dict[str, Figures]:
    """A shot's point errors by column. What the teacher sees elsewhere than the face network on the undriven portrait is taken
    off, turned as the head turns."""
    chosen = moments(shot.found, shot.time_s, _POINTS_RATE_HZ, 1, _LONGEST_S)
    poses, codes = face.follow(shot.points[chosen], shot.points[0])
    wanted = np.stack([face.drive(*latents) for latents in zip(poses, codes, strict=True)])
    rest, unit = face.drive(*face.own), face.inter_ocular_px
    out = {STILL: figures.point_errors(np.broadcast_to(rest, wanted.shape), wanted, unit)}
    for column, avatar in face.avatars.items():
        undriven = bench.teacher(avatar.draw(*face.own))
        seen = [bench.teacher(avatar.draw(*latents)) for latents in zip(poses, codes, strict=True)]
        kept = [k for k, p in enumerate(seen) if p is not None]
        if undriven is None or not kept:
            return {}
        offset = np.stack([(undriven - rest) @ face.turn(poses[k]).T for k in kept])
        out[column] = figures.point_errors(np.stack([seen[k] for k in kept]) - offset, wanted[kept], unit)
        out[column]["faces found"] = len(kept) / len(seen)
    out[STILL]["faces found"] = float("nan")
    return out


def swap(bench: Bench) -> dict[str, dict[str, Figures]]:
    """Each face of hq under the motion of the next one's clip."""
    cast = [(shot, face, motion_of(shot.track, bench.latent)) for shot, face in bench.shots("hq")]
    out: dict[str, dict[str, Figures]] = {}
    for (shot, face, _), (driver, _, motion) in zip(cast, cast[1:] + cast[:1], strict=True):
        if motion is None:
            print(f"left out {driver.name}: its track is not sound")
            continue
        who = f"{_person(shot)} as {_person(driver)}"
        real = _drift(bench, shot.points[shot.found], shot.portrait)
        for column, row in _swapped(bench, face, driver, motion).items():
            out[f"{who}, {column}"] = row | {"drift of the face's own clip %": real}
    columns = sorted({key.rsplit(", ", 1)[1] for key in out}, reverse=True)
    for column in columns:
        rows = [{"": row} for key, row in out.items() if key.endswith(column)]
        out[f"mean, {column}"] = figures.mean_of(rows)[""]
    show("swap (targets: drift <= 2.5 %)", out)
    return out


def _swapped(bench: Bench, face: Face, driver: Shot, motion: tuple[np.ndarray, ...]) -> dict[str, Figures]:
    """By decoder: how far the face's shape drifts from its portrait's, and its lips' motion from the driver's."""
    _, z_dyn, z_pose = motion
    step = round(FRAME_RATE_HZ / _SWAP_RATE_HZ)
    chosen = list(range(0, min(len(z_dyn), int(_LONGEST_S * FRAME_RATE_HZ)), step))
    theirs = _resampled(driver, np.array(chosen) / FRAME_RATE_HZ)
    mean = bench.latent.mean
    unit = float(np.linalg.norm(np.subtract(*(mean[i] for i in EYE_OUTER_CORNERS))))
    real, still = bench.scorer.align(theirs, mean), np.repeat(mean[None], len(chosen), 0)
    out: dict[str, Figures] = {}
    for column, avatar in face.avatars.items():
        seen = [bench.teacher(avatar.draw(z_pose[k], z_dyn[k])) for k in chosen]
        made = np.stack([np.full(mean.shape, np.nan) if p is None else p for p in seen])
        out[column] = {
            "identity drift %": _drift(bench, made, face.portrait.face),
            "lips' motion error %": figures.lips_apart(bench.scorer.align(made, mean), real, unit),
            "of still lips %": figures.lips_apart(still, real, unit),
        }
    return out


def _resampled(shot: Shot, time_s: np.ndarray) -> np.ndarray:
    """A shot's points (m, 478, 3) px at times."""
    known = shot.points[shot.found].reshape(int(shot.found.sum()), -1)
    columns = [np.interp(time_s, shot.time_s[shot.found], column) for column in known.T]
    return np.stack(columns, 1).reshape(len(time_s), -1, 3)


def _drift(bench: Bench, tracked: np.ndarray, photo: np.ndarray) -> float:
    """The scorer's identity drift of points (n, 478, 3) px from a photo, %."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "portrait.png"
        cv2.imwrite(str(path), cv2.cvtColor(photo, cv2.COLOR_RGB2BGR))
        return identity_drift(bench.scorer, {"p": tracked.astype(np.float64)}, path)


def _person(shot: Shot) -> str:
    return shot.name.split("/")[-1].split("_")[0]


def cost(bench: Bench | None = None) -> dict[str, Any]:
    """Milliseconds and GFLOP; needs no test material."""
    out = decoder_cost.cost()
    print(f"\n{out['machine']}; {out['threads']} thread, medians of {out['frames']} frames")
    columns = list(out["ms"])
    print("| stage, ms a frame | " + " | ".join(columns) + " |\n|---" + "|---" * len(columns) + "|")
    for stage in dict.fromkeys(name for row in out["ms"].values() for name in row):
        print(
            f"| {stage} | " + " | ".join(f"{out['ms'][c][stage]:.2f}" if stage in out["ms"][c] else "–" for c in columns) + " |"
        )
    show("network", {name: {"GFLOP a picture": value} for name, value in out["gflop"].items()})
    return out


SECTIONS: dict[str, Callable[[Bench], Any]] = {f.__name__: f for f in (reconstruction, points, swap, cost)}


def main() -> None:
    """Measure, print, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, required=True)
    parser.add_argument("--cache", type=Path, help="tracked clips; without it they are tracked now")
    parser.add_argument("--limit", type=int, help="at most so many clips of a set")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS), metavar="SET", help=", ".join(SETS))
    parser.add_argument("--only", nargs="+", choices=SECTIONS, metavar="SECTION", help=", ".join(SECTIONS))
    parser.add_argument("--split", choices=("test", "train"), default="test", help="train: for choosing")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    bench = Bench(args.shared, args.cache, args.limit, args.sets, args.split)
    try:
        run_sections(SECTIONS, args.only, bench, args.json, {})
    finally:
        bench.teacher.close()


if __name__ == "__main__":
    main()
