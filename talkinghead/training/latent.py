"""Recipe of the latent: mean face, identity modes and dynamics modes from tracked video, stills, avatars and ICT-FaceKit.

    talkinghead train latent --shared SHARED --cache CACHE --out models/latent

Dynamics are motion *within* a clip: each clip's frames lose their pose and the clip's own rest face, so that identity
cannot enter. Identity is what is left of stills and clips once pose and dynamics are taken off; the two are alternated.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from talkinghead.constants import POINTS
from talkinghead.motion.latent import BROWS, EYES, LIDS_LEFT, LIDS_RIGHT, LIPS, RIGID, LatentModel, mirror_map, similarity
from talkinghead.motion.rest import LIP_PAIRS
from talkinghead.training.track import load_track, read_tsv

SIZE_ID = 40
SIZE_DYN = 48
NOISE_FH = 0.004
"""Standard deviation of a tracked point about the model, in face heights (0.8 % of inter-ocular distance)."""
LIP_WEIGHT = 2.0
SHARES = {"hq": 0.38, "anchors": 0.26, "grid_s1": 0.12, "avatars": 0.12, "ict": 0.12}
_SAMPLES = 24_000


@dataclass
class Clip:
    """A tracked clip: canonical frames (n, 478, 3), their rest face (478, 3), and where it comes from."""

    name: str
    identity: str
    source: str
    frames: np.ndarray
    rest: np.ndarray


def point_weights() -> np.ndarray:
    """How much a point's error counts (478,): lips and eyes more."""
    w = np.ones(POINTS)
    w[list(LIPS)] = LIP_WEIGHT
    w[list(EYES)] = LIP_WEIGHT
    return w


def mean_face(shapes: np.ndarray, rounds: int = 5) -> np.ndarray:
    """Procrustes mean (478, 3) of px shapes (n, 478, 3): frontal, symmetric about x = 0, forehead to chin 1 and upright,
    the rigid points' mean at the origin."""
    mean = shapes[0].astype(np.float64)
    keep = list(RIGID)
    for _ in range(rounds):
        mean -= mean[keep].mean(0)
        mean /= np.linalg.norm(mean[10] - mean[152])
        mean = np.mean([similarity(mean[keep], s[keep]).inverse(s) for s in shapes], 0)
    right, left = mean[[*LIDS_RIGHT, *BROWS[:10]]], mean[[*LIDS_LEFT, *BROWS[10:]]]
    x = _unit((left - right).mean(0))
    down = mean[152] - mean[10]
    y = _unit(down - x * (down @ x))
    mean = (mean - mean[keep].mean(0)) @ np.stack([x, y, np.cross(x, y)], 1)
    mean[:, 0] -= mean[[10, 152, 1, 9, 0, 17], 0].mean()
    twins = mirror_map(mean)
    mean = (mean + mean[twins] * [-1, 1, 1]) / 2
    mean -= mean[keep].mean(0) * [0, 1, 1]
    return mean / np.linalg.norm(mean[10] - mean[152])


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


def opening(points: np.ndarray) -> np.ndarray:
    """Inner-lip opening (n,) of canonical frames (n, 478, 3) in face heights."""
    return np.mean([np.linalg.norm(points[:, a] - points[:, b], axis=1) for a, b in LIP_PAIRS], 0)


def lid_gap(points: np.ndarray) -> np.ndarray:
    """Mean gap (n,) between the lids in face heights."""
    pairs = ((159, 145), (386, 374), (158, 153), (385, 380))
    return np.mean([np.linalg.norm(points[:, a] - points[:, b], axis=1) for a, b in pairs], 0)


def rest_face(frames: np.ndarray) -> np.ndarray:
    """A clip's rest face (478, 3): the mean of the frames with closed lips and open lids."""
    lips, lids = opening(frames), lid_gap(frames)
    awake = lids >= np.quantile(lids, 0.3)
    quiet = lips <= np.quantile(lips[awake], 0.25)
    return frames[awake & quiet].mean(0)


def load_clips(shared: Path, cache: Path, mean: np.ndarray, split: str, stride: int = 1) -> list[Clip]:
    """Clips of a split with canonical frames; those tracked in fewer than 90 % of frames are left out."""
    clips = []
    keep = list(RIGID)
    for row in read_tsv(shared / "data" / "video" / "clips.tsv"):
        path = (cache / "track" / "video" / row["file"]).with_suffix(".npz")
        if row["split"] != split or not path.exists():
            continue
        track = load_track(path)
        if track["found"].mean() < 0.9 or track["found"].sum() < 12:
            continue
        points = track["points"][track["found"]][::stride]
        frames = np.stack([similarity(mean[keep], p[keep]).inverse(p) for p in points]).astype(np.float32)
        source = row["file"].split("/")[0]
        clips.append(Clip(row["file"], row["identity"], source, frames, rest_face(frames)))
    return clips


