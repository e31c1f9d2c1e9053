"""Sound waits in order, with its generation; live sound comes out as early as it safely can, whatever its clock does."""

from __future__ import annotations

import numpy as np
import pytest
from live.fakes import FakeTime, tone
from live.simulation import Simulation

from talkinghead.errors import SpeechError
from talkinghead.live.sound import LIVE_BACKLOG_S, MAX_QUEUED_S, Heard, SoundQueue
from talkinghead.live.times import Accounts

FRAME = 400


def made() -> tuple[SoundQueue, Accounts, FakeTime]:
    time = FakeTime()
    accounts = Accounts(time)
    return SoundQueue(time, accounts), accounts, time


def taken(queue: SoundQueue, count: int) -> list[Heard]:
    return [queue.take() for _ in range(count)]


def joined(heard: list[Heard]) -> np.ndarray:
    return np.concatenate([one.audio for one in heard])


@pytest.mark.parametrize("size", [37, 320, 1000, 16_000])
def test_pieces_of_any_size_come_out_as_frames(size: int) -> None:
    queue, _, _ = made()
    sound = np.random.default_rng(0).uniform(-0.5, 0.5, 8_100).astype(np.float32)
    for start in range(0, len(sound), size):
        assert queue.push(sound[start : start + size], 16_000)
    assert queue.queued_s == pytest.approx(len(sound) / 16_000, abs=1e-3)
    heard = joined(taken(queue, 22))
    np.testing.assert_array_equal(heard[: len(sound)], sound)
    assert not heard[len(sound) :].any()
    assert queue.queued_s == 0


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100, 48_000])
def test_networks_and_ears_get_the_same_25_ms(rate: int) -> None:
    queue, _, _ = made()
    sound = np.zeros(rate, np.float32)
    for at_s in (0.2, 0.5, 0.8):
        sound[round(at_s * rate) : round(at_s * rate) + rate // 400] = 0.5
    for start in range(0, rate, rate // 50):
        queue.push(sound[start : start + rate // 50], rate)
    heard = taken(queue, 40)
    assert all(one.audio.shape == (400,) and one.sound.shape == (1200,) for one in heard)
    model, ear = joined(heard), np.concatenate([one.sound for one in heard])
    for at_s in (0.2, 0.5, 0.8):
        centres = []
        for made_of, hz in ((model, 16_000), (ear, 48_000)):
            near = slice(round((at_s - 0.05) * hz), round((at_s + 0.05) * hz))
            energy = made_of[near] ** 2
            centres.append(at_s - 0.05 + float((np.arange(len(energy)) * energy).sum() / energy.sum()) / hz)
        assert centres[0] == pytest.approx(centres[1], abs=1e-3)
        assert centres[0] == pytest.approx(at_s + 1 / 800, abs=1e-3)


def test_sources_of_different_rates_follow_each_other_in_step() -> None:
    queue, _, _ = made()
    queue.push(tone(0.31, 22_050), 22_050)
    queue.push(tone(0.31, 48_000), 48_000)
    queue.push(np.round(32_767 * tone(0.31)).astype(np.int16), 16_000)
    heard = taken(queue, 40)
    loud = np.abs(joined(heard)) > 0.01
    ears = np.abs(np.concatenate([one.sound for one in heard])) > 0.01
    assert loud.nonzero()[0][-1] / 16_000 == pytest.approx(0.93, abs=2e-3)
    assert ears.nonzero()[0][-1] / 48_000 == pytest.approx(0.93, abs=2e-3)


def test_another_generation_is_refused_and_what_waits_of_it_dropped() -> None:
    queue, accounts, _ = made()
    assert queue.push(tone(1.0), 16_000, generation=0)
    taken(queue, 4)
    assert queue.interrupt() == queue.generation == 1
    assert not queue.push(tone(0.5), 16_000, generation=0)
    assert accounts.totals()["drop_sound"] == pytest.approx(0.9 + 0.5)
    assert not queue.take().audio.any()
    assert queue.push(tone(0.5), 16_000, generation=1)
    assert queue.take().generation == 1


def test_a_full_queue_refuses_whole_pushes() -> None:
    queue, _, _ = made()
    assert queue.push(np.zeros(round(16_000 * (MAX_QUEUED_S - 1)), np.int16), 16_000)
    assert not queue.push(np.zeros(17_000, np.int16), 16_000)
    assert queue.push(np.zeros(15_000, np.int16), 16_000)
    assert queue.queued_s <= MAX_QUEUED_S


def test_a_caller_may_use_its_buffer_again() -> None:
    queue, _, _ = made()
    buffer = tone(0.1)
    expected = buffer.copy()
    queue.push(buffer, 16_000)
    buffer[:] = 9
    np.testing.assert_array_equal(joined(taken(queue, 4)), expected)


def test_bad_sound_is_named_and_broken_samples_are_silent() -> None:
    queue, _, _ = made()
    with pytest.raises(SpeechError, match="mono"):
        queue.push(np.zeros((2, 100), np.float32), 16_000)
    with pytest.raises(SpeechError, match="4000 to 192000"):
        queue.push(np.zeros(100, np.float32), 1_000)
    queue.push(np.full(400, np.nan, np.float32), 16_000)
    assert not queue.take().audio.any()


def test_a_million_tiny_pushes_are_few_items() -> None:
    queue, _, _ = made()
    for _ in range(5_000):
        queue.push(np.ones(4, np.float32), 16_000)
    assert len(queue._pieces) <= 260


def onsets(call: Simulation, begin_s: float, every_s: float, pace: float = 1.0) -> np.ndarray:
    """Of beeps in a microphone's sound: from when each began to when its frame left, ms."""
    loud = np.abs(call.heard()) > 0.01
    starts = [i for i in loud.nonzero()[0] if not loud[max(0, i - 4000) : i].any()]
    spoken = [begin_s + (k + 0.5) * every_s / pace for k in range(len(starts))]
    return 1000 * np.array([call.at_s[i // FRAME] + i % FRAME / 16_000 - at for i, at in zip(starts, spoken, strict=True)])


def beeps(seconds: float, every_s: float = 1.0) -> np.ndarray:
    sound = np.zeros(round(seconds * 16_000), np.float32)
    for k in range(round(seconds / every_s)):
        start = round((k + 0.5) * every_s * 16_000)
        sound[start : start + 3200] = tone(0.2)
    return sound


def test_live_sound_takes_its_frame_look_ahead_and_little_more() -> None:
    latencies = []
    for begin_ms in range(500, 550, 5):
        call = Simulation(draw_s=0.008)
        call.stream(beeps(8), begin_ms / 1000)
        call.run(9)
        latencies += onsets(call, begin_ms / 1000, 1.0)[4:].tolist()
        assert np.count_nonzero(np.abs(call.heard()) > 0.01) == np.count_nonzero(np.abs(beeps(8)) > 0.01)
    # 100 ms of frame and look-ahead, up to 20 until a chunk is full, 10 of budget, 2 of margin, 5 that are not worth a cut.
    assert max(latencies) <= 140
    assert min(latencies) >= 100


@pytest.mark.parametrize("pace", [1.002, 0.998])
def test_a_clock_that_drifts_moves_latency_by_no_more_than_some_ms(pace: float) -> None:
    call = Simulation(draw_s=0.008)
    call.stream(beeps(90), 0.5, pace=pace)
    call.run(91.5)
    latencies = onsets(call, 0.5, 1.0, pace)
    assert len(latencies) == 90
    assert latencies[5:].min() > 95
    assert latencies[5:].max() < 155
    assert all(frame.image is not None for frame in call.frames)


def test_jitter_of_25_ms_loses_nothing() -> None:
    call = Simulation(draw_s=0.008)
    jitter = np.random.default_rng(0).uniform(0, 0.025, 997)
    call.stream(tone(30), 0.5, jitter_s=np.maximum.accumulate(np.arange(997) * 0.02 + jitter) - np.arange(997) * 0.02)
    call.run(31.5)
    loud = (np.abs(call.heard()) > 0.01).nonzero()[0]
    assert (loud[-1] - loud[0]) / 16_000 == pytest.approx(30, abs=0.03)


def test_after_a_stall_of_the_network_latency_comes_back() -> None:
    call = Simulation(draw_s=0.008)
    late = np.zeros(1000)
    late[200:230] = np.linspace(0.6, 0.02, 30)  # 0.6 s of sound in a burst, 4 s after the beginning
    call.stream(beeps(20), 0.5, jitter_s=late)
    call.run(21.5)
    assert call.accounts.totals()["drop_sound"] > LIVE_BACKLOG_S
    assert call.sound.queued_s < 0.1
    assert onsets(call, 0.5, 1.0)[8:].max() < 145


def test_a_voice_pushed_ahead_of_time_loses_nothing() -> None:
    call = Simulation(draw_s=0.008)
    speech = beeps(20)
    for k in range(10):  # pieces of two seconds, faster than they are spoken
        call.at(0.5 + 0.7 * k, lambda k=k: call.sound.push(speech[32_000 * k : 32_000 * (k + 1)], 16_000))
    call.run(21.5)
    heard = call.heard()
    first = int((np.abs(heard) > 0.01).argmax()) - 8_000
    first -= int((np.abs(speech[8_000:]) > 0.01).argmax())
    np.testing.assert_array_equal(heard[first : first + len(speech)], speech)
    assert "drop_sound" not in call.accounts.totals()


def test_an_open_microphone_does_not_cut_into_speech_that_waits() -> None:
    call = Simulation(draw_s=0.008)
    speech = tone(2.0)
    call.stream(0.01 * tone(6), 0.2, live=True)
    call.at(1.0, lambda: call.sound.push(speech, 16_000))
    call.run(6)
    heard = call.heard()
    loud = (np.abs(heard) > 0.1).nonzero()[0]
    assert (loud[-1] - loud[0]) / 16_000 == pytest.approx(2.0, abs=2e-3)
    assert np.abs(heard[loud[-1] + 4_000 :]).max() > 1e-3  # the microphone is heard again
    assert call.sound.queued_s < 0.1
