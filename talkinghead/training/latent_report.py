"""Figures of the latent on the test splits, as they stand in its card.

talkinghead train latent_report --shared SHARED --cache CACHE
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from talkinghead.motion.latent import EYES, LIPS, LatentModel
from talkinghead.runtime.weights import model_path
from talkinghead.training.latent import Clip, load_clips, opening

_SOURCES = ("hq", "anchors", "grid", "grid_s1")
_RIDGE = 1.0


def _inter_ocular(model: LatentModel) -> float:
    return float(np.linalg.norm(model.mean[33] - model.mean[263]))


def reconstruction(model: LatentModel, clips: list[Clip], size: int) -> np.ndarray:
    """Mean 2-D error (all points, lips, eyes) of clips coded with the first ``size`` dynamics modes, % of inter-ocular."""
    cut = LatentModel(model.mean, model.basis_id, model.basis_dyn[:size], model.precision)
    rows = []
    for clip in clips:
        offset = clip.frames - clip.rest
        redrawn = np.tensordot(cut.solve_dyn(offset), cut.basis_dyn, 1)
        error = np.linalg.norm((redrawn - offset)[..., :2], axis=2).mean(0)
        rows.append([error.mean(), error[list(LIPS)].mean(), error[list(EYES)].mean()])
    return 100 * np.mean(rows, 0) / _inter_ocular(model)


def identity_of(model: LatentModel, clip: Clip) -> np.ndarray:
    """z_id (I,) of a clip's rest face."""
    return model.solve_both(clip.rest - model.mean)[0]


def probe(model: LatentModel, clips: list[Clip]) -> dict[str, float]:
    """How well a linear (ridge) probe reads identity from one frame's z_dyn, and from its canonical points (the ceiling).

    R2: of z_id, on people that the probe has not seen. Named: share of frames whose person is told, on clips that the probe
    has not seen, among people with several clips.
    """
    named = {p for p in {c.identity for c in clips} if sum(c.identity == p for c in clips) > 1}
    people = sorted({c.identity for c in clips if c.source in ("hq", "anchors")})
    ids = {p: np.mean([identity_of(model, c) for c in clips if c.identity == p], 0) for p in people}
    rng = np.random.default_rng(0)
    codes, points, target, who, clip_number = [], [], [], [], []
    for number, clip in enumerate(c for c in clips if c.identity in ids):
        take = rng.choice(len(clip.frames), min(12, len(clip.frames)), replace=False)
        codes.append(model.solve_dyn(clip.frames[take] - clip.rest))
        points.append(np.concatenate(model.solve_both(clip.frames[take] - model.mean), 1))
        target.append(np.repeat(ids[clip.identity][None], len(take), 0))
        who += [people.index(clip.identity)] * len(take)
        clip_number += [number] * len(take)
    x, full, y, label = np.concatenate(codes), np.concatenate(points), np.concatenate(target), np.array(who)
    fold = label % 2
    half = np.array(clip_number) % 2 == 0
    some = np.array([people[w] in named for w in who])
    return {
        "identity R2 from z_dyn": _cross_r2(x, y, fold),
        "identity R2 from points": _cross_r2(full, y, fold),
        "person named from z_dyn": _named(x[some], label[some], half[some]),
        "person named from points": _named(full[some], label[some], half[some]),
        "chance": 1 / len(named & set(people)),
    }


def _ridge(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.linalg.solve(x.T @ x + _RIDGE * len(x) / 100 * np.eye(x.shape[1]), x.T @ y)


def _cross_r2(x: np.ndarray, y: np.ndarray, fold: np.ndarray) -> float:
    """R2 over both folds; each is predicted from the other."""
    x = np.concatenate([x, np.ones((len(x), 1))], 1)
    wrong = whole = 0.0
    for k in (0, 1):
        fit, test = fold != k, fold == k
        wrong += ((y[test] - x[test] @ _ridge(x[fit], y[fit])) ** 2).sum()
        whole += ((y[test] - y[fit].mean(0)) ** 2).sum()
    return float(1 - wrong / whole)


def _named(x: np.ndarray, who: np.ndarray, half: np.ndarray) -> float:
    x = np.concatenate([x, np.ones((len(x), 1))], 1)
    target = np.eye(who.max() + 1)[who]
    return float(((x[~half] @ _ridge(x[half], target[half])).argmax(1) == who[~half]).mean())


def swap_error(model: LatentModel, clips: list[Clip]) -> dict[str, float]:
    """A's face under B's motion, coded again: how far identity moved (% of inter-ocular, mean over points), and how far the lip
    opening is from B's (mean error in % of inter-ocular, r)."""
    rng = np.random.default_rng(0)
    moved, gaps, r = [], [], []
    pool = [c for c in clips if len(c.frames) > 20]
    for _ in range(200):
        a, b = (pool[i] for i in rng.choice(len(pool), 2, replace=False))
        if a.identity == b.identity:
            continue
        z_id, z_dyn = identity_of(model, a), model.solve_dyn(b.frames - b.rest)
        shapes = model.mean + np.tensordot(z_id, model.basis_id, 1) + np.tensordot(z_dyn, model.basis_dyn, 1)
        codes = [model.encode(s * 233 + 256) for s in shapes[:: max(1, len(shapes) // 8)]]
        again = np.mean([c.z_id for c in codes], 0)
        moved.append(np.linalg.norm(np.tensordot(again - z_id, model.basis_id, 1)[:, :2], axis=1).mean())
        ours, theirs = opening(shapes), opening(b.frames)
        gaps.append(np.abs((ours - ours.mean()) - (theirs - theirs.mean())).mean())
        r.append(np.corrcoef(ours, theirs)[0, 1])
    unit = 100 / _inter_ocular(model)
    return {
        "identity moved": float(np.mean(moved) * unit),
        "opening error": float(np.mean(gaps) * unit),
        "opening r": float(np.median(r)),
    }


def main(argv: list[str]) -> None:
    """Entry point of ``talkinghead train latent_report``."""
    parser = argparse.ArgumentParser(prog="talkinghead train latent_report", description=__doc__)
    parser.add_argument("--shared", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    args = parser.parse_args(argv)
    model = LatentModel.load(model_path("latent", "latent.npz"))
    clips = load_clips(args.shared, args.cache, model.mean, "test")
    print("| clips | D | all points | lips | eyes |\n|---|---|---|---|---|")
    for source in _SOURCES:
        some = [c for c in clips if c.source == source]
        for size in (8, 16, 32, model.size_dyn):
            print(
                f"| {source} ({len(some)}) | {size} | " + " | ".join(f"{v:.2f}" for v in reconstruction(model, some, size)) + " |"
            )
    for name, value in {**probe(model, clips), **swap_error(model, clips)}.items():
        print(f"{name}: {value:.3f}")
