"""What surrounds the face: hair, ears and skull go with the head, the neck bends, the background stays."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from talkinghead.motion.pose import HeadPose
from talkinghead.render.layout import OVAL, SKIN_POINTS

_GRID_PX = 30
_RINGS = (1.07, 1.18)
_GRID_FROM = 1.27
_SKULL_DEPTH, _NECK_DEPTH = 0.5, 0.4
"""Where the outline of hair and skull, and the neck, lie behind the face centre, face heights: by what the warp missed in clips
of `train`."""
_BESIDE_DEPTH, _BESIDE = 0.1, (1.0, 1.35)
"""Ears, hair and throat lie so much farther behind than their place beside the outline would have it, face heights; reached
within so many times the distance from the face centre to the outline."""
PIVOT = (0.0, 0.5, 0.5)
"""Below and behind the face centre, face heights: shoulders go where it goes, and do not turn with the head."""
_SWAY = (0.75, 0.2)  # to the side, and up and down: of how far it goes
_SWAY_FROM = (-0.2, 0.3)  # below the chin, face heights: where it begins and is whole
_SHOULDERS_FH, _SHOULDERS_BELOW_FH = (0.2, 0.45), 0.35
"""So far below the chin, how far to either side a person reaches whose shoulders surely are not, or are, told from the wall."""
_BORDER = 0.2  # of the picture's side: over so much it ends at a border that is held
_RECESS = 0.2  # of the distance to the outline: how soon it recedes so far
_INSET = 0.03  # face heights
_STEEPEST = 1.5  # depth over width
_RIM = (0.05, 0.13)  # face heights from the outline: depth is eased wholly, and no more
_FLOOR = 0.05  # of the picture's side: so far above its lower border the shoulders are held
_HALF = 128
_CUT, _CUT_REACH = 230, 0.25  # alpha of a person whom the border cuts off, and how far from there hair is held, of the side
_REACH = 0.16  # face heights: how far beyond the outline a moving jaw drags the skin along


def smoothstep(low: np.ndarray | float, high: np.ndarray | float, value: np.ndarray) -> np.ndarray:
    """0 below ``low``, 1 above ``high``, smooth between."""
    t = np.clip((value - low) / (np.asarray(high) - low), 0.0, 1.0)
    return t * t * (3 - 2 * t)


def skin_inset(points: np.ndarray, pose: HeadPose) -> np.ndarray:
    """How far skin points (468, 3) are moved, face heights: inward along the edge that a turned portrait hides, forward along all
    of the outline.

    At a hidden edge the outline lies on hair or wall as often as on skin; a head that turns to the front would stretch a
    streak of it over the cheek. Stretched skin looks better. For the forward part see `_eased`.
    """
    skin = points[:SKIN_POINTS].astype(np.float64)
    oval = list(OVAL)
    nose = points[[1, 168]]
    seen = np.linalg.norm(skin[oval, :2] - nose[:, :2].mean(axis=0), axis=1)
    shape = pose.inverse(skin[oval])[:, :2] - pose.inverse(nose)[:, :2].mean(axis=0)
    hidden = 1.0 - smoothstep(0.62, 0.88, seen / np.maximum(pose.scale_px * np.linalg.norm(shape, axis=1), 1e-6))
    center = skin[oval, :2].mean(axis=0)
    angle = np.arctan2(*(skin[oval, :2] - center).T[::-1])
    order = np.argsort(angle)
    inward = center - skin[:, :2]
    share = np.interp(np.arctan2(-inward[:, 1], -inward[:, 0]), angle[order], hidden[order], period=2 * np.pi)
    hull = cv2.convexHull(skin[:, :2].astype(np.float32))
    edge = np.array([max(cv2.pointPolygonTest(hull, (float(x), float(y)), True), 0.0) for x, y in skin[:, :2]])
    # Less and less farther in, but never so much less that neighbours change places.
    length = _INSET * share * np.exp(-edge / (1.5 * _INSET * pose.scale_px))
    inward /= np.maximum(np.linalg.norm(inward, axis=1, keepdims=True), 1e-6)
    forward = _eased(skin, pose.scale_px) * (1.0 - smoothstep(*_RIM, edge / pose.scale_px))
    shift = np.concatenate((inward * length[:, None], forward[:, None]), axis=1)
    return np.asarray(shift @ pose.rotation)


def _eased(skin: np.ndarray, scale_px: float) -> np.ndarray:
    """Depth (n,) to add to skin points (n, 3) px so that the face falls away nowhere steeper than `_STEEPEST`, face heights.

    Where it is seen at a grazing angle a few pixels stand for much skin: a turn would make a ragged streak of them, or fold them.
    """
    across, down = (skin[:, None, axis] - skin[None, :, axis] for axis in (0, 1))
    distance = np.sqrt(across * across + down * down)
    return np.asarray(((skin[None, :, 2] + _STEEPEST * distance).min(axis=1) - skin[:, 2]) / scale_px)


@dataclass(frozen=True)
class Borders:
    """At which of a picture's borders the shoulders stay as they are, because there the picture is put into a larger one."""

    left: bool = False
    right: bool = False
    bottom: bool = False


