"""Recipe of what the controls move: blinks, gaze and emotions, learned from tracked clips.

talkinghead train motion_style --shared SHARED --cache CACHE --out models/motion
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from talkinghead.constants import POINTS
from talkinghead.motion.eyes import EYEBALL_RADIUS_FH, IRIS_AND_CORNERS
from talkinghead.motion.latent import (
    BROWS,
    EYES,
    IRIS_LEFT,
    IRIS_RIGHT,
    LIPS,
    LOWER_INNER_LIP,
    UPPER_INNER_LIP,
    LatentModel,
    mirror_map,
)
from talkinghead.motion.style import Style, code_of
from talkinghead.training.latent import ict_modes, lid_gap
from talkinghead.training.motion_data import Clip, load_clips

BLINKS_PER_MIN = 20.0
_SHORTEST_FRAMES = 60
_SHUT_GAP = 0.06
_LIDS_FOLLOW = 0.6
"""Of the lids' tracked motion with vertical gaze: the rest is surprise and squinting, which actors mix in."""
_IRISES = (*IRIS_RIGHT, *IRIS_LEFT)
_RECIPES = {
    "happy": {"mouthSmile": 0.55, "cheekSquint": 0.35, "eyeSquint": 0.12, "mouthDimple": 0.1},
    "sad": {"mouthFrown": 0.5, "browInnerUp": 0.8, "browDown": 0.1, "mouthShrugLower": 0.15},
    "angry": {"browDown": 1.0, "noseSneer": 0.3, "eyeSquint": 0.25, "mouthPress": 0.2},
    "surprised": {"browInnerUp": 0.9, "browOuterUp": 0.9, "eyeWide": 1.0},
}
"""Mixtures of ICT-FaceKit's modes, both sides alike. Lips stay free to shut in each."""


def fit_eyes(clips: list[Clip], latent: LatentModel) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Displacements of a full blink and of a degree of gaze, and a blink's course (n,) 0..1."""
    moves, gazes, shut, courses = [], [], [], []
    for clip in clips:
        if len(clip.z_dyn) < _SHORTEST_FRAMES or clip.source != "hq":
            continue
        points = latent.mean + np.tensordot(clip.z_dyn, latent.basis_dyn, 1)
        gap = lid_gap(points)
        gap /= np.quantile(gap, 0.6)
        awake, look = gap > 0.7, _iris_offset(points)
        moves.append((points - points[awake].mean(0))[awake])
        gazes.append((look - look[awake].mean(0))[awake])
        for i in _blinks(gap):
            courses.append((1 - gap[i - 8 : i + 13]) / (1 - gap[i]))
            shut.append((points[i] - points[i - 7 : i - 4].mean(0)) / (1 - gap[i]))
    looks = np.concatenate(gazes)
    slopes = np.linalg.lstsq(looks, np.concatenate(moves).reshape(len(looks), -1), rcond=None)[0].reshape(2, POINTS, 3)
    lids_follow = np.full((POINTS, 1), _LIDS_FOLLOW)
    lids_follow[list(_IRISES)] = 1
    degree = EYEBALL_RADIUS_FH * np.pi / 180
    shapes = {
        "gaze_right": _only(slopes[0] * [1, 0, 1] * degree, EYES),
        "gaze_up": _only(slopes[1] * -degree * lids_follow, EYES),
        "blink": _only(np.mean(shut, 0), tuple(i for i in EYES if i not in _IRISES)),
    }
    for name, axis in (("gaze_right", 0), ("gaze_up", 1)):
        moved = latent.mean + np.tensordot(code_of(latent, shapes[name]), latent.basis_dyn, 1)
        shapes[name] *= degree / np.abs(_iris_offset(moved[None]) - _iris_offset(latent.mean[None]))[0, axis]
    shapes["blink"] = _symmetric_x(_shutting(shapes["blink"], latent), latent)
    curve = np.clip(np.median(courses, 0), 0, 1)
    return shapes, np.clip((curve - curve[0]) * np.minimum(1, (len(curve) - 1 - np.arange(len(curve))) / 4), 0, 1)[2:-1]


def _iris_offset(points: np.ndarray) -> np.ndarray:
    """Iris centres from the middle of their eye's corners (n, 2), mean of both eyes."""
    return np.mean([points[:, i, :2] - (points[:, a, :2] + points[:, b, :2]) / 2 for i, a, b in IRIS_AND_CORNERS], 0)


