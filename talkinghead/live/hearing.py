"""The sound that a peer sends."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import av
import numpy as np
from aiortc.jitterbuffer import JitterFrame
from aiortc.mediastreams import MediaStreamError


class NewestFirst:
    """In place of aiortc's jitter buffer for incoming sound: every packet at once, and one that comes late never.

    aiortc's holds back four packets (80 ms); after a loss it waits until sixteen are there and stays that late. The session has a
    buffer of its own for jitter.
    """

    def __init__(self) -> None:
        self._last: int | None = None

    def add(self, packet: Any) -> tuple[bool, JitterFrame | None]:
        """aiortc's interface: whether a keyframe must be asked for (never), and what can be decoded now."""
        number = packet.sequence_number
        if self._last is not None and (number - self._last - 1) & 0xFFFF >= 0x8000:
            return False, None  # as old as the last one, or older
        self._last = number
        return False, JitterFrame(data=packet._data, timestamp=packet.timestamp)


def take_at_once(receiver: Any) -> None:
    """Give an `RTCRtpReceiver` of sound a `NewestFirst` buffer; left as it is where aiortc keeps it elsewhere."""
    name = "_RTCRtpReceiver__jitter_buffer"
    if hasattr(receiver, name):
        setattr(receiver, name, NewestFirst())


async def hear(receive: Callable[[], Awaitable[Any]], push: Callable[[np.ndarray, int], None]) -> None:
    """Hand a remote track's sound, mixed to mono float32 in -1..1, to ``push(pcm, rate_hz)`` until the track ends."""
    while True:
        try:
            frame = await receive()
        except MediaStreamError:
            return
        push(mono(frame), frame.sample_rate)


def mono(frame: av.AudioFrame) -> np.ndarray:
    """The mean of a frame's channels, (n,) float32 in -1..1."""
    samples = frame.to_ndarray()
    if not frame.format.is_planar:
        samples = samples.reshape(-1, len(frame.layout.channels)).T
    scale = 1 / 32768 if samples.dtype == np.int16 else 1.0
    return np.asarray(samples.astype(np.float32).mean(axis=0) * np.float32(scale), np.float32)
