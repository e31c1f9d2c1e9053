"""Small picture parts: smooth filling, antialiased outlines, sampling through a plane map."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from talkinghead.motion.pose import HeadPose

Look = Callable[[], np.ndarray]
"""Samples a window of the picture when it is needed."""

_SUPERSAMPLE = 4
_SHIFT = 6


@dataclass(frozen=True)
class Window:
    """A rectangle of the picture, px: rows y0..y1, columns x0..x1 (ends excluded)."""

    x0: int
    y0: int
    x1: int
    y1: int

    @classmethod
    def around(cls, points: np.ndarray, pad_px: float, size_px: int) -> Window:
        """The rectangle round points (n, 2), kept inside the picture; it may be empty."""
        # Python's own numbers, axis by axis: NumPy's calls cost more than so few points.
        low = [math.floor(min(max(float(points[:, axis].min()) - pad_px, 0), size_px)) for axis in (0, 1)]
        high = [math.ceil(min(max(float(points[:, axis].max()) + pad_px + 1, 0), size_px)) for axis in (0, 1)]
        return cls(*low, *high)

    @property
    def empty(self) -> bool:
        """Nothing of it lies in the picture."""
        return self.x1 - self.x0 < 2 or self.y1 - self.y0 < 2

    def __contains__(self, other: Window) -> bool:
        return self.x0 <= other.x0 and self.y0 <= other.y0 and self.x1 >= other.x1 and self.y1 >= other.y1

    def common(self, other: Window) -> Window:
        """What lies in both."""
        return Window(max(self.x0, other.x0), max(self.y0, other.y0), min(self.x1, other.x1), min(self.y1, other.y1))

    @property
    def slices(self) -> tuple[slice, slice]:
        """Index of the rectangle in a picture."""
        return slice(self.y0, self.y1), slice(self.x0, self.x1)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width, px."""
        return self.y1 - self.y0, self.x1 - self.x0

    @property
    def origin(self) -> np.ndarray:
        """(x0, y0)."""
        return np.array((self.x0, self.y0), np.float64)

    def grid(self) -> tuple[np.ndarray, np.ndarray]:
        """Pixel coordinates x (h, w) and y (h, w), float32."""
        y, x = np.mgrid[self.y0 : self.y1, self.x0 : self.x1]
        return x.astype(np.float32), y.astype(np.float32)


def cover(polygon: np.ndarray, window: Window) -> np.ndarray:
    """How much of each pixel of ``window`` the polygon (n, 2) px covers: float32 (h, w) in 0..1."""
    out = np.zeros(window.shape, np.float32)
    outline = np.clip(polygon, -1e4, 1e4).astype(np.float32)
    x, y, width, height = cv2.boundingRect(outline)  # NumPy's minimum of so few points takes longer than filling them
    part = Window(x - 1, y - 1, x + width + 1, y + height + 1).common(window)
    if part.x1 <= part.x0 or part.y1 <= part.y0:
        return out
    h, w = part.shape
    big = np.zeros((h * _SUPERSAMPLE, w * _SUPERSAMPLE), np.uint8)
    fixed = ((outline - (part.x0 - 0.5, part.y0 - 0.5)) * _SUPERSAMPLE - 0.5) * (1 << _SHIFT)
    cv2.fillPoly(big, [np.rint(fixed).astype(np.int32)], 255, cv2.LINE_8, _SHIFT)
    small = cv2.resize(big, (w, h), interpolation=cv2.INTER_AREA)
    inner = out[part.y0 - window.y0 : part.y1 - window.y0, part.x0 - window.x0 : part.x1 - window.x0]
    np.multiply(small, np.float32(1 / 255), out=inner)
    return out


def smooth_fill(image: np.ndarray, known: np.ndarray) -> np.ndarray:
    """``image`` (h, w, 3) float32 with the pixels that are not ``known`` (h, w, 0..1) filled from those that are."""
    known = known.astype(np.float32)
    if float(known.max(initial=0.0)) < 0.5:
        return image.astype(np.float32)
    out = image.astype(np.float32) * known[..., None]
    weight = known.copy()
    sigma = 1.2
    mean = (out.sum(axis=(0, 1)) / weight.sum()).astype(np.float32)
    filled = np.where(known[..., None] > 0.5, image.astype(np.float32), 0)
    todo = known <= 0.5
    while todo.any() and sigma < 64:
        soft = cv2.GaussianBlur(weight, (0, 0), sigma)
        color = cv2.GaussianBlur(out, (0, 0), sigma) / np.maximum(soft, 1e-6)[..., None]
        ready = todo & (soft > 0.12)
        filled[ready] = color[ready]
        todo &= ~ready
        sigma *= 1.8
    filled[todo] = mean
    calm = cv2.GaussianBlur(filled, (0, 0), 1.5)
    return np.where(known[..., None] > 0.5, filled, calm)


def plane_warp(texture: np.ndarray, matrix: np.ndarray, window: Window) -> np.ndarray:
    """``texture`` seen in ``window`` through the plane map (2, 3) from texture to picture coordinates."""
    local = np.array(matrix, np.float64)
    local[:, 2] -= window.origin
    h, w = window.shape
    return cv2.warpAffine(texture, local, (w, h), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


class RigidMap:
    """What a head that turns from ``start`` does to some ``points`` (n, 3) px of the photo, as an affine map of the plane."""

    def __init__(self, start: HeadPose, points: np.ndarray) -> None:
        self._canonical = start.inverse(points)
        self._middle = points[:, :2].mean(axis=0)
        self._around = points[:, :2] - self._middle
        self._flat = np.linalg.inv(start.scale_px * start.rotation[:2, :2])
        # A ridge keeps thin sets (closed lips) from tipping over.
        square = self._around.T @ self._around
        ridge = 0.02 * float(np.trace(square)) * np.eye(2)
        self._fit = np.linalg.solve(square + ridge, self._around.T)

    def to(self, end: HeadPose) -> np.ndarray:
        """The map (2, 3) that comes closest to what turning to ``end`` does to the points."""
        there = end.apply(self._canonical)[:, :2]
        after = there.mean(axis=0)
        plane = end.scale_px * end.rotation[:2, :2] @ self._flat
        linear = plane + (self._fit @ (there - after - self._around @ plane.T)).T
        return np.concatenate((linear, (after - linear @ self._middle)[:, None]), axis=1)


def mix(below: np.ndarray, above: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """``above`` over ``below`` (h, w, 3) with ``alpha`` (h, w); float32. ``above`` may be one colour (3,)."""
    weight = cv2.merge([np.asarray(alpha, np.float32)] * 3)
    return np.asarray(cv2.add(np.asarray(below, np.float32), cv2.multiply(np.subtract(above, below, dtype=np.float32), weight)))
