"""Small files of pairs as `training.decoder_data` writes them, whose rows can be told apart."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from talkinghead.training.decoder_pairs import ARRAYS, PHOTOS

SIZES = {"mouth": (1, 112, 144), "eye": (2, 64, 80)}
"""Patches a frame, height px, width px."""
DARK, LIGHT, OFF = 60, 150, 40
"""Grey levels of a picture's right and left half, and of what is to be learned."""


def write_shard(
    path: Path, kind: str, source: float, dynamics: int, *, held: bool = False, pairs: int = 3, width: float = 2.0
) -> None:
    """A file of one source with one portrait. The left half of all is lighter and covered; the true picture is lighter by OFF;
    mouths are ``width`` times as wide as at rest.

    code: z_dyn of noise, then ``source`` (which a mirror leaves), 1 and -1 (which it turns round).
    """
    rng = np.random.default_rng(round(100 * source))
    made: dict[str, np.ndarray] = {"portrait": np.zeros(pairs, np.int32)}
    made["width"] = np.full(pairs, width, np.float32)
    for part, (count, height, across) in SIZES.items():
        for name, rows, more in (("drawn", pairs, 0), ("true", pairs, OFF), ("photo", 1, 0)):
            made[f"{part}_{name}"] = _pictures(rng, (rows, count, height, across), more)
        half = np.arange(across) < across // 2
        for name, rows in (("cover", pairs), ("photo_cover", 1)):
            made[f"{part}_{name}"] = np.broadcast_to(np.uint8(255) * half, (rows, count, 2, height, across)).astype(np.uint8)
    turn = np.broadcast_to([source, 1, -1], (pairs, 3))
    made["code"] = np.concatenate([rng.standard_normal((pairs, dynamics)), turn], 1).astype(np.float32)
    assert set(made) == {*ARRAYS, *PHOTOS}
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, kind=kind, held=held, **made)  # type: ignore[arg-type]


def _pictures(rng: np.random.Generator, shape: tuple[int, int, int, int], more: int) -> np.ndarray:
    rows, count, height, width = shape
    noise = cv2.GaussianBlur(rng.normal(0, 25, (height, width)), (0, 0), 1.0)
    plain = noise + np.where(np.arange(width) < width // 2, LIGHT, DARK) + more
    tinted = plain[..., None] * [1.0, 0.9, 0.8]
    return np.broadcast_to(np.clip(tinted, 0, 255).astype(np.uint8), (rows, count, height, width, 3)).copy()
