"""A session without an avatar: pictures that say which frame they are, and a beep with a flash every second."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np

from talkinghead.live.outlet import LiveFrame, Outlet
from talkinghead.live.times import FrameTimes

BEEP_EVERY = 40
BEEP_FRAMES = 4
_BITS = 16
_BLOCK = 32  # pixels of a 512-pixel picture
_NOISE = np.random.default_rng(0).integers(90, 160, (512, 512, 3), np.uint8)


def coded_image(index: int, made_s: float, flash: bool) -> np.ndarray:
    """A picture (512, 512, 3) with two rows of blocks: the index, and the time in ms, both modulo 65536. A flash is white."""
    image = np.full((512, 512, 3), 250, np.uint8) if flash else np.roll(_NOISE, index, axis=1)
    for row, number in enumerate((index, int(made_s * 1000))):
        for bit in range(_BITS):
            light = 235 if number >> bit & 1 else 20
            image[row * _BLOCK : (row + 1) * _BLOCK, bit * _BLOCK : (bit + 1) * _BLOCK] = light
    return image


def read_code(gray: np.ndarray) -> tuple[int, int, bool]:
    """(index, ms, flash) of a picture (n, n) of any size, as it came through a codec."""
    block = len(gray) // _BITS
    rows = gray[: 2 * block].reshape(2, block, _BITS, block).mean(axis=(1, 3)) > 128
    numbers = (rows * (1 << np.arange(_BITS))).sum(axis=1)
    return int(numbers[0]), int(numbers[1]), bool(gray[block * 4 :].mean() > 200)


def is_beep(index: int) -> bool:
    return index % BEEP_EVERY >= BEEP_EVERY - BEEP_FRAMES


def beep(index: int) -> np.ndarray:
    """The sound of a frame (1200,) at 48 kHz: 1 kHz while the picture flashes."""
    if not is_beep(index):
        return np.zeros(1200, np.float32)
    return (0.5 * np.sin(2 * np.pi * np.arange(1200) / 48)).astype(np.float32)


def live_frame(
    index: int, *, image: np.ndarray | None = None, sound: np.ndarray | None = None, generation: int = 0, state: str = "idle"
) -> LiveFrame:
    """A frame with silence, unless told otherwise."""
    sound = np.zeros(1200, np.float32) if sound is None else sound
    return LiveFrame(index, image, sound[::3].copy(), sound, generation, state, FrameTimes())


class FakeSession:
    """As `LiveSession`, for whoever takes frames; notes in ``calls`` what it was told."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.pushed = 0
        self.level, self.size_px, self.queued_s = 0, 512, 0.0
        self.state = "idle"
        self.generation = 0
        self.outlets: list[Outlet] = []
        self.dropped = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fake-session", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()
        for outlet in list(self.outlets):
            outlet.close()

    def subscribe(self) -> Outlet:
        outlet = Outlet(lambda: self.generation, self._drop, self.outlets.remove)
        self.outlets.append(outlet)
        return outlet

    def push_audio(self, pcm: np.ndarray, rate: int = 16000, **how: Any) -> bool:
        self.calls.append(("push_audio", pcm.copy(), rate, how))
        self.pushed += len(pcm)
        return True

    def interrupt(self) -> int:
        self.generation += 1
        self.calls.append(("interrupt",))
        return self.generation

    def listen(self, on: bool, *, barge_in: bool = False) -> None:
        self.calls.append(("listen", on, barge_in))

    def hear(self, pcm: np.ndarray, rate: int = 16000) -> None:
        self.calls.append(("hear", len(pcm), rate))

    def end_of_speech(self) -> None:
        self.calls.append(("end_of_speech",))

    def set_controls(self, **fields: Any) -> None:
        self.calls.append(("set_controls", fields))

    def _drop(self) -> None:
        self.dropped += 1

    def _run(self) -> None:
        start_s, index = time.monotonic(), 0
        while not self._ended.wait(max(0.0, start_s + index / 40 - time.monotonic())):
            made_s = time.monotonic()
            times = FrameTimes(heard=made_s - 0.1, features=made_s - 0.05, motion=made_s - 0.02, drawn=made_s)
            image = coded_image(index, made_s, is_beep(index))
            sound = beep(index)
            frame = LiveFrame(index, image, sound[::3].copy(), sound, self.generation, self.state, times)
            for outlet in list(self.outlets):
                outlet.put(frame)
            index += 1


@asynccontextmanager
async def session() -> AsyncIterator[FakeSession]:
    made = FakeSession()
    made.start()
    yield made
    await asyncio.get_running_loop().run_in_executor(None, made.close)
