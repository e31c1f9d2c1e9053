"""What became of a session's frames on their way to one peer: times by stage, pictures a second, skew."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from talkinghead.live.codecs import PACKET_SAMPLES
from talkinghead.live.times import Accounts, FrameTimes, Observer
from talkinghead.live.tracks import SOUND_SAMPLES

STAGES = ("heard", "features", "motion", "drawn", "encoded", "sent")
"""The moments of `FrameTimes`, in order."""
_REMEMBERED = 64


class Delivery:
    """Accounts of one peer. ``observer`` is told "encode_ms" (from drawn to encoded), "send_ms", "total_ms" (from
    heard to sent) and "skew_ms" (the sound that belongs to a picture left so long before it), and
    what was dropped."""

    def __init__(self, observer: Observer | None = None, now: Callable[[], float] = time.monotonic) -> None:
        self._told = Accounts(now, observer)
        self._stages = Accounts(now)
        self._packets: deque[tuple[int, float]] = deque(maxlen=_REMEMBERED)

    @property
    def fps(self) -> float:
        """Pictures sent in the last second."""
        return self._told.rate_hz("send_ms")

    def latency_ms(self) -> dict[str, float]:
        """Median time of the last second by stage, named after the moment that ends it: "features", "motion", "drawn", "encoded",
        "sent"."""
        return self._stages.medians()

    def dropped(self, name: str, amount: float) -> None:
        """Pictures ("drop_video") or seconds of sound ("drop_sound") that found no room."""
        self._told.count(name, amount)

    def packet_sent(self, pts: int, sent_s: float) -> None:
        """A packet of sound, whose first sample is ``pts`` (48 kHz) on the output clock, was sent."""
        self._packets.append((pts, sent_s))

    def picture_sent(self, index: int, times: FrameTimes, encoded_s: float, sent_s: float) -> None:
        """Frame ``index`` was encoded and sent; its account is filled in."""
        times.encoded, times.sent = encoded_s, sent_s
        passed = [(name, at) for name in STAGES if (at := getattr(times, name))]
        for (_, before_s), (name, at_s) in zip(passed, passed[1:], strict=False):
            self._stages.time(name, 1000 * (at_s - before_s))
        self._told.time("encode_ms", 1000 * (encoded_s - times.drawn))
        self._told.time("send_ms", 1000 * (sent_s - encoded_s))
        if times.heard:
            self._told.time("total_ms", 1000 * (sent_s - times.heard))
        start = index * SOUND_SAMPLES
        sound_s = next((at_s for pts, at_s in self._packets if pts <= start < pts + PACKET_SAMPLES), None)
        if sound_s is not None:
            self._told.time("skew_ms", 1000 * (sent_s - sound_s))
