"""The output clock: when each frame is due. It never resets, whatever happens to sound and pictures."""

from __future__ import annotations

import math

from talkinghead.constants import FRAME_RATE_HZ

FRAME_S = 1 / FRAME_RATE_HZ
SKIP_AFTER_S = 1.0
"""A lag up to this is caught up with frame by frame, without pictures; beyond it the clock skips ahead."""


class OutputClock:
    """Frame k is due at ``start_s + k / 40``, in seconds of the clock that the session runs on."""

    def __init__(self, start_s: float) -> None:
        self._start_s = start_s
        self.index = 0
        """Of the frame that is next."""
        self.skipped = 0
        """Frame numbers that were never used."""

    @property
    def due_s(self) -> float:
        """When the next frame is due."""
        return self._start_s + self.index / FRAME_RATE_HZ

    def tick(self) -> None:
        """The next frame went out."""
        self.index += 1

    def catch_up(self, now_s: float) -> int:
        """After a gap of more than SKIP_AFTER_S (the machine slept) go on with the frame that is due now; returns how many were
        left out."""
        if now_s - self.due_s <= SKIP_AFTER_S:
            return 0
        index = math.ceil((now_s - self._start_s) * FRAME_RATE_HZ - 1e-6)
        skipped = index - self.index
        self.index, self.skipped = index, self.skipped + skipped
        return skipped
