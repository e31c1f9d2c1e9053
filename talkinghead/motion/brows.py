"""Brows that underline what is said: raises that begin with some of a voice's accents.

Of voices that it does not know the network hardly moves the brows, since it is never sure of them, and a face that speaks under
still brows looks dead. Raises go with accents and rising pitch (Cave et al. 1996; Flecha-Garcia 2010). How many of them, how high
and how long lies between lively people (sharp clips of `train`: 22 a minute, 0.012 of a face height, a second) and one who reads
aloud (GRID: 4, 0.006, 0.6 s; `benchmarks/motion.py --only brows --split train`).
"""

from __future__ import annotations

import math

import numpy as np

from talkinghead.constants import FRAME_RATE_HZ, POINTS
from talkinghead.motion.latent import BROWS, LatentModel
from talkinghead.motion.moments import Moments
from talkinghead.motion.ramp import smooth
from talkinghead.motion.style import code_of

_CHANCE, _APART_S = 0.22, 1.2
"""Of an accent to be underlined, and how long after the last raise at least."""
_HEIGHT_FH, _SPREAD, _BOUNDS_FH = 0.0075, 0.45, (0.004, 0.018)
"""Log-normal, face heights."""
_RISE_S, _HOLD_S, _FALL_S = 0.20, (0.05, 0.50), 0.45
_ACCENT = 0.5
"""How far loudness stands out of the voice's own, in its deviations."""
_PRIOR_S, _MEMORY_S = 1.0, 6.0
_PRIOR_LOUD, _PRIOR_DEVIATION = 1.2, 0.5
_LOUD_S = 0.05


def brow_row(latent: LatentModel) -> np.ndarray:
    """How z_dyn raises the brows: (D,), face heights a unit."""
    return np.asarray(-latent.basis_dyn[:, list(BROWS), 1].mean(axis=1))


def raised_brows(latent: LatentModel) -> np.ndarray:
    """The step (D,) of z_dyn that raises brows by a face height and moves the rest of the face as little as may be."""
    wanted = np.zeros((POINTS, 3))
    wanted[list(BROWS), 1] = -1.0
    step = code_of(latent, wanted).astype(np.float64)
    return np.asarray(step / float(step @ brow_row(latent)))


class Brows:
    """How far the brows are raised, frame by frame."""

    def reset(self, seed: np.random.SeedSequence) -> None:
        """Begin anew: no voice was heard."""
        self._rng = np.random.default_rng(seed)
        self._usual = Moments(_PRIOR_LOUD, _PRIOR_DEVIATION, _PRIOR_S, _MEMORY_S)
        self._loud, self._stood_out = 0.0, False
        self._at_s = math.inf  # since the last raise began
        self._height_fh = self._hold_s = self._left_fh = 0.0

    def step(self, gate: float, loud: float) -> float:
        """One frame: face heights. gate: 0 silence to 1 speech; loud: beside the voice's own level, as in `EncodedSpeech`."""
        chance, hold = self._rng.random(2).tolist()
        size = float(self._rng.standard_normal())
        if self._accent(gate, loud) and self._at_s >= _APART_S and chance < _CHANCE:
            self._left_fh, self._at_s = self._height(), 0.0
            self._height_fh = min(max(_HEIGHT_FH * math.exp(_SPREAD * size), _BOUNDS_FH[0]), _BOUNDS_FH[1])
            self._hold_s = _HOLD_S[0] + hold * (_HOLD_S[1] - _HOLD_S[0])
        self._at_s += 1 / FRAME_RATE_HZ
        if gate < 0.5 and _RISE_S < self._at_s < _RISE_S + self._hold_s:
            self._hold_s = self._at_s - _RISE_S  # they fall when the voice falls silent
        return self._height()

    def _accent(self, gate: float, loud: float) -> bool:
        """Whether the voice begins to stand out of itself."""
        self._loud += (loud - self._loud) / (_LOUD_S * FRAME_RATE_HZ)
        stands_out = gate > 0.5 and self._loud > self._usual.mean + _ACCENT * self._usual.deviation
        begins, self._stood_out = stands_out and not self._stood_out, stands_out
        self._usual.add(loud, gate)
        return begins

    def _height(self) -> float:
        if self._at_s <= _RISE_S:
            up = smooth(self._at_s / _RISE_S)
            return self._left_fh + up * (self._height_fh - self._left_fh)
        return self._height_fh * (1 - smooth((self._at_s - _RISE_S - self._hold_s) / _FALL_S))
