"""A triangle mesh that carries the photo: triangulation, and where each pixel of the moved picture comes from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from talkinghead.render.flow import Flow
from talkinghead.render.patch import Window
from talkinghead.render.raster import Canvas, Rectangle

_STILL_PX = 0.01
_GRID_PX = 8  # rectangles begin and end at multiples of it
_AROUND_PX = 24
_STEEP = 0.5
"""Change of the displacement by pixel from which a triangle is drawn: what moves more alike is found by iteration."""
_MOST_STEEP = 250
"""Triangles: of a mesh with more steep ones all are drawn."""
_ROUNDS_AROUND, _ROUNDS_FACE = 4, 1
_SLIVER_PX2 = 0.5  # twice the area


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


class Displacement:
    """Where the pixels of a picture come from: ``field`` (h, w, 2) px beside themselves, at every ``step``th pixel of ``area``.
    The rest of the picture is still."""

    def __init__(self, field: np.ndarray, step: int, area: Window) -> None:
        self.area, self._step = area, step
        # A cell more on each side, so that enlarging is linear up to the border.
        around = cv2.copyMakeBorder(field, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
        cells = cv2.add(around, _middles(step, area.x0, area.y0, *around.shape[:2]))
        self._cells = {1: np.asarray(cells, np.float32)}

    def places(self, window: Window, scale: int = 1) -> np.ndarray:
        """Where each pixel of ``window``, which lies within the area, comes from: x and y (h, w, 2) float32 px, ``scale``
        times."""
        step, area = self._step, self.area
        column, row = (window.x0 - area.x0) // step, (window.y0 - area.y0) // step
        columns, rows = -(-(window.x1 - area.x0) // step) + 2, -(-(window.y1 - area.y0) // step) + 2
        if scale not in self._cells:
            self._cells[scale] = self._cells[1] * np.float32(scale)
        cells = self._cells[scale][row:rows, column:columns]
        large = cv2.resize(cells, (cells.shape[1] * step, cells.shape[0] * step), interpolation=cv2.INTER_LINEAR)
        left, top = window.x0 - area.x0 - (column - 1) * step, window.y0 - area.y0 - (row - 1) * step
        height, width = window.shape
        return large[top : top + height, left : left + width]


@lru_cache(8)
def _middles(step: int, x0: int, y0: int, height: int, width: int) -> np.ndarray:
    """Middles (h, w, 2) px of cells of ``step`` px, the first of them before (x0, y0)."""
    first = (step - 1) / 2 - step
    x, y = (at + first + step * np.arange(count, dtype=np.float32) for at, count in ((x0, width), (y0, height)))
    return np.stack(np.meshgrid(x, y), axis=2)


@dataclass(frozen=True)
class _Moved:
    """Triangles in drawing order: corners (t, 3, 2) px, their displacements shift (t, 3, 2), layer (t,)."""

    corners: np.ndarray
    shift: np.ndarray
    layer: np.ndarray

    def draw(self, field: np.ndarray, canvas: Canvas, part: Rectangle, layer: int | None = None) -> None:
        """Draw those of a layer, or of all, into a displacement ``field`` (h, w, 2) in ``part``."""
        chosen = slice(None) if layer is None else self.layer == layer
        if len(corners := self.corners[chosen]):
            canvas.draw(field, corners, self.shift[chosen], part)


class Mesh:
    """Triangles over ``source`` vertices (n, 2) px of a square picture, in two layers.

    ``triangles`` (t, 3); ``layer`` (t,) int: 1 covers 0; within a layer depth decides. ``steps``: pixels between the places at
    which a layer's displacement is computed, 1 to 4, the first a multiple of the second: it is smooth, the photo it moves is not.

    The displacement is known at the photo's pixels and wanted at the moved picture's. Where it is smooth, place = pixel +
    displacement(place) is solved by iteration (Chen, Lu, Chen, Ruchala, Olivera 2008), several times as quick as drawing
    triangles. Where triangles are stretched, squeezed or turned over, at lips and lids and in wide turns, they are drawn.
    """

    def __init__(
        self,
        source: np.ndarray,
        triangles: np.ndarray,
        layer: np.ndarray,
        size_px: int,
        steps: tuple[int, int] = (2, 2),
        open_rim: bool = False,
    ) -> None:
        """``open_rim``: the mesh fills the picture and nothing is to be seen at its rim, so that the rim may move."""
        self.triangles = triangles
        self.size_px, self._open_rim = size_px, open_rim
        self._source = source.astype(np.float64)
        self._corners = self._source[triangles]
        self._layer = layer.astype(np.int64)
        areas = signed_areas(self._source, triangles)
        self._orientation = np.sign(areas)
        self._sliver = np.abs(areas) < _SLIVER_PX2
        e1, e2 = self._corners[:, 1] - self._corners[:, 0], self._corners[:, 2] - self._corners[:, 0]
        edges = np.stack((e2[:, 1], -e1[:, 1], -e2[:, 0], e1[:, 0]))
        self._by_place = (edges / np.where(self._sliver, 1.0, areas)).astype(np.float32)
        self._rim, self._beside = _neighbours(triangles)
        self._upper = np.unique(triangles[self._layer > 0])
        order = np.argsort(self._layer, kind="stable")
        whole = (0, 0, size_px, size_px)
        near = self._rectangle(self._source[self._upper], pad_px=_AROUND_PX) if len(self._upper) else whole
        self._around = Flow(Canvas(size_px, steps[0]), self._source, triangles[order], whole)
        self._face = Flow(Canvas(size_px, steps[1]), self._source, triangles[order], near)
        self._hidden = self._layer == 0  # beneath the upper layer in the photo too
        self._hidden[order[np.union1d(self._around.shown, self._face.shown)]] = False

    def displacement(self, target: np.ndarray, depth: np.ndarray) -> Displacement | None:
        """Where each pixel comes from, for ``target`` (n, 2) px and ``depth`` (n,) (smaller is nearer) of the moved vertices;
        None when nothing moved."""
        shift = self._source - target
        moved = _any(np.abs(shift) > _STILL_PX)
        active = _any(moved[self.triangles])
        if not active.any():
            return None
        steep = self._steep(shift) & active
        drawn = (steep | _any(steep[self._beside])) & ~self._hidden
        # Past a rim that moves there is nothing to find by iteration.
        smooth = int(steep.sum()) <= _MOST_STEEP and (self._open_rim or not moved[self._rim].any())
        order = self._ordered(np.flatnonzero(drawn if smooth else active), target, depth)
        triangles = _Moved(target[self.triangles[order]], shift[self.triangles[order]], self._layer[order])
        whole = self._rectangle(target[self.triangles[active]], self._corners[active])
        # What a moved rim leaves behind is found by iteration too: it comes from beyond the picture.
        found = smooth or self._open_rim
        field = self._around.solve(shift, whole, None, _ROUNDS_AROUND) if found else self._around.still(whole)
        triangles.draw(field, self._around.canvas, whole, 0)
        field = cv2.blur(field, (3, 3))
        if len(self._upper):
            field = self._with_face(field, whole, target, triangles, shift if smooth else None)
        return Displacement(np.asarray(field), (self._face if len(self._upper) else self._around).canvas.step, Window(*whole))

    def _with_face(
        self, field: np.ndarray, whole: Rectangle, target: np.ndarray, triangles: _Moved, shift: np.ndarray | None
    ) -> np.ndarray:
        """The displacement (h, w, 2) in ``whole``, as dense as the upper layer's, with that layer in it; given ``shift`` (n, 2)
        it is solved for first."""
        canvas = self._face.canvas
        rows, columns = canvas.cells(whole)
        field = cv2.resize(field, (columns.stop - columns.start, rows.stop - rows.start), interpolation=cv2.INTER_LINEAR)
        x0, y0, x1, y1 = self._rectangle(target[self._upper])
        near = (max(x0, whole[0]), max(y0, whole[1]), min(x1, whole[2]), min(y1, whole[3]))
        if near[0] >= near[2] or near[1] >= near[3]:
            return field
        down, across = canvas.cells(near)
        part = field[down.start - rows.start : down.stop - rows.start, across.start - columns.start : across.stop - columns.start]
        found = part.copy() if shift is None else self._face.solve(shift, near, part, _ROUNDS_FACE)
        triangles.draw(found, canvas, near, 1 if shift is None else None)
        # Only the difference is smoothed, so that nothing shows where the rectangle ends.
        part += np.asarray(cv2.blur(found - part, (3, 3)), np.float32)
        return field

    def _steep(self, shift: np.ndarray) -> np.ndarray:
        """Which triangles (t,) do not move nearly as one."""
        at_corners = np.ascontiguousarray(shift, np.float32).view(np.complex64).ravel()[self.triangles]
        first, second = at_corners[:, 1] - at_corners[:, 0], at_corners[:, 2] - at_corners[:, 0]
        a, b, c, d = self._by_place
        by_x, by_y = first * a + second * b, first * c + second * d
        change = by_x.real**2 + by_x.imag**2 + by_y.real**2 + by_y.imag**2
        return np.asarray((change > _STEEP**2) | self._sliver)

    def _ordered(self, chosen: np.ndarray, target: np.ndarray, depth: np.ndarray) -> np.ndarray:
        """Triangles ``chosen`` (k,) in drawing order; those seen from behind go under all others of their layer."""
        triangles, layer = self.triangles[chosen], self._layer[chosen]
        in_front = signed_areas(target, triangles) * self._orientation[chosen] > 0
        far = depth[triangles] @ np.ones(3)
        return np.asarray(chosen[np.lexsort((-far, in_front, layer))])

    def _rectangle(self, *places: np.ndarray, pad_px: float = 2) -> Rectangle:
        # Axis by axis: reducing over the first axis of (n, 2) is ten times as slow.
        low = (min(float(p[..., axis].min()) for p in places) for axis in (0, 1))
        high = (max(float(p[..., axis].max()) for p in places) for axis in (0, 1))
        x0, y0 = (math.floor(max(0.0, at - pad_px) / _GRID_PX) * _GRID_PX for at in low)
        x1, y1 = (math.ceil(min(float(self.size_px), at + pad_px) / _GRID_PX) * _GRID_PX for at in high)
        return min(x0, self.size_px), min(y0, self.size_px), max(x1, 0), max(y1, 0)


def _any(rows: np.ndarray) -> np.ndarray:
    """As ``rows.any(axis=1)`` of (n, 2) or (n, 3) bool, many times as quick."""
    return np.asarray(rows @ np.ones(rows.shape[1], bool))


def _neighbours(triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the vertices at which the mesh ends, on edges of one triangle only; and for each triangle (t, 3) another one at
    each of its edges, or itself."""
    edges = np.sort(np.concatenate((triangles[:, :2], triangles[:, 1:], triangles[:, ::2])), axis=1)
    unique, number, count = np.unique(edges, axis=0, return_inverse=True, return_counts=True)
    owner = np.tile(np.arange(len(triangles)), 3)
    first, last = np.zeros(len(unique), np.int64), np.zeros(len(unique), np.int64)
    last[number] = owner
    first[number[::-1]] = owner[::-1]
    other = np.where(first[number] == owner, last[number], first[number]).reshape(3, -1).T
    return np.unique(unique[count == 1]), np.ascontiguousarray(other)
