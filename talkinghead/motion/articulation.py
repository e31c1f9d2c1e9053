"""How wide a voice is spoken: a slow automatic gain on the lips.

A network that does not know a voice well keeps the lips near their mean course, so that strangers would mumble. Over some
seconds of speech the width of the lips' opening is measured and brought up to what people usually show; clear, wide speech is
left as it is.
"""

from __future__ import annotations

from talkinghead.constants import FRAME_RATE_HZ

USUAL_SD_FH = 0.036
"""Standard deviation of the opening in speech, face heights: what the gain aims at."""
LARGEST_GAIN = 1.4
_PRIOR_S = 1.5
"""Seconds of usual speech that a voice is taken to have spoken before it is heard: the first words are not changed."""
_PRIOR_MEAN_FH = 0.03
_MEMORY_S = 5.0


class Articulation:
    """Running moments of the opening, in speech alone."""

    def __init__(self) -> None:
        self._keep = 1 - 1 / (_MEMORY_S * FRAME_RATE_HZ)
        self.reset()

    def reset(self) -> None:
        """A voice that was not heard yet."""
        self._weight = _PRIOR_S * FRAME_RATE_HZ
        self._sum = self._weight * _PRIOR_MEAN_FH
        self._squares = self._weight * (_PRIOR_MEAN_FH**2 + USUAL_SD_FH**2)

    def gain(self, opening_fh: float, gate: float) -> float:
        """The factor, 1 to LARGEST_GAIN, for a frame whose lips are ``opening_fh`` further open than at rest; ``gate`` 0 to 1
        says how far it is speech."""
        keep = 1 - gate * (1 - self._keep)
        self._weight = keep * self._weight + gate
        self._sum = keep * self._sum + gate * opening_fh
        self._squares = keep * self._squares + gate * opening_fh**2
        mean = self._sum / self._weight
        deviation = max(self._squares / self._weight - mean**2, 1e-8) ** 0.5
        return min(max(USUAL_SD_FH / deviation, 1.0), LARGEST_GAIN)
