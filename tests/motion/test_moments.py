"""Running moments: of speech alone, from what is usual, with a memory that fades."""

from __future__ import annotations

import numpy as np
import pytest

from talkinghead.constants import FRAME_RATE_HZ
from talkinghead.motion.moments import Moments


def heard(values: np.ndarray, gates: np.ndarray, memory_s: float = 100.0) -> Moments:
    moments = Moments(1.0, 0.5, prior_s=1.0, memory_s=memory_s)
    for value, gate in zip(values.tolist(), gates.tolist(), strict=True):
        moments.add(value, gate)
    return moments


def test_they_are_those_of_what_was_heard_and_the_prior() -> None:
    values = np.random.default_rng(0).normal(3, 2, 4000)
    moments = heard(values, np.ones(4000), memory_s=1000)
    share = FRAME_RATE_HZ / (4000 + FRAME_RATE_HZ)
    mean = share * 1.0 + (1 - share) * values.mean()
    square = share * (0.5**2 + 1.0) + (1 - share) * (values**2).mean()
    assert moments.mean == pytest.approx(mean, rel=1e-6)
    assert moments.deviation == pytest.approx((square - mean**2) ** 0.5, rel=1e-6)


def test_silence_changes_nothing() -> None:
    moments = heard(np.full(400, 9.0), np.zeros(400))
    assert (moments.mean, moments.deviation) == (1.0, 0.5)


def test_what_is_long_ago_fades_and_a_reset_forgets() -> None:
    values = np.concatenate([np.full(4000, 9.0), np.tile([2.0, 4.0], 400)])
    moments = heard(values, np.ones(len(values)), memory_s=2.0)
    assert moments.mean == pytest.approx(3.0, abs=0.1) and moments.deviation == pytest.approx(1.0, abs=0.1)
    moments.reset()
    assert (moments.mean, moments.deviation) == (1.0, 0.5)
