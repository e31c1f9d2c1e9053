"""`render.mesh` for a batch: where each pixel of the moved pictures comes from."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from talkinghead.constants import SIZE_PX
from talkinghead.render.device.bank import Rows
from talkinghead.render.device.shapes import keys, uppermost
from talkinghead.render.mesh import _MOST_STEEP, _ROUNDS_AROUND, _ROUNDS_FACE, _STEEP, _STILL_PX

STEPS = (4, 2)
"""Pixels between displacements, around the face and in it."""
_BUDGETS = (1 << 17, 1 << 17)
"""Places of all triangles' rectangles; a face so large that it fills the picture takes 90 000, one that leaves it as many."""
_GRID_PX, _PAD_PX = 8, 2


class DeviceMesh:
    """Displaces pictures of `SIZE_PX`."""

    def __init__(self, device: str) -> None:
        self._axes = [torch.arange(SIZE_PX // step, device=device) * step + (step - 1) / 2 for step in STEPS]
        self._places = [torch.stack(torch.meshgrid(axis, axis, indexing="xy")) for axis in self._axes]

    def displacement(self, rows: Rows, target: Tensor, depth: Tensor) -> Tensor:
        """Where each pixel comes from, px beside it: (n, 2, s, s), x and y, for ``target`` (n, v, 2) px and ``depth`` (n, v)."""
        triangles = rows["triangles"].long()
        shift = rows["source"] - target
        moved = (shift.abs() > _STILL_PX).any(-1)
        at_corners, places = (_taken(values, triangles) for values in (shift, target))
        active = _taken(moved.unsqueeze(-1), triangles).any(2).squeeze(-1) & (rows["real"] > 0)
        steep = self._steep(rows, at_corners) & active
        beside = steep.gather(1, rows["beside"].long().flatten(1)).view(*steep.shape, 3).any(-1)
        smooth = ((steep.sum(1) <= _MOST_STEEP) & ~(moved & (rows["rim"] > 0)).any(1))[:, None]
        drawn = torch.where(smooth, (steep | beside) & (rows["hidden"] == 0), active)
        layer, far = rows["layer"], _taken(depth.unsqueeze(-1), triangles).sum((2, 3))
        key = keys(layer, _areas(places) * rows["orientation"] > 0, far, drawn)
        record = _affine(places, at_corners)
        whole = smooth[..., None, None]
        open_rim = ~(rows["rim"] > 0).any(1)

        field = self._solved(rows, 0, shift, None, _ROUNDS_AROUND) * (whole | open_rim[:, None, None, None])
        field = _blurred(self._drawn(0, field, places, torch.where(layer > 0, 0, key), record))
        field = F.interpolate(field, scale_factor=2.0, mode="bilinear")
        found = torch.where(whole, self._solved(rows, 1, shift, field, _ROUNDS_FACE), field)
        found = self._drawn(1, found, places, torch.where(smooth | (layer > 0), key, 0), record)
        field = field + self._near(rows, target) * _blurred(found - field)
        return F.interpolate(field, scale_factor=2.0, mode="bilinear")

    def _steep(self, rows: Rows, at_corners: Tensor) -> Tensor:
        first, second = at_corners[:, :, 1] - at_corners[:, :, 0], at_corners[:, :, 2] - at_corners[:, :, 0]
        a, b, c, d = rows["by_place"].unsqueeze(-1).unbind(1)
        change = ((first * a + second * b) ** 2 + (first * c + second * d) ** 2).sum(-1)
        return (change > _STEEP**2) | (rows["sliver"] > 0)

    def _solved(self, rows: Rows, level: int, shift: Tensor, start: Tensor | None, rounds: int) -> Tensor:
        """`render.flow.Flow.solve`: (n, 2, side, side) px."""
        step, side = STEPS[level], SIZE_PX // STEPS[level]
        at_vertices = torch.view_as_complex(shift.contiguous())
        numbers = rows[f"vertices_{step}"].long().flatten(1)
        known = (at_vertices.gather(1, numbers).view(len(shift), 3, -1) * rows[f"weights_{step}"]).sum(1)
        grid = torch.view_as_real(known).mT.reshape(-1, 2, side, side)
        found = torch.zeros_like(grid) if start is None else start
        for _ in range(rounds):
            where = (self._places[level] + found - (step - 1) / 2) * (2 / (step * (side - 1))) - 1
            found = F.grid_sample(grid, where.permute(0, 2, 3, 1), "bilinear", "border", align_corners=True)
        return found

    def _drawn(self, level: int, field: Tensor, corners: Tensor, key: Tensor, record: Tensor) -> Tensor:
        """Triangles over a displacement field, as `render.raster.Canvas.draw`."""
        step, side = STEPS[level], SIZE_PX // STEPS[level]
        number, there = uppermost((corners - (step - 1) / 2) / step, key, side, _BUDGETS[level])
        c = record.gather(1, number.unsqueeze(-1).expand(-1, -1, record.shape[-1])).mT.unflatten(-1, (side, side))
        x, y = self._places[level]
        way = c[:, 0:2] * x + c[:, 2:4] * y + c[:, 4:6]
        way = torch.maximum(torch.minimum(way, c[:, 8:10]), c[:, 6:8])
        return torch.where(there.view(-1, 1, side, side), way, field)

    def _near(self, rows: Rows, target: Tensor) -> Tensor:
        """1 in the rectangle (n, 1, s, s) round the driven face, 0 outside."""
        upper = (rows["upper"] > 0).unsqueeze(-1)
        low = torch.where(upper, target, torch.inf).amin(1) - _PAD_PX
        high = torch.where(upper, target, -torch.inf).amax(1) + _PAD_PX
        low, high = (low / _GRID_PX).floor() * _GRID_PX, (high / _GRID_PX).ceil() * _GRID_PX
        x, y = ((self._axes[1] > low[:, k, None]) & (self._axes[1] < high[:, k, None]) for k in (0, 1))
        return (y.unsqueeze(-1) & x.unsqueeze(-2)).unsqueeze(1).float()


def _taken(values: Tensor, triangles: Tensor) -> Tensor:
    """Of each corner (n, t, 3, d) what its vertex has (n, v, d)."""
    numbers = triangles.flatten(1).unsqueeze(-1).expand(-1, -1, values.shape[-1])
    return values.gather(1, numbers).unflatten(1, triangles.shape[1:])


def _areas(corners: Tensor) -> Tensor:
    first, second = corners[:, :, 1] - corners[:, :, 0], corners[:, :, 2] - corners[:, :, 0]
    return first[..., 0] * second[..., 1] - first[..., 1] * second[..., 0]


def _affine(corners: Tensor, shift: Tensor) -> Tensor:
    """(n, t, 10): of both coordinates' displacement the share by x, by y, the constant, and its limits, as `render.raster`."""
    e1, e2 = corners[:, :, 1] - corners[:, :, 0], corners[:, :, 2] - corners[:, :, 0]
    d1, d2 = shift[:, :, 1] - shift[:, :, 0], shift[:, :, 2] - shift[:, :, 0]
    area = _areas(corners).unsqueeze(-1)
    safe = area.abs() > 0.05
    inverse = torch.where(safe, 1 / torch.where(safe, area, 1.0), 0.0)
    by_x = (d1 * e2[..., 1:] - d2 * e1[..., 1:]) * inverse
    by_y = (d2 * e1[..., :1] - d1 * e2[..., :1]) * inverse
    constant = shift[:, :, 0] - by_x * corners[:, :, 0, :1] - by_y * corners[:, :, 0, 1:]
    return torch.cat((by_x, by_y, constant, shift.amin(2), shift.amax(2)), -1)


def _blurred(field: Tensor) -> Tensor:
    return F.avg_pool2d(field, 3, 1, 1, count_include_pad=False)
