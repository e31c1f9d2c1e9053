"""What each frame's way took: the moments it passed, and medians of the last second."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

Observer = Callable[[str, float], None]
"""Told (name, value) of every stage's time (``..._ms``) and of everything dropped (``drop_...``), in the worker's thread."""


@dataclass
class FrameTimes:
    """`time.monotonic` seconds at which a frame passed; 0.0 where it did not (silence is not heard, skipped pictures not drawn).

    heard: the last sample of the frame's sound was pushed; features, motion: its speech features and its latents were there;
    drawn: the picture was. ``encoded`` and ``sent`` belong to whoever encodes and sends the frame.
    """

    heard: float = 0.0
    features: float = 0.0
    motion: float = 0.0
    drawn: float = 0.0
    encoded: float = 0.0
    sent: float = 0.0


class Accounts:
    """Times of the last second, and totals of what was dropped. Any thread; constant memory."""

    _WINDOW_S = 1.0
    _KEPT = 256

    def __init__(self, now: Callable[[], float], observer: Observer | None = None) -> None:
        self._now, self._observer = now, observer
        self._lock = threading.Lock()
        self._times: dict[str, deque[tuple[float, float]]] = {}
        self._totals: dict[str, float] = {}

    def time(self, name: str, value_ms: float) -> None:
        """A stage took so long."""
        with self._lock:
            self._times.setdefault(name, deque(maxlen=self._KEPT)).append((self._now(), value_ms))
        self._tell(name, value_ms)

    def count(self, name: str, amount: float = 1.0) -> None:
        """So much more of something was dropped, or came late."""
        if amount:
            with self._lock:
                self._totals[name] = self._totals.get(name, 0.0) + amount
            self._tell(name, amount)

    def medians(self) -> dict[str, float]:
        """Of the stages' times in the last second; no entry for a stage without any."""
        since = self._now() - self._WINDOW_S
        with self._lock:
            recent = {name: [value for at, value in times if at >= since] for name, times in self._times.items()}
        return {name: median(values) for name, values in recent.items() if values}

    def rate_hz(self, name: str) -> float:
        """How often a stage ran in the last second."""
        since = self._now() - self._WINDOW_S
        with self._lock:
            return sum(at > since for at, _ in self._times.get(name, ())) / self._WINDOW_S

    def totals(self) -> dict[str, float]:
        """Counts since the session began."""
        with self._lock:
            return dict(self._totals)

    def _tell(self, name: str, value: float) -> None:
        if self._observer is not None:
            self._observer(name, value)
