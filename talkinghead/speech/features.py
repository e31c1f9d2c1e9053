"""Sound to features at 40 Hz, streamed: log-mel rows with level and microphone colour taken off, and voice activity.

Row k belongs to samples [400 k, 400 k + 400) and is told by these and the 200 samples before: no look-ahead. Each row is computed
by itself with arrays of one fixed size, so that the rows are the same bits however the sound is cut into chunks.

Three slow causal trackers, all in decibels, stand between the mel bands and the rows:

- *level*: the loudness of this voice, so that gain does not matter. Rises within 50 ms, falls a decibel a second of voice.
- *colour*: the mean spectrum of this voice through this microphone, from a common prior, over about ten seconds of voice.
- *floor*: the loudness of the room. Voice is what stands well above the floor and not far under the level.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from talkinghead.constants import FRAME_RATE_HZ, SAMPLE_RATE_HZ, SAMPLES_PER_FRAME

BANDS = 40
SUB_FRAMES = 2
"""Windows of 25 ms in a row, 12.5 ms apart."""
FEATURES = BANDS * SUB_FRAMES + 2
"""Length of a row: the bands of each window, loudness, voice. All are near 0 in silence and at most about 3."""

_HOP = SAMPLES_PER_FRAME // SUB_FRAMES
_WINDOW = SAMPLES_PER_FRAME
_FFT = 512
_LOW_HZ, _HIGH_HZ = 80.0, 7600.0
_POWER_FLOOR = 1e-12  # -120 dBFS: below what 16 bits hold
_DEPTH_DB = 35.0  # what lies deeper under the voice's own mean is silence
_UNIT_DB = 20.0
_TOP_DB = 30.0

_LEVEL_START_DB = -45.0
_LEVEL_RISE = 0.4  # of the way, a frame
_LEVEL_FALL_DB = 1.0 / FRAME_RATE_HZ
_FLOOR_START_DB = -62.0
_FLOOR_FALL = 0.25
_FLOOR_RISE_DB = 4.0 / FRAME_RATE_HZ
_COLOUR_PRIOR_FRAMES = 60.0
_COLOUR_FRAMES = 400.0
_VOICE_OVER_FLOOR_DB = 8.0
_VOICE_UNDER_LEVEL_DB = 27.0
_VOICE_RAMP_DB = 6.0

# Mean level of a band of speech under the voice's level, dB (all training voices): where `colour` starts.
_PRIOR_DB = np.interp(np.arange(BANDS), [0, 2, 6, 10, 14, 20, 30, 39], [-12.0, -7.0, -10.0, -18.0, -23.0, -27.0, -33.0, -41.0])


class SpeechFrames(NamedTuple):
    """A stretch of features: ``rows`` (n, FEATURES) float32 for the network and ``voice`` (n,) float32, 0 silence to 1 speech."""

    rows: np.ndarray
    voice: np.ndarray


def _mel_filters() -> np.ndarray:
    """Triangles (257, 40) on the mel scale, each summing to 1 so that a band is a mean power density."""
    low, high = (2595 * np.log10(1 + f / 700) for f in (_LOW_HZ, _HIGH_HZ))
    edges_hz = 700 * (10 ** (np.linspace(low, high, BANDS + 2) / 2595) - 1)
    bins_hz = np.arange(_FFT // 2 + 1) * SAMPLE_RATE_HZ / _FFT
    rise = (bins_hz[:, None] - edges_hz[:-2]) / (edges_hz[1:-1] - edges_hz[:-2])
    fall = (edges_hz[2:] - bins_hz[:, None]) / (edges_hz[2:] - edges_hz[1:-1])
    bank = np.maximum(0.0, np.minimum(rise, fall))
    return bank / bank.sum(0)


@dataclass
class Levels:
    """State of the trackers, for any number of sounds side by side: each array (...,), ``colour_db`` (..., 40)."""

    level_db: np.ndarray
    floor_db: np.ndarray
    colour_db: np.ndarray
    heard: np.ndarray

    @staticmethod
    def start(shape: tuple[int, ...] = ()) -> Levels:
        """As before the first sound."""
        return Levels(
            np.full(shape, _LEVEL_START_DB),
            np.full(shape, _FLOOR_START_DB),
            np.broadcast_to(_PRIOR_DB, (*shape, BANDS)).copy(),
            np.full(shape, _COLOUR_PRIOR_FRAMES),
        )

    def step(self, mel_db: np.ndarray, power_db: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """One frame: mel_db (..., 2, 40) and power_db (...,), dBFS, to a row (..., FEATURES) and voice (...,)."""
        over = np.minimum(power_db - self.floor_db, _VOICE_OVER_FLOOR_DB + 30)
        self.floor_db = self.floor_db + np.where(over < 0, _FLOOR_FALL * over, np.minimum(over, _FLOOR_RISE_DB))
        likely = np.clip((over - _VOICE_OVER_FLOOR_DB) / _VOICE_RAMP_DB, 0, 1)
        higher = power_db - self.level_db
        rise = np.where(higher > 0, _LEVEL_RISE * higher * likely, -_LEVEL_FALL_DB * likely)
        self.level_db = np.maximum(self.level_db + rise, -70.0)
        near = np.clip((power_db - self.level_db + _VOICE_UNDER_LEVEL_DB) / _VOICE_RAMP_DB, 0, 1)
        voice = likely * near
        flat = mel_db - self.level_db[..., None, None]
        self.heard = np.minimum(self.heard + voice, _COLOUR_FRAMES)
        share = (voice / self.heard)[..., None]
        self.colour_db = self.colour_db + share * (np.maximum(flat.mean(-2), -70) - self.colour_db)
        bands = np.clip(flat - self.colour_db[..., None, :], -_DEPTH_DB, _TOP_DB) + _DEPTH_DB
        loud = np.clip(power_db - self.level_db, -_DEPTH_DB, _TOP_DB) + _DEPTH_DB
        row = np.concatenate([bands.reshape(*bands.shape[:-2], -1), loud[..., None]], -1) / _UNIT_DB
        return np.concatenate([row, voice[..., None]], -1).astype(np.float32), voice.astype(np.float32)


@dataclass(frozen=True)
class MelBank:
    """Window and filters: 600 samples (..., 600) of a frame to its bands (..., 2, 40) and power (...,), in dBFS."""

    _window: np.ndarray = field(default_factory=lambda: np.hanning(_WINDOW + 1)[:-1])
    _filters: np.ndarray = field(default_factory=_mel_filters)

    def __call__(self, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        both = np.stack([samples[..., :_WINDOW], samples[..., _HOP:]], -2).astype(np.float64)
        both -= both.mean(-1, keepdims=True)
        scale = 2.0 / (self._window**2).sum()
        power = scale * np.abs(np.fft.rfft(both * self._window, _FFT)) ** 2
        mel = power @ self._filters
        return 10 * np.log10(mel + _POWER_FLOOR), 10 * np.log10(mel.mean((-1, -2)) + _POWER_FLOOR)


HISTORY = _WINDOW + _HOP - SAMPLES_PER_FRAME
"""Samples before a frame that its row hears."""


@dataclass
class FeatureStream:
    """Push sound, get rows. All state is in the fields: samples not yet used, and the trackers' levels."""

    levels: Levels = field(default_factory=Levels.start)
    _bank: MelBank = field(default_factory=MelBank)
    _kept: np.ndarray = field(default_factory=lambda: np.zeros(HISTORY, np.float32))

    def push(self, samples: np.ndarray) -> SpeechFrames:
        """Float32 mono samples (n,) at 16 kHz, any n, to the rows that they complete. NaN and infinity count as silence."""
        fresh = np.nan_to_num(np.asarray(samples, np.float32).ravel(), nan=0.0, posinf=0.0, neginf=0.0)
        sound = np.concatenate([self._kept, np.clip(fresh, -4.0, 4.0)])
        count = (len(sound) - HISTORY) // SAMPLES_PER_FRAME
        rows = np.zeros((count, FEATURES), np.float32)
        voice = np.zeros(count, np.float32)
        for k in range(count):
            at = k * SAMPLES_PER_FRAME
            rows[k], voice[k] = self.levels.step(*self._bank(sound[at : at + HISTORY + SAMPLES_PER_FRAME]))
        self._kept = sound[count * SAMPLES_PER_FRAME :].copy()
        return SpeechFrames(rows, voice)

    def flush(self) -> SpeechFrames:
        """The last, incomplete frame, filled up with silence (no rows when nothing is left); then as new, levels kept."""
        waiting = len(self._kept) - HISTORY
        done = self.push(np.zeros(-waiting % SAMPLES_PER_FRAME, np.float32))
        self.drop()
        return done

    def drop(self) -> None:
        """Forget the incomplete frame; the levels stay."""
        self._kept = np.zeros(HISTORY, np.float32)


def silent_rows(count: int) -> SpeechFrames:
    """Features (count, FEATURES) of perfect silence."""
    return SpeechFrames(np.zeros((count, FEATURES), np.float32), np.zeros(count, np.float32))
