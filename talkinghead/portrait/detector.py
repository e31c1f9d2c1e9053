"""Where faces are in a picture."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from talkinghead.runtime.engine import Engine

INPUT_PX = 320
STRIDE_PX = 8
ZOOMS = (1.0, 0.5)
"""The picture is looked at filling the input, and at half of that, for faces that fill the picture."""
THRESHOLD = 0.35
_TILE_ZOOM = 2.0
_SAME_FACE = 0.5
"""Two finds closer than this share of the larger face's height are one."""


@dataclass(frozen=True)
class FaceBox:
    """A found face: centre and height (forehead top to chin) in picture px, score 0..1."""

    x: float
    y: float
    height_px: float
    score: float


class FaceDetector:
    """Finds faces with the shipped detector network (320x320 input, stride 8)."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def find(self, image: np.ndarray) -> list[FaceBox]:
        """Faces of an RGB uint8 picture (h, w, 3), the surest first."""
        scale = INPUT_PX / max(image.shape[:2])
        return _merge([box for zoom in ZOOMS for box in self._look(image, scale * zoom, (0, 0))])

    def find_small(self, image: np.ndarray) -> list[FaceBox]:
        """As `find`, in overlapping tiles at twice the size: nine looks, for faces that `find` cannot see."""
        scale = _TILE_ZOOM * INPUT_PX / max(image.shape[:2])
        step = INPUT_PX / scale / 2
        corners = [(column * step, row * step) for row in range(3) for column in range(3)]
        return _merge([box for corner in corners for box in self._look(image, scale, corner)])

    def _look(self, image: np.ndarray, scale: float, corner: tuple[float, float]) -> list[FaceBox]:
        """Finds in the window of the input's size whose top left lies at ``corner`` px, seen at ``scale``."""
        left, top = int(corner[0]), int(corner[1])
        side = round(INPUT_PX / scale)
        window = image[top : top + side, left : left + side]
        if min(window.shape[:2]) < 8:
            return []
        size = [max(1, min(INPUT_PX, round(n * scale))) for n in window.shape[1::-1]]
        small = cv2.resize(window, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        canvas = np.full((INPUT_PX, INPUT_PX, 3), 127, np.uint8)
        canvas[: size[1], : size[0]] = small
        map_ = self._engine.run(image=canvas.transpose(2, 0, 1)[None].astype(np.float32) / 255)["map"][0]
        return [FaceBox(left + x / scale, top + y / scale, height / scale, score) for x, y, height, score in _peaks(map_)]


def _peaks(map_: np.ndarray) -> list[tuple[float, float, float, float]]:
    """Centre x, y, height in input px and score of the local maxima of a detector map (4, rows, columns)."""
    heat = 1 / (1 + np.exp(-map_[0]))
    top = cv2.dilate(heat, np.ones((3, 3), np.uint8))
    out = []
    for row, column in zip(*np.nonzero((heat >= top) & (heat > THRESHOLD)), strict=True):
        dx, dy, size = map_[1:, row, column]
        height = float(np.exp(min(size, 5.0)) * STRIDE_PX)
        x, y = (column + dx + 0.5) * STRIDE_PX, (row + dy + 0.5) * STRIDE_PX
        out.append((float(x), float(y), height, float(heat[row, column])))
    return out


def _merge(found: list[FaceBox]) -> list[FaceBox]:
    """The best of every group of finds that are one face."""
    kept: list[FaceBox] = []
    for box in sorted(found, key=lambda b: -b.score):
        if all(np.hypot(box.x - k.x, box.y - k.y) > _SAME_FACE * max(box.height_px, k.height_px) for k in kept):
            kept.append(box)
    return kept
