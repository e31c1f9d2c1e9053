"""How wide a voice is spoken: a slow automatic gain on the lips.

A network that does not know a voice well keeps the lips near their mean course, so that strangers would mumble. Over some
seconds of speech the width of the lips' opening is measured and brought up to what people usually show; clear, wide speech is
left as it is.
"""

from __future__ import annotations

from talkinghead.motion.moments import Moments

USUAL_SD_FH = 0.036
"""Standard deviation of the opening in speech, face heights: what the gain aims at."""
LARGEST_GAIN = 1.4
_PRIOR_S = 1.5
"""Seconds of usual speech that a voice is taken to have spoken before it is heard: the first words are not changed."""
_PRIOR_MEAN_FH = 0.03
_MEMORY_S = 5.0
_LEAST_SD_FH = 1e-4


class Articulation:
    """Brings the opening of timid lips up, in speech alone."""

    def __init__(self) -> None:
        self._opening = Moments(_PRIOR_MEAN_FH, USUAL_SD_FH, _PRIOR_S, _MEMORY_S)

    def reset(self) -> None:
        """A voice that was not heard yet."""
        self._opening.reset()

    def gain(self, opening_fh: float, gate: float) -> float:
        """The factor, 1 to LARGEST_GAIN, for a frame whose lips are ``opening_fh`` further open than at rest; ``gate`` 0 to 1
        says how far it is speech."""
        self._opening.add(opening_fh, gate)
        return min(max(USUAL_SD_FH / max(self._opening.deviation, _LEAST_SD_FH), 1.0), LARGEST_GAIN)
