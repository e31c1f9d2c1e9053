"""Disguises of a sound: what may lie behind it, no delay, nothing beyond full scale."""

from __future__ import annotations

import numpy as np
import pytest

from talkinghead.constants import SAMPLE_RATE_HZ
from talkinghead.training.sound_augment import Behind, _noise, augment, mu_law

SECONDS = 3


def tone(hz: float, seconds: float = 60.0) -> np.ndarray:
    return np.sin(2 * np.pi * hz * np.arange(int(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ).astype(np.float32)


BEHIND = Behind(voices=tone(1000), music=tone(2000))


def share(noise: np.ndarray, hz: float) -> float:
    """Of a sound's power, within 20 Hz of a tone."""
    power = np.abs(np.fft.rfft(noise)) ** 2
    near = np.abs(np.fft.rfftfreq(len(noise), 1 / SAMPLE_RATE_HZ) - hz) < 20
    return float(power[near].sum() / power.sum())


def test_voices_music_and_hiss_lie_behind_about_as_often_as_is_said() -> None:
    rng = np.random.default_rng(0)
    made = [_noise(SECONDS * SAMPLE_RATE_HZ, rng, BEHIND) for _ in range(200)]
    assert all(noise.std() == pytest.approx(1, abs=0.01) for noise in made)
    voices, music = (sum(share(noise, hz) > 0.9 for noise in made) / len(made) for hz in (1000, 2000))
    assert 0.15 < voices < 0.35 and 0.1 < music < 0.3


def test_a_click_stays_where_it_is() -> None:
    sound = np.zeros(SECONDS * SAMPLE_RATE_HZ, np.float32)
    sound[SAMPLE_RATE_HZ] = 1.0
    rng = np.random.default_rng(1)
    quiet = Behind(voices=1e-6 * BEHIND.voices, music=1e-6 * BEHIND.music)
    where = [int(np.abs(augment(sound, rng, quiet)).argmax()) for _ in range(20)]
    assert np.median(np.abs(np.array(where) - SAMPLE_RATE_HZ)) <= 8


def test_nothing_is_louder_than_full_scale() -> None:
    rng, voice = np.random.default_rng(2), 0.1 * np.random.default_rng(0).standard_normal(SECONDS * SAMPLE_RATE_HZ)
    levels = []
    for _ in range(30):
        made = augment(voice.astype(np.float32), rng, BEHIND)
        assert made.dtype == np.float32 and made.shape == voice.shape and np.isfinite(made).all() and np.abs(made).max() <= 1
        levels.append(made.std())
    assert max(levels) / min(levels) > 10


def test_a_telephone_line_has_eight_bits() -> None:
    x = np.linspace(-1, 1, 10_001)
    coded = mu_law(x)
    assert len(np.unique(coded)) <= 256 and np.abs(coded - x).max() < 0.03