class Surround:
    """Mesh vertices outside the face.

    ``source`` (n, 2) px. ``follow(points, pose)`` gives their driven places (n, 2) px and depth (n,).
    """

    def __init__(self, points: np.ndarray, pose: HeadPose, size_px: int, alone: np.ndarray | None = None) -> None:
        """``alone`` (s, s) uint8: what is moved is the person only, who covers so much of each pixel, so that hair may go wholly
        with the head, up to the picture's border where nothing of the person is cut off by it, and shoulders may sway."""
        oval = points[list(OVAL)].astype(np.float64)
        self._pose, self._size_px = pose, size_px
        self._oval = pose.inverse(oval)
        self._center, self._chin_px = oval[:, :2].mean(axis=0), float(np.clip(oval[:, 1].max(), 0, size_px))
        roll = np.arctan2(pose.rotation[1, 0], pose.rotation[0, 0])
        self._turn = np.array([[np.cos(roll), np.sin(roll)], [-np.sin(roll), np.cos(roll)]])
        local = (oval[:, :2] - self._center) @ self._turn.T
        angle = np.arctan2(local[:, 1], local[:, 0])
        order = np.argsort(angle)
        self._angle, self._radius = angle[order], np.hypot(*local.T)[order]
        self._oval_z = self._oval[order, 2]
        self.source = self._vertices(oval[:, :2])
        ratio, angle = self.ratio(self.source)
        self.weight = self._falloff(ratio, angle, alone)
        self._shoulders = 0.0 if alone is None else self._shouldered(alone)
        self._pivot = pose.apply(np.array(PIVOT))
        self.hold(Borders())
        self._canonical = self._place(ratio, angle)
        self._drag = self._dragging(oval[:, :2])

    def ratio(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Distance from the face centre over the outline's in that direction, and the angle (0 right, pi/2 down)."""
        local = (places - self._center) @ self._turn.T
        angle = np.arctan2(local[:, 1], local[:, 0])
        radius = np.interp(angle, self._angle, self._radius, period=2 * np.pi)
        return np.hypot(*local.T) / radius, angle

    def follow(self, oval: np.ndarray, pose: HeadPose) -> tuple[np.ndarray, np.ndarray]:
        """Driven places from the driven outline (36, 3) px and the driving pose."""
        rigid = pose.apply(self._canonical)
        stretch = oval[:, :2] - pose.apply(self._oval)[:, :2]
        start = self._pose.apply(self._canonical)[:, :2]
        pivot = (pose.apply(np.array(PIVOT)) - self._pivot)[:2]
        moved = self.source + self.weight[:, None] * (rigid[:, :2] - start) + self.sway * pivot + self._drag @ stretch
        return moved, rigid[:, 2]

    def _vertices(self, oval: np.ndarray) -> np.ndarray:
        rings = [self._center + (oval - self._center) * ring for ring in _RINGS]
        axis = np.linspace(-1, self._size_px, round(self._size_px / _GRID_PX) + 1)
        grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
        grid = grid[self.ratio(grid)[0] > _GRID_FROM]
        near = np.concatenate(rings)
        near = near[((near > 4) & (near < self._size_px - 5)).all(axis=1)]
        return np.concatenate((near, grid))

    def _falloff(self, ratio: np.ndarray, angle: np.ndarray, alone: np.ndarray | None) -> np.ndarray:
        """1 where it goes fully with the head, 0 where it stays."""
        down = smoothstep(0.1, 0.85, np.sin(angle))
        up = smoothstep(0.0, 1.0, -np.sin(angle))
        full = 1.45 + 0.15 * up - 0.45 * down
        none = 2.6 - 0.2 * up - 0.5 * down
        if alone is None:
            margin = np.minimum(self.source, self._size_px - 1 - self.source).min(axis=1)
            return (1.0 - smoothstep(full, none, ratio)) * smoothstep(0.06 * self._size_px, 0.12 * self._size_px, margin)
        weight = 1.0 - smoothstep(full + 0.9 * (1 - down), none + 1.2 * (1 - down), ratio)
        return weight * self._held(alone)

    def hold(self, borders: Borders) -> None:
        """Hold shoulders at ``borders`` from now on: ``sway`` (n, 2) is what they have of the pivot's way, right and down, beyond
        what they have as a part of the head."""
        below = (self.source[:, 1] - self._chin_px) / self._pose.scale_px
        share = self._shoulders * smoothstep(*_SWAY_FROM, below)[:, None] * np.array(_SWAY)
        last = self._size_px - 1
        x, y = self.source.T
        share[:, 1] *= smoothstep(0.0, _FLOOR * self._size_px, last - y)
        for held, away in ((borders.left, x), (borders.right, last - x), (borders.bottom, last - y)):
            if held:
                share *= smoothstep(0.0, _BORDER * self._size_px, away)[:, None]
        self.sway = np.maximum(share - self.weight[:, None], 0.0)

    def _shouldered(self, alone: np.ndarray) -> float:
        """How surely (0..1) a person's matte has shoulders: where a part of them were left on the wall, they would tear."""
        row = alone[min(round(self._chin_px + _SHOULDERS_BELOW_FH * self._pose.scale_px), self._size_px - 1)] >= _HALF
        middle = int(np.clip(self._center[0], 0, self._size_px - 1))
        reach = [int(np.argmin(part)) if not part.all() else self._size_px for part in (row[middle::-1], row[middle:])]
        return float(smoothstep(*_SHOULDERS_FH, np.array(min(reach) / self._pose.scale_px)))

    def _held(self, alone: np.ndarray) -> np.ndarray:
        """0 (n,) at the lower border and where another border cuts the person off, 1 far from there."""
        last = self._size_px - 1
        held = smoothstep(0.0, _FLOOR * self._size_px, last - self.source[:, 1])
        cut = alone >= _CUT
        cut[1:, 1:last] = False
        cut[int(self._chin_px) :] = False  # shoulders
        places = np.argwhere(cut)[:, ::-1]
        if not len(places):
            return held
        away = np.linalg.norm(self.source[:, None] - places, axis=2).min(axis=1)
        return held * smoothstep(0.0, _CUT_REACH * self._size_px, away)

    def _place(self, ratio: np.ndarray, angle: np.ndarray) -> np.ndarray:
        """Canonical places (n, 3) with a depth that recedes from the outline of the face to that of the skull."""
        down = smoothstep(0.3, 0.9, np.sin(angle))
        near = np.interp(angle, self._angle, self._oval_z, period=2 * np.pi)
        near = near + _BESIDE_DEPTH * (1.0 - smoothstep(0.3, 0.9, -np.sin(angle))) * smoothstep(*_BESIDE, ratio)
        far = np.maximum(_SKULL_DEPTH + (_NECK_DEPTH - _SKULL_DEPTH) * down, near)
        radius = np.interp(angle, self._angle, self._radius, period=2 * np.pi) / self._pose.scale_px
        length = np.maximum(_RECESS, (far - near) / (_STEEPEST * radius))
        z = near + (far - near) * (1 - np.exp(-(ratio - 1) / length))
        # Solve P = s R X + t for X with the wanted canonical z.
        r, s = self._pose.rotation, self._pose.scale_px
        flat = (self.source - self._pose.translation_px) / s - z[:, None] * r[:2, 2]
        xy = np.linalg.solve(r[:2, :2], flat.T).T
        return np.concatenate((xy, z[:, None]), axis=1)

    def _dragging(self, oval: np.ndarray) -> np.ndarray:
        """Weights (n, 36) with which the outline's own motion (jaw, cheeks) reaches the vertices."""
        distance = np.linalg.norm(self.source[:, None] - oval[None], axis=2) / self._pose.scale_px
        nearest = distance.min(axis=1)
        kernel = np.exp(-0.5 * ((distance - nearest[:, None]) / 0.05) ** 2)
        kernel /= kernel.sum(axis=1, keepdims=True)
        return kernel * (1 - smoothstep(0.0, _REACH * 2.5, nearest))[:, None]
