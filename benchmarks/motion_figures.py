"""Figures of motion, straight from latents: the arithmetic of `benchmarks/motion.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from motion_play import Take

from talkinghead.constants import FRAME_RATE_HZ
from talkinghead.motion.brows import brow_row
from talkinghead.motion.denoiser import HOP_FRAMES
from talkinghead.motion.eyes import looks_of
from talkinghead.motion.latent import LatentModel
from talkinghead.motion.pose import facing_deg
from talkinghead.training.latent import lid_gap
from talkinghead.training.motion_data import smoothed
from talkinghead.training.motion_report import openings

Figures = dict[str, float]

SPEECH_GATE = 0.5
_SPLITS = 10
_SHUT = 0.5
"""A blink has begun when the lids' gap is below this share of its usual size."""
_RAISED_FH, _BESIDE_S, _BROW_FRAMES = 0.005, 1.5, 2.5
"""A raise of brows is so much above their lowest fifth within that time; tracked ones are smoothed by so much."""
_POSE_NAMES = ("pitch deg", "yaw deg", "roll deg", "right %", "down %", "nearer %")
_POSE_UNITS = np.array([*np.degrees(np.ones(3)), 100, 100, 100])


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson's r of two curves, as long as both last; NaN when one does not move."""
    count = min(len(a), len(b))
    a, b = a[:count], b[:count]
    return float(np.corrcoef(a, b)[0, 1]) if count > 2 and a.std() > 1e-9 and b.std() > 1e-9 else float("nan")


def head_deg(z_pose: np.ndarray) -> np.ndarray:
    """Pitch (down), yaw (left) and roll (clockwise) of latents (n, 6), degrees (n, 3)."""
    return np.degrees(z_pose[:, :3])


def alike(a: Take, b: Take, latent: LatentModel, z_a: np.ndarray, z_b: np.ndarray) -> Figures:
    """How alike two takes are, over the frames that both have: r of the lips' opening on persons z_a and z_b (I,), r of the
    head's courses, and the mean angle between the heads in degrees."""
    count = min(len(a.gate), len(b.gate))
    heads = head_deg(a.z_pose[:count]), head_deg(b.z_pose[:count])
    turns = {f"{name} r": correlation(*(h[:, i] for h in heads)) for i, name in enumerate(("pitch", "yaw", "roll"))}
    lips = correlation(openings(latent, z_a, a.z_dyn[:count]), openings(latent, z_b, b.z_dyn[:count]))
    return {"lips r": lips, **turns, "head apart deg": float(np.linalg.norm(heads[0] - heads[1], axis=1).mean())}


def mean_of(rows: list[Figures]) -> Figures:
    """Means by name; what is not a number does not count."""
    table = {}
    for name in rows[0] if rows else ():
        values = [row[name] for row in rows if np.isfinite(row[name])]
        table[name] = float(np.mean(values)) if values else float("nan")
    return table


FEATURES: dict[str, Callable[[Take], np.ndarray]] = {
    "z_dyn": lambda take: take.z_dyn,
    "z_pose": lambda take: take.z_pose,
    "z_dyn velocity": lambda take: np.diff(take.z_dyn, axis=0),
    "z_pose velocity": lambda take: np.diff(take.z_pose, axis=0),
}


