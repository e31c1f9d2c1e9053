"""The other party of a call, who is listened to and not spoken for."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np

from talkinghead.constants import SAMPLE_RATE_HZ
from talkinghead.live.clock import FRAME_S
from talkinghead.live.resample import Resampler
from talkinghead.live.sound import mono_samples
from talkinghead.speech.features import FeatureStream

STALE_S = 0.3
"""Whose sound stops coming is silent after so long."""
SETTLE_S = 1.0
"""What is heard first tells the room's noise, and is not taken for somebody who speaks up."""
GAP_S = 0.1
"""A gap between sounds that does not end a word."""


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
        self._spoken_s = self._gap_s = self._known_s = 0.0

    def push(self, pcm: np.ndarray, rate: int) -> None:
        """Mono sound, as `LiveSession.push_audio` takes it. SpeechError for sound of a wrong kind."""
        samples = mono_samples(pcm, rate)
        with self._lock:
            if rate != self._rate:
                self._rate = rate
                self._resampler = None if rate == SAMPLE_RATE_HZ else Resampler(rate, SAMPLE_RATE_HZ)
            found = self._stream.push(samples if self._resampler is None else self._resampler.push(samples)).voice
            for voice in found.tolist():
                self._count(voice)
            self._heard_s = self._now()

    def _count(self, voice: float) -> None:
        """One frame more."""
        self._voice = voice
        self._known_s += FRAME_S
        self._gap_s = 0.0 if voice > 0.5 else self._gap_s + FRAME_S
        if voice > 0.5 and self._known_s > SETTLE_S:
            self._spoken_s += FRAME_S
        elif self._gap_s > GAP_S:
            self._spoken_s = 0.0

    def spoke(self, least_s: float) -> bool:
        """Whether they have now spoken for so long without a pause; said once, then it counts anew."""
        with self._lock:
            enough = self._spoken_s >= least_s
            if enough:
                self._spoken_s = 0.0
            return enough

    def clear(self) -> None:
        """Nobody is listened to any more."""
        with self._lock:
            self._forget()

    @property
    def voice(self) -> float:
        """0 silence to 1 speech, now."""
        with self._lock:
            return self._voice if self._now() - self._heard_s < STALE_S else 0.0
