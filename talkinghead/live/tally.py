"""What became of one session, for its line in the log."""

from __future__ import annotations

import statistics
import time
from collections import deque

from talkinghead.live.parts import Observer

_KEPT = 4096
"""Pictures whose latency is remembered: the last minute and a half."""


class Tally:
    """Counts what a session and its peers report, and passes it on. Any thread; constant memory."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._begun_s = time.monotonic()
        self._drawn = self._sent = 0
        self._dropped = 0.0
        self._unheard_s = 0.0
        self._latency_ms: deque[float] = deque(maxlen=_KEPT)

    def __call__(self, name: str, value: float) -> None:
        """An `Observer`."""
        if name == "draw_ms":
            self._drawn += 1
        elif name == "send_ms":
            self._sent += 1
        elif name == "total_ms":
            self._latency_ms.append(value)
        elif name == "drop_sound":
            self._unheard_s += value
        elif name.startswith("drop_"):
            self._dropped += value
        self._observer(name, value)

    def line(self) -> str:
        """Seconds, pictures drawn, sent and dropped, sound dropped, median latency."""
        latency = f"{statistics.median(self._latency_ms):.0f} ms" if self._latency_ms else "none measured"
        return (
            f"{time.monotonic() - self._begun_s:.1f} s, {self._drawn} pictures drawn, {self._sent} sent, "
            f"{self._dropped:.0f} dropped, {self._unheard_s:.1f} s of sound dropped, median latency {latency}"
        )