def ict_modes(shared: Path, mean: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """ICT-FaceKit's identity (100) and expression (57) modes as canonical offsets (k, 478, 3)."""
    with np.load(shared / "data" / "geometry" / "ict_landmarks478.npz") as data:
        neutral, identity, expression = (data[k].astype(np.float64) for k in ("neutral", "identity", "expression"))
    pose = similarity(mean, neutral)  # neutral = s R mean + t: turn the modes back by R, scale by 1 / s
    return identity @ pose.rotation / pose.scale_px, expression @ pose.rotation / pose.scale_px


def _mixtures(modes: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Random sparse mixtures (count, 478, 3) of expression modes, weights 0..1."""
    weights = rng.uniform(0, 1, (count, len(modes))) * (rng.uniform(size=(count, len(modes))) < 4 / len(modes))
    return np.tensordot(weights, modes, 1)


def dynamics_samples(clips: list[Clip], shared: Path, mean: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Offsets from rest (n, 478, 3), sources mixed by `SHARES`, each sample also mirrored."""
    parts = []
    for source, share in SHARES.items():
        count = int(share * _SAMPLES)
        if source == "ict":
            parts.append(_mixtures(ict_modes(shared, mean)[1], count, rng))
        elif source == "avatars":
            parts.append(_avatar_mixtures(shared, mean, count, rng))
        else:
            pool = np.concatenate([c.frames - c.rest for c in clips if c.source == source])
            parts.append(pool[rng.choice(len(pool), min(count, len(pool)), replace=False)])
    samples = np.concatenate(parts).astype(np.float32)
    twins = mirror_map(mean)
    return np.concatenate([samples, samples[:, twins] * np.array([-1, 1, 1], np.float32)])


def _avatar_mixtures(shared: Path, mean: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    from talkinghead.training.avatars import neutral_and_modes

    parts = []
    heads = neutral_and_modes(shared)
    for neutral, deltas in heads:
        pose = similarity(mean, neutral)
        modes = deltas.astype(np.float64) @ pose.rotation / pose.scale_px
        parts.append(_mixtures(modes, count // len(heads) + 1, rng))
    return np.concatenate(parts)[:count]


def modes_of(samples: np.ndarray, size: int, noise: float = NOISE_FH) -> np.ndarray:
    """Whitened principal modes (size, 478, 3) of offsets (n, 478, 3) under `point_weights`, about zero, not their mean: zero is
    the rest face. A mode is a unit-variance step."""
    w = np.sqrt(np.repeat(point_weights(), 3))
    x = samples.reshape(len(samples), -1) * w
    values, vectors = np.linalg.eigh((x.T @ x / len(x)).astype(np.float64))
    top = np.argsort(values)[::-1][:size]
    scale = np.sqrt(np.maximum(values[top] - noise**2, noise**2 / 10))
    return ((vectors[:, top] / w[:, None]) * scale).T.reshape(size, POINTS, 3)


def fit(shared: Path, cache: Path, seed: int = 0, rounds: int = 3) -> tuple[LatentModel, list[Clip]]:
    """Learn the latent from the train splits."""
    rng = np.random.default_rng(seed)
    stills = _still_points(shared, cache, "train")
    mean = mean_face(stills)
    clips = load_clips(shared, cache, mean, "train", stride=2)
    dyn = modes_of(dynamics_samples(clips, shared, mean, rng), SIZE_DYN)
    precision = point_weights() / NOISE_FH**2 / 12  # neighbouring points err together: each counts for a twelfth
    keep = list(RIGID)
    aligned = np.stack([similarity(mean[keep], p[keep]).inverse(p) for p in stills])
    rests = np.stack([_rest_of(clips, who) for who in sorted({c.identity for c in clips})])
    prior = ict_modes(shared, mean)[0]
    extra = prior[:40] * rng.standard_normal((40, 1, 1)) * 0.5
    identity = modes_of(np.concatenate([aligned - mean, rests - mean, extra]), SIZE_ID)
    for _ in range(rounds):
        model = LatentModel(*(a.astype(np.float32) for a in (mean, identity, dyn, precision)))
        codes = [model.encode(p) for p in stills]
        neutral = np.stack([c.pose.inverse(p) - np.tensordot(c.z_dyn, dyn, 1) for c, p in zip(codes, stills, strict=True)])
        mean = mean + _symmetric((np.concatenate([neutral, rests]) - mean).mean(0), mean)
        shapes = np.concatenate([neutral, rests]) - mean
        twins = mirror_map(mean)
        shapes = np.concatenate([shapes, shapes[:, twins] * [-1, 1, 1], extra])
        identity = modes_of(shapes, SIZE_ID)
    return LatentModel(*(a.astype(np.float32) for a in (mean, identity, dyn, precision))), clips


def _symmetric(offset: np.ndarray, mean: np.ndarray) -> np.ndarray:
    return (offset + offset[mirror_map(mean)] * [-1, 1, 1]) / 2


def _rest_of(clips: list[Clip], identity: str) -> np.ndarray:
    return np.mean([c.rest for c in clips if c.identity == identity], 0)


def _still_points(shared: Path, cache: Path, split: str) -> np.ndarray:
    """Teacher points (n, 478, 3) of a split's stills in a common size: face heights about 1."""
    points = []
    for row in read_tsv(shared / "data" / "stills" / "stills.tsv"):
        track = load_track((cache / "track" / "stills" / row["file"]).with_suffix(".npz"))
        if row["split"] == split and track["found"][0]:
            points.append(track["points"][0] * 512)
    return np.stack(points)


def main(argv: list[str]) -> None:
    """Entry point of ``talkinghead train latent``."""
    parser = argparse.ArgumentParser(prog="talkinghead train latent", description=__doc__)
    parser.add_argument("--shared", type=Path, required=True, help="folder with data/")
    parser.add_argument("--cache", type=Path, required=True, help="folder of `talkinghead train track`")
    parser.add_argument("--out", type=Path, default=Path("models/latent"))
    args = parser.parse_args(argv)
    model, _ = fit(args.shared, args.cache)
    args.out.mkdir(parents=True, exist_ok=True)
    half = {k: getattr(model, k).astype(np.float16) for k in ("basis_id", "basis_dyn")}
    np.savez_compressed(args.out / "latent.npz", mean=model.mean, precision=model.precision, **half)
    print(f"wrote {args.out / 'latent.npz'}")
