"""Brows: raises that begin with some of a voice's accents, of human number, height and length, and none in silence."""

from __future__ import annotations

import numpy as np
import pytest

from talkinghead.constants import FRAME_RATE_HZ
from talkinghead.motion.brows import Brows, raised_brows
from talkinghead.motion.latent import BROWS, LIPS, LatentModel
from talkinghead.runtime.weights import model_path

MINUTE = 60 * FRAME_RATE_HZ


def syllables(minutes: float, seed: int = 0) -> np.ndarray:
    """Loudness of a voice whose syllables are of many strengths, four a second."""
    rng, count = np.random.default_rng(seed), round(minutes * MINUTE)
    strength = rng.uniform(0.6, 2.2, count // 10 + 1).repeat(10)[:count]
    return strength * (0.6 + 0.4 * np.sin(2 * np.pi * np.arange(count) / 10))


def heights(gate: np.ndarray, loud: np.ndarray, seed: int = 0) -> np.ndarray:
    brows = Brows()
    brows.reset(np.random.SeedSequence(seed))
    return np.array([brows.step(g, x) for g, x in zip(gate.tolist(), loud.tolist(), strict=True)])


def test_raises_are_of_human_number_height_and_length() -> None:
    loud = syllables(10)
    course = heights(np.ones_like(loud), loud)
    starts = np.flatnonzero(np.diff((course > 0).astype(int)) > 0) + 1
    assert 8 <= len(starts) / 10 <= 26
    tops = [course[a:b].max() for a, b in zip(starts, starts[1:], strict=False)]
    assert 0.006 < np.median(tops) < 0.011 and max(tops) <= 0.018
    lasting = np.mean(course > 0) * 600 / len(starts)
    assert 0.5 < lasting < 1.5
    assert np.abs(np.diff(course)).max() < 0.004  # no jump


def test_they_begin_with_accents() -> None:
    loud = syllables(10)
    course = heights(np.ones_like(loud), loud)
    starts = np.flatnonzero(np.diff((course > 0).astype(int)) > 0) + 1
    peak = np.lib.stride_tricks.sliding_window_view(loud, 10).max(1)  # of a syllable
    assert peak[starts].mean() > peak.mean() + 0.3 * peak.std()


def test_a_voice_without_accents_and_silence_raise_nothing() -> None:
    flat = np.full(2 * MINUTE, 1.2)
    assert not heights(np.ones_like(flat), flat).any()
    assert not heights(np.zeros_like(flat), syllables(2)).any()


def test_raised_brows_fall_when_the_voice_falls_silent() -> None:
    loud = syllables(5)
    gate = np.ones_like(loud)
    course = heights(gate, loud)
    raised = int(np.argmax(course))
    gate[raised:] = 0.0
    course = heights(gate, loud)
    assert course[raised] > 0.004 and not course[raised + round(0.7 * FRAME_RATE_HZ) :].any()


def test_how_loud_a_voice_is_recorded_does_not_matter_for_long() -> None:
    loud = syllables(6)
    raises = [np.diff((heights(np.ones_like(loud), loud * gain) > 0).astype(int)).clip(0).sum() for gain in (0.5, 1.0, 1.5)]
    assert max(raises) < 1.6 * min(raises)


def test_told_by_the_seed() -> None:
    loud = syllables(2)
    gate = np.ones_like(loud)
    np.testing.assert_array_equal(heights(gate, loud), heights(gate, loud))
    assert (heights(gate, loud) != heights(gate, loud, seed=1)).any()


def test_the_step_raises_the_brows_and_leaves_the_rest() -> None:
    latent = LatentModel.load(model_path("latent", "latent.npz"))
    moved = np.tensordot(raised_brows(latent), latent.basis_dyn, 1)
    assert -moved[list(BROWS), 1].mean() == pytest.approx(1.0)
    assert np.abs(moved[list(LIPS)]).max() < 0.1
    assert np.abs(moved[[1, 152]]).max() < 0.15  # nose and chin
