"""Frames leave on the clock with the sound that belongs to them, through speech, silence, interruptions, load and sleep."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from live.fakes import loudness, opening, tone
from live.simulation import Simulation

from talkinghead.live.pump import LATE_S

FRAME_S = 1 / 40


def due_s(call: Simulation) -> np.ndarray:
    return FRAME_S + np.array([frame.index for frame in call.frames]) * FRAME_S


def test_silence_is_forty_still_frames_a_second() -> None:
    call = Simulation(draw_s=0.008)
    call.run(2.0)
    assert [frame.index for frame in call.frames] == list(range(len(call.frames)))
    assert len(call.frames) == 79
    np.testing.assert_allclose(call.at_s[3:], due_s(call)[3:], atol=1e-6)
    assert {frame.state for frame in call.frames} == {"idle"}
    assert all(frame.image is not None and not frame.audio.any() and frame.times.heard == 0 for frame in call.frames)


def test_the_mouth_moves_with_the_sound_of_its_frame() -> None:
    call = Simulation(draw_s=0.008)
    sound = np.concatenate([level * tone(0.1) for level in (1.0, 0.0, 0.5, 0.0, 0.8)])
    call.at(0.41, lambda: call.sound.push(sound, 16_000))
    call.run(2.0)
    assert max(loudness(frame.audio) for frame in call.frames) > 0.2
    for frame in call.frames:
        assert frame.image is not None
        assert opening(frame.image) == pytest.approx(min(1.0, 4 * loudness(frame.audio)), abs=0.01)
        assert loudness(frame.sound) == pytest.approx(loudness(frame.audio), abs=0.02)


def test_times_are_in_order_and_true() -> None:
    call = Simulation(draw_s=0.008)
    call.stream(tone(1.0), 0.5)
    call.run(2.0)
    spoken = [frame for frame in call.frames if frame.times.heard]
    assert len(spoken) == pytest.approx(40, abs=1)
    for frame in spoken:
        times = frame.times
        assert times.heard < times.features <= times.motion < times.drawn
        assert 0.07 < times.drawn - times.heard < 0.14
        assert times.encoded == times.sent == 0
    assert np.median([frame.times.drawn - frame.times.heard for frame in spoken]) < 0.105
    figures = call.accounts.medians()
    assert figures["draw_ms"] == pytest.approx(8.0)
    assert call.accounts.rate_hz("draw_ms") == pytest.approx(40, abs=1)


def test_states_follow_speech_and_listening() -> None:
    call = Simulation()
    call.at(0.5, lambda: call.sound.push(np.concatenate([tone(0.3), np.zeros(9_600, np.float32), tone(0.3)]), 16_000))

    def listen(on: bool) -> None:
        call.pump.listening = on

    call.at(0.6, lambda: listen(True))
    call.at(3.0, lambda: listen(False))
    call.run(3.5)
    states = [frame.state for frame in call.frames]
    runs = [states[0]] + [b for a, b in zip(states, states[1:], strict=False) if a != b]
    assert runs == ["idle", "speaking", "listening", "idle"]
    assert states.count("speaking") * FRAME_S == pytest.approx(1.2 + 0.4, abs=0.2)


@pytest.mark.parametrize("when_ms", range(1000, 1050, 3))
def test_interrupt_is_silent_at_once_and_still_within_six_frames(when_ms: int) -> None:
    call = Simulation(draw_s=0.008)
    call.at(0.3, lambda: call.sound.push(tone(20.0), 16_000))
    call.at(when_ms / 1000, call.sound.interrupt)
    call.run(2.0)
    assert [frame.index for frame in call.frames] == list(range(len(call.frames)))
    after = [frame for frame, at_s in zip(call.frames, call.at_s, strict=True) if at_s > when_ms / 1000]
    assert {frame.generation for frame in after} == {1}
    assert not any(frame.audio.any() for frame in after)
    assert not after[0].sound[480:].any()  # faded out within 10 ms
    assert not any(frame.sound.any() for frame in after[1:])
    mouths = [opening(frame.image) for frame in after if frame.image is not None]
    assert len(mouths) == len(after)
    assert max(mouths[5:]) < 0.02
    assert mouths[0] > 0.7  # on from where it was
    assert sum(frame.state == "speaking" for frame in after) == 0
    np.testing.assert_allclose([at for at in call.at_s if at > 1.1], due_s(call)[np.array(call.at_s) > 1.1], atol=1e-6)


@pytest.mark.parametrize("gap_ms", [0, 10, 30, 200])
def test_new_speech_after_an_interruption_is_whole_and_in_step(gap_ms: int) -> None:
    call = Simulation(draw_s=0.008)
    speech = 0.5 * tone(0.5, hz=300)
    call.at(0.3, lambda: call.sound.push(tone(5.0), 16_000))
    call.at(1.0, call.sound.interrupt)
    call.at(1.0 + gap_ms / 1000, lambda: call.sound.push(speech, 16_000, generation=1))
    call.run(2.5)
    after = [frame for frame in call.frames if frame.generation == 1]
    heard = np.concatenate([frame.audio for frame in after])
    begin = int((np.abs(heard) > 0).argmax()) - 1
    np.testing.assert_array_equal(heard[begin : begin + len(speech)], speech)
    for frame in after[8:]:
        assert frame.image is not None
        assert opening(frame.image) == pytest.approx(min(1.0, 4 * loudness(frame.audio)), abs=0.01)


def test_many_interruptions_leave_the_delay_as_it_was() -> None:
    call = Simulation(draw_s=0.008)
    for k in range(20):
        call.at(0.5 + 0.137 * k, lambda: call.sound.push(tone(1.0), 16_000))
        call.at(0.6 + 0.137 * k, call.sound.interrupt)
    call.at(5.0, lambda: call.sound.push(tone(0.5), 16_000))
    call.run(7)
    first = next(at for frame, at in zip(call.frames, call.at_s, strict=True) if at > 4.5 and frame.audio.any())
    assert 0.1 < first - 5.0 < 0.14


def test_under_load_pictures_are_skipped_and_sound_is_whole() -> None:
    call = Simulation(draw_s=0.032)
    call.at(1.0, lambda: call.sound.push(tone(8.0), 16_000))
    call.run(10.0)
    assert [frame.index for frame in call.frames] == list(range(len(call.frames)))
    heard = call.heard()
    begin = int((np.abs(heard) > 0).argmax()) - 1
    np.testing.assert_array_equal(heard[begin : begin + 128_000], tone(8.0))
    drawn = [frame.index for frame in call.frames if frame.image is not None and frame.index > 80]
    assert set(np.diff(drawn)) == {2}
    assert call.pump.ladder.level == 1
    lateness = np.array(call.at_s) - due_s(call)
    assert lateness[80:].max() < LATE_S
    call.avatar.draw_s = 0.008
    call.run(16.0)
    assert call.pump.ladder.level == 0


def test_hopeless_load_still_shows_some_pictures_and_keeps_the_sound() -> None:
    call = Simulation(draw_s=0.15)
    call.at(1.0, lambda: call.sound.push(tone(8.0), 16_000))
    call.run(10.0)
    drawn = [frame.index for frame in call.frames if frame.image is not None]
    assert np.diff(drawn).max() <= 12
    assert call.accounts.totals()["drop_video"] > 10
    assert "drop_skipped" not in call.accounts.totals()
    assert np.count_nonzero(np.abs(call.heard()) > 0) > 127_000


def test_a_short_stall_is_caught_up_without_pictures() -> None:
    call = Simulation(draw_s=0.008)
    call.at(0.5, lambda: call.sound.push(tone(3.0), 16_000))
    call.at(1.5, lambda: call.time.spend(0.5))
    call.run(4.5)
    assert [frame.index for frame in call.frames] == list(range(len(call.frames)))
    assert 10 <= sum(frame.image is None for frame in call.frames) <= 20
    assert np.count_nonzero(np.abs(call.heard()) > 0) > 47_900


def test_sleep_makes_the_clock_skip_and_nothing_else() -> None:
    call = Simulation(draw_s=0.008)
    call.stream(tone(1.0), 0.3)
    call.at(2.0, lambda: call.time.spend(3600.0))
    call.run(3604.0)
    indices = np.array([frame.index for frame in call.frames])
    jumps = np.diff(indices)
    assert np.count_nonzero(jumps != 1) == 1
    assert jumps.max() == pytest.approx(3600 * 40, abs=3)
    assert call.pump.clock.skipped == jumps.max() - 1
    np.testing.assert_allclose(call.at_s[-40:], due_s(call)[-40:], atol=1e-6)


def test_a_seed_and_the_same_sound_give_the_same_frames() -> None:
    def frames(seed: int) -> np.ndarray:
        call = Simulation(seed=seed)
        call.at(0.5, lambda: call.sound.push(tone(0.5), 16_000))
        call.at(0.8, call.sound.interrupt)
        call.run(1.5)
        return np.stack([frame.image for frame in call.frames if frame.image is not None])

    np.testing.assert_array_equal(frames(1), frames(1))
    assert (frames(1) != frames(2)).any()


def test_time_costs_no_memory() -> None:
    call = Simulation(keep=100)
    span_s = 120.0

    def talk() -> None:
        call.sound.push(tone(0.5, 48_000), 48_000)
        if round(call.now_s) % 10 < 5:
            call.at(call.now_s + 0.3, call.sound.interrupt)

    for at_s in range(1, round(4 * span_s), 5):
        call.at(at_s, talk)
    call.run(span_s)
    tracemalloc.start()
    held = []
    for spans in (2, 3, 4):
        call.run(spans * span_s)
        held.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert min(np.diff(held)) < 50_000  # of all threads: another test's may come to an end meanwhile, but once
    assert call.frames[-1].index == pytest.approx(4 * span_s * 40, abs=3)
