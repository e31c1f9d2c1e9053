"""Ramps follow without a jump or a kink, and arrive."""

from __future__ import annotations

import numpy as np
import pytest

from talkinghead.constants import FRAME_RATE_HZ
from talkinghead.motion.ramp import Ramp, decay


def followed(ramp: Ramp, target: float, count: int) -> np.ndarray:
    return np.array([ramp.step([target])[0] for _ in range(count)])


def test_decay_is_of_the_time_constant() -> None:
    assert decay(1.0) ** FRAME_RATE_HZ == pytest.approx(np.exp(-1))


def test_the_first_target_is_taken_at_once() -> None:
    ramp = Ramp(0.1)
    assert ramp.step([3.0, -1.0]) == [3.0, -1.0]
    ramp.reset()
    assert ramp.step([5.0]) == [5.0]


def test_a_given_start_is_left_without_a_jump_or_a_kink() -> None:
    ramp = Ramp(0.1)
    ramp.reset([0.0])
    course = np.concatenate([[0, 0], followed(ramp, 1.0, 200)])
    step = np.diff(course)
    assert (step >= 0).all()
    assert 0 < step[1] < 0.02
    assert step.max() < 0.1 and np.abs(np.diff(step)).max() < 0.04
    assert course[2 + round(3 * 0.1 * FRAME_RATE_HZ)] == pytest.approx(0.6, abs=0.1)
    assert course[-1] == 1.0  # arrived, exactly


def test_values_follow_their_own_targets() -> None:
    both, one = Ramp(0.05), Ramp(0.05)
    both.reset([0.0, 1.0])
    one.reset([0.0])
    for k in range(30):
        assert both.step([1.0, 1.0 - (k > 5)])[0] == one.step([1.0])[0]


def test_an_arrived_ramp_leaves_again() -> None:
    ramp = Ramp(0.02)
    ramp.step([0.0])
    followed(ramp, 0.0, 10)
    assert 0 < followed(ramp, 1.0, 1)[0] < 0.6
    assert followed(ramp, 1.0, 100)[-1] == 1.0
    assert followed(ramp, -1.0, 100)[-1] == -1.0
