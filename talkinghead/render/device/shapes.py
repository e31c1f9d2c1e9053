"""Polygons, lines and triangles drawn by tensor operations of fixed size, as `render.patch` and `render.raster` draw them."""

from __future__ import annotations

import torch
from torch import Tensor

_COLUMNS = 4
"""Looked at within a pixel."""
_REACH_PX = 0.145
"""OpenCV fills what its outline touches: about half of a fourth of a pixel farther than the polygon's edge."""
_ONE = 1 << 12
"""Sums of whole numbers come out the same in any order."""
_KEY_BITS = 11
_DEPTH_STEPS, _DEPTH_REACH = 1 << 18, 6144.0
MOST_TRIANGLES = 1 << _KEY_BITS


def cover(polygon: Tensor, width: int, height: int) -> Tensor:
    """How much of each pixel of a patch polygons cover: (n, k, h, w) float32 in 0..1.

    ``polygon`` (n, k, e, 2) px of the patch, its upper edge from left to right, then the lower one back. Each edge adds all that
    lies below it, or takes it away again: what it adds is put where the edge is and summed down the columns.
    """
    n, k = polygon.shape[:2]
    start = polygon.unsqueeze(-2)
    way = polygon.roll(-1, 2).unsqueeze(-2) - start
    column = torch.arange(width * _COLUMNS, device=polygon.device)
    beyond = (column + 0.5) / _COLUMNS - 0.5 - start[..., 0]
    # Half open, so that edges that meet count once.
    sign = ((beyond >= 0) & (beyond < way[..., 0])).int() - ((beyond < 0) & (beyond >= way[..., 0])).int()
    slope = way[..., 1] / torch.where(way[..., 0] == 0, 1.0, way[..., 0])
    edge = (start[..., 1] + beyond * slope - sign * _REACH_PX + 0.5).clamp(0, height)
    row = edge.floor()
    part = ((edge - row) * _ONE).round().int()
    number = row.long() * width + column // _COLUMNS
    sums = torch.zeros(n * k, (height + 2) * width, dtype=torch.int32, device=polygon.device)
    sums.scatter_add_(1, number.view(n * k, -1), (sign * (_ONE - part)).view(n * k, -1))
    sums.scatter_add_(1, (number + width).view(n * k, -1), (sign * part).view(n * k, -1))
    filled = sums.view(n, k, height + 2, width)[:, :, :height].cumsum(2, dtype=torch.int32)
    return (filled.float() / (_ONE * _COLUMNS)).clamp(0, 1)


def strokes(points: Tensor, level: Tensor, radius: Tensor, width: int, height: int) -> Tensor:
    """A line (n, k, h, w) float32 through points (n, k, m + 1, 2) px of the patch, each piece of its own ``level`` (n, k, m) in
    0..1, ``radius`` (n, k) px thick to each side."""
    x = torch.arange(width, device=points.device, dtype=points.dtype)
    y = torch.arange(height, device=points.device, dtype=points.dtype)[:, None]
    start, way = points[:, :, :-1, :, None, None], (points[:, :, 1:] - points[:, :, :-1])[..., None, None]
    dx, dy = x - start[..., 0, :, :], y - start[..., 1, :, :]
    wx, wy = way[..., 0, :, :], way[..., 1, :, :]
    along = ((dx * wx + dy * wy) / (wx * wx + wy * wy).clamp(min=1e-9)).clamp(0, 1)
    far = torch.hypot(dx - along * wx, dy - along * wy)
    drawn = (radius[..., None, None, None] + 0.5 - far).clamp(0, 1) * level[..., None, None]
    return drawn.amax(2)


def keys(layer: Tensor, in_front: Tensor, far: Tensor, drawn: Tensor) -> Tensor:
    """(n, t) int32: the greater covers the smaller; 0 is not drawn. By layer (0 or 1), then those seen ``in_front``, then by
    depth ``far`` (n, t) px, the smaller nearer."""
    near = ((_DEPTH_REACH - far) * (_DEPTH_STEPS / (2 * _DEPTH_REACH))).clamp(1, _DEPTH_STEPS - 1).int()
    order = (layer.int() * 2 + in_front.int()) * _DEPTH_STEPS + near
    number = torch.arange(far.shape[1], device=far.device, dtype=torch.int32)
    return torch.where(drawn, order * MOST_TRIANGLES + number, 0)


def uppermost(corners: Tensor, key: Tensor, side: int, budget: int) -> tuple[Tensor, Tensor]:
    """The triangle that is uppermost at each place of a square grid, (n, side * side) int64, and whether there is one.

    ``corners`` (n, t, 3, 2) in the grid's places, ``key`` (n, t) as `keys`. Each triangle's bounding rectangle is listed, place
    by place, in one list of ``budget`` places a row; what is past its end is not drawn.
    """
    n, count = key.shape
    corners = (corners * 16).round() / 16
    low = (corners.amin(2) - 0.5).ceil().clamp(min=0)
    size = ((corners.amax(2) + 0.5).floor().clamp(max=side - 1) - low + 1).clamp(min=0)
    area = size.prod(-1) * (key > 0)
    ends = area.cumsum(1)
    place = torch.arange(budget, device=key.device, dtype=ends.dtype)
    number = torch.searchsorted(ends, place.expand(n, budget).contiguous(), right=True)
    listed = number < count
    number = number.clamp(max=count - 1)
    record = torch.cat((_edges(corners).flatten(2), low, size[..., :1], (ends - area).unsqueeze(-1)), -1)
    record = record.gather(1, number.unsqueeze(-1).expand(-1, -1, record.shape[-1]))
    inner = place - record[..., 12]
    row = (inner / record[..., 11].clamp(min=1)).floor()
    x, y = record[..., 9] + inner - row * record[..., 11], record[..., 10] + row
    edge = record[..., :9].unflatten(-1, (3, 3))
    inside = (edge[..., 0] * x.unsqueeze(-1) + edge[..., 1] * y.unsqueeze(-1) + edge[..., 2] >= 0).all(-1) & listed
    # What is not drawn is spread, so that writes of nothing do not wait for one another.
    cell = torch.where(inside, (y * side + x), place % (side * side)).long()
    found = torch.zeros(n, side * side, dtype=torch.int32, device=key.device)
    found.scatter_reduce_(1, cell, torch.where(inside, key.gather(1, number), 0), "amax")
    return (found % MOST_TRIANGLES).long(), found > 0


def _edges(corners: Tensor) -> Tensor:
    """(n, t, 3, 3): coefficients a x + b y + c of each edge, not below 0 within, nor as far beyond as a line of one place is
    wide."""
    way = corners.roll(-1, 2) - corners
    doubled = way[..., 0, 0] * way[..., 1, 1] - way[..., 0, 1] * way[..., 1, 0]
    turn = torch.where(doubled < 0, -1.0, 1.0)[..., None]
    a, b = -way[..., 1] * turn, way[..., 0] * turn
    c = -(a * corners[..., 0] + b * corners[..., 1]) + 0.5 * way.abs().amax(-1)
    return torch.stack((a, b, c), -1)
