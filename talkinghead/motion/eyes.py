"""Eyes: blinks at random times with a learned course, fixations and saccades round a target."""

from __future__ import annotations

import math

import numpy as np

from talkinghead.constants import FRAME_RATE_HZ
from talkinghead.motion.latent import LatentModel
from talkinghead.motion.ramp import Ramp

EYE_LIMIT_DEG = (24.0, 16.0)
"""How far the eyes turn in the head, right and up."""
EYEBALL_RADIUS_FH = 0.072
"""Iris to the eye's centre of turning, 12 mm, over a face of 165 mm."""
IRIS_AND_CORNERS = ((468, 33, 133), (473, 263, 362))

_REFRACTORY_S = 0.7
_FIRST_S = (0.1, 0.7)
"""No blink so early: whoever is met has blinked some time ago, as at any other instant."""
_DOUBLE_CHANCE = 0.08
_DOUBLE_REFRACTORY_S = 0.15
_FIXATION_S = (0.30, 0.9)  # the least, and the mean of what comes on top
_NEAR_DEG = (1.5, 0.9)
_GLANCE_DEG = (6.0, 3.0)
_GLANCE_CHANCE = {"talking": 0.10, "silent": 0.16}
_HELD_GAZE = 0.8
"""Of the glances aside, those that a listener leaves out."""
_SACCADE_S = 0.020  # of each of three averages: the eyes arrive within about 75 ms


def looks_of(latent: LatentModel) -> np.ndarray:
    """How z_dyn turns the eyes: (D, 2), degrees right and up a unit, by the irises between their eyes' corners."""
    moves = latent.basis_dyn.astype(np.float64)
    offsets = [moves[:, iris, :2] - (moves[:, a, :2] + moves[:, b, :2]) / 2 for iris, a, b in IRIS_AND_CORNERS]
    return np.mean(offsets, 0) * [1, -1] / math.radians(EYEBALL_RADIUS_FH)


class Blinks:
    """Lid closure by frame, 0 open to 1 shut."""

    def __init__(self, curve: np.ndarray, per_min: float) -> None:
        """curve (n,): course of one blink; per_min: natural rate."""
        self._curve = [float(v) for v in curve]
        spare_s = max(0.2, 60.0 / per_min - _REFRACTORY_S - len(curve) / FRAME_RATE_HZ)
        self._hazard = 1 / (spare_s * FRAME_RATE_HZ)

    def reset(self, seed: np.random.SeedSequence) -> None:
        self._rng = np.random.default_rng(seed)
        self._at = len(self._curve)
        self._wait = int(self._rng.uniform(*_FIRST_S) * FRAME_RATE_HZ)
        self._depth = 1.0

    def step(self, rate: float) -> float:
        """One frame at ``rate`` times the natural rate."""
        start, again, depth = self._rng.random(3).tolist()
        if self._at < len(self._curve):
            self._at += 1
            if self._at == len(self._curve):
                double = again < _DOUBLE_CHANCE
                self._wait = int((_DOUBLE_REFRACTORY_S if double else _REFRACTORY_S) * FRAME_RATE_HZ)
        elif self._wait > 0:
            self._wait -= 1
        elif start < 1 - math.exp(-self._hazard * rate):
            self._at, self._depth = 0, 0.92 + 0.08 * depth
        return self._depth * self._curve[self._at] if self._at < len(self._curve) else 0.0


class Gaze:
    """Where the eyes look beside their target, in degrees: fixations close by, and now and then a glance aside."""

    def __init__(self) -> None:
        self._eyes = Ramp(_SACCADE_S)

    def reset(self, seed: np.random.SeedSequence) -> None:
        self._rng = np.random.default_rng(seed)
        self._eyes.reset([0.0, 0.0])
        self._aim = [0.0, 0.0]
        self._held = 0

    def step(self, voice: float, attention: float = 0.0) -> list[float]:
        """One frame: offset from the target, degrees right and up. attention: to whoever speaks, 0 to 1."""
        leave, kind = self._rng.random(2).tolist()
        right, up = self._rng.standard_normal(2).tolist()
        self._held += 1
        if self._held > _FIXATION_S[0] * FRAME_RATE_HZ and leave < 1 / (_FIXATION_S[1] * FRAME_RATE_HZ):
            chance = voice * _GLANCE_CHANCE["talking"] + (1 - voice) * _GLANCE_CHANCE["silent"]
            size = _GLANCE_DEG if kind < (1 - _HELD_GAZE * attention) * chance else _NEAR_DEG
            self._aim = [min(2.0, max(-2.0, right)) * size[0], min(2.0, max(-2.0, up)) * size[1]]
            self._held = 0
        return self._eyes.step(self._aim)
