"""How many bits a second the picture may take: the set rate, until a receiver says that less arrives."""

from __future__ import annotations

from collections import deque

FLOOR_BPS = 300_000
DOWN_AFTER_S = 2.0
UP_AFTER_S = 6.0
STEP = 0.25
_WINDOW_S = 1.0


class BitrateControl:
    """A target that follows a receiver's estimates (REMB) in few and large steps.

    A receiver can only estimate what it gets: its estimate stays near one and a half times a stream that is small because the
    picture hardly moves. So an estimate counts as congestion only when it is below what is really sent. Steps are at least
    ``STEP`` of the target, `DOWN_AFTER_S` or `UP_AFTER_S` apart, never below `FLOOR_BPS`, never above the limit.
    """

    def __init__(self, limit_bps: int) -> None:
        self.limit_bps = limit_bps
        self.target_bps = limit_bps
        self._estimate_bps: int | None = None
        self._changed_s = float("-inf")
        self._sent: deque[tuple[float, int]] = deque()

    def set_limit(self, limit_bps: int) -> None:
        """Another rate to hold, from the next frame on."""
        self.limit_bps = self.target_bps = limit_bps

    def estimate(self, bps: int) -> None:
        """The receiver can take about ``bps``; the newest estimate counts."""
        self._estimate_bps = bps

    def sent(self, size: int, now_s: float) -> None:
        """A frame of so many bytes was encoded."""
        self._sent.append((now_s, size))
        while self._sent[0][0] <= now_s - _WINDOW_S:
            self._sent.popleft()

    @property
    def sent_bps(self) -> float:
        """What was really sent in the last second."""
        return sum(size for _, size in self._sent) * 8 / _WINDOW_S

    def step(self, now_s: float) -> int:
        """The target in bit/s for the frame that is encoded now."""
        estimate, target = self._estimate_bps, self.target_bps
        if estimate is None:
            return target
        waited_s = now_s - self._changed_s
        if estimate < 0.9 * min(target, self.sent_bps) and waited_s >= DOWN_AFTER_S:
            target = max(min(FLOOR_BPS, self.limit_bps), min(round((1 - STEP) * target), round(0.9 * estimate)))
        elif estimate > (1 + STEP) * target and waited_s >= UP_AFTER_S:
            target = min(self.limit_bps, round((1 + STEP) * target))
        if target != self.target_bps:
            self.target_bps, self._changed_s = target, now_s
        return target
