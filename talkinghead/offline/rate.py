"""From the 40 frames a second that the motion has to the pictures of a video."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from talkinghead.constants import FRAME_RATE_HZ


@dataclass(frozen=True)
class Rate:
    """Picture k is the frame that is nearest to k / fps; the video's length stays within a frame of the sound's.

    fps: pictures a second, at most twice the frames. first: those before it are there already, and are not made again but
    for picture 0, to which others are fitted.
    """

    fps: int
    first: int = 0

    def pictures(self, frame: int) -> list[int]:
        """The pictures that are to be made of a frame: none, one or several."""
        start, end = (-(-(2 * frame + side) * self.fps // (2 * FRAME_RATE_HZ)) for side in (-1, 1))
        return [k for k in range(max(start, 0), end) if k == 0 or k >= self.first]

    def wanted(self, progress: Callable[[int, int | None], None] | None, length_s: float) -> Callable[[int], bool]:
        """Whether a frame becomes a picture; tells ``progress`` how many of them all are passed that are there already."""

        def wanted(frame: int) -> bool:
            passed = frame * self.fps // FRAME_RATE_HZ
            if progress is not None and 0 < passed < self.first:
                progress(passed, math.ceil(length_s * self.fps))
            return bool(self.pictures(frame))

        return wanted