def gaussian_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Fréchet distance (squared, as in Heusel et al. 2017) between Gaussians fitted to rows (n, k) and (m, k)."""
    (mean_a, spread_a), (mean_b, spread_b) = ((x.mean(0), np.atleast_2d(np.cov(x, rowvar=False))) for x in (a, b))
    values, vectors = np.linalg.eigh(spread_a)
    root = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    shared = np.sqrt(np.clip(np.linalg.eigvalsh(root @ spread_b @ root), 0, None)).sum()
    return float(((mean_a - mean_b) ** 2).sum() + np.trace(spread_a) + np.trace(spread_b) - 2 * shared)


def frechet(made: list[Take], real: list[Take], unit: dict[str, np.ndarray]) -> dict[str, Figures]:
    """By feature, in units (k,): generated against real clips; a still face against them; two random halves of the real clips."""
    rng, table = np.random.default_rng(0), {}
    for name, of in FEATURES.items():
        ours, theirs = ([of(take) / unit[name] for take in takes] for takes in (made, real))
        whole, halves = np.concatenate(theirs), []
        for _ in range(_SPLITS if len(theirs) > 1 else 0):
            order = rng.permutation(len(theirs))
            cut = len(order) // 2
            halves.append(gaussian_distance(*(np.concatenate([theirs[i] for i in part]) for part in (order[:cut], order[cut:]))))
        table[name] = {
            "generated": gaussian_distance(np.concatenate(ours), whole),
            "still": gaussian_distance(np.zeros((2, whole.shape[1])), whole),
            "real halves": float(np.mean(halves)) if halves else float("nan"),
        }
    return table


def velocity_ratios(made: list[Take], real: list[Take], lips: np.ndarray) -> Figures:
    """Mean |velocity| of generated motion over real: z_dyn on the lips' share (lips (D, D)), its rest, the head's turning; and
    the head's mean step at 25 FPS, degrees."""

    def speeds(takes: list[Take]) -> np.ndarray:
        dyn, turn = (
            np.concatenate([np.diff(x, axis=0) for x in part]) for part in ([t.z_dyn for t in takes], [t.z_pose for t in takes])
        )
        on_lips = dyn @ lips.T
        return np.array([np.linalg.norm(x, axis=1).mean() for x in (on_lips, dyn - on_lips, turn[:, :3])])

    ratios = speeds(made) / speeds(real)
    steps = [float(np.mean([head_step_deg(t.z_pose) for t in takes])) for takes in (made, real)]
    names = ("lips", "rest of the face", "head", "head step deg", "real head step deg")
    return dict(zip(names, [*ratios.tolist(), *steps], strict=True))


def head_step_deg(z_pose: np.ndarray) -> float:
    """Mean turn between neighbouring frames at 25 FPS, degrees."""
    course, at = head_deg(z_pose), np.arange(0, (len(z_pose) - 1) / FRAME_RATE_HZ, 0.04) * FRAME_RATE_HZ
    slow = np.stack([np.interp(at, np.arange(len(course)), column) for column in course.T], 1)
    return float(np.linalg.norm(np.diff(slow, axis=0), axis=1).mean())


def seams(takes: list[Take], latent: LatentModel, people: list[np.ndarray]) -> Figures:
    """Median step across hops' edges over the median step inside hops, in speech: of the head's turning and of the opening."""
    heads, lips, edges = [], [], []
    for take, z_id in zip(takes, people, strict=True):
        spoken = np.minimum(take.gate[1:], take.gate[:-1]) > SPEECH_GATE
        heads.append(np.linalg.norm(np.diff(head_deg(take.z_pose), axis=0), axis=1)[spoken])
        lips.append(np.abs(np.diff(openings(latent, z_id, take.z_dyn)))[spoken])
        edges.append((np.arange(1, len(take.gate)) % HOP_FRAMES == 0)[spoken])
    edge, table = np.concatenate(edges), {}
    for name, steps in (("head", np.concatenate(heads)), ("lips", np.concatenate(lips))):
        table[name] = float(np.median(steps[edge]) / max(np.median(steps[~edge]), 1e-12))
    return table


def looks_deg(latent: LatentModel, z_dyn: np.ndarray) -> np.ndarray:
    """Where the irises of codes (n, D) point in the head, degrees right and up (n, 2) of those of the resting mean face."""
    return z_dyn @ looks_of(latent)


def gaze_held(take: Take, latent: LatentModel, asked_deg: tuple[float, float]) -> Figures:
    """Where eyes and head together look on average, against what was asked, degrees; and the head's part."""
    head = facing_deg(take.z_pose[:, :3]).mean(0)
    both = head + looks_deg(latent, take.z_dyn).mean(0)
    measured = [*both.tolist(), *head.tolist(), float(np.linalg.norm(both - asked_deg))]
    return dict(zip(("right", "up", "head right", "head up", "error"), measured, strict=True))


