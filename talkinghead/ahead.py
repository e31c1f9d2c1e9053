"""Work done ahead in a thread of its own, so that two cores are used."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import cv2

S = TypeVar("S")
T = TypeVar("T")
_POLL_S = 0.1
_SPARE = 2
"""Items that wait made or to be made beyond one for each worker: one that is quick does not wait for one that is slow."""
_lock = threading.Lock()
_held: list[int] = []
"""OpenCV's threads before each of those who hold it to one."""


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


def side_by_side(items: Iterable[S], workers: Sequence[Callable[[S], T]]) -> Iterator[T]:
    """What the workers make of the items, in the items' order: each is given to whichever of them is free, in threads beside the
    caller's, who finds a few more than there are workers made or begun. A single worker works in the caller's own thread.

    What an item or a worker raises is raised here, in its place.
    """
    if len(workers) == 1:
        yield from map(workers[0], items)
        return
    free: queue.SimpleQueue[Callable[[S], T]] = queue.SimpleQueue()
    for worker in workers:
        free.put(worker)

    def work(item: S) -> T:
        worker = free.get()
        try:
            return worker(item)
        finally:
            free.put(worker)

    begun: deque[Future[T]] = deque()
    pool = ThreadPoolExecutor(len(workers), "side-by-side")
    try:
        for item in items:
            begun.append(pool.submit(work, item))
            if len(begun) > len(workers) + _SPARE:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def opencv_alone() -> Iterator[None]:
    """OpenCV works in the threads that call it. Where pictures are drawn side by side all cores are busy, and its own threads,
    who wait for work awake, take a tenth from them. The setting is the process's: the last who needs it gives it back."""
    with _lock:
        _held.append(cv2.getNumThreads())
        cv2.setNumThreads(1)
    try:
        yield
    finally:
        with _lock:
            if len(_held) == 1:
                cv2.setNumThreads(_held[0])
            _held.pop()
