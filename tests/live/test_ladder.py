"""Load makes pictures fewer, then smaller; rest brings them back; nothing swings."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from talkinghead.live.ladder import Ladder

SECOND = 40


def climb(ladder: Ladder, seconds: float, draw_ms: Callable[[int], float], base_ms: float = 5.0) -> list[int]:
    """Levels frame by frame, of a worker whose pictures take so long."""
    levels = []
    for index in range(round(seconds * SECOND)):
        draws = ladder.draws(index)
        ladder.frame(base_ms, draw_ms(index) if draws else None, False)
        levels.append(ladder.level)
    return levels


def changes(levels: list[int]) -> int:
    return int(np.count_nonzero(np.diff([0, *levels])))


def test_a_worker_that_keeps_up_draws_everything() -> None:
    ladder = Ladder()
    assert set(climb(ladder, 60, lambda index: 17.0)) == {0}
    assert all(ladder.draws(index) for index in range(12))
    assert ladder.size_px == 512


@pytest.mark.parametrize(("draw_ms", "level", "step"), [(25.0, 1, 2), (50.0, 2, 3), (90.0, 3, 3)])
def test_load_finds_its_level_within_two_seconds_and_stays(draw_ms: float, level: int, step: int) -> None:
    ladder = Ladder()
    climb(ladder, 2, lambda index: draw_ms)
    assert ladder.level == level
    assert np.diff([index for index in range(60) if ladder.draws(index)]).tolist() == [step] * (len(range(0, 60, step)) - 1)
    assert set(climb(ladder, 120, lambda index: draw_ms)) == {level}


def test_at_the_last_level_the_picture_is_halved() -> None:
    ladder = Ladder()
    climb(ladder, 5, lambda index: 200.0)
    assert (ladder.level, ladder.size_px) == (3, 256)


def test_it_climbs_back_when_the_load_goes_and_slowly() -> None:
    ladder = Ladder()
    climb(ladder, 5, lambda index: 200.0)
    levels = climb(ladder, 30, lambda index: 10.0)
    assert levels[-1] == 0
    assert levels[: 3 * SECOND] == [3] * (3 * SECOND)
    assert changes(levels[1:]) == 1 + 3  # one at a time


def test_one_stall_changes_nothing() -> None:
    ladder = Ladder()
    climb(ladder, 5, lambda index: 15.0)
    assert set(climb(ladder, 5, lambda index: 400.0 if index == 40 else 15.0)) == {0}


def test_load_that_comes_and_goes_does_not_make_it_swing() -> None:
    """Twenty seconds of every half minute are too much for 40 pictures a second."""
    levels = climb(Ladder(), 600, lambda index: 30.0 if index // SECOND % 30 < 20 else 10.0)
    assert changes(levels) <= 40
    bad_luck = climb(Ladder(), 600, lambda index: 30.0 if index // SECOND % 8 < 2 else 10.0)  # back just after each climb
    assert changes(bad_luck) <= 40
    assert changes(bad_luck[len(bad_luck) // 2 :]) <= 12


def test_pictures_that_come_too_late_count_as_load() -> None:
    ladder = Ladder()
    for _ in range(SECOND):
        ladder.frame(5.0, None, True)
    assert ladder.level > 0
