"""Sound from any rate to any other with next to no delay.

A streaming resampler from a library works in blocks: soxr 1.1 keeps back 7 to 37 ms of 48 kHz sound on its way to 16 kHz, as long
as half of the whole look-ahead. Here an output sample needs 24 samples of the lower rate after its own time (1.5 ms at 16 kHz).
Band-limited interpolation after J. O. Smith, "Digital Audio Resampling" (2002): a sinc under a Kaiser window, tabulated.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

_HALF_WIDTH = 24
"""Zero crossings of the sinc on each side."""
_ROLL_OFF = 0.93
"""Pass band as a share of the lower rate's: the window's slope ends where aliases would begin (6 dB down at 7.4 kHz of 16)."""
_KAISER_BETA = 6.2  # stop band about 65 dB down
_PHASES = 1024


class Resampler:
    """Mono float32 stream: output sample n is the input's at time ``n / rate_out``, however it is cut into pushes."""

    def __init__(self, rate_in: int, rate_out: int) -> None:
        shared = math.gcd(rate_in, rate_out)
        self._up, self._down = rate_out // shared, rate_in // shared
        narrow = min(1.0, rate_out / rate_in)
        self._reach = math.ceil(_HALF_WIDTH / narrow)
        phases = min(self._up, _PHASES)
        offset = np.arange(1 - self._reach, self._reach + 1) - np.arange(phases)[:, None] / phases
        window = np.i0(_KAISER_BETA * np.sqrt(np.maximum(0.0, 1 - (offset / self._reach) ** 2)))
        taps = np.sinc(_ROLL_OFF * narrow * offset) * window
        self._taps = (taps / taps.sum(1, keepdims=True)).astype(np.float32)
        self._kept = np.zeros(self._reach, np.float32)
        self._first = -self._reach
        """Index of the first sample kept, in the input's count."""
        self._made = 0

    def push(self, samples: np.ndarray) -> np.ndarray:
        """Float32 (n,) to the samples that can be told now."""
        kept = np.concatenate([self._kept, samples])
        # Output n needs input up to base(n) + reach, where base(n) = n * down // up.
        last_base = self._first + len(kept) - 1 - self._reach
        stop = max(self._made, -(-(last_base + 1) * self._up // self._down))
        if stop == self._made:
            self._kept = kept
            return np.zeros(0, np.float32)
        position = np.arange(self._made, stop, dtype=np.int64) * self._down
        base, phase = position // self._up, position % self._up * len(self._taps) // self._up
        windows = sliding_window_view(kept, 2 * self._reach)[base + 1 - self._reach - self._first]
        made = np.einsum("ij,ij->i", windows, self._taps[phase])
        self._made = stop
        done = stop * self._down // self._up + 1 - self._reach - self._first
        self._kept, self._first = kept[done:], self._first + done
        self._rewind()
        return made

    def flush(self) -> np.ndarray:
        """The samples still due, as if silence followed."""
        return self.push(np.zeros(self._reach, np.float32))

    def _rewind(self) -> None:
        """Count from a later sample, so that numbers stay small however long the stream is."""
        turns = self._made // self._up
        self._made -= turns * self._up
        self._first -= turns * self._down


class Converter:
    """One sound for two hearers: 16 kHz for the networks, 48 kHz for ears. Sample n of the first is sample 3 n of the second."""

    MODEL_HZ, EAR_HZ = 16_000, 48_000

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self._model = None if rate == self.MODEL_HZ else Resampler(rate, self.MODEL_HZ)
        self._ear = None if rate == self.EAR_HZ else Resampler(rate, self.EAR_HZ)

    def push(self, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Float32 (n,) to what is ready for each; one may be ahead of the other by a few ms."""
        model = samples if self._model is None else self._model.push(samples)
        return model, samples if self._ear is None else self._ear.push(samples)

    def flush(self) -> tuple[np.ndarray, np.ndarray]:
        """What is still due for each."""
        nothing = np.zeros(0, np.float32)
        return (
            nothing if self._model is None else self._model.flush(),
            nothing if self._ear is None else self._ear.flush(),
        )
