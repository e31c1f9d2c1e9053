"""A call in made-up time: the real pump and sound queue, a fake avatar, and whatever is to happen when."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from live.fakes import FakeAvatar, FakeTime

from talkinghead.live.outlet import LiveFrame
from talkinghead.live.pump import Pump
from talkinghead.live.sound import SoundQueue
from talkinghead.live.times import Accounts

CHUNK_S = 0.02


class Simulation:
    """Frames delivered, and when, in seconds since the start."""

    def __init__(self, draw_s: float = 0.0, seed: int = 0, keep: int | None = None) -> None:
        """keep: of the frames only the last so many."""
        self.time = FakeTime()
        self.start_s = self.time()
        self.avatar = FakeAvatar(draw_s, self.time.spend, 8)
        self.accounts = Accounts(self.time)
        self.sound = SoundQueue(self.time, self.accounts)
        self.session: Any = self.avatar.session(seed=seed)
        self.frames: list[LiveFrame] = []
        self.at_s: list[float] = []
        self._keep = keep
        self.pump = Pump(self.session, self.sound, self._deliver, self.time, self.accounts)
        self._plan: list[tuple[float, int, Callable[[], object]]] = []

    @property
    def now_s(self) -> float:
        return self.time() - self.start_s

    def at(self, when_s: float, action: Callable[[], object]) -> None:
        """Do something at a time since the start."""
        heapq.heappush(self._plan, (self.start_s + when_s, len(self._plan), action))

    def stream(
        self,
        sound: np.ndarray,
        begin_s: float,
        rate: int = 16_000,
        jitter_s: Iterable[float] = (),
        pace: float = 1.0,
        live: bool | None = None,
    ) -> None:
        """A microphone: chunks of 20 ms, each when its last sample is spoken, and late by its jitter; pace: of its clock; live:
        as it is told."""
        size = round(CHUNK_S * rate)
        late = list(jitter_s) or [0.0]
        for k in range(len(sound) // size):
            chunk = sound[k * size : (k + 1) * size]
            when_s = begin_s + (k + 1) * CHUNK_S / pace + late[k % len(late)]
            self.at(when_s, lambda chunk=chunk: self.sound.push(chunk, rate, live=live))

    def run(self, until_s: float) -> None:
        """Let time pass."""
        until_s += self.start_s
        while self.time() < until_s:
            while self._plan and self._plan[0][0] <= self.time():
                heapq.heappop(self._plan)[2]()
            wake_s = self.pump.step()
            if wake_s > self.time():
                events = [self._plan[0][0]] if self._plan else []
                self.time.now_s = max(self.time(), min([wake_s, until_s, *events]))

    def heard(self) -> np.ndarray:
        """The sound of all frames, 16 kHz."""
        return np.concatenate([frame.audio for frame in self.frames])

    def _deliver(self, frame: LiveFrame) -> None:
        self.frames.append(frame)
        self.at_s.append(self.now_s)
        if self._keep is not None:
            del self.frames[: -self._keep], self.at_s[: -self._keep]
