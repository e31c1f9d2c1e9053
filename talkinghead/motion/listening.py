"""Listening: while the other party speaks, the eyes stay on them, and the head nods where they pause.

Nobody recorded both sides of a conversation for this project, so that these are rules and not learned. Listeners answer with
nods mostly where a speaker's phrase ends (Dittmann and Llewellyn 1968; Yngve 1970); ordinary nods go at 1.8 to 3.7 Hz (Hadar,
Steiner and Rose 1985); listeners look at the other for most of the time, speakers for less than half of it (Argyle 1976).
"""

from __future__ import annotations

import math

import numpy as np

from talkinghead.constants import FRAME_RATE_HZ
from talkinghead.motion.ramp import Ramp

_NOD_HZ = (1.8, 2.8)
_NOD_DEG = (2.2, 4.5)
_CYCLES = (1, 1, 2, 2, 3)
_FADING = 0.62  # of one nod to the next
_PHRASE_S, _PAUSE_S = 1.2, 0.2
"""What must have been said before a pause is answered, and how long it must last: the closure of a t or k is shorter."""
_APART_S = 2.5
_ANSWERED = 0.75
_LONG_S, _HAZARD_HZ = 5.0, 0.12
"""Somebody who speaks on without a pause is nodded at now and then."""
_ATTENTION_S, _MEMORY_S = 0.2, 2.0


class Listening:
    """One listener, frame by frame. Nothing happens, and no motion is changed, while nobody else is heard."""

    def __init__(self) -> None:
        self._looking = Ramp(_ATTENTION_S)

    def reset(self, seed: np.random.SeedSequence) -> None:
        """Begin anew: nobody was heard."""
        self._rng = np.random.default_rng(seed)
        self._looking.reset([0.0])
        self._said_s, self._quiet_s, self._since_s = 0.0, _MEMORY_S, _APART_S
        self._nod: _Nod | None = None

    def step(self, other: float, own: float) -> tuple[float, float]:
        """One frame. other: how surely the other party speaks, 0 to 1; own: the same of this voice, which is not to be nodded
        through. Returns the head's nod, radians down, and attention, 0 to 1."""
        chance, kind, size, pace = self._rng.random(4).tolist()
        frame_s = 1 / FRAME_RATE_HZ
        speaks = other > 0.5
        paused = not speaks and self._quiet_s < _PAUSE_S <= self._quiet_s + frame_s
        self._said_s += frame_s if speaks else 0.0
        self._quiet_s = 0.0 if speaks else min(self._quiet_s + frame_s, _MEMORY_S)
        attention = self._looking.step([1.0 if self._quiet_s < _MEMORY_S else 0.0])[0]
        phrase = paused and self._said_s >= _PHRASE_S and chance < _ANSWERED
        long = speaks and self._said_s >= _LONG_S and chance < _HAZARD_HZ * frame_s
        self._since_s += frame_s
        if self._since_s >= _APART_S and own < 0.1 and (phrase or long):
            self._since_s = 0.0
            self._nod = _Nod(_CYCLES[int(kind * len(_CYCLES))], _between(_NOD_DEG, size), _between(_NOD_HZ, pace))
        if phrase or long:
            self._said_s = 0.0
        return self._down(own), attention

    def _down(self, own: float) -> float:
        if self._nod is None:
            return 0.0
        angle_rad = self._nod.step() * (1 - own)
        if self._nod.done:
            self._nod = None
        return angle_rad


class _Nod:
    """So many dips of the head, each smaller than the one before."""

    def __init__(self, cycles: int, first_deg: float, rate_hz: float) -> None:
        self._cycles, self._first_rad, self._rate_hz = cycles, math.radians(first_deg), rate_hz
        self._at_s = 0.0

    @property
    def done(self) -> bool:
        return self._at_s * self._rate_hz >= self._cycles

    def step(self) -> float:
        """The next frame's angle, radians down."""
        self._at_s += 1 / FRAME_RATE_HZ
        phase = self._at_s * self._rate_hz
        if phase >= self._cycles:
            return 0.0
        return self._first_rad * _FADING ** int(phase) * (1 - math.cos(2 * math.pi * phase)) / 2


def _between(ends: tuple[float, float], share: float) -> float:
    return ends[0] + share * (ends[1] - ends[0])
