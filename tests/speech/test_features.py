"""Features: the same rows however the sound is cut, whatever the gain; and a voice measure that knows silence."""

from __future__ import annotations

import numpy as np
import pytest

from talkinghead.constants import SAMPLE_RATE_HZ, SAMPLES_PER_FRAME
from talkinghead.speech.features import FEATURES, FeatureStream, silent_rows


def voice_like(seconds: float, seed: int = 0) -> np.ndarray:
    """A buzz with moving bands, four syllables a second, float32 (n,)."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    buzz = sum(np.sin(2 * np.pi * 120 * k * t) / k for k in range(1, 30))
    return ((buzz * np.clip(np.sin(2 * np.pi * 2 * t), 0, 1) + 3e-2 * rng.standard_normal(len(t))) * 0.1).astype(np.float32)


@pytest.mark.parametrize("sizes", [(1,) * 700 + (5000,), (399, 401, 400, 7000), (160,) * 60, (12_345,)])
def test_rows_do_not_depend_on_the_chunks(sizes: tuple[int, ...]) -> None:
    sound = voice_like(sum(sizes) / SAMPLE_RATE_HZ)
    whole, stream = FeatureStream().push(sound), FeatureStream()
    parts = [stream.push(part) for part in np.split(sound, np.cumsum(sizes)[:-1])]
    np.testing.assert_array_equal(np.concatenate([p.rows for p in parts]), whole.rows)
    np.testing.assert_array_equal(np.concatenate([p.voice for p in parts]), whole.voice)


def test_a_row_needs_no_sound_after_its_own_frame() -> None:
    sound = voice_like(1.0)
    cut = sound.copy()
    cut[20 * SAMPLES_PER_FRAME :] = 0
    np.testing.assert_array_equal(FeatureStream().push(sound).rows[:20], FeatureStream().push(cut).rows[:20])


def test_flush_gives_the_last_incomplete_frame() -> None:
    stream = FeatureStream()
    assert len(stream.push(np.ones(SAMPLES_PER_FRAME + 10, np.float32)).rows) == 1
    assert stream.flush().rows.shape == (1, FEATURES)
    assert stream.flush().rows.shape == (0, FEATURES)


@pytest.mark.parametrize("gain", [0.1, 0.3, 3.0])
def test_gain_does_not_matter_once_the_voice_is_known(gain: float) -> None:
    sound = voice_like(8.0)
    plain, scaled = (FeatureStream().push(g * sound) for g in (1.0, gain))
    known = slice(3 * 40, None)
    assert np.abs(plain.rows[known] - scaled.rows[known]).mean() < 0.12
    assert np.corrcoef(plain.voice[known], scaled.voice[known])[0, 1] > 0.9


def test_voice_is_high_in_syllables_and_zero_in_silence_and_hiss() -> None:
    hiss = 0.0004 * np.random.default_rng(1).standard_normal(20 * SAMPLE_RATE_HZ).astype(np.float32)
    assert FeatureStream().push(np.zeros(SAMPLE_RATE_HZ, np.float32)).voice.max() == 0
    assert FeatureStream().push(hiss).voice[400:].mean() < 0.02
    voice = FeatureStream().push(np.concatenate([hiss[: 2 * SAMPLE_RATE_HZ], voice_like(2.0)])).voice
    assert voice[80:].max() > 0.9
    assert voice[20:78].max() < 0.1


def test_silence_is_rows_of_nought() -> None:
    assert np.abs(FeatureStream().push(np.zeros(4000, np.float32)).rows - silent_rows(10).rows).max() < 0.1


def test_broken_samples_do_no_harm() -> None:
    sound = voice_like(0.5)
    sound[100:110], sound[200:210], sound[300] = np.nan, np.inf, 1e30
    assert np.isfinite(FeatureStream().push(sound).rows).all()
