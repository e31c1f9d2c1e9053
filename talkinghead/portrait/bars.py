"""Black bars round a picture: letterboxed films, screenshots."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

_BLACK = 24
"""Grey level that no channel of a bar exceeds, but for stray pixels."""
_STRAY = 0.005
_JUMP = 16
"""Grey levels from the bar to the picture, at most of its length: a dark wall has no such edge."""
_LENGTH = 0.5
_SOFT_PX = 3
"""So wide may a bar's edge be (compressed video); that much of the picture is taken for bar."""
_LEAST_PX = 4
_SMALLEST = 0.4
"""Share of each side that a picture has at least."""


class Area(NamedTuple):
    """A rectangle of a photo, px: columns ``left`` to ``right`` and rows ``top`` to ``bottom``, ends excluded."""

    left: int
    top: int
    right: int
    bottom: int


def picture_area(photo: np.ndarray) -> Area:
    """What of a photo (h, w, 3) uint8 lies within black bars; all of it where there are none."""
    top, bottom = _within(photo)
    left, right = _within(photo[top:bottom].swapaxes(0, 1))
    # Bars at the sides may have hidden that those above and below have an edge.
    if (left, right) != (0, photo.shape[1]):
        more = _within(photo[top:bottom, left:right])
        top, bottom = top + more[0], top + more[1]
    return Area(left, top, right, bottom)


def _within(lines: np.ndarray) -> tuple[int, int]:
    """First and last line (excluded) of a picture (n, m, 3) that are no bar."""
    first, last = _bar(lines), len(lines) - _bar(lines[::-1])
    return (first, last) if last - first >= _SMALLEST * len(lines) else (0, len(lines))


def _bar(lines: np.ndarray) -> int:
    """How many lines the bar at the beginning has."""
    if len(lines) <= _LEAST_PX or not _black(lines[:_LEAST_PX].max(axis=2)).all():  # nearly every photo
        return 0
    bright = lines.max(axis=2)
    black = _black(bright)
    count = int(np.argmin(black)) if not black.all() else 0
    if count < _LEAST_PX:
        return 0
    edge = bright[count : count + _SOFT_PX].max(axis=0).astype(int) - bright[count - 1]
    lit = edge > _JUMP
    # Of where the picture lies: other bars may stand at both ends.
    spots = np.flatnonzero(lit)
    if len(spots) < _SMALLEST * lines.shape[1] or lit[spots[0] : spots[-1] + 1].mean() < _LENGTH:
        return 0
    return count + _SOFT_PX - 1


def _black(bright: np.ndarray) -> np.ndarray:
    """Which lines (n,) of brightness (n, m) are black."""
    return np.asarray((bright > _BLACK).mean(axis=1) <= _STRAY)
