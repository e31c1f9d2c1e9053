"""Ramps: values that follow their targets without a jump or a kink."""

from __future__ import annotations

import math
from collections.abc import Sequence

from talkinghead.constants import FRAME_RATE_HZ

_STAGES = 3
_ARRIVED = 1e-7


def decay(time_s: float) -> float:
    """Share kept in a frame by a process of this time constant."""
    return math.exp(-1.0 / (FRAME_RATE_HZ * time_s))


def smooth(share: float) -> float:
    """From 0 at 0 and below to 1 at 1 and above, without a kink."""
    share = min(1.0, max(0.0, share))
    return share * share * (3 - 2 * share)


class Ramp:
    """Follows targets without a jump or a kink: three leaky averages in a row. The first target is taken at once."""

    def __init__(self, time_s: float) -> None:
        self._share = 1 - decay(time_s)
        self._stages: list[list[float]] = []
        self._arrived: list[float] | None = None

    def reset(self, start: Sequence[float] = ()) -> None:
        """Begin at ``start``, or at the first target."""
        self._stages = [[float(v)] * _STAGES for v in start]
        self._arrived = None

    def step(self, targets: Sequence[float]) -> list[float]:
        """One frame toward the targets, as many as ever. Plain floats: for a handful of numbers they are faster than arrays."""
        if targets == self._arrived:
            return self._arrived
        if not self._stages:
            self.reset(targets)
        left = 0.0
        for value, stages in zip(targets, self._stages, strict=True):
            for i, stage in enumerate(stages):
                left += abs(value - stage)
                value = stages[i] = stage + self._share * (value - stage)
        self._arrived = list(targets) if left < _ARRIVED else None
        return self._arrived or [stages[-1] for stages in self._stages]
