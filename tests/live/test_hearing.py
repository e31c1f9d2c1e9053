"""A peer's sound: channels mixed, nothing held back, nothing played twice."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest

pytest.importorskip("aiortc")

from aiortc.mediastreams import MediaStreamError
from aiortc.rtcrtpreceiver import RTCRtpReceiver

from talkinghead.live.hearing import NewestFirst, hear, mono, take_at_once


def packet(number: int) -> Any:
    return SimpleNamespace(sequence_number=number & 0xFFFF, timestamp=number * 960, _data=bytes([number & 255]))


def released(numbers: list[int]) -> list[int]:
    buffer, found = NewestFirst(), []
    for number in numbers:
        ask, frame = buffer.add(packet(number))
        assert not ask
        if frame is not None:
            assert frame.data == bytes([number & 255])
            found.append(frame.timestamp // 960)
    return found


@pytest.mark.parametrize(
    ("came", "went"),
    [
        ([1, 2, 3], [1, 2, 3]),
        ([1, 2, 5, 6], [1, 2, 5, 6]),  # a loss holds nothing back
        ([1, 3, 2, 4], [1, 3, 4]),
        ([1, 1, 2, 2], [1, 2]),
        ([65534, 65535, 65536, 65537], [65534, 65535, 65536, 65537]),
        ([65535, 65537, 65536], [65535, 65537]),
    ],
)
def test_packets_go_on_at_once_and_late_ones_not_at_all(came: list[int], went: list[int]) -> None:
    assert released(came) == went


def test_aiortc_has_the_place_for_it() -> None:
    async def make() -> object:
        receiver = RTCRtpReceiver("audio", SimpleNamespace(state="new"))
        take_at_once(receiver)
        return receiver._RTCRtpReceiver__jitter_buffer

    assert isinstance(asyncio.run(make()), NewestFirst)


def test_another_aiortc_is_left_alone() -> None:
    receiver = SimpleNamespace()
    take_at_once(receiver)
    assert not vars(receiver)


@pytest.mark.parametrize("layout", ["mono", "stereo"])
@pytest.mark.parametrize("kind", ["s16", "s16p", "flt", "fltp"])
def test_any_layout_becomes_mono_float(layout: str, kind: str) -> None:
    left = np.linspace(-0.5, 0.5, 960)
    channels = np.stack([left, 0.5 * left][: 1 if layout == "mono" else 2])
    samples = np.round(channels * 32768).astype(np.int16) if "16" in kind else channels.astype(np.float32)
    frame = av.AudioFrame.from_ndarray(samples if kind.endswith("p") else samples.T.reshape(1, -1), format=kind, layout=layout)
    mixed = mono(frame)
    assert mixed.dtype == np.float32 and mixed.shape == (960,)
    assert mixed == pytest.approx(channels.mean(axis=0), abs=1 / 16384)


def test_hearing_ends_with_the_track() -> None:
    frame = av.AudioFrame.from_ndarray(np.zeros((1, 1920), np.int16), format="s16", layout="stereo")
    frame.sample_rate = 48000
    waiting, got = [frame, frame], list[tuple[int, int]]()

    async def receive() -> av.AudioFrame:
        if not waiting:
            raise MediaStreamError
        return waiting.pop()

    asyncio.run(hear(receive, lambda pcm, rate_hz: got.append((len(pcm), rate_hz))))
    assert got == [(960, 48000)] * 2
