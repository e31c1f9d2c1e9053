"""A triangle mesh that carries the photo: triangulation and a fast rasteriser of its displacement."""

from __future__ import annotations

import cv2
import numpy as np

_SHIFT = 4
_STILL_PX = 0.01
_GRID_PX = 8  # rectangles begin and end at multiples of it


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

    ``triangles`` (t, 3); ``layer`` (t,) int: a higher layer covers a lower one; within a layer depth decides. ``steps``: pixels
    between the places at which a layer's displacement is drawn, 1 to 4: it is smooth, the photo it moves is not.
    """

    def __init__(
        self, source: np.ndarray, triangles: np.ndarray, layer: np.ndarray, size_px: int, steps: tuple[int, ...] = (2, 2)
    ) -> None:
        self.triangles = triangles
        self.size_px = size_px
        self._source = source.astype(np.float64)
        self._corners = self._source[triangles]
        self._orientation = np.sign(signed_areas(self._source, triangles))
        self._layer = layer.astype(np.int64)
        self._canvases = [_Canvas(size_px, step) for step in steps]
        self._fine = np.zeros((size_px, size_px, 2), np.float32)

    def displacement(self, target: np.ndarray, depth: np.ndarray) -> tuple[np.ndarray, tuple[int, int, int, int]] | None:
        """Where each pixel comes from, relative to itself.

        ``target`` (n, 2) px and ``depth`` (n,) (smaller is nearer) of the moved vertices. Returns the displacement
        (h, w, 2) float32 in px, which the next call overwrites, and the rectangle (x0, y0, x1, y1) that it covers; None when
        nothing moved. Outside the rectangle the picture is still.
        """
        moved = np.abs(target - self._source).max(axis=1) > _STILL_PX
        active = np.flatnonzero(moved[self.triangles].any(axis=1))
        if not len(active):
            return None
        corners = target[self.triangles[active]]
        x0, y0, x1, y1 = whole = self._rectangle(corners, self._corners[active])
        order, table = self._affine(active, corners, depth)
        corners, layer = corners[order], self._layer[active[order]]
        fine = self._fine[: y1 - y0, : x1 - x0]  # fresh memory costs as much as drawing
        fine.fill(0)
        ends = np.searchsorted(layer, np.arange(len(self._canvases) + 1)).tolist()
        for canvas, start, end in zip(self._canvases, ends, ends[1:], strict=False):
            if start < end:
                own = self._rectangle(corners[start:end])
                canvas.draw(fine, whole, own, corners[start:end], table[:, start:end], start == 0)
        return fine, whole

    def _rectangle(self, *corners: np.ndarray) -> tuple[int, int, int, int]:
        # Axis by axis: reducing over the first axis of (n, 2) is ten times as slow.
        low = np.array([min(float(places[..., axis].min()) for places in corners) for axis in (0, 1)])
        high = np.array([max(float(places[..., axis].max()) for places in corners) for axis in (0, 1)])
        low, high = np.floor((low - 2) / _GRID_PX) * _GRID_PX, np.ceil((high + 2) / _GRID_PX) * _GRID_PX
        low, high = np.clip(low, 0, self.size_px), np.clip(high, 0, self.size_px)
        return int(low[0]), int(low[1]), int(high[0]), int(high[1])

    def _affine(self, active: np.ndarray, corners: np.ndarray, depth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Drawing order (t,) and, in that order, (10, t): coefficients of displacement = c0 x + c1 y + c2, and its limits."""
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
        far = depth[self.triangles[active]].sum(axis=1)
        # Triangles seen from behind go under all others of their layer.
        before = area * self._orientation[active] > 0
        span = float(np.ptp(far)) + 1.0
        order = np.argsort((2 * self._layer[active] + before) * span - (far - far.min()), kind="stable")
        shift = source - corners
        low, high = shift.min(axis=1), shift.max(axis=1)
        columns = (xx, xy, x_shift, yx, yy, y_shift, low[:, 0], high[:, 0], low[:, 1], high[:, 1])
        return order, np.stack(columns)[:, order].astype(np.float32)


class _Canvas:
    """One layer's displacement, drawn at every ``step``th pixel."""

    def __init__(self, size_px: int, step: int) -> None:
        self._step = step
        side = size_px // step
        self._index = np.zeros((side, side), np.int32)
        axis = np.arange(side, dtype=np.float32) * step + (step - 1) / 2
        self._x, self._y = (np.ascontiguousarray(np.broadcast_to(a, (side, side))) for a in (axis[None, :], axis[:, None]))

    def draw(
        self,
        fine: np.ndarray,
        whole: tuple[int, int, int, int],
        own: tuple[int, int, int, int],
        corners: np.ndarray,
        table: np.ndarray,
        bare: bool,
    ) -> None:
        """Draw triangles, ``corners`` (t, 3, 2) px in drawing order with ``table`` (10, t), over ``fine`` (h, w, 2), that
        rectangle of the picture ``whole``; ``own`` is that of the triangles. ``bare``: there is nothing below."""
        step = self._step
        x0, y0, x1, y1 = own
        if x1 <= x0 or y1 <= y0:
            return
        self._rasterise(corners, own)
        window = np.s_[y0 // step : y1 // step, x0 // step : x1 // step]
        index = self._index[window]
        part = fine[y0 - whole[1] : y1 - whole[1], x0 - whole[0] : x1 - whole[0]]
        coarse = self._taken(index, window, table)
        if bare:
            cv2.resize(cv2.blur(coarse, (3, 3)), (x1 - x0, y1 - y0), dst=part, interpolation=cv2.INTER_LINEAR)
            return
        # Only the difference is drawn, so that nothing shows where the rectangle ends.
        coarse -= cv2.resize(part, index.shape[::-1], interpolation=cv2.INTER_AREA)
        cv2.copyTo(np.zeros_like(coarse), (index == 0).view(np.uint8), coarse)
        part += cv2.resize(cv2.blur(coarse, (3, 3)), (x1 - x0, y1 - y0), interpolation=cv2.INTER_LINEAR)

    def _taken(self, index: np.ndarray, window: tuple[slice, slice], table: np.ndarray) -> np.ndarray:
        """The displacement (h, w, 2) of the triangles numbered ``index`` (h, w), from 1 on; none where that is 0."""
        x, y = self._x[window], self._y[window]
        index = index.astype(np.intp)
        rows = np.concatenate((np.zeros((len(table), 1), np.float32), table), axis=1)
        # No index is out of range: clipping is the quickest check.
        c = [np.take(row, index, mode="clip") for row in rows]
        # A pixel on the rim of a squeezed triangle may lie beyond it: no farther than the triangle's corners go.
        across, down = c[0] * x + c[1] * y + c[2], c[3] * x + c[4] * y + c[5]
        return cv2.merge((_between(across, c[6], c[7]), _between(down, c[8], c[9])))

    def _rasterise(self, corners: np.ndarray, own: tuple[int, int, int, int]) -> None:
        step = self._step
        self._index[own[1] // step : own[3] // step, own[0] // step : own[2] // step] = 0
        fixed = np.round((corners - (step - 1) / 2) * ((1 << _SHIFT) / step)).astype(np.int32)
        fixed = np.clip(fixed, -(1 << 16), 1 << 16)
        image, fill = self._index, cv2.fillConvexPoly
        for number, triangle in enumerate(list(fixed), 1):
            fill(image, triangle, number, cv2.LINE_8, _SHIFT)


def _between(values: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """As np.clip, four times as quick."""
    return np.minimum(np.maximum(values, low), high)
