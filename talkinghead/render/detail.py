"""Fine detail of what is drawn: as much as the photo itself has.

A network that is taught by differences draws the mean of all that may be there: softer than a sharp photo where it is not sure,
and with harder edges than a soft one. So a few looks are drawn once a portrait, their detail is compared with the photo's, and
from then on what the network draws is sharpened (unsharp masking), or softened, by as much. What it leaves as it is stays so.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from talkinghead.render.refine import Spot

TRIED = (-0.5, 0.0, 0.5)
"""Gains that are tried: the energy is a parabola over the gain."""
LOOKS = 6
_SPREAD = 0.7
_LEAST, _MOST = -0.4, 1.0
_KERNEL = np.array((0.25, 0.5, 0.25))
_DRAWN, _REACH_PX = 0.02, 5
"""Change, 1 being white, from which on a place counts as drawn, and the side of the square over which it is averaged."""
_BORDER_PX = 8


def looks(size: int) -> np.ndarray:
    """Motions z_dyn (LOOKS, size) from rest, always the same."""
    return _SPREAD * np.random.default_rng(0).standard_normal((LOOKS, size)).astype(np.float32)


def detailed(seen: np.ndarray, change: np.ndarray, gain: float) -> np.ndarray:
    """The change (h, w, 3) to a patch (5, h, w), 1 being white, with its detail raised (or lowered) by ``gain``."""
    if gain == 0:
        return change
    planes = np.ascontiguousarray(change.transpose(2, 0, 1))  # as networks give it: nothing is moved
    much = cv2.blur(np.abs(planes).max(axis=0), (_REACH_PX, _REACH_PX))
    share = np.float32(gain) * np.minimum(much / np.float32(_DRAWN), 1)
    # The colours below each other are one picture: nothing is drawn where they meet.
    below = planes.reshape(-1, planes.shape[2])
    made = cv2.add(below, seen[: len(planes)].reshape(below.shape))
    fine = cv2.subtract(made, cv2.sepFilter2D(made, -1, _KERNEL, _KERNEL))
    more = cv2.add(below, cv2.multiply(fine, cv2.vconcat([share] * len(planes))))
    return more.reshape(planes.shape).transpose(1, 2, 0)


def energy(frame: np.ndarray, spots: Sequence[Spot]) -> float:
    """Variance of the Laplacian (Pech-Pacheco et al. 2000) of a frame's (s, s, 3) patches, summed."""
    total = 0.0
    for spot in spots:
        grey = cv2.cvtColor(np.ascontiguousarray(spot.cut(frame)), cv2.COLOR_RGB2GRAY)
        edges = cv2.Laplacian(grey, cv2.CV_32F)[_BORDER_PX:-_BORDER_PX, _BORDER_PX:-_BORDER_PX]
        total += float(edges.var())
    return total


def matching_gain(energies: Sequence[float], wanted: float) -> float:
    """The gain that gives the wanted energy, from those of the gains `TRIED`."""
    bend, slope, plain = np.polyfit(TRIED, energies, 2)
    if bend <= 0 or slope <= 0:
        return 0.0
    inside = max(slope * slope - 4 * bend * (plain - wanted), 0.0)
    return float(np.clip((np.sqrt(inside) - slope) / (2 * bend), _LEAST, _MOST))
