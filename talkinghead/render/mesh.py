"""A triangle mesh that carries the photo: triangulation and a fast rasteriser of its displacement."""

from __future__ import annotations

import cv2
import numpy as np

_SHIFT = 4
_STILL_PX = 0.01
_STEP = 2  # the displacement is drawn at half resolution: it is smooth, the photo it moves is not


def delaunay(points: np.ndarray) -> np.ndarray:
    """Delaunay triangles (t, 3) int32 of distinct points (n, 2); deterministic."""
    low = points.min(axis=0)
    scaled = ((points - low) * (1000.0 / float(np.ptp(points, axis=0).max())) + 8000.0).astype(np.float32)
    # Far more room than the points need: the frame that Subdiv2D puts round them would cut their hull.
    plane = cv2.Subdiv2D((0, 0, 17000, 17000))
    number_at: dict[tuple[float, float], int] = {}
    for number, (x, y) in enumerate(scaled.tolist()):
        if (x, y) not in number_at:
            plane.insert((x, y))
            number_at[x, y] = number
    found: list[tuple[int, int, int]] = []
    for ax, ay, bx, by, cx, cy in np.asarray(plane.getTriangleList()).tolist():
        # Triangles that touch the outer frame have corners that nobody inserted.
        a, b, c = (number_at.get(corner) for corner in ((ax, ay), (bx, by), (cx, cy)))
        if a is not None and b is not None and c is not None:
            found.append((a, b, c))
    return np.array(sorted(found), np.int32)


