from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from talkinghead.ahead import ahead


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
