"""What gives way under load: first every second picture, then every third, then the size of the encoded picture."""

from __future__ import annotations

from talkinghead.constants import FRAME_RATE_HZ, SIZE_PX

_LEVELS = ((1, 1), (2, 1), (3, 1), (3, 2))
"""Of each level: one picture is drawn in so many frames; the size is divided by."""
FRAME_MS = 1000 / FRAME_RATE_HZ
_SMOOTH = 1 / 20
"""Share of a new frame in the means: half a second."""
_LONGEST_MS = 4 * FRAME_MS
"""A single stall counts as no more."""
_DOWN_LOAD, _UP_LOAD = 0.97, 0.92
_DOWN_LATE, _UP_LATE = 0.15, 0.02
_DOWN_FRAMES = 10
_SETTLE_FRAMES = 20
_UP_FRAMES = 4 * FRAME_RATE_HZ
_LONGEST_UP_FRAMES = 60 * FRAME_RATE_HZ
_RELAPSE_FRAMES = 10 * FRAME_RATE_HZ


class Ladder:
    """Counts what each frame cost and says which frames to draw.

    Down a level after a quarter of a second of overload: the worker is busy all the time, or pictures come too late. Up after
    four seconds in which the level above would have fitted; a climb that did not last doubles that wait, up to a minute.
    """

    def __init__(self) -> None:
        self.level = 0
        """0: 40 pictures a second; 1: 20; 2 and 3: 13.3; at 3 they are to be encoded at half size."""
        self._base_ms = self._draw_ms = 0.0
        self._late = 0.0
        self._over = self._calm = 0
        self._since_change = self._since_climb = _RELAPSE_FRAMES
        self._wait_frames = _UP_FRAMES

    @property
    def size_px(self) -> int:
        """Side of the picture to encode."""
        return SIZE_PX // _LEVELS[self.level][1]

    def draws(self, index: int) -> bool:
        """Whether the frame of this number gets a picture."""
        return index % _LEVELS[self.level][0] == 0

    def frame(self, base_ms: float, draw_ms: float | None, late: bool) -> None:
        """A frame is done: what its features and motion took, what its picture did (None: not drawn), and whether it should have
        been drawn but was too late."""
        self._base_ms += _SMOOTH * (min(base_ms, _LONGEST_MS) - self._base_ms)
        self._late += _SMOOTH * (float(late) - self._late)
        if draw_ms is not None:  # the first one counts whole, later ones as often as they come
            share = min(1.0, _SMOOTH * _LEVELS[self.level][0]) if self._draw_ms else 1.0
            self._draw_ms += share * (min(draw_ms, _LONGEST_MS) - self._draw_ms)
        self._since_change += 1
        self._since_climb += 1
        over = self._load(self.level) > _DOWN_LOAD or self._late > _DOWN_LATE
        self._over = self._over + 1 if over else 0
        calm = self.level > 0 and self._late < _UP_LATE and self._load(self.level - 1) < _UP_LOAD
        self._calm = self._calm + 1 if calm else 0
        if self._over >= _DOWN_FRAMES and self._since_change >= _SETTLE_FRAMES:
            self._step_down()
        elif self._calm >= self._wait_frames:
            self._step_up()

    def _load(self, level: int) -> float:
        """Share of the time that the worker would be busy."""
        return (self._base_ms + self._draw_ms / _LEVELS[level][0]) / FRAME_MS

    def _step_down(self) -> None:
        if self.level == len(_LEVELS) - 1:
            return
        relapse = self._since_climb < _RELAPSE_FRAMES
        self._wait_frames = min(2 * self._wait_frames, _LONGEST_UP_FRAMES) if relapse else _UP_FRAMES
        self._change(self.level + 1)

    def _step_up(self) -> None:
        self._since_climb = 0
        self._change(self.level - 1)

    def _change(self, level: int) -> None:
        self.level, self._since_change, self._over, self._calm, self._late = level, 0, 0, 0, 0.0
