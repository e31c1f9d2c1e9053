"""Latents to driven points, and where all that is drawn goes with them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from talkinghead.motion.latent import LatentModel
from talkinghead.render.device.bank import Rows
from talkinghead.render.eyes import _LASH_DEPTH, LEFT_EYE, RIGHT_EYE
from talkinghead.render.layout import LOWER_LIP, OVAL, SKIN_POINTS, UPPER_LIP
from talkinghead.render.surround import PIVOT

EYES = (LEFT_EYE, RIGHT_EYE)
_PAIRS = len(UPPER_LIP)


@dataclass(frozen=True)
class Pose:
    """rotation (n, 3, 3); offset (n, 3) px; scale (n, 1, 1) px a face height."""

    rotation: Tensor
    offset: Tensor
    scale: Tensor

    def apply(self, canonical: Tensor) -> Tensor:
        """Canonical points (n, p, 3) in face heights to px."""
        return self.scale * (canonical @ self.rotation.mT) + self.offset[:, None]


@dataclass(frozen=True)
class Faces:
    """Driven faces: points (n, 478, 3) px whose lips and lids do not cross; gaps (n, 11) px between the lips; lids' mean gaps
    (n, 2) px; what a turned head does to the plane of eyes and mouth (n, 3), linear (n, 3, 2, 2) and offset (n, 3, 2)."""

    points: Tensor
    pose: Pose
    gaps: Tensor
    lid_gaps: Tensor
    linear: Tensor
    offset: Tensor


def index(numbers: Iterable[int], device: str) -> Tensor:
    """Numbers of points, made once: a list would be copied to the GPU at every use."""
    return torch.tensor(list(numbers), device=device)


def inverse(matrix: Tensor) -> Tensor:
    """Of matrices (..., 2, 2)."""
    a, b, c, d = (matrix[..., i, j] for i in (0, 1) for j in (0, 1))
    size = a * d - b * c
    turned = torch.stack((torch.stack((d, -b), -1), torch.stack((-c, a), -1)), -2)
    return turned / torch.where(size.abs() < 1e-9, 1e-9, size)[..., None, None]


def smoothstep(low: float, high: float, value: Tensor) -> Tensor:
    """0 below ``low``, 1 above ``high``, smooth between."""
    t = ((value - low) / (high - low)).clamp(0, 1)
    return t * t * (3 - 2 * t)


class Geometry:
    """Of every portrait of one latent model."""

    def __init__(self, latent: LatentModel, device: str) -> None:
        self._dynamics = torch.tensor(latent.basis_dyn.reshape(latent.size_dyn, -1), device=device)
        facing = [(eye.upper, eye.lower) for eye in EYES] + [(UPPER_LIP, LOWER_LIP)]
        # A pair of corners, which are one point, does not move: edges with fewer pairs have theirs again.
        self._upper, self._lower = (index((n for e in facing for n in _filled(e[k])), device) for k in (0, 1))
        self._margin = index((n for eye in EYES for n in eye.upper[1:-1] + eye.lower[1:-1]), device)
        self._fold = index((n for eye in EYES for n in eye.upper_fold + eye.lower_fold), device)
        self._oval = index(OVAL, device)
        self._pivot = torch.tensor([PIVOT], dtype=torch.float32, device=device)
        self._cross = torch.tensor([[[0, 0, 0], [0, 0, -1], [0, 1, 0]], [[0, 0, 1], [0, 0, 0], [-1, 0, 0]],
                                    [[0, -1, 0], [1, 0, 0], [0, 0, 0]]], dtype=torch.float32, device=device)  # fmt: skip
        self._eye3 = torch.eye(3, device=device)

    def faces(self, rows: Rows, z_pose: Tensor, z_dyn: Tensor) -> Faces:
        """Under z_pose (n, 6) from the portraits' poses and z_dyn (n, D) from their rest."""
        pose = self._pose(rows, z_pose)
        points = pose.apply(rows["canonical"] + (z_dyn @ self._dynamics).view(len(z_dyn), -1, 3))
        points = torch.where(points.isfinite(), points, rows["rest"])
        inset = pose.scale * (rows["inset"] @ pose.rotation.mT)
        points = torch.cat((points[:, :SKIN_POINTS] + inset, points[:, SKIN_POINTS:]), 1)
        points, gaps = self._uncrossed(points)
        lids = gaps[:, :2, 1 : len(LEFT_EYE.upper) - 1].mean(-1)
        linear, offset = self._planes(rows, pose)
        return Faces(points, pose, (gaps[:, 2] - rows["rest_gap"]).clamp(min=0), lids, linear, offset)

    def vertices(self, rows: Rows, faces: Faces) -> tuple[Tensor, Tensor]:
        """Places (n, v, 2) px and depth (n, v) of the mesh's vertices."""
        points, pose = faces.points, faces.pose
        margin = points[:, self._margin]
        way = points[:, self._fold] - margin
        length = torch.linalg.vector_norm(way[..., :2], dim=-1, keepdim=True)
        lashes = margin + way * (_LASH_DEPTH * pose.scale / length.clamp(min=1e-6)).clamp(max=0.6)
        rigid = pose.apply(rows["out_canonical"])
        stretch = points[:, self._oval, :2] - pose.apply(rows["oval"])[..., :2]
        pivot = (pose.apply(self._pivot) - rows["out_pivot"])[..., :2]
        moved = rows["out_source"] + rows["out_weight"] * (rigid[..., :2] - rows["out_start"]) + rows["out_drag"] @ stretch
        moved = moved + rows["out_sway"] * pivot
        near = torch.cat((points[:, :SKIN_POINTS], lashes), 1)
        return torch.cat((near[..., :2], moved), 1), torch.cat((near[..., 2], rigid[..., 2]), 1)

    def _pose(self, rows: Rows, z_pose: Tensor) -> Pose:
        vector = z_pose[:, :3]
        angle = torch.linalg.vector_norm(vector, dim=-1).clamp(min=1e-8)[:, None, None]
        k = torch.tensordot(vector, self._cross, 1)
        half = torch.sin(angle / 2) / angle
        turn = self._eye3 + torch.sin(angle) / angle * k + 2 * half * half * (k @ k)  # Rodrigues
        size = rows["scale"]
        offset = rows["offset"] + torch.nn.functional.pad(size * z_pose[:, 3:5], (0, 1))
        return Pose(turn @ rows["rotation"], offset, (size * torch.exp(z_pose[:, 5:])).unsqueeze(-1))

    def _uncrossed(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Facing edges that crossed meet half-way; the gaps (n, 3, 11) px of lids and lips, 0 where they meet."""
        n = len(points)
        top, bottom = (points[:, numbers].view(n, 3, _PAIRS, 3) for numbers in (self._upper, self._lower))
        across = top[:, :, -1, :2] - top[:, :, 0, :2]
        down = torch.stack((-across[..., 1], across[..., 0]), -1)
        down = down / torch.linalg.vector_norm(across, dim=-1, keepdim=True).clamp(min=1e-6)
        gap = ((bottom - top)[..., :2] @ down.unsqueeze(-1)).squeeze(-1)
        crossed, middle = (gap < 0).unsqueeze(-1), (top + bottom) / 2
        points = points.index_copy(1, self._upper, torch.where(crossed, middle, top).flatten(1, 2))
        points = points.index_copy(1, self._lower, torch.where(crossed, middle, bottom).flatten(1, 2))
        return points, gap.clamp(min=0)

    def _planes(self, rows: Rows, pose: Pose) -> tuple[Tensor, Tensor]:
        """`render.patch.RigidMap.to` of both eyes and the mouth."""
        rotation, scale = pose.rotation[:, None], pose.scale[:, None]
        plane = scale * rotation[..., :2, :2] @ rows["map_flat"]
        turned = scale * (rows["map_fit"] @ rotation.mT)[..., :2]
        linear = plane + (turned - rows["map_around"] @ plane.mT).mT
        after = pose.apply(rows["map_mean"])[..., :2]
        return linear, after - (linear @ rows["map_middle"].unsqueeze(-1)).squeeze(-1)


def _filled(numbers: tuple[int, ...]) -> tuple[int, ...]:
    return numbers + numbers[-1:] * (_PAIRS - len(numbers))
