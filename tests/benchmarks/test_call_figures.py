"""When a mouth opens and rests, from made-up courses; the sound that a caller makes."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

ARRIVAL_S = 100 + np.arange(0, 3, 0.025)


@pytest.fixture
def figures(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("call_figures")


def course(opens_s: float, shuts_s: float, noise: float = 0.001) -> np.ndarray:
    """Gaps of 0.02 at rest and 0.2 open, within two pictures."""
    wide = np.clip((ARRIVAL_S - opens_s) / 0.05, 0, 1) * np.clip((shuts_s - ARRIVAL_S) / 0.05 + 1, 0, 1)
    return 0.02 + 0.18 * wide + noise * np.random.default_rng(0).standard_normal(len(ARRIVAL_S))


def test_the_mouth_opens_after_the_burst(figures: ModuleType) -> None:
    late_ms = figures.mouth_to_glass_ms(101.0, ARRIVAL_S, course(101.15, 101.4))
    assert 150 < late_ms <= 150 + 2 * 25


def test_a_mouth_that_does_not_open_has_no_time(figures: ModuleType) -> None:
    assert figures.mouth_to_glass_ms(101.0, ARRIVAL_S, course(109, 110)) is None
    assert figures.mouth_to_glass_ms(200.0, ARRIVAL_S, course(101, 102)) is None


def test_lips_pressed_before_they_open_do_not_delay_it(figures: ModuleType) -> None:
    gaps = course(101.15, 101.4)
    pressed = np.where((ARRIVAL_S > 101.05) & (ARRIVAL_S < 101.15), gaps - 0.015, gaps)
    assert figures.mouth_to_glass_ms(101.0, ARRIVAL_S, pressed) == figures.mouth_to_glass_ms(101.0, ARRIVAL_S, gaps)


def test_a_twitch_before_the_opening_does_not_count(figures: ModuleType) -> None:
    gaps = course(101.3, 101.5)
    gaps[np.searchsorted(ARRIVAL_S, 101.1)] = 0.1
    assert figures.mouth_to_glass_ms(101.0, ARRIVAL_S, gaps) > 300


def test_rest_after_an_interruption(figures: ModuleType) -> None:
    gaps = course(99, 101.1)
    rest_ms = figures.at_rest_ms(101.0, ARRIVAL_S, gaps)
    assert 100 < rest_ms <= 100 + 3 * 25
    assert figures.at_rest_ms(101.0, ARRIVAL_S, course(99, 100.2)) is None  # it did not speak
    again = np.where((ARRIVAL_S > 101.3) & (ARRIVAL_S < 101.4), 0.15, gaps)
    assert figures.at_rest_ms(101.0, ARRIVAL_S, again) > 350


def test_silence_is_the_last_sound(figures: ModuleType) -> None:
    at = 100 + np.arange(0, 3, 0.01)
    packets = np.stack([at, at, np.where(at < 101.034, 0.1, 0.001)], 1)
    assert figures.silent_ms(101.0, packets) == pytest.approx(30, abs=11)
    assert figures.silent_ms(102.0, packets) == 0


def test_rates_quantiles_and_slopes(figures: ModuleType) -> None:
    assert figures.rate_hz(ARRIVAL_S) == pytest.approx(40)
    assert figures.rate_hz(ARRIVAL_S[:1]) == 0
    assert figures.quantiles([]) == {"count": 0}
    assert figures.quantiles([1.0, 2.0, 3.0]) == {"p50": 2.0, "p95": 2.9, "max": 3.0, "count": 3}
    hours = np.arange(5) / 10
    assert figures.slope_per_hour(3600 * hours, 7 + 2 * hours) == pytest.approx(2)


def test_syllables_begin_at_once_and_are_loud(script: Callable[[str], ModuleType]) -> None:
    for name in ("aiortc", "aiohttp"):
        pytest.importorskip(name)
    client = script("call_client")
    for which in range(len(client.SYLLABLES_S)):
        sound = client.syllable(0.3, which)
        assert len(sound) == 14_400 and sound.dtype == np.float32
        assert np.sqrt(np.mean(sound[240:1920] ** 2)) > 0.02
        assert abs(sound[0]) < 1e-3 and abs(sound[-1]) < 1e-3


def test_a_picture_is_whole_with_its_marker(script: Callable[[str], ModuleType]) -> None:
    for name in ("aiortc", "aiohttp"):
        pytest.importorskip(name)
    buffer = script("call_client").WholePictures()

    def packet(number: int, data: bytes, marker: bool) -> SimpleNamespace:
        return SimpleNamespace(sequence_number=number & 0xFFFF, timestamp=number // 3, _data=data, marker=marker)

    assert buffer.add(packet(65_535, b"a", False)) == (False, None)
    assert buffer.add(packet(65_537, b"c", True)) == (False, None)  # out of order
    whole = buffer.add(packet(65_536, b"b", False))[1]
    assert whole is not None and whole.data == b"abc"
    assert buffer.add(packet(65_536, b"b", False)) == (False, None)  # come again
    single = buffer.add(packet(65_538, b"d", True))[1]
    assert single is not None and single.data == b"d"
    lost = [buffer.add(packet(65_540 + k, b"x", True))[0] for k in range(300)]
    assert lost.count(True) == 1  # asks for a keyframe once, and goes on
    going_on = buffer.add(packet(65_840, b"e", True))[1]
    assert going_on is not None and going_on.data == b"e"
