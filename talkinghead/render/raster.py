"""Triangles drawn one by one: which of them covers each pixel, and the displacement that it gives."""

from __future__ import annotations

import math

import cv2
import numpy as np

_SHIFT = 4

Rectangle = tuple[int, int, int, int]
"""x0, y0, x1, y1 px, multiples of the step."""


class Canvas:
    """A square picture of ``size_px``, looked at at every ``step``th pixel."""

    def __init__(self, size_px: int, step: int) -> None:
        self.step, self.side = step, size_px // step
        self._index = np.zeros((self.side, self.side), np.int32)
        self._axis = np.arange(self.side, dtype=np.float32) * step + (step - 1) / 2
        self.places = np.stack(np.meshgrid(self._axis, self._axis), axis=2)
        """(side, side, 2) float32 px."""

    def cells(self, part: Rectangle) -> tuple[slice, slice]:
        """Index of a part of the picture in arrays of places."""
        x0, y0, x1, y1 = (edge // self.step for edge in part)
        return slice(y0, y1), slice(x0, x1)

    def numbers(self, corners: np.ndarray, part: Rectangle) -> np.ndarray:
        """The number (h, w) int32, from 1 on, of the last of the triangles ``corners`` (t, 3, 2) px that covers a place in
        ``part``; 0 where there is none. The next call overwrites it."""
        window = self._index[self.cells(part)]
        window.fill(0)
        fixed = np.round((corners - (self.step - 1) / 2) * ((1 << _SHIFT) / self.step))
        image, fill = self._index, cv2.fillConvexPoly
        for number, triangle in enumerate(list(np.clip(fixed, -(1 << 16), 1 << 16).astype(np.int32)), 1):
            fill(image, triangle, number, cv2.LINE_8, _SHIFT)
        return window

    def draw(self, field: np.ndarray, corners: np.ndarray, shift: np.ndarray, part: Rectangle) -> None:
        """Draw into ``field`` (h, w, 2) float32, a displacement in ``part``, that of triangles ``corners`` (t, 3, 2) px whose
        corners have the displacements ``shift`` (t, 3, 2), the last on top."""
        x0, y0, x1, y1 = self._around(corners, part)
        if x1 <= x0 or y1 <= y0:
            return
        index = self.numbers(corners, (x0, y0, x1, y1))
        at = np.nonzero(index)
        # No number is out of range: clipping is the quickest check.
        c = np.take(_affine(corners, shift), index[at] - 1, axis=1, mode="clip")
        x, y = self._axis[at[1] + x0 // self.step], self._axis[at[0] + y0 // self.step]
        # A pixel on the rim of a squeezed triangle may lie beyond it: no farther than the triangle's corners go.
        across, down = c[0] * x + c[1] * y + c[2], c[3] * x + c[4] * y + c[5]
        inner = field[(y0 - part[1]) // self.step :, (x0 - part[0]) // self.step :]
        inner[at] = np.stack((_between(across, c[6], c[7]), _between(down, c[8], c[9])), axis=1)

    def _around(self, corners: np.ndarray, part: Rectangle) -> Rectangle:
        """What of ``part`` triangles (t, 3, 2) px may cover."""
        step, bounds = self.step, []
        for axis in (0, 1):
            at = corners[..., axis]
            low, high = float(at.min()) - step, float(at.max()) + step
            bounds.append((max(part[axis], math.floor(low / step) * step), min(part[axis + 2], math.ceil(high / step) * step)))
        (x0, x1), (y0, y1) = bounds
        return x0, y0, x1, y1


def _affine(corners: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """(10, t): coefficients of each coordinate's displacement c0 x + c1 y + c2 within a triangle, and its limits."""
    e1, e2 = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    d1, d2 = shift[:, 1] - shift[:, 0], shift[:, 2] - shift[:, 0]
    area = e1[:, 0] * e2[:, 1] - e1[:, 1] * e2[:, 0]
    # Slivers cover next to nothing: they move like their first corner.
    safe = np.abs(area) > 0.05
    inverse = np.where(safe, 1.0 / np.where(safe, area, 1.0), 0.0)
    low, high = (f(f(shift[:, 0], shift[:, 1]), shift[:, 2]) for f in (np.minimum, np.maximum))
    out = []
    for axis in (0, 1):
        by_x = (d1[:, axis] * e2[:, 1] - d2[:, axis] * e1[:, 1]) * inverse
        by_y = (d2[:, axis] * e1[:, 0] - d1[:, axis] * e2[:, 0]) * inverse
        out += [by_x, by_y, shift[:, 0, axis] - by_x * corners[:, 0, 0] - by_y * corners[:, 0, 1]]
    return np.stack((*out, low[:, 0], high[:, 0], low[:, 1], high[:, 1])).astype(np.float32)


def _between(values: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """As np.clip, four times as quick."""
    return np.minimum(np.maximum(values, low), high)
