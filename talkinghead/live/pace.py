"""How early the sound of a running source comes: is it a microphone, and could it be spoken sooner?"""

from __future__ import annotations

from collections import deque

MARGIN_S = 0.002
"""How early, at the worst, the sound of a live source is aimed to be there before it must be fed."""
_LIVE_AFTER_S = 1.0
_LIVE_WITHIN_S = 0.15
_ANEW_AFTER_S = 10.0
_BREAK_S = 1.0
_WINDOW_FRAMES = 80
_SLACK_S, _LACK_S = 0.005, 0.015


class Pace:
    """Watches one source.

    A source is live when it has pushed as much sound as time has passed, for a second: a microphone, not a file and not a
    synthetic voice, which push what they have. Its surplus is the time that even its latest sound of the last two seconds came
    too early: a clock that runs fast adds to it bit by bit, and so does every gap that silence filled. A clock that runs slow
    takes from it, until the sound would come too late.
    """

    def __init__(self) -> None:
        self.told: bool | None = None
        """Whether the source is live, if whoever pushes knows."""
        self._since_s = self._last_s = -1e9
        self._pushed_s = 0.0
        self._live = False
        self._margins: deque[float] = deque(maxlen=_WINDOW_FRAMES)

    @property
    def live(self) -> bool:
        return self._live if self.told is None else self.told

    @property
    def last_s(self) -> float:
        """When sound came last."""
        return self._last_s

    def pushed(self, now_s: float, length_s: float, told: bool | None) -> None:
        """Sound came; told: whether its source is live, None where that is to be found out."""
        self.told = told
        if now_s - self._last_s > _BREAK_S:
            self._since_s, self._pushed_s, self._live = now_s, 0.0, False
        else:  # the first chunk tells no time
            self._pushed_s += length_s
        self._last_s = now_s
        elapsed_s = now_s - self._since_s
        if elapsed_s >= _LIVE_AFTER_S:
            self._live = abs(self._pushed_s - elapsed_s) < _LIVE_WITHIN_S
        if elapsed_s >= _ANEW_AFTER_S:  # else the drift of its clock would add up
            self._since_s, self._pushed_s = now_s, 0.0

    def fed(self, margin_s: float) -> None:
        """The last sound of a frame had been there so long before it had to be."""
        self._margins.append(margin_s)

    def surplus_s(self) -> float:
        """What may be taken out of a live source's sound, or, below 0, is to be put in; 0.0 while that is not known."""
        if not self.live or len(self._margins) < _WINDOW_FRAMES:
            return 0.0
        least_s = min(self._margins)
        return least_s - MARGIN_S if least_s > MARGIN_S + _SLACK_S or least_s < -_LACK_S else 0.0

    def moved(self, earlier_s: float | None = None) -> None:
        """Sound was taken out, so that the rest is spoken so much earlier; None: margins count anew."""
        kept = [] if earlier_s is None else [margin_s - earlier_s for margin_s in self._margins]
        self._margins = deque(kept, maxlen=_WINDOW_FRAMES)


def lead_in_s(first_s: float, deadline_s: float, left_s: float) -> float:
    """Silence to put before the sound of a source that begins, so that none of it will come too late.

    Its first chunk came at first_s; the ``left_s`` of sound that the next frame still needs must be there at deadline_s, and
    each further frame's a frame later. Chunks arrive whole: a sample may come as late as its time in the stream after first_s.
    """
    return max(0.0, left_s + MARGIN_S - (deadline_s - first_s))
