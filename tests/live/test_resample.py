"""Sound keeps its time, its spectrum and its bits, however it is cut, and comes out at once."""

from __future__ import annotations

import numpy as np
import pytest

from talkinghead.live.resample import Converter, Resampler

PAIRS = [
    (48_000, 16_000),
    (16_000, 48_000),
    (44_100, 16_000),
    (44_100, 48_000),
    (8_000, 48_000),
    (22_050, 16_000),
    (96_000, 16_000),
]


def sine(hz: float, rate: int, seconds: float = 0.5) -> np.ndarray:
    return np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate).astype(np.float32)


@pytest.mark.parametrize(("rate_in", "rate_out"), PAIRS)
def test_a_tone_keeps_time_and_level(rate_in: int, rate_out: int) -> None:
    hz = 0.3 * min(rate_in, rate_out)
    resampler = Resampler(rate_in, rate_out)
    made = np.concatenate([resampler.push(sine(hz, rate_in)), resampler.flush()])
    assert len(made) == pytest.approx(0.5 * rate_out, abs=1)
    away = made - sine(hz, rate_out, 1.0)[: len(made)]
    assert np.abs(away[rate_out // 20 : -rate_out // 20]).max() < 1e-3


@pytest.mark.parametrize(("rate_in", "rate_out"), PAIRS)
def test_cuts_change_nothing_and_little_is_held_back(rate_in: int, rate_out: int) -> None:
    sound = np.random.default_rng(0).standard_normal(rate_in // 5).astype(np.float32)
    whole = Resampler(rate_in, rate_out).push(sound)
    held_back_s = len(sound) / rate_in - len(whole) / rate_out
    assert held_back_s <= 24.5 / min(rate_in, rate_out)
    cuts = np.sort(np.random.default_rng(1).integers(0, len(sound), 40))
    resampler = Resampler(rate_in, rate_out)
    np.testing.assert_array_equal(np.concatenate([resampler.push(part) for part in np.split(sound, cuts)]), whole)


@pytest.mark.parametrize("rate_in", [48_000, 44_100, 96_000])
def test_what_16_khz_cannot_hold_is_gone(rate_in: int) -> None:
    made = Resampler(rate_in, 16_000).push(sine(9_000, rate_in))
    assert np.abs(made[1000:]).max() < 2e-3


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100, 48_000])
def test_both_hearers_hear_a_click_at_the_same_time(rate: int) -> None:
    sound = np.zeros(rate, np.float32)
    sound[rate // 3 : rate // 3 + rate // 500] = 0.5
    model, ear = Converter(rate).push(sound)

    def centre_s(made: np.ndarray, made_hz: int) -> float:
        return float((np.arange(len(made)) * made**2).sum() / (made**2).sum()) / made_hz

    assert centre_s(model, 16_000) == pytest.approx(centre_s(ear, 48_000), abs=0.2e-3)
    assert centre_s(ear, 48_000) == pytest.approx((rate // 3 + rate / 1000) / rate, abs=0.5e-3)


def test_sound_at_its_own_rate_is_left_alone() -> None:
    sound = np.random.default_rng(0).standard_normal(1000).astype(np.float32)
    assert Converter(16_000).push(sound)[0] is sound
    assert Converter(48_000).push(sound)[1] is sound
