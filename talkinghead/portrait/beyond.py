"""What a crop shows beyond its photo: the photo's edge goes on and dissolves."""

from __future__ import annotations

import cv2
import numpy as np

from talkinghead.constants import SIZE_PX

_SPREAD, _SPREAD_ABOVE = 0.33, 0.9
"""Blur over the distance from the photo: shoulders and walls go on; above, hair that the photo cuts off soon ends."""
_LEVELS_PX = (0.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0)
"""Blurs that are mixed, of a square of 512 px: their standard deviations."""


def dissolved(face: np.ndarray, left: float, top: float, right: float, bottom: float) -> np.ndarray:
    """A square (s, s, 3) uint8 whose part beyond the photo repeats the photo's edge, with that part ever softer: a new picture.

    The photo's edges are given in px of the square; they may lie outside it.
    """
    size = len(face)
    place = np.arange(size) + 0.5
    aside = np.maximum(np.maximum(left - place, place - right), 0)
    above, below = np.maximum(top - place, 0), np.maximum(place - bottom, 0)
    spread = np.sqrt((_SPREAD * aside)[None] ** 2 + ((_SPREAD_ABOVE * above) ** 2 + (_SPREAD * below) ** 2)[:, None])
    true = face.astype(np.float32)
    out = true.copy()
    unit = size / SIZE_PX
    for low, high in zip(_LEVELS_PX[:-1], _LEVELS_PX[1:], strict=True):
        if spread.max() <= low * unit:
            break
        share = np.clip((spread / unit - low) / (high - low), 0, 1).astype(np.float32)
        out += (cv2.GaussianBlur(true, (0, 0), high * unit, borderType=cv2.BORDER_REPLICATE) - out) * share[..., None]
    return np.asarray(cv2.add(out, 0.0, dtype=cv2.CV_8U))  # rounds and saturates
