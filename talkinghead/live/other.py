"""The other party of a call, who is listened to and not spoken for."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np

from talkinghead.constants import SAMPLE_RATE_HZ
from talkinghead.live.resample import Resampler
from talkinghead.live.sound import mono_samples
from talkinghead.speech.features import FeatureStream

STALE_S = 0.3
"""Whose sound stops coming is silent after so long."""


class OtherParty:
    """How surely they speak, from their sound as it comes. Any thread; constant memory."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now, self._lock = now, threading.Lock()
        self._forget()

    def _forget(self) -> None:
        self._stream = FeatureStream()
        self._rate = SAMPLE_RATE_HZ
        self._resampler: Resampler | None = None
        self._voice, self._heard_s = 0.0, -STALE_S

    def push(self, pcm: np.ndarray, rate: int) -> None:
        """Mono sound, as `LiveSession.push_audio` takes it. SpeechError for sound of a wrong kind."""
        samples = mono_samples(pcm, rate)
        with self._lock:
            if rate != self._rate:
                self._rate = rate
                self._resampler = None if rate == SAMPLE_RATE_HZ else Resampler(rate, SAMPLE_RATE_HZ)
            found = self._stream.push(samples if self._resampler is None else self._resampler.push(samples)).voice
            if len(found):
                self._voice = float(found[-1])
            self._heard_s = self._now()

    def clear(self) -> None:
        """Nobody is listened to any more."""
        with self._lock:
            self._forget()

    @property
    def voice(self) -> float:
        """0 silence to 1 speech, now."""
        with self._lock:
            return self._voice if self._now() - self._heard_s < STALE_S else 0.0