def _blinks(gap: np.ndarray) -> list[int]:
    """Frames at the bottom of clear blinks: the lowest around, open before and after."""
    low = [i for i in range(10, len(gap) - 14) if gap[i] < 0.5 and gap[i] == gap[i - 5 : i + 6].min()]
    return [i for i in low if min(gap[i - 8 : i - 4].mean(), gap[i + 9 : i + 13].mean()) > 0.75]


def _only(displacement: np.ndarray, points: tuple[int, ...]) -> np.ndarray:
    kept = np.zeros_like(displacement)
    kept[list(points)] = displacement[list(points)]
    return kept


def _symmetric_x(displacement: np.ndarray, latent: LatentModel) -> np.ndarray:
    return (displacement + displacement[mirror_map(latent.mean)] * [-1, 1, 1]) / 2


def _shutting(displacement: np.ndarray, latent: LatentModel) -> np.ndarray:
    """A blink scaled so that its code shuts the mean face's lids but for `_SHUT_GAP` of their gap."""
    moved = np.tensordot(code_of(latent, displacement), latent.basis_dyn, 1)
    return displacement * (1 - _SHUT_GAP) / max(0.1, 1 - height(latent.mean + moved) / height(latent.mean))


def height(face: np.ndarray) -> float:
    """Mean height of the lids' gap of a face (478, 3), below zero when they cross."""
    return float(np.mean([face[b, 1] - face[a, 1] for a, b in ((159, 145), (386, 374), (158, 153), (385, 380))]))


def mixtures(shared: Path, latent: LatentModel) -> dict[str, np.ndarray]:
    """Emotions (478, 3) from ICT-FaceKit's expression modes."""
    modes = ict_modes(shared, latent.mean)[1]
    with np.load(shared / "data" / "geometry" / "ict_landmarks478.npz") as data:
        names = [str(n) for n in data["expression_names"]]
    made = {}
    for name, recipe in _RECIPES.items():
        weights = np.array([recipe.get(n.removesuffix("_L").removesuffix("_R"), 0.0) for n in names])
        made[name] = _lips_together(np.tensordot(weights, modes, 1))
    return made


def _lips_together(displacement: np.ndarray) -> np.ndarray:
    """The same, but inner lips move as one smooth line: an emotion is not to part or cross lips that speech closes."""
    displacement = displacement.copy()
    upper, lower = list(UPPER_INNER_LIP), list(LOWER_INNER_LIP)
    along = np.linspace(-1, 1, len(upper))
    line = np.polynomial.polynomial.polyfit(along, (displacement[upper] + displacement[lower]) / 2, 2)
    displacement[upper] = displacement[lower] = np.polynomial.polynomial.polyval(along, line).T
    return displacement


def report(style: Style, latent: LatentModel) -> None:
    """Print what the style does: what each code moves."""
    for name, code in style.codes(latent).items():
        moved = np.tensordot(code, latent.basis_dyn, 1)
        face = latent.mean + moved
        iris, lids = _iris_offset(face[None])[0] - _iris_offset(latent.mean[None])[0], height(face) / height(latent.mean)
        lips, brows = np.abs(moved[list(LIPS)]).max(), -moved[list(BROWS), 1].mean()
        size = np.linalg.norm(code)
        print(f"{name:10} norm {size:5.2f} lids {lids:.2f} iris {np.round(iris, 4)} lips {lips:.4f} brows up {brows:.4f}")
    print("blink", np.round(style.blink_curve, 2))


def main(argv: list[str]) -> None:
    """Entry point of ``talkinghead train motion_style``."""
    parser = argparse.ArgumentParser(prog="talkinghead train motion_style", description=__doc__)
    parser.add_argument("--shared", type=Path, required=True, help="folder with data/")
    parser.add_argument("--cache", type=Path, required=True, help="folder of `talkinghead train track`")
    parser.add_argument("--out", type=Path, default=Path("models/motion"))
    parser.add_argument("--latent", type=Path, default=Path("models/latent/latent.npz"))
    args = parser.parse_args(argv)
    latent = LatentModel.load(args.latent)
    eyes, curve = fit_eyes(load_clips(args.shared, args.cache, latent, "train", ("hq",)), latent)
    style = Style(curve, BLINKS_PER_MIN, {**eyes, **mixtures(args.shared, latent)})
    style.save(args.out / "style.npz")
    report(Style.load(args.out / "style.npz"), latent)