def drift(take: Take, latent: LatentModel) -> dict[str, dict[str, Any]]:
    """Of pose (degrees and hundredths), norm of z_dyn and opening (% of the inter-ocular distance): mean and sd of each whole
    minute; the largest deviation of a minute's mean from the grand mean, and the rise of a straight line from end to end, both in
    standard deviations of all frames."""
    lips = 100 * openings(latent, np.zeros(latent.size_id), take.z_dyn)
    pose = dict(zip(_POSE_NAMES, (take.z_pose * _POSE_UNITS).T, strict=True))
    minute = 60 * FRAME_RATE_HZ
    table = {}
    for name, course in {**pose, "z_dyn norm": np.linalg.norm(take.z_dyn, axis=1), "opening %": lips}.items():
        parts = np.array_split(course[: max(1, len(course) // minute) * minute], max(1, len(course) // minute))
        whole = np.concatenate(parts)
        means, spread = np.array([p.mean() for p in parts]), max(float(whole.std()), 1e-12)
        table[name] = {
            "mean": means.tolist(),
            "sd": [float(p.std()) for p in parts],
            "largest deviation sd": float(np.abs(means - whole.mean()).max()) / spread,
            "trend sd": float(np.polyfit(np.linspace(0, 1, len(whole)), whole, 1)[0]) / spread,
        }
    return table


def blinks_per_min(latent: LatentModel, z_dyn: np.ndarray) -> float:
    """How often the lids' gap on the mean face falls below half its usual size."""
    gap = lid_gap(latent.mean + np.tensordot(z_dyn, latent.basis_dyn, 1))
    shut = gap < _SHUT * np.quantile(gap, 0.7)
    return float((np.diff(shut.astype(int)) == 1).sum() * 60 * FRAME_RATE_HZ / len(gap))


def brows(take: Take, latent: LatentModel) -> Figures:
    """Of the brows' height, % of a face height: standard deviation; raises a minute, and their median height and seconds."""
    course = smoothed((take.z_dyn @ brow_row(latent))[:, None], _BROW_FRAMES)[:, 0]
    reach = round(_BESIDE_S * FRAME_RATE_HZ)
    up = course - [np.quantile(course[max(0, k - reach) : k + reach], 0.2) for k in range(len(course))]
    raises = _stretches(up > _RAISED_FH / 2, up > _RAISED_FH)
    tops, lengths = [float(up[a:b].max()) for a, b in raises], [(b - a) / FRAME_RATE_HZ for a, b in raises]
    return {
        "sd %": float(100 * course.std()),
        "raises a minute": len(raises) * 60 * FRAME_RATE_HZ / len(course),
        "height %": 100 * float(np.median(tops)) if tops else float("nan"),
        "seconds": float(np.median(lengths)) if lengths else float("nan"),
    }


def _stretches(inside: np.ndarray, marked: np.ndarray) -> list[tuple[int, int]]:
    """Begin and end of the stretches of ``inside`` (n,) that hold something ``marked`` (n,)."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], inside.astype(int), [0]))))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2) if marked[a:b].any()]


def stillness(take: Take, latent: LatentModel) -> Figures:
    """Blinks a minute, head step at 25 FPS, median absolute deviation of the opening (% of the inter-ocular distance)."""
    lips = 100 * openings(latent, np.zeros(latent.size_id), take.z_dyn)
    return {
        "blinks a minute": blinks_per_min(latent, take.z_dyn),
        "head step deg": head_step_deg(take.z_pose),
        "lip mad %": float(np.median(np.abs(lips - np.median(lips)))),
    }


def response(take: Take, latent: LatentModel, plain: Take) -> Figures:
    """How motion answers a strange sound: 1 when all is finite, largest norm of z_dyn, voice heard, sd of the opening (% of the
    inter-ocular distance) and of its second half, the same against plain speech, r of the opening with that of plain speech."""
    nobody = np.zeros(latent.size_id)
    lips, usual = (100 * openings(latent, nobody, t.z_dyn) for t in (take, plain))
    return {
        "finite": float(np.isfinite(take.z_dyn).all() and np.isfinite(take.z_pose).all()),
        "largest z_dyn norm": float(np.linalg.norm(take.z_dyn, axis=1).max()),
        "voice": float(take.gate.mean()),
        "opening sd %": float(lips.std()),
        "opening sd of speech's": float(lips.std() / usual.std()),
        "second half's": float(lips[len(lips) // 2 :].std() / usual.std()),
        "r with speech": correlation(lips, usual),
        "head step deg": head_step_deg(take.z_pose),
    }
