"""Neck, shoulders and body below a head whose matte is known."""

from __future__ import annotations

import cv2
import numpy as np

from talkinghead.portrait.crop import Crop
from talkinghead.render.matte import refined
from talkinghead.render.surround import smoothstep

_FOREHEAD, _CHIN = 10, 152
_CHIN_FH, _COLLAR_FH, _COLLAR_HALF_FH = -0.1, 0.2, 1.0
"""Below the chin, face heights: where a collar may begin that is no head, and how far down and aside the head's matte is taken as
it is otherwise."""
_BELOW_FH = (0.2, 0.3, 0.35, 0.6, 1.0, 2.0)
"""Below the chin, and there: half the width that is surely the body's, that it seldom leaves, and never."""
_SURE_FH, _LIKELY_FH = (0.14, 0.16, 0.3, 0.6, 0.7, 0.7), (0.45, 0.7, 0.8, 1.1, 1.3, 1.3)
_FARTHEST_FH = (1.1, 1.3, 1.4, 1.6, 1.9, 2.6)
_UNLIKELY = 0.1
"""What the network gives less to is the wall's, and the person's what it gives all but so much: colours are not asked."""
_COARSE_PX, _GUIDE_PX = 128, 256
"""Side of the face's square where the body is cut out, and where its edge is drawn to the picture's."""
_BELOW_CHIN_FH = (0.0, 0.15)
_ROUNDS = 3
_LEAST_KNOWN = 64  # pixels: with fewer nothing can be learnt
_SMALLEST_GAP = 60  # pixels


def cut_body(photo: np.ndarray, head: np.ndarray, points: np.ndarray, seen: np.ndarray | None = None) -> np.ndarray:
    """The person (h, w) bool in a small photo (h, w, 3) uint8 RGB, by GrabCut (Rother, Kolmogorov, Blake 2004).

    ``head`` (h, w) float32 is the head's matte, 0 where it does not reach; ``points`` (478, 2) px are the face's; ``seen``
    (h, w) 0..1: how much of each pixel is the person's for the matting network, in place of where bodies mostly are.
    """
    height = float(np.linalg.norm(points[_CHIN] - points[_FOREHEAD]))
    y, x = np.mgrid[: photo.shape[0], : photo.shape[1]]
    below, aside = (y - points[_CHIN, 1]) / height, np.abs(x - points[_CHIN, 0]) / height
    if seen is None:
        sure, likely, farthest = (np.interp(below, _BELOW_FH, half) for half in (_SURE_FH, _LIKELY_FH, _FARTHEST_FH))
        probable, person, wall = aside < likely, aside < sure, aside > farthest
    else:
        probable, person, wall = seen > 0.5, seen > 1 - _UNLIKELY, seen < _UNLIKELY
    mask = np.where(probable, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    mask[person], mask[wall] = cv2.GC_FGD, cv2.GC_BGD
    above = below < _COLLAR_FH
    collar = (below > _CHIN_FH) & (aside < _COLLAR_HALF_FH)
    mask[above] = np.where(head > 0.5, cv2.GC_FGD, np.where(collar, cv2.GC_PR_BGD, cv2.GC_BGD))[above]
    found = mask == cv2.GC_FGD
    if min(int((mask == cv2.GC_BGD).sum()), int(found.sum())) >= _LEAST_KNOWN and not above.all():
        cv2.setRNGSeed(0)  # GrabCut draws its first clusters from it
        whole = (0, 0, 1, 1)  # not read: the mask says where
        cv2.grabCut(photo, mask, whole, np.zeros((1, 65)), np.zeros((1, 65)), _ROUNDS, cv2.GC_INIT_WITH_MASK)
        found = (mask == cv2.GC_FGD) | (mask == cv2.GC_PR_FGD)
    return _one_piece(found, points)


def body_matte(
    photo: np.ndarray, head: np.ndarray, crop: Crop, points: np.ndarray, seen: np.ndarray | None = None
) -> np.ndarray:
    """The person (H, W) float32 0..1 in a photo (H, W, 3) uint8 RGB: a coarse cut whose edge is drawn to the picture's. ``head``
    (s, s) is the head's matte in the square ``crop``, ``points`` (478, 2) px are the face's in the photo; ``seen`` as for
    `cut_body`, of any size, when the square is the photo."""
    scale = _COARSE_PX / crop.side
    size = (round(photo.shape[1] * scale), round(photo.shape[0] * scale))
    small = cv2.resize(photo, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    head = cv2.resize(head, (_COARSE_PX, _COARSE_PX), interpolation=cv2.INTER_AREA)
    shift = np.array(((1.0, 0.0, crop.x * scale), (0.0, 1.0, crop.y * scale)))
    head = cv2.warpAffine(head, shift, size, flags=cv2.INTER_LINEAR)
    seen = None if seen is None else cv2.resize(seen, size, interpolation=cv2.INTER_AREA)
    found = cut_body(small, head, (points + 0.5) * scale - 0.5, seen)
    guide = min(1.0, _GUIDE_PX / crop.side)
    return refined(photo, found.astype(np.float32), (round(photo.shape[1] * guide), round(photo.shape[0] * guide)))


def with_body(face: np.ndarray, head: np.ndarray, points: np.ndarray, seen: np.ndarray | None = None) -> np.ndarray:
    """The person (s, s) float32 0..1 in a portrait (s, s, 3) uint8 RGB: the head's matte, and what hangs below it as well. Points
    (478, 2) px; ``seen`` as for `body_matte`."""
    below = (np.arange(len(face)) - points[_CHIN, 1]) / float(np.linalg.norm(points[_CHIN] - points[_FOREHEAD]))
    body = body_matte(face, head, Crop(0.0, 0.0, float(len(face))), points, seen) * smoothstep(*_BELOW_CHIN_FH, below)[:, None]
    return np.maximum(head, body.astype(np.float32))


def _one_piece(found: np.ndarray, points: np.ndarray) -> np.ndarray:
    """What hangs together with the face, small gaps filled."""
    _, part = cv2.connectedComponents(found.astype(np.uint8), connectivity=4)
    x, y = np.clip(np.round(points.mean(axis=0)), 0, (found.shape[1] - 1, found.shape[0] - 1)).astype(int)
    found = found & (part == part[y, x])
    count, part, stats, _ = cv2.connectedComponentsWithStats((~found).astype(np.uint8), connectivity=4)
    return np.asarray(found | np.isin(part, [k for k in range(1, count) if stats[k, cv2.CC_STAT_AREA] < _SMALLEST_GAP]))
