"""Work done ahead in a thread of its own, so that two cores are used."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")
_POLL_S = 0.1


def ahead(items: Iterable[T], most: int) -> Iterator[T]:
    """The same items in the same order, made by a thread that is at most ``most`` of them ahead.

    What ``items`` raises is raised here, in its place. The thread ends with the items, or when this iterator is closed.
    """
    ready: queue.Queue[tuple[bool, T | BaseException | None]] = queue.Queue(most)
    closed = threading.Event()

    def put(more: bool, item: T | BaseException | None) -> None:
        while not closed.is_set():
            with contextlib.suppress(queue.Full):
                ready.put((more, item), timeout=_POLL_S)
                break

    def work() -> None:
        try:
            for item in items:
                put(True, item)
                if closed.is_set():
                    return
            put(False, None)
        except BaseException as error:  # raised where the items are taken
            put(False, error)

    thread = threading.Thread(target=work, name="ahead", daemon=True)
    thread.start()
    try:
        while True:
            more, item = ready.get()
            if isinstance(item, BaseException):
                raise item
            if not more:
                return
            yield item  # type: ignore[misc]
    finally:
        closed.set()
        thread.join()
