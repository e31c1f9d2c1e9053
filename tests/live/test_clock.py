"""The output clock counts on, whatever happens, and only skips after a long gap."""

from __future__ import annotations

import pytest

from talkinghead.live.clock import OutputClock


def test_frames_are_due_forty_times_a_second_without_drift() -> None:
    clock = OutputClock(50.0)
    for _ in range(40 * 3600):
        clock.tick()
    assert clock.due_s == pytest.approx(50.0 + 3600, abs=1e-6)


def test_a_lag_up_to_a_second_keeps_every_number() -> None:
    clock = OutputClock(0.0)
    assert clock.catch_up(1.0) == 0
    assert clock.index == 0


def test_after_a_long_gap_the_frame_that_is_due_then_is_next() -> None:
    clock = OutputClock(10.0)
    clock.tick()
    assert clock.catch_up(10.0 + 600) == 40 * 600 - 1
    assert clock.index == 40 * 600
    assert clock.due_s == pytest.approx(610.0)
    assert clock.skipped == 40 * 600 - 1
    assert clock.catch_up(10.0 + 600) == 0
