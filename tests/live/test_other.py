"""The other party: heard at any rate, forgotten when they stop or the session speaks for them again."""

from __future__ import annotations

import numpy as np
import pytest
from live.fakes import FakeTime
from sounds import babble

from talkinghead.errors import SpeechError
from talkinghead.live.other import STALE_S, OtherParty


@pytest.mark.parametrize("rate", [16_000, 48_000])
def test_speech_is_heard_as_it_comes(rate: int) -> None:
    time = FakeTime()
    other = OtherParty(time)
    assert other.voice == 0
    sound = np.repeat(np.concatenate([np.zeros(8_000, np.float32), babble(1.0), np.zeros(16_000, np.float32)]), rate // 16_000)
    course = []
    for chunk in np.array_split(sound, len(sound) // (rate // 50)):
        time.spend(0.02)
        other.push(chunk, rate)
        course.append(other.voice)
    assert max(course[:22]) == 0 and np.mean(course[30:70]) > 0.5 and max(course[90:]) < 0.1


def test_who_sends_nothing_is_silent() -> None:
    time = FakeTime()
    other = OtherParty(time)
    other.push(babble(1.0), 16_000)
    other.push(0.3 * np.sin(np.arange(1600, dtype=np.float32)), 16_000)
    assert other.voice > 0.5
    time.spend(STALE_S + 0.01)
    assert other.voice == 0


def test_who_speaks_for_a_while_is_told_once() -> None:
    other = OtherParty(FakeTime())
    cough, word = (0.3 * np.sin(np.arange(round(16_000 * length_s), dtype=np.float32)) for length_s in (0.15, 0.4))
    pause = np.zeros(4_800, np.float32)
    other.push(word, 16_000)
    assert not other.spoke(0.25)  # it may be the room's noise
    other.push(np.zeros(16_000, np.float32), 16_000)
    for sound in (cough, pause, cough, pause):
        other.push(sound, 16_000)
        assert not other.spoke(0.25)
    other.push(word, 16_000)
    assert other.spoke(0.25) and not other.spoke(0.25)
    other.push(pause, 16_000)
    other.push(word, 16_000)
    assert other.spoke(0.25)


def test_clear_forgets() -> None:
    other = OtherParty(FakeTime())
    other.push(0.3 * np.sin(np.arange(16_000, dtype=np.float32)), 16_000)
    assert other.voice > 0.5
    other.clear()
    assert other.voice == 0
    with pytest.raises(SpeechError, match="mono"):
        other.push(np.zeros((2, 10), np.float32), 16_000)
