"""Head motion: a stationary process of two time scales, breathing, nods on accents of speech, and the controls."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from talkinghead.constants import FRAME_RATE_HZ
from talkinghead.motion.latent import POSE_SIZE

LIMIT = np.array([0.26, 0.38, 0.24, 0.18, 0.15, 0.12])
"""What sampled motion never passes: radians, face heights, log scale."""

_BREATH_HZ = 0.26
_BREATH = np.array([0.0022, 0.0, 0.0, 0.0, -0.0018, 0.0012])
_BREATH_WANDER = 0.03
_MOOD_S = 2.5
_MOOD = 0.35
_STATE_S = 0.35
_NOD = 0.03  # radians, of a full accent
_STAGES = 3
_WARM_TIMES = 12
_ARRIVED = 1e-7


def decay(time_s: float) -> float:
    """Share kept in a frame by a process of this time constant."""
    return math.exp(-1.0 / (FRAME_RATE_HZ * time_s))


def unit_gain(keep: float) -> float:
    """Gain that gives three leaky averages in a row, fed with unit noise, unit variance."""
    return float(1 / np.sqrt((response_of(keep) ** 2).sum()))


def response_of(keep: float) -> np.ndarray:
    """What three leaky averages in a row answer to one impulse (n,), until it has died away."""
    k = np.arange(int(30 / (1 - keep)) + 8)
    return (1 - keep) ** _STAGES * (k + 1) * (k + 2) / 2 * keep**k


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


class Drift:
    """One smooth stationary unit process, like a `Wander` of one, in plain floats."""

    def __init__(self, time_s: float) -> None:
        keep = decay(time_s)
        self._gain = unit_gain(keep)
        self._ramp = Ramp(time_s)
        self._warm = int(_WARM_TIMES * FRAME_RATE_HZ * time_s)

    def reset(self, rng: np.random.Generator) -> None:
        """Draw a start: the process as it is after having run for long."""
        self._ramp.reset([0.0])
        for noise in rng.standard_normal(self._warm).tolist():
            self.step(noise)

    def step(self, noise: float) -> float:
        """One frame from unit noise."""
        return self._ramp.step([noise * self._gain])[0]


class Wander:
    """Independent smooth stationary unit processes: noise through three leaky averages, starting in their own distribution."""

    def __init__(self, time_s: np.ndarray) -> None:
        self._keep = np.array([decay(t) for t in time_s])
        gains = {t: unit_gain(decay(t)) for t in set(time_s.tolist())}
        self._gain = np.array([gains[t] for t in time_s.tolist()])
        self._warm = int(_WARM_TIMES * FRAME_RATE_HZ * max(time_s))
        self._stages = np.zeros((_STAGES, len(time_s)))

    def reset(self, rng: np.random.Generator) -> None:
        """Draw a start: the process as it is after having run for long."""
        self._stages = np.zeros_like(self._stages)
        for noise in rng.standard_normal((self._warm, len(self._keep))):
            self.step(noise)

    def step(self, noise: np.ndarray) -> np.ndarray:
        """One frame from unit noise (k,)."""
        value = noise * self._gain
        share = 1 - self._keep
        for stage in self._stages:
            stage += share * (value - stage)
            value = stage
        return value


class Head:
    """z_pose frame by frame. Bounded by `LIMIT` but for what the controls ask."""

    def __init__(self, talking: np.ndarray, silent: np.ndarray, time_s: np.ndarray) -> None:
        """talking, silent (2, 6, 6): mixing of the slow and the fast process; time_s (2,)."""
        self._talking = np.concatenate(list(talking), 1)
        self._silent = np.concatenate(list(silent), 1)
        self._wander = Wander(np.repeat(time_s, POSE_SIZE))
        self._mood = Drift(_MOOD_S)
        self._state = Ramp(_STATE_S / 3)
        self._nod = Ramp(0.045)

    def reset(self, seed: np.random.SeedSequence) -> None:
        self._rng = np.random.default_rng(seed)
        self._wander.reset(self._rng)
        self._mood.reset(self._rng)
        self._state.reset()
        self._nod.reset([0.0])
        self._phase = float(self._rng.uniform(0, 2 * math.pi))

    def step(self, voice: float, accent: float, calm: float) -> np.ndarray:
        """Sampled pose (6,): ``voice`` and ``accent`` 0..1 of this frame's speech; ``calm`` 0..1 draws the head to rest."""
        draws = self._rng.standard_normal(2 * POSE_SIZE + 2)
        waves = self._wander.step(draws[: 2 * POSE_SIZE])
        drift, wobble = draws[-2:].tolist()
        mood = math.exp(_MOOD * min(2.0, max(-2.0, self._mood.step(drift))))
        state = self._state.step([voice])[0]
        # Two matrix products of one fixed size, not one of many frames: the same bits however the sound is cut.
        pose = (state * (self._talking @ waves) + (1 - state) * (self._silent @ waves)) * mood
        pose[0] += _NOD * mood * self._nod.step([accent])[0]
        pose = LIMIT * np.tanh(pose * ((1 - calm) / LIMIT))
        self._phase += 2 * math.pi * _BREATH_HZ / FRAME_RATE_HZ * (1 + _BREATH_WANDER * wobble)
        self._phase %= 2 * math.pi
        return pose + _BREATH * math.sin(self._phase)
