"""Eyes of their own: blinks at a human rate, fixations and saccades about the target."""

from __future__ import annotations

import numpy as np
import pytest

from talkinghead.motion.eyes import Blinks, Gaze

CURVE = np.array([0.1, 0.6, 1.0, 0.9, 0.6, 0.4, 0.2, 0.1])
MINUTE = 60 * 40


def lids(rate: float, minutes: float, seed: int = 0) -> np.ndarray:
    blinks = Blinks(CURVE, 20.0)
    blinks.reset(np.random.SeedSequence(seed))
    return np.array([blinks.step(rate) for _ in range(round(minutes * MINUTE))])


def count(closure: np.ndarray) -> int:
    return int(np.diff((closure > 0.5).astype(int)).clip(0).sum())


def test_blinks_come_at_the_natural_rate_times_the_control() -> None:
    assert count(lids(1.0, 10)) / 10 == pytest.approx(20, abs=4)
    assert count(lids(0.5, 10)) / 10 == pytest.approx(12, abs=4)
    assert count(lids(2.0, 10)) / 10 > 25


def test_none_when_asked_for_none() -> None:
    assert not lids(0.0, 3).any()


def test_a_blink_runs_its_course_and_shuts() -> None:
    closure = lids(1.0, 3)
    starts = np.flatnonzero(np.diff((closure > 0).astype(int)) > 0) + 1
    assert len(starts) > 20
    for start in starts[:-1]:
        course = closure[start : start + len(CURVE)]
        assert 0.92 <= course.max() <= 1
        np.testing.assert_allclose(course / course.max(), CURVE, atol=1e-6)


def test_blinks_are_irregular_and_told_by_the_seed() -> None:
    closure = lids(1.0, 5)
    gaps = np.diff(np.flatnonzero(np.diff((closure > 0.5).astype(int)) > 0))
    assert gaps.std() > 0.4 * gaps.mean()
    np.testing.assert_array_equal(closure, lids(1.0, 5))
    assert (closure != lids(1.0, 5, seed=1)).any()


@pytest.mark.parametrize("voice", [0.0, 1.0])
def test_gaze_stays_by_its_target_in_fixations_and_quick_saccades(voice: float) -> None:
    gaze = Gaze()
    gaze.reset(np.random.SeedSequence(0))
    look = np.array([gaze.step(voice) for _ in range(5 * MINUTE)])
    assert np.abs(look.mean(0)).max() < 0.6
    assert np.abs(look).max() < 13
    speed = np.linalg.norm(np.diff(look, axis=0), axis=1)
    assert 0.5 < (speed < 0.05).mean() < 0.97  # still most of the time
    away = np.linalg.norm(look, axis=1) > 4
    assert 0.02 < away.mean() < 0.3
    assert speed.max() > 1.5


def test_the_first_second_is_like_any_other() -> None:
    early = np.mean([count(lids(1.0, 1.5 / 60, seed)) for seed in range(400)]) / 1.5 * 60
    assert early == pytest.approx(15, abs=4)
