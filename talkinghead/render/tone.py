"""Black-and-white and toned photos: what is painted or drawn by a network stays in the photo's one tone."""

from __future__ import annotations

import cv2
import numpy as np

from talkinghead.render.layout import OVAL

_LEVELS = 256
_SPREAD_LEVELS = 8.0  # colours are averaged over so many neighbouring brightnesses
_LEAST_PIXELS = 500
_NEARLY_ALL, _MOST_OFF = 0.98, 5.6
"""Of a face's pixels so many lie so close, grey levels, to one colour a brightness, or it is in colour. On faces of `train` that
share lies within 0 (grey) to 5.4 (toned); in colour within 7.6 to 43."""

_MOST_TINT = 45.0
"""Grey levels between a face's channels; with more it is no toned photo but a drawing with skin of one colour."""


def one_tone(face: np.ndarray, points: np.ndarray) -> np.ndarray | None:
    """The colour (256, 1, 3) uint8 of each brightness in a photo ``face`` (s, s, 3) uint8 RGB with points (478, 3) px; None where
    the face is in colour."""
    inside = np.zeros(face.shape[:2], np.uint8)
    outline = np.clip(np.round(points[list(OVAL), :2]), -4096, 4096).astype(np.int32)
    cv2.fillConvexPoly(inside, cv2.convexHull(outline), 1)
    colours = face[inside > 0]
    if len(colours) < _LEAST_PIXELS:
        return None
    luma = cv2.cvtColor(colours[None], cv2.COLOR_RGB2GRAY)[0]
    count = np.bincount(luma, minlength=_LEVELS)
    # How far each channel is from the brightness, smooth along it; where nothing is seen, as nearby.
    columns = [count] + [np.bincount(luma, colours[:, k].astype(np.float64) - luma, _LEVELS) for k in range(3)]
    soft = cv2.GaussianBlur(np.stack(columns, axis=1), (1, 0), sigmaX=0.1, sigmaY=_SPREAD_LEVELS, borderType=cv2.BORDER_REPLICATE)
    levels = np.arange(_LEVELS)
    known = soft[:, 0] > 1e-3
    off = np.stack([np.interp(levels, levels[known], soft[known, k] / soft[known, 0]) for k in (1, 2, 3)], axis=1)
    apart = np.abs(colours - (luma[:, None] + off[luma])).max(axis=1)
    tint = np.ptp(colours, axis=1)
    if np.quantile(apart, _NEARLY_ALL) > _MOST_OFF or np.median(tint) > _MOST_TINT:
        return None
    return np.clip(np.round(levels[:, None] + off), 0, 255).astype(np.uint8)[:, None]


def toned(picture: np.ndarray, tone: np.ndarray) -> np.ndarray:
    """``picture`` (h, w, 3) uint8 RGB in the one tone (256, 1, 3) of `one_tone`."""
    return np.asarray(cv2.LUT(cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB), tone))
