from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import cv2
import pytest

from talkinghead.ahead import ahead, opencv_alone, side_by_side


def count(most: int, made: list[int]) -> Iterator[int]:
    for k in range(most):
        made.append(k)
        yield k


def test_the_same_items_in_the_same_order() -> None:
    assert list(ahead(count(50, []), 3)) == list(range(50))


def test_an_item_that_is_none_or_false_is_an_item() -> None:
    assert list(ahead([None, False, 0], 2)) == [None, False, 0]


def test_items_are_made_in_another_thread() -> None:
    names = {threading.current_thread().name, *ahead((threading.current_thread().name for _ in range(2)), 1)}
    assert len(names) == 2


def test_it_is_no_farther_ahead_than_allowed() -> None:
    made: list[int] = []
    items = ahead(count(100, made), 4)
    for k in items:
        assert len(made) <= k + 1 + 4 + 1  # those that wait, and one in the maker's hand


def test_an_error_comes_after_the_items_before_it() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise ValueError("no more")

    items = ahead(broken(), 4)
    assert next(items) == 1
    with pytest.raises(ValueError, match="no more"):
        next(items)


def test_closed_early_it_leaves_no_thread() -> None:
    before = threading.active_count()
    items = ahead(iter(int, 1), 2)  # never ends
    next(items)
    items.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_side_by_side_keeps_the_order_and_uses_every_worker() -> None:
    meet = threading.Barrier(2)

    def worker(name: str) -> Callable[[int], tuple[int, str]]:
        def work(item: int) -> tuple[int, str]:
            if item < 2:
                meet.wait(10)  # both at once, or never
            return item, name

        return work

    made = list(side_by_side(count(50, []), [worker("a"), worker("b")]))
    assert [item for item, _ in made] == list(range(50)) and {name for _, name in made} == {"a", "b"}


def test_a_single_worker_works_in_the_callers_thread() -> None:
    names = set(side_by_side(range(3), [lambda _: threading.current_thread().name]))
    assert names == {threading.current_thread().name}


def test_side_by_side_raises_what_a_worker_raises_after_what_came_before() -> None:
    def work(item: int) -> float:
        return 1 / (3 - item)

    before = threading.active_count()
    made = side_by_side(range(100), [work, work])
    assert [next(made) for _ in range(3)] == [1 / 3, 1 / 2, 1]
    with pytest.raises(ZeroDivisionError):
        next(made)
    assert threading.active_count() == before


def test_side_by_side_closed_early_leaves_no_thread_and_takes_no_more_items() -> None:
    before, made = threading.active_count(), list[int]()
    results = side_by_side(count(100, made), [abs, abs])
    next(results)
    results.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before and len(made) <= 6


def test_opencv_is_alone_until_the_last_lets_go() -> None:
    before = cv2.getNumThreads()
    cv2.setNumThreads(3)
    try:
        first, second = opencv_alone(), opencv_alone()
        first.__enter__()
        second.__enter__()
        assert cv2.getNumThreads() == 1
        first.__exit__(None, None, None)
        assert cv2.getNumThreads() == 1
        second.__exit__(None, None, None)
        assert cv2.getNumThreads() == 3
    finally:
        cv2.setNumThreads(before)