def signed_areas(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Twice the signed area (t,) of each triangle of points (n, 2)."""
    a, b, c = (points[triangles[:, k]] for k in range(3))
    return (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])


class Mesh:
    """Triangles over ``source`` vertices (n, 2) px of a square picture, drawn in layers from the back.

    ``triangles`` (t, 3); ``layer`` (t,) int: a higher layer covers a lower one; within a layer depth decides.
    """

    def __init__(self, source: np.ndarray, triangles: np.ndarray, layer: np.ndarray, size_px: int) -> None:
        self.triangles = triangles
        self.size_px = size_px
        self._source = source.astype(np.float64)
        self._corners = self._source[triangles]
        self._orientation = np.sign(signed_areas(self._source, triangles))
        self._layer = layer.astype(np.float64)
        side = size_px // _STEP
        self._index = np.zeros((side, side), np.int32)
        axis = np.arange(side, dtype=np.float32) * _STEP + (_STEP - 1) / 2
        self._x = np.broadcast_to(axis[None, :], (side, side))
        self._y = np.broadcast_to(axis[:, None], (side, side))

    def displacement(self, target: np.ndarray, depth: np.ndarray) -> tuple[np.ndarray, tuple[int, int, int, int]] | None:
        """Where each pixel comes from, relative to itself.

        ``target`` (n, 2) px and ``depth`` (n,) (smaller is nearer) of the moved vertices. Returns the displacement
        (h, w, 2) float32 in px and the rectangle (x0, y0, x1, y1) that it covers; None when nothing moved. Outside
        the rectangle the picture is still.
        """
        moved = np.abs(target - self._source).max(axis=1) > _STILL_PX
        active = np.flatnonzero(moved[self.triangles].any(axis=1))
        if not len(active):
            return None
        corners = target[self.triangles[active]]
        x0, y0, x1, y1 = self._rectangle(corners, self._corners[active])
        order, table = self._affine(active, corners, depth)
        self._rasterise(corners[order], (x0, y0))
        window = np.s_[y0 // _STEP : y1 // _STEP, x0 // _STEP : x1 // _STEP]
        index = self._index[window]
        x, y = self._x[window], self._y[window]
        # Row 0 is "stays where it is"; rows follow the drawing order. No index is out of range: clipping is the quickest check.
        taken = np.moveaxis(np.take(table, index, axis=0, mode="clip"), 2, 0)
        # A pixel on the rim of a squeezed triangle may lie beyond it: no farther than the triangle's corners go.
        coarse = cv2.merge(
            (
                np.clip(taken[0] * x + taken[1] * y + taken[2], taken[6], taken[7]),
                np.clip(taken[3] * x + taken[4] * y + taken[5], taken[8], taken[9]),
            )
        )
        coarse = cv2.blur(coarse, (3, 3))
        fine = cv2.resize(coarse, (x1 - x0, y1 - y0), interpolation=cv2.INTER_LINEAR)
        return fine, (x0, y0, x1, y1)

    def _rectangle(self, *corners: np.ndarray) -> tuple[int, int, int, int]:
        grid = 2 * _STEP
        # Axis by axis: reducing over the first axis of (n, 2) is ten times as slow.
        low = np.array([min(float(places[..., axis].min()) for places in corners) for axis in (0, 1)])
        high = np.array([max(float(places[..., axis].max()) for places in corners) for axis in (0, 1)])
        low, high = np.floor((low - 2) / grid) * grid, np.ceil((high + 2) / grid) * grid
        low, high = np.clip(low, 0, self.size_px), np.clip(high, 0, self.size_px)
        return int(low[0]), int(low[1]), int(high[0]), int(high[1])

    def _affine(self, active: np.ndarray, corners: np.ndarray, depth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Drawing order and, in that order, rows (t + 1, 10): coefficients of displacement = c0 x + c1 y + c2, and its limits."""
        source = self._corners[active]
        e1, e2 = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
        f1, f2 = source[:, 1] - source[:, 0], source[:, 2] - source[:, 0]
        area = e1[:, 0] * e2[:, 1] - e1[:, 1] * e2[:, 0]
        # Slivers cover next to nothing: they move like their first corner.
        safe = np.abs(area) > 0.05
        inverse = np.where(safe, 1.0 / np.where(safe, area, 1.0), 0.0)
        xx = (f1[:, 0] * e2[:, 1] - f2[:, 0] * e1[:, 1]) * inverse - 1
        xy = (f2[:, 0] * e1[:, 0] - f1[:, 0] * e2[:, 0]) * inverse
        yx = (f1[:, 1] * e2[:, 1] - f2[:, 1] * e1[:, 1]) * inverse
        yy = (f2[:, 1] * e1[:, 0] - f1[:, 1] * e2[:, 0]) * inverse - 1
        xx, yy = np.where(safe, xx, 0.0), np.where(safe, yy, 0.0)
        base = source[:, 0] - corners[:, 0]
        x_shift = base[:, 0] - xx * corners[:, 0, 0] - xy * corners[:, 0, 1]
        y_shift = base[:, 1] - yx * corners[:, 0, 0] - yy * corners[:, 0, 1]
        far = depth[self.triangles[active]].mean(axis=1)
        # Triangles seen from behind go under all others of their layer.
        behind = np.sign(area) != self._orientation[active]
        order = np.lexsort((-far, ~behind, self._layer[active]))
        shift = source - corners
        low, high = shift.min(axis=1), shift.max(axis=1)
        columns = (xx, xy, x_shift, yx, yy, y_shift, low[:, 0], high[:, 0], low[:, 1], high[:, 1])
        table = np.zeros((len(order) + 1, len(columns)), np.float32)
        table[1:] = np.stack(columns, axis=1)[order]
        return order, table

    def _rasterise(self, corners: np.ndarray, origin: tuple[int, int]) -> None:
        self._index.fill(0)
        fixed = np.round((corners - (_STEP - 1) / 2) * ((1 << _SHIFT) / _STEP)).astype(np.int32)
        fixed = np.clip(fixed, -(1 << 16), 1 << 16)
        image, fill = self._index, cv2.fillConvexPoly
        for number, triangle in enumerate(fixed, 1):
            fill(image, triangle, number, cv2.LINE_8, _SHIFT)
