"""Frames on their way to one consumer: a short queue that never blocks the session."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from talkinghead.live.times import FrameTimes

OUTLET_FRAMES = 8
"""What waits for a consumer at most (200 ms); then the oldest is dropped."""


@dataclass(frozen=True)
class LiveFrame:
    """One of 40 frames a second.

    index: on the output clock; it never resets, and jumps only where `OutputClock` skips. image (512, 512, 3) uint8 RGB, or, of a
    server that draws on a GPU, NV12 (768, 512) uint8; None: not drawn, the last picture holds. audio (400,) float32 mono at
    16 kHz: the sound that belongs to the frame, as the networks heard it; sound (1200,) float32 mono at 48 kHz: the same 25 ms
    for ears. generation: of the sound, see `LiveSession.interrupt`. state: "speaking", "idle" or "listening".
    """

    index: int
    image: np.ndarray | None
    audio: np.ndarray
    sound: np.ndarray
    generation: int
    state: str
    times: FrameTimes


class Outlet:
    """Frames for one consumer, in a thread (`get`) or in asyncio (`next`, or ``async for``).

    Frames that were interrupted while they waited are dropped here, at the consumer's side; when the queue is full the oldest
    frame is. Either way an index is missing: the consumer fills its sound with silence.
    """

    def __init__(
        self, generation: Callable[[], int], dropped: Callable[[], None], closed: Callable[[Outlet], None] = lambda outlet: None
    ) -> None:
        """generation tells the one that is wanted now; dropped is called for each frame that finds no room; closed at the end."""
        self._generation, self._dropped, self._closed = generation, dropped, closed
        self._frames: deque[LiveFrame] = deque()
        self._news = threading.Condition()
        self._waiter: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None
        self._ended = False

    @property
    def ended(self) -> bool:
        """No further frame will come."""
        return self._ended

    def put(self, frame: LiveFrame) -> None:
        """The session's side; never waits. Each consumer has times of its own."""
        with self._news:
            if self._ended:
                return
            full = len(self._frames) == OUTLET_FRAMES
            if full:
                self._frames.popleft()
            self._frames.append(replace(frame, times=replace(frame.times)))
            self._wake()
        if full:
            self._dropped()

    def get(self, timeout: float | None = None) -> LiveFrame | None:
        """The next frame, waiting for it; None at the end. TimeoutError after ``timeout`` seconds."""
        limit = None if timeout is None else time.monotonic() + timeout
        with self._news:
            while (frame := self._take()) is None and not self._ended:
                left = None if limit is None else limit - time.monotonic()
                if left is not None and left <= 0:
                    raise TimeoutError("no frame in time")
                self._news.wait(left)
            return frame

    async def next(self) -> LiveFrame | None:
        """The same in asyncio; may be cancelled. One task at a time."""
        news = asyncio.Event()
        while True:
            with self._news:
                frame = self._take()
                if frame is not None or self._ended:
                    return frame
                news.clear()
                self._waiter = asyncio.get_running_loop(), news
            try:
                await news.wait()
            finally:
                self._waiter = None

    def __aiter__(self) -> Outlet:
        return self

    async def __anext__(self) -> LiveFrame:
        frame = await self.next()
        if frame is None:
            raise StopAsyncIteration
        return frame

    def close(self) -> None:
        """No more frames; whoever waits is woken. Idempotent."""
        with self._news:
            if self._ended:
                return
            self._ended = True
            self._frames.clear()
            self._wake()
        self._closed(self)

    def _take(self) -> LiveFrame | None:
        wanted = self._generation()
        while self._frames:
            frame = self._frames.popleft()
            if frame.generation == wanted:
                return frame
        return None

    def _wake(self) -> None:
        self._news.notify_all()
        if self._waiter is not None:
            loop, event = self._waiter
            self._waiter = None
            try:
                loop.call_soon_threadsafe(event.set)
            except RuntimeError:  # the consumer's loop is closed already: nobody waits
                return
