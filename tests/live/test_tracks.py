"""Frames in, packets and pictures out: timestamps, steps, what is dropped."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("aiortc")

import av
from aiortc.mediastreams import MediaStreamError
from live.coded_session import FakeSession, coded_image, live_frame, read_code

from talkinghead.live.codecs import PACKET_SAMPLES
from talkinghead.live.outlet import LiveFrame
from talkinghead.live.sender import MediaClock
from talkinghead.live.tracks import (
    SOUND_SAMPLES,
    WAITING_PACKETS,
    WAITING_PICTURES,
    AudioTrack,
    Feed,
    SoundCutter,
    VideoTrack,
)

RAMP = np.linspace(-0.9, 0.9, 40 * SOUND_SAMPLES).astype(np.float32)


def picture(index: int, **how: Any) -> LiveFrame:
    return live_frame(index, image=coded_image(index, 0.0, False), **how)


def voiced(index: int, value: float = 0.5, **how: Any) -> LiveFrame:
    return live_frame(index, sound=np.full(SOUND_SAMPLES, value, np.float32), **how)


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(work, 20))


def test_packets_are_the_sound_unbroken_from_the_first_frame_on() -> None:
    cutter, packets = SoundCutter(), []
    for k in range(40):
        cutter.push(live_frame(101 + k, sound=RAMP[k * SOUND_SAMPLES : (k + 1) * SOUND_SAMPLES]))
        packets += [cutter.packets.popleft() for _ in range(len(cutter.packets))]
    begun = 101 * SOUND_SAMPLES // PACKET_SAMPLES * PACKET_SAMPLES
    assert [pts for pts, _ in packets] == list(range(begun, begun + len(packets) * PACKET_SAMPLES, PACKET_SAMPLES))
    sound = np.concatenate([sound for _, sound in packets])
    silence = 101 * SOUND_SAMPLES - begun
    assert silence == 240 and not sound[:silence].any()
    assert np.array_equal(sound[silence:], RAMP[: len(sound) - silence]) and len(RAMP) - len(sound) + silence < PACKET_SAMPLES


def test_where_frames_are_missing_sound_ends_softly_and_time_goes_on() -> None:
    cutter = SoundCutter()
    cutter.push(voiced(10))
    cutter.push(voiced(14))
    stamps = [pts for pts, _ in cutter.packets]
    assert stamps == [12000, 12480, 12960, 16800, 17280]
    sounds = [sound for _, sound in cutter.packets]
    assert all((sound == 0.5).all() for sound in (*sounds[:2], *sounds[3:]))
    ended = sounds[2]  # half of it was there
    assert ended[0] == 0.5 and ended[239] == 0 and not ended[240:].any() and np.abs(np.diff(ended)).max() < 0.01


def test_an_interruption_drops_the_packets_that_wait_and_keeps_time() -> None:
    cutter = SoundCutter()
    for index in range(3):
        cutter.push(voiced(index))
    assert len(cutter.packets) == 7
    cutter.push(voiced(3, 0.0, generation=1))
    assert [pts for pts, _ in cutter.packets] == [3360, 3840, 4320]
    sound = np.concatenate([sound for _, sound in cutter.packets])
    assert (sound[:240] == 0.5).all() and not sound[240:].any()  # less than a packet of the old, as the session's fade needs


def test_sound_that_nobody_takes_is_bounded_and_the_oldest_goes() -> None:
    cutter = SoundCutter()
    dropped = sum(cutter.push(voiced(index)) for index in range(80))
    assert len(cutter.packets) == WAITING_PACKETS
    assert dropped == 200 - WAITING_PACKETS
    assert cutter.packets[-1][0] + PACKET_SAMPLES == 80 * SOUND_SAMPLES


def test_packets_are_opus_with_the_timestamps_of_the_output_clock() -> None:
    async def receive() -> None:
        track, decoder = AudioTrack(), av.CodecContext.create("libopus", "r")
        for index in (7, 8):
            track.put(voiced(index))
        packets = [await track.recv() for _ in range(2)]
        assert [packet.pts for packet in packets] == [8160, 8640]
        assert packets[0].pts * packets[0].time_base == pytest.approx(7 / 40 - 0.005)
        assert decoder.decode(packets[0])[0].samples == PACKET_SAMPLES

    run(receive())


def test_pictures_have_the_timestamps_of_the_output_clock() -> None:
    async def receive() -> None:
        track = VideoTrack()
        stamps, codes = [], []
        for index in (3, 4, 5, 9):
            track.put(picture(index))
            sent = await track.recv()
            stamps.append(sent.pts)
            codes.append(read_code(sent.to_ndarray()[:512])[0])
            assert (sent.width, sent.height, sent.format.name, sent.time_base.denominator) == (512, 512, "yuv420p", 90000)
        assert stamps == [6750, 9000, 11250, 20250]
        assert codes == [3, 4, 5, 9]

    run(receive())


def test_planes_from_a_gpu_are_sent_as_they_are() -> None:
    async def receive() -> None:
        track, rgb = VideoTrack(), picture(7)
        assert rgb.image is not None
        planes = np.asarray(cv2.cvtColor(rgb.image, cv2.COLOR_RGB2YUV_I420))
        track.put(replace(rgb, image=planes))
        sent = await track.recv()
        assert (sent.width, sent.height, sent.format.name, sent.pts) == (512, 512, "nv12", 15750)
        assert np.array_equal(sent.to_ndarray(), planes)

    run(receive())


def test_a_frame_that_was_not_drawn_is_not_sent() -> None:
    async def receive() -> None:
        track = VideoTrack()
        for frame in (picture(0), live_frame(1), picture(2)):
            track.put(frame)
        assert [(await track.recv()).pts for _ in range(2)] == [0, 4500]

    run(receive())


def test_an_interruption_drops_the_pictures_that_wait() -> None:
    async def receive() -> None:
        track = VideoTrack()
        for index in range(2):
            track.put(picture(index))
        assert track.put(picture(2, generation=1)) == 0
        assert (await track.recv()).pts == 4500

    run(receive())


def test_a_slow_sender_gets_the_newest_pictures() -> None:
    async def receive() -> None:
        track = VideoTrack()
        assert sum(track.put(picture(index)) for index in range(20)) == 20 - WAITING_PICTURES
        assert (await track.recv()).pts == (20 - WAITING_PICTURES) * 2250

    run(receive())


def test_the_size_is_what_the_session_asks_for() -> None:
    async def receive() -> None:
        size = [512]
        track = VideoTrack(lambda: size[0])
        track.put(picture(77))
        assert (await track.recv()).width == 512
        size[0] = 256
        track.put(picture(78))
        small = await track.recv()
        assert (small.width, small.height) == (256, 256)
        assert read_code(small.to_ndarray()[:256])[0] == 78

    run(receive())


def test_accounts_of_pictures_can_be_found_for_a_while() -> None:
    async def receive() -> None:
        track, first = VideoTrack(), picture(0)
        for index in range(40):
            track.put(first if index == 0 else picture(index))
            await track.recv()
            if index == 0:
                assert track.times(0) is first.times
        assert track.times(0) is None and track.times(39 * 2250) is not None

    run(receive())


@pytest.mark.parametrize("kind", [AudioTrack, VideoTrack])
def test_a_stopped_track_wakes_whoever_waits(kind: type[AudioTrack | VideoTrack]) -> None:
    async def receive() -> None:
        track = kind()
        waiting = asyncio.ensure_future(track.recv())
        await asyncio.sleep(0)
        track.stop()
        with pytest.raises(MediaStreamError):
            await waiting
        with pytest.raises(MediaStreamError):
            await track.recv()

    run(receive())


def test_both_tracks_get_each_frame_in_step_until_the_outlet_ends() -> None:
    async def receive() -> None:
        session, media = FakeSession(), MediaClock()
        outlet = session.subscribe()
        audio, video = AudioTrack(), VideoTrack()
        seen: list[int] = []
        feed = asyncio.ensure_future(Feed(audio, video, media).run(outlet, lambda frame: seen.append(frame.index)))
        for index in range(8, 12):
            outlet.put(picture(index))
            assert (await video.recv()).pts == index * 2250
            while (await audio.recv()).pts + 2 * PACKET_SAMPLES <= (index + 1) * SOUND_SAMPLES:
                continue  # all that is whole of the frame's sound is there with its picture
        outlet.close()
        await feed
        assert seen == [8, 9, 10, 11]
        assert media.start_s is not None and abs(time.monotonic() - media.start_s - 0.2) < 5

    run(receive())


def test_what_finds_no_room_is_counted() -> None:
    async def receive() -> None:
        session, lost = FakeSession(), dict[str, float]()

        def count(name: str, amount: float) -> None:
            lost[name] = lost.get(name, 0.0) + amount

        outlet = session.subscribe()
        feed = asyncio.ensure_future(Feed(AudioTrack(), VideoTrack(), MediaClock()).run(outlet, dropped=count))
        for index in range(20):
            outlet.put(picture(index))
            await asyncio.sleep(0.001)
        outlet.close()
        await feed
        assert lost["drop_video"] == 20 - WAITING_PICTURES
        assert lost["drop_sound"] == pytest.approx((50 - WAITING_PACKETS) * 0.01)

    run(receive())
