"""Mean and deviation of what a voice does, over its last seconds of speech."""

from __future__ import annotations

from talkinghead.constants import FRAME_RATE_HZ


class Moments:
    """Running moments of a value at 40 Hz: each frame counts by how far it is speech."""

    def __init__(self, mean: float, deviation: float, prior_s: float, memory_s: float) -> None:
        """What a voice is taken to have done for so many seconds before it is heard; older than ``memory_s`` fades."""
        self._prior = (mean, deviation**2, prior_s * FRAME_RATE_HZ)
        self._longest = memory_s * FRAME_RATE_HZ
        self.reset()

    def reset(self) -> None:
        """A voice that was not heard yet."""
        self.mean, self._variance, self._weight = self._prior

    @property
    def deviation(self) -> float:
        """Standard deviation."""
        return max(self._variance, 0.0) ** 0.5

    def add(self, value: float, gate: float) -> None:
        """A frame, ``gate`` 0 silence to 1 speech."""
        self._weight = min(self._weight + gate, self._longest)
        share = gate / self._weight
        apart = value - self.mean
        self.mean += share * apart
        self._variance += share * ((1 - share) * apart * apart - self._variance)
