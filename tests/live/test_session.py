"""A session's thread: frames in real time, calls from any thread, errors seen, nothing left behind."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from live.fakes import FakeAvatar, loudness, opening, tone
from shipped import needs_networks

from talkinghead import Avatar
from talkinghead.live.session import LiveFrame, LiveSession, Outlet, SessionError
from talkinghead.motion.controls import Controls

GENEROUS_S = 20.0
DATA = Path(__file__).resolve().parents[2] / "examples" / "data"


def open_session(avatar: Any, **options: Any) -> LiveSession:
    return LiveSession(avatar, **options)


@pytest.fixture
def session() -> Iterator[LiveSession]:
    with open_session(FakeAvatar()) as opened:
        yield opened


def until(outlet: Outlet, wanted: Callable[[LiveFrame], bool]) -> list[LiveFrame]:
    """Frames up to the first that is wanted."""
    frames: list[LiveFrame] = []
    limit_s = time.monotonic() + GENEROUS_S
    while time.monotonic() < limit_s:
        frame = outlet.get(GENEROUS_S)
        assert frame is not None
        frames.append(frame)
        if wanted(frame):
            return frames
    raise AssertionError("such a frame never came")


def mouth(frame: LiveFrame) -> float:
    return -1.0 if frame.image is None else opening(frame.image)


def threads() -> int:
    return sum(thread.name == "talkinghead-live" for thread in threading.enumerate())


def test_frames_come_by_themselves_and_speech_moves_the_mouth(session: LiveSession) -> None:
    outlet = session.subscribe()
    frames = until(outlet, lambda frame: mouth(frame) == 0)
    assert frames[0].image is not None
    assert frames[0].image.shape == (512, 512, 3)
    assert (frames[0].audio.shape, frames[0].sound.shape) == ((400,), (1200,))
    assert session.push_audio(tone(0.3, 48_000), 48_000)
    session.end_of_speech()
    assert until(outlet, lambda frame: mouth(frame) > 0.9)[-1].state == "speaking"
    until(outlet, lambda frame: frame.state == "idle")
    assert session.state == "idle"
    assert session.queued_s == 0


def test_interrupt_from_another_thread(session: LiveSession) -> None:
    outlet = session.subscribe()
    session.push_audio(tone(30.0))
    until(outlet, lambda frame: mouth(frame) > 0.9)
    assert session.queued_s > 20
    assert session.interrupt() == session.generation == 1
    first = outlet.get(GENEROUS_S)
    assert first is not None
    assert first.generation == 1
    assert not first.audio.any()
    until(outlet, lambda frame: 0 <= mouth(frame) < 0.02)
    assert session.queued_s == 0
    assert not session.push_audio(tone(0.1), generation=0)
    assert session.push_audio(tone(0.1), generation=1)


def test_listening(session: LiveSession) -> None:
    outlet = session.subscribe()
    session.listen(True)
    until(outlet, lambda frame: frame.state == "listening")
    session.listen(False)
    until(outlet, lambda frame: frame.state == "idle")


def test_the_other_party_is_heard_and_not_spoken_for() -> None:
    avatar = FakeAvatar()
    with open_session(avatar) as session:
        outlet = session.subscribe()
        session.listen(True)
        until(outlet, lambda frame: frame.state == "listening")
        heard: list[float] = []

        def speak(frame: LiveFrame) -> bool:
            session.hear(tone(0.05, 48_000), 48_000)
            heard.append(avatar.sessions[0].other)
            return heard[-1] > 0.5

        frames = until(outlet, speak)
        assert not any(frame.audio.any() for frame in frames) and frames[-1].state == "listening"
        session.listen(False)
        until(outlet, lambda frame: avatar.sessions[0].other == 0)
    session.hear(tone(0.1))  # after the end it does no harm


@pytest.mark.parametrize("barge_in", [True, False])
def test_the_other_party_may_interrupt(session: LiveSession, barge_in: bool) -> None:
    outlet = session.subscribe()
    session.listen(True, barge_in=barge_in)
    session.push_audio(tone(30.0))
    until(outlet, lambda frame: mouth(frame) > 0.9)
    session.hear(np.zeros(16_000, np.float32))
    session.hear(tone(0.1))  # a cough
    session.hear(np.zeros(4_800, np.float32))
    assert session.generation == 0
    session.hear(tone(0.4))
    assert session.generation == int(barge_in)
    if barge_in:
        until(outlet, lambda frame: frame.state == "listening")
        session.hear(tone(0.4))  # there is nothing to interrupt any more
        assert session.generation == 1
        assert session.queued_s == 0


def test_controls_are_checked_at_once_and_reach_the_motion(session: LiveSession) -> None:
    outlet = session.subscribe()
    session.set_controls(gaze=(12.0, 0.0), emotion="happy")
    until(outlet, lambda frame: frame.image is not None and frame.image[0, 2, 0] == 128 + 12)
    with pytest.raises(ValueError, match="gaze must be from -30"):
        session.set_controls(distance=1.2, gaze=(99, 0))
    with pytest.raises(ValueError, match="no control 'volume'"):
        session.set_controls(volume=1)
    assert session.controls == Controls(gaze=(12.0, 0.0), emotion="happy")
    session.controls.distance = 2.0  # a copy
    assert session.controls.distance == 1.0


def test_several_consumers_each_get_all_frames(session: LiveSession) -> None:
    one, two = session.subscribe(), session.subscribe()
    first = until(one, lambda frame: frame.index >= 10)[-1]
    assert until(two, lambda frame: frame.index == first.index)[-1].image is first.image
    one.close()
    assert one.get(0) is None
    start = first.index
    until(two, lambda frame: frame.index > start + 20)


def test_frames_in_asyncio(session: LiveSession) -> None:
    async def take() -> list[int]:
        outlet = session.subscribe()
        indices = []
        async for frame in outlet:
            indices.append(frame.index)
            if len(indices) == 10:
                await asyncio.to_thread(session.close)
        return indices

    indices = asyncio.run(asyncio.wait_for(take(), GENEROUS_S))
    assert len(indices) >= 10
    assert (np.diff(indices) >= 1).all()


def test_an_error_ends_the_session_and_is_kept(caplog: pytest.LogCaptureFixture) -> None:
    avatar = FakeAvatar()
    avatar.fails_at = 5
    with caplog.at_level(logging.CRITICAL, "talkinghead.live.session"), open_session(avatar) as session:
        outlet = session.subscribe()
        while outlet.get(GENEROUS_S) is not None:
            pass
        assert outlet.ended
        assert isinstance(session.failure, RuntimeError)
        assert session.closed
        assert not session.push_audio(tone(0.1))
        assert session.subscribe().ended


def test_an_observer_is_told_of_stages_and_drops() -> None:
    told: dict[str, list[float]] = {}
    with open_session(FakeAvatar(), observer=lambda name, value: told.setdefault(name, []).append(value)) as session:
        outlet = session.subscribe()
        assert not session.push_audio(tone(0.5), generation=7)
        session.push_audio(tone(0.2))
        until(outlet, lambda frame: mouth(frame) > 0.9)
        until(outlet, lambda frame: frame.index > 20)
        stats = session.stats()
    assert told["drop_sound"] == [0.5]
    assert {"features_ms", "motion_ms", "draw_ms", "late_ms", "latency_ms"} <= told.keys()
    assert {"fps", "features_ms", "motion_ms", "draw_ms", "late_ms", "queued_s", "level", "size_px", "drop_sound"} <= stats.keys()
    assert stats["fps"] > 0
    assert (stats["level"], stats["size_px"], session.size_px) == (0, 512, 512)


def test_a_session_starts_once_and_closes_for_good() -> None:
    session = open_session(FakeAvatar())
    session.start()
    with pytest.raises(SessionError, match="open another"):
        session.start()
    session.close()
    session.close()
    with pytest.raises(SessionError):
        session.start()
    unused = open_session(FakeAvatar())
    outlet = unused.subscribe()
    unused.close()
    assert outlet.get(0) is None


def test_nothing_is_left_after_fifty_sessions() -> None:
    before = threads()
    avatars = []
    for _ in range(50):
        avatar = FakeAvatar()
        avatars.append(weakref.ref(avatar))
        with open_session(avatar) as session:
            outlet = session.subscribe()
            session.push_audio(tone(1.0))
            assert outlet.get(GENEROUS_S) is not None
        del avatar
    gc.collect()
    assert threads() == before
    assert all(avatar() is None for avatar in avatars[:-1])
    assert session.stats()["queued_s"] > 0  # the session itself may still be asked
    del outlet, session
    gc.collect()
    assert avatars[-1]() is None


@needs_networks
def test_the_real_avatar_speaks_and_stops() -> None:
    with open_session(Avatar.open(DATA / "portrait.jpg"), seed=1) as session:
        outlet = session.subscribe()
        still = until(outlet, lambda frame: frame.image is not None)[-1].image
        session.push_audio(tone(5.0))
        spoken = until(outlet, lambda frame: bool(frame.audio.any()) and frame.image is not None)[-1]
        assert spoken.image is not None
        assert still is not None
        assert spoken.image.shape == still.shape == (512, 512, 3)
        assert (spoken.image != still).any()
        assert 0 < spoken.times.heard < spoken.times.features <= spoken.times.motion < spoken.times.drawn
        session.interrupt()
        assert not until(outlet, lambda frame: True)[-1].audio.any()
        session.push_audio(0.5 * tone(5.0))
        spoken = until(outlet, lambda frame: loudness(frame.audio) > 0.12)[-1]
        assert loudness(spoken.sound) == pytest.approx(loudness(spoken.audio), abs=0.01)
        assert session.failure is None
