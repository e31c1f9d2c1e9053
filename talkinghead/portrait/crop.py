"""The square of a photo that the decoder draws."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from talkinghead.constants import SIZE_PX
from talkinghead.portrait.bars import Area
from talkinghead.portrait.beyond import dissolved

_NOTHING_PX = 0.5
"""A crop that reaches less far past the photo shows nothing of it."""


@dataclass(frozen=True)
class Crop:
    """Axis-aligned square in photo pixels (edges, not pixel centres); it may reach past the photo.

    ``area``: what of the photo is a picture, where black bars surround it; None: all of it.
    """

    x: float
    y: float
    side: float
    area: Area | None = None

    def within(self, shape: tuple[int, ...]) -> Area:
        """What of a photo of ``shape`` (h, w, ...) is a picture."""
        return self.area or Area(0, 0, shape[1], shape[0])

    def extract(self, photo: np.ndarray, size_px: int = SIZE_PX) -> np.ndarray:
        """The square of ``photo`` (H, W, 3) uint8, resampled to (size_px, size_px, 3) uint8. Outside the photo its edge goes on
        and dissolves."""
        face, step, area = self.cut(photo, size_px), self.side / size_px, self.within(photo.shape)
        left, right = ((at - self.x) / step for at in (area.left, area.right))
        top, bottom = ((at - self.y) / step for at in (area.top, area.bottom))
        if max(left, top, size_px - right, size_px - bottom) < _NOTHING_PX:
            return face
        return dissolved(face, left, top, right, bottom)

    def cut(self, photo: np.ndarray, size_px: int = SIZE_PX) -> np.ndarray:
        """As `extract`, but outside the photo its edge pixels are repeated. When it shrinks, areas are averaged, so that nothing
        aliases."""
        if self.area is not None:
            left, top, right, bottom = self.area
            return Crop(self.x - left, self.y - top, self.side).cut(photo[top:bottom, left:right], size_px)
        ratio = self.side / size_px
        if ratio <= 1.0:
            return _sample(photo, self, size_px, cv2.INTER_CUBIC)
        # Shrinking: sample at a whole multiple of the wanted size that is no coarser than the photo, then average.
        # Whatever is beyond the photo's detail is first halved by area, so that the intermediate stays small.
        factor = int(np.ceil(ratio - 1e-6))
        fine = _sample(photo, self, size_px * factor, cv2.INTER_LINEAR)
        return cv2.resize(fine, (size_px, size_px), interpolation=cv2.INTER_AREA)

    def to_photo(self, points: np.ndarray, size_px: int = SIZE_PX) -> np.ndarray:
        """Pixel-centre coordinates (n, 2) in the square to those in the photo."""
        return (np.asarray(points, np.float64) + 0.5) * (self.side / size_px) - 0.5 + (self.x, self.y)

    def from_photo(self, points: np.ndarray, size_px: int = SIZE_PX) -> np.ndarray:
        """Pixel-centre coordinates (n, 2) in the photo to those in the square."""
        return (np.asarray(points, np.float64) + 0.5 - (self.x, self.y)) * (size_px / self.side) - 0.5


def _sample(photo: np.ndarray, crop: Crop, size_px: int, interpolation: int) -> np.ndarray:
    step = crop.side / size_px
    matrix = np.array(
        [[step, 0.0, crop.x + step / 2 - 0.5], [0.0, step, crop.y + step / 2 - 0.5]],
    )
    return cv2.warpAffine(
        photo,
        matrix,
        (size_px, size_px),
        flags=interpolation | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
