"""How soft a photo is, and making what is drawn as soft: a mouth sharper than the face round it looks pasted in."""

from __future__ import annotations

import cv2
import numpy as np

from talkinghead.render.layout import OVAL
from talkinghead.render.patch import Window, mix

_AGAIN_PX = 1.0
_EDGES = 0.05
"""Share of the face's pixels that are taken for edges."""
_SHARP_PX = 1.4
"""Spread that sharp photos measure: their edges are not steps."""
_LEAST_PX = 0.3


def softness_px(face: np.ndarray, points: np.ndarray) -> float:
    """Standard deviation, px, of the blur of a face (h, w, 3) uint8 RGB with points (478, 3) px, past that of sharp photos; 0 for
    those.

    From how much the gradients at the strongest edges lose when blurred again (Zhuo, Sim 2011: Defocus map estimation).
    """
    grey = cv2.cvtColor(face, cv2.COLOR_RGB2GRAY).astype(np.float32)
    inside = np.zeros(grey.shape, np.uint8)
    outline = np.clip(np.round(points[list(OVAL), :2]), -4096, 4096).astype(np.int32)
    cv2.fillConvexPoly(inside, cv2.convexHull(outline), 1)
    before, after = (_steepness(picture)[inside > 0] for picture in (grey, cv2.GaussianBlur(grey, (0, 0), _AGAIN_PX)))
    if not len(before):
        return 0.0
    edges = before >= max(float(np.quantile(before, 1 - _EDGES)), 1.0)
    if not edges.any():
        return 0.0
    loss = float(np.median(before[edges] / np.maximum(after[edges], 1e-3)))
    spread_px = _AGAIN_PX / np.sqrt(max(loss * loss - 1.0, 1e-2))
    soft_px = float(np.sqrt(max(spread_px**2 - _SHARP_PX**2, 0.0)))
    return soft_px if soft_px >= _LEAST_PX else 0.0


def soften(frame: np.ndarray, window: Window, cover: np.ndarray, soft_px: float) -> None:
    """Blur a frame (s, s, 3) uint8 in place where ``cover`` (h, w) in 0..1, which lies in ``window``, says so."""
    size_px = frame.shape[0]
    x0, y0, x1, y1 = max(window.x0, 0), max(window.y0, 0), min(window.x1, size_px), min(window.y1, size_px)
    if x1 <= x0 or y1 <= y0:
        return
    part = frame[y0:y1, x0:x1]
    share = cover[y0 - window.y0 : y1 - window.y0, x0 - window.x0 : x1 - window.x0]
    reach = 2 * round(soft_px) + 1
    share = cv2.GaussianBlur(cv2.dilate(share, np.ones((reach, reach), np.uint8)), (0, 0), soft_px)
    blurred = cv2.GaussianBlur(part, (0, 0), soft_px)
    part[:] = np.rint(mix(part.astype(np.float32), blurred.astype(np.float32), share))


def _steepness(grey: np.ndarray) -> np.ndarray:
    return cv2.magnitude(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))
