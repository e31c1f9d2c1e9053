"""What sessions carry through batches: it stays where it is, is everybody's own, and goes with them; and whose turn it is."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest
from batch_engines import LONG_MS, Accumulator, until, x

from talkinghead.errors import EngineError
from talkinghead.runtime.batching import Batcher, SessionEngine
from talkinghead.runtime.engine import Engine


def carried(seat: Engine, value: float, count: int) -> list[float]:
    """What a session gets that adds its value so many times to what it carries."""
    past, got = seat.to_device(x(0)), []
    for _ in range(count):
        made = seat.run_on_device(x=x(value), past=past)
        past = made["later"]
        got.append(float(made["y"].numpy()[0, 0]))
    return got


@pytest.fixture
def adder() -> Accumulator:
    return Accumulator()


@pytest.fixture
def shared(adder: Accumulator) -> Iterator[Batcher]:
    made = Batcher(adder, stays=("later",), sizes=(1, 4, 16))
    yield made
    made.close()


def test_what_sessions_carry_never_comes_to_the_host(adder: Accumulator, shared: Batcher) -> None:
    with ThreadPoolExecutor(12) as pool:  # more than the first slots
        got = list(pool.map(lambda k: carried(shared.join(), k, 20), range(12)))
    assert got == [[float(k * n) for n in range(1, 21)] for k in range(12)]
    assert set(adder.sizes) <= {1, 4, 16}
    inside = [name for name in adder.fetched if name != "rows"]
    assert set(inside) == {"y"} and len(inside) == shared.batches
    assert shared.held == 0  # they have gone, and their slots with them


def test_a_session_that_fails_hurts_nobody_and_leaves_nothing(adder: Accumulator, shared: Batcher) -> None:
    def faulty(seat: SessionEngine) -> None:
        past = seat.run_on_device(x=x(1), past=seat.to_device(x(0)))["later"]
        for _ in range(5):
            with pytest.raises(EngineError, match="not a number"):
                seat.run_on_device(x=x(np.nan), past=past)
        assert past.numpy().tolist() == x(1).tolist()  # what it carried is as it was
        seat.close()

    seats = [shared.join() for _ in range(5)]
    with ThreadPoolExecutor(5) as pool:
        broken = pool.submit(faulty, seats[0])
        got = list(pool.map(lambda k: carried(seats[k], k, 20), range(1, 5)))
        broken.result(30)
    assert got == [[float(k * n) for n in range(1, 21)] for k in range(1, 5)]
    assert (shared.held, shared.sessions) == (0, 4)


def test_sessions_join_and_leave_in_the_middle(adder: Accumulator, shared: Batcher) -> None:
    def visits(k: int) -> list[float]:
        got = []
        for _ in range(4):
            seat = shared.join()
            got += carried(seat, k, 5)
            seat.close()
        return got

    with ThreadPoolExecutor(6) as pool:
        stayed = pool.submit(carried, shared.join(), 7, 40)
        got = list(pool.map(visits, range(5)))
    assert stayed.result(30) == [7.0 * n for n in range(1, 41)]
    assert got == [[float(k * n) for n in range(1, 6)] * 4 for k in range(5)]
    assert (shared.held, shared.sessions) == (0, 1)


def test_an_old_state_can_be_taken_up_again(shared: Batcher) -> None:
    start = shared.to_device(x(3))
    for _ in range(2):
        assert shared.run(x=x(1), past=start)["later"].tolist() == x(4).tolist()
    assert shared.run(x=x(1), past=x(5))["y"].tolist() == x(6).tolist()  # arrays go with arrays


def test_caches_are_appended_to_in_batches_too(adder: Accumulator, shared: Batcher) -> None:
    def session(k: int) -> np.ndarray:
        seat = shared.join()
        cache = {"keys": seat.to_device(np.zeros((2, 3, 4), np.float32))}
        for n in range(5):
            cache = seat.append(cache, {"keys": np.full((2, 4), 10 * k + n, np.float32)})
        return cache["keys"].numpy()

    with ThreadPoolExecutor(6) as pool:
        for k, made in enumerate(pool.map(session, range(6))):
            assert made[1, :, 2].tolist() == [10 * k + 2, 10 * k + 3, 10 * k + 4]
    assert shared.held == 0


def test_nobody_waits_a_batch_longer_than_others(adder: Accumulator) -> None:
    """Batches of two for five sessions that ask again at once: in whatever order they do, each is in every second or third."""
    batcher, stop = Batcher(adder, most_rows=2), threading.Event()
    adder.before = lambda rows: until(lambda: batcher.waiting == 5 - rows or stop.is_set())

    def session(k: int) -> None:
        seat = batcher.join()
        for _ in range(30):
            seat.run(x=x(k), past=x(0))
        stop.set()  # the first to be done; from now on the queue does not fill up any more

    with ThreadPoolExecutor(5) as pool:
        list(pool.map(session, range(5)))
    batcher.close()
    batches = adder.served[1:60]  # the first one is whoever came before the rest
    assert all(len(batch) == 2 for batch in batches)
    for k in range(5):
        turns = [n for n, batch in enumerate(batches) if k in batch]
        assert len(turns) > 15 and {b - a for a, b in pairwise(turns)} <= {2, 3}


def test_batches_and_waits_are_told(adder: Accumulator) -> None:
    told: list[tuple[str, float]] = []
    own: list[tuple[str, float]] = []
    batcher = Batcher(adder, window_ms=LONG_MS, observer=lambda name, value: told.append((name, value)))
    seats = [batcher.join(lambda name, value: own.append((name, value))), batcher.join()]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda seat: seat.run(x=x(1), past=x(0)), seats))
    batcher.close()
    assert [name for name, _ in told] == ["batch_rows", "batch_ms", "wait_ms", "wait_ms"]
    assert told[0][1] == 2 and min(value for _, value in told) >= 0
    assert [name for name, _ in own] == ["wait_ms"] and own[0][1] in [value for _, value in told[2:]]
    assert [seat.served for seat in seats] == [1, 1]


def test_every_size_is_run_ahead(adder: Accumulator, shared: Batcher) -> None:
    shared.prepare()
    assert adder.sizes == []  # before it is known how inputs look
    carried(shared.join(), 1, 1)
    shared.prepare()
    assert adder.sizes == [1, 1, 4, 16] and shared.held == 0
