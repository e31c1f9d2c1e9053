"""What hearing only 75 ms ahead costs the lips.

    talkinghead train streaming_price --shared SHARED --cache CACHE

The same linear reader (ridge regression from the speech encoder's features to the inner lips' opening, learned on `train` clips)
once with the features up to the frame, as in a call, and once with as many on either side of it, as if the whole clip were known.
Prints Pearson r at the best lag on the `test` clips.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np

from talkinghead.motion.latent import LatentModel
from talkinghead.training.motion_bank import encoded
from talkinghead.training.motion_data import SOURCES, Clip, load_clips
from talkinghead.training.motion_report import lagged, openings, rows_of
from talkinghead.training.speech import load_weights

PAST_FRAMES = 12
_RIDGE = 30.0
WINDOWS = {"online": (-PAST_FRAMES, 0), "offline": (-PAST_FRAMES, PAST_FRAMES)}


def windowed(features: np.ndarray, first: int, last: int) -> np.ndarray:
    """Features (n, k) of frames first to last around each frame side by side, and a one: (n, k * frames + 1)."""
    at = np.arange(len(features))
    parts = [features[np.clip(at + shift, 0, len(features) - 1)] for shift in range(first, last + 1)]
    return np.concatenate([*parts, np.ones((len(features), 1))], 1)


def reader(clips: list[tuple[np.ndarray, np.ndarray]], window: tuple[int, int]) -> Callable[[np.ndarray], np.ndarray]:
    """A linear reader fitted to pairs of features (n, k) and opening (n,)."""
    size = clips[0][0].shape[1] * (window[1] - window[0] + 1) + 1
    square, cross = _RIDGE * np.eye(size), np.zeros(size)
    for features, opening in clips:
        x = windowed(features, *window)
        square += x.T @ x
        cross += x.T @ (opening - opening.mean())
    weights = np.linalg.solve(square, cross)
    return lambda features: windowed(features, *window) @ weights


def main(argv: list[str]) -> None:
    """Entry point of ``talkinghead train streaming_price``."""
    parser = argparse.ArgumentParser(prog="talkinghead train streaming_price", description=__doc__)
    parser.add_argument("--shared", type=Path, required=True, help="folder with data/")
    parser.add_argument("--cache", type=Path, required=True, help="folder of `talkinghead train track`")
    parser.add_argument("--models", type=Path, default=Path("models"))
    args = parser.parse_args(argv)
    latent = LatentModel.load(args.models / "latent" / "latent.npz")
    net = load_weights(args.models / "speech" / "speech.safetensors")[0]

    def pair(clip: Clip) -> tuple[np.ndarray, np.ndarray]:
        opening = openings(latent, clip.z_id, clip.z_dyn)
        features = encoded(net, rows_of(clip).rows)[: len(opening)]
        return features, opening[: len(features)]

    taught = [pair(c) for i, c in enumerate(load_clips(args.shared, args.cache, latent, "train", SOURCES, True)) if i % 3 == 0]
    tests = [(c.source, *pair(c)) for c in load_clips(args.shared, args.cache, latent, "test", SOURCES, True)]
    for name, window in WINDOWS.items():
        read = reader(taught, window)
        by_set = {s: [lagged(read(f), o)[0] for source, f, o in tests if source == s] for s in SOURCES}
        print(f"{name:8}" + " ".join(f"{source} r {np.mean(r):.3f};" for source, r in by_set.items()), flush=True)
