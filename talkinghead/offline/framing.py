"""Pictures of a wanted shape, framed round the head: 9:16, 1:1, 16:9."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

ASPECTS = {"9:16": (9, 16), "1:1": (1, 1), "16:9": (16, 9)}
_HEAD_FH = (1.7, 2.0)
"""Width and height of a head with its hair, in face heights: that much is always shown."""
_MOST_FH = {"9:16": 5.5, "1:1": 4.0, "16:9": 3.4}
"""Height of the frame at most, so that the head does not get lost in it."""
_HEAD_AT = 0.42
"""Where the middle of the face lies, from the top."""
_SMALL_PX, _BLUR_PX = 64, 3.0
_DIM = 0.8


@dataclass(frozen=True)
class Cut:
    """A rectangle in the pictures, px; it may reach past them."""

    x: int
    y: int
    width: int
    height: int


def frame_head(points: np.ndarray, face_height_px: float, shape: tuple[int, ...], aspect: str) -> Cut:
    """The frame of an aspect round a face with points (n, 2) px and that height in a picture of ``shape`` (h, w, ...).

    As large as the picture allows and the aspect wants. Where the head itself would be cut, it reaches past the picture.
    """
    ratio = ASPECTS[aspect][0] / ASPECTS[aspect][1]
    rows, columns = shape[:2]
    height = min(rows, columns / ratio, _MOST_FH[aspect] * face_height_px)
    height = max(height, _HEAD_FH[1] * face_height_px, _HEAD_FH[0] * face_height_px / ratio)
    size = (_even(height * ratio), _even(height))
    middle = (points.min(0) + points.max(0)) / 2
    corner = (middle[0] - size[0] / 2, middle[1] - _HEAD_AT * size[1])
    x, y = (_placed(at, side, length) for at, side, length in zip(corner, size, (columns, rows), strict=True))
    return Cut(x, y, *size)


class Framer:
    """Cuts a frame out of every picture of one video. Where it reaches past them, the blurred picture fills it, once for all."""

    def __init__(self, frame: Cut, first: np.ndarray) -> None:
        rows, columns = first.shape[:2]
        y, x = max(-frame.y, 0), max(-frame.x, 0)
        bottom, right = min(frame.y + frame.height, rows), min(frame.x + frame.width, columns)
        self._from = np.s_[max(frame.y, 0) : bottom, max(frame.x, 0) : right]
        kept = first[self._from]
        self._to = np.s_[y : y + kept.shape[0], x : x + kept.shape[1]]
        whole = kept.shape[:2] == (frame.height, frame.width)
        # Round a cut-out there is nothing.
        backdrop = _backdrop if first.shape[2] == 3 else lambda kept, frame: np.zeros((frame.height, frame.width, 4), np.uint8)
        self._fill = None if whole else backdrop(kept, frame)

    def cut(self, picture: np.ndarray) -> np.ndarray:
        """The frame (height, width, 3) uint8 of a picture; of a cut-out (height, width, 4)."""
        kept = picture[self._from]
        if self._fill is None:
            return kept
        out = self._fill.copy()
        out[self._to] = kept
        return out


def _backdrop(kept: np.ndarray, frame: Cut) -> np.ndarray:
    """The middle of what is kept, in the frame's shape, blurred: made small, and large again."""
    ratio = frame.width / frame.height
    height = min(kept.shape[0], int(kept.shape[1] / ratio))
    width = min(kept.shape[1], int(height * ratio))
    top, left = (kept.shape[0] - height) // 2, (kept.shape[1] - width) // 2
    middle = kept[top : top + max(height, 1), left : left + max(width, 1)]
    small = cv2.GaussianBlur(cv2.resize(middle, (_SMALL_PX, _SMALL_PX), interpolation=cv2.INTER_AREA), (0, 0), _BLUR_PX)
    large = cv2.resize(small, (frame.width, frame.height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(cv2.convertScaleAbs(large, alpha=_DIM))


def _even(length: float) -> int:
    return 2 * int(length / 2)


def _placed(corner: float, side: int, length: int) -> int:
    """Inside the picture where the frame fits, centred where it does not."""
    return int(np.clip(round(corner), 0, length - side)) if side <= length else (length - side) // 2
