"""Where a moved picture's pixels come from, when it is known where the photo's pixels go."""

from __future__ import annotations

import cv2
import numpy as np

from talkinghead.render.raster import Canvas, Rectangle


class Flow:
    """The displacement of a mesh at every ``canvas.step``th pixel of the photo, within its part ``near``.

    ``source`` (n, 2) px and ``triangles`` (t, 3), later ones over earlier ones.
    """

    def __init__(self, canvas: Canvas, source: np.ndarray, triangles: np.ndarray, near: Rectangle) -> None:
        self.canvas = canvas
        index = canvas.numbers(source[triangles], near) - 1
        self.shown = np.setdiff1d(index, -1)
        cells = canvas.cells(near)
        corners = triangles[np.maximum(index, 0)]
        weights = _barycentric(source[corners], canvas.places[cells]) * (index >= 0)[..., None]
        self._vertices = [np.ascontiguousarray(corners[..., k]) for k in range(3)]
        self._weights = [np.ascontiguousarray(weights[..., k], np.float32) for k in range(3)]
        # Picture px to places in the grid.
        self._scale = 1 / canvas.step
        offset = np.array(near[:2]) + (canvas.step - 1) / 2
        self._places = ((canvas.places - offset) * self._scale).astype(np.float32)

    def still(self, part: Rectangle) -> np.ndarray:
        """No displacement (h, w, 2) in ``part``."""
        return np.zeros_like(self._places[self.canvas.cells(part)])

    def solve(self, shift: np.ndarray, part: Rectangle, start: np.ndarray | None, rounds: int) -> np.ndarray:
        """Displacement (h, w, 2) float32 px in ``part`` of the moved picture, from where its pixels come: for vertices that come
        from ``shift`` (n, 2) px beside them, after ``rounds`` of iteration from ``start`` (h, w, 2), or from nothing where the
        whole picture is known."""
        at_vertices = np.ascontiguousarray(shift, np.float32).view(np.complex64).ravel()
        known = np.take(at_vertices, self._vertices[0], mode="clip") * self._weights[0]
        for vertices, weights in zip(self._vertices[1:], self._weights[1:], strict=True):
            known += np.take(at_vertices, vertices, mode="clip") * weights
        grid = known.view(np.float32).reshape(*known.shape, 2)
        cells = self.canvas.cells(part)
        places, found = self._places[cells], start
        if found is None:  # what a first round would find
            found, rounds = grid[cells].copy(), rounds - 1
        for _ in range(rounds):
            where = cv2.scaleAdd(found, self._scale, places)
            found = cv2.remap(grid, where, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return found


def _barycentric(corners: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Weights (h, w, 3) of the corners (h, w, 3, 2) at places (h, w, 2), none below 0."""
    a, b, c = (corners[..., k, :] for k in range(3))
    second = _cross(places - a, c - a)
    third = _cross(b - a, places - a)
    area = _cross(b - a, c - a)
    area = np.where(np.abs(area) < 1e-6, 1e-6, area)
    weights = np.clip(np.stack((area - second - third, second, third), axis=-1) / area[..., None], 0.0, 1.0)
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True))


def _cross(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.asarray(u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0])
