"""Calls of several sessions in one batch: the same answers, nobody left behind, errors to those who made them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest
from shipped import needs_networks

from talkinghead.errors import EngineError
from talkinghead.runtime.batching import Batcher, SessionEngine
from talkinghead.runtime.engine import DeviceArray, Engine, Tensor, host, load_engine
from talkinghead.runtime.memory import MemoryEngine, MemoryRows
from talkinghead.runtime.weights import model_path

LONG_MS = 60_000.0
"""A window that never ends: a batch runs because all are there, or it would be seen as a hang."""


class Doubler(MemoryEngine):
    """Twice the input; refuses NaN; notes its batches. ``gate`` holds a call up."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.first: list[float] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()

    def run(self, **inputs: Tensor) -> dict[str, np.ndarray]:
        x = host(inputs["x"])
        self.entered.set()
        self.gate.wait()
        self.sizes.append(len(x))
        self.first += x[:, 0].tolist()
        if np.isnan(x).any():
            raise EngineError("not a number")
        return {"y": 2 * x}


@pytest.fixture
def engine() -> Doubler:
    return Doubler()


@pytest.fixture
def batcher(engine: Doubler) -> Iterator[Batcher]:
    made = Batcher(engine, window_ms=LONG_MS)
    yield made
    engine.gate.set()
    made.close()


def x(value: float, rows: int = 1, width: int = 3) -> np.ndarray:
    return np.full((rows, width), value, np.float32)


def together(seats: list[SessionEngine], inputs: list[np.ndarray]) -> list[dict[str, np.ndarray] | Exception]:
    def call(seat: SessionEngine, given: np.ndarray) -> dict[str, np.ndarray] | Exception:
        try:
            return seat.run(x=given)
        except EngineError as error:
            return error

    with ThreadPoolExecutor(len(seats)) as pool:
        return list(pool.map(call, seats, inputs))


def test_all_who_wait_run_as_one_batch_and_get_their_own_rows(engine: Doubler, batcher: Batcher) -> None:
    seats = [batcher.join() for _ in range(4)]
    answers = together(seats, [x(k, rows=k + 1) for k in range(4)])
    assert engine.sizes == [10] and batcher.batches == 1
    for k, answer in enumerate(answers):
        assert isinstance(answer, dict)
        assert np.array_equal(answer["y"], x(2 * k, rows=k + 1))
    assert all(seat.latency_ms()["p95"] >= seat.latency_ms()["p50"] > 0 for seat in seats)


def test_sessions_join_and_leave_between_batches(engine: Doubler, batcher: Batcher) -> None:
    one, two = batcher.join(), batcher.join()
    together([one, two], [x(1), x(2)])
    two.close(), two.close()
    one.run(x=x(3))
    three = batcher.join()
    together([one, three], [x(4), x(5)])
    assert engine.sizes == [2, 1, 2]
    with pytest.raises(EngineError, match="join again"):
        two.run(x=x(1))


def test_who_leaves_is_not_waited_for(engine: Doubler, batcher: Batcher) -> None:
    one, gone = batcher.join(), batcher.join()
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(one.run, x=x(1))
        gone.close()
        assert np.array_equal(answer.result(30)["y"], x(2))


def test_a_short_window_does_not_wait_for_the_idle(engine: Doubler) -> None:
    batcher = Batcher(engine, window_ms=1.0)
    one, _idle = batcher.join(), batcher.join()
    assert np.array_equal(one.run(x=x(1))["y"], x(2))
    batcher.close()


def test_an_error_reaches_its_session_alone(batcher: Batcher) -> None:
    seats = [batcher.join() for _ in range(3)]
    good, bad, other = together(seats, [x(1), x(np.nan), x(3)])
    assert isinstance(bad, EngineError) and isinstance(good, dict) and isinstance(other, dict)
    assert np.array_equal(other["y"], x(6))


def test_other_shapes_have_a_batch_of_their_own(engine: Doubler, batcher: Batcher) -> None:
    seats = [batcher.join() for _ in range(3)]
    engine.gate.clear()
    with ThreadPoolExecutor(3) as pool:
        answers = [pool.submit(seat.run, x=given) for seat, given in zip(seats, (x(1), x(2, width=5), x(3)), strict=True)]
        engine.entered.wait(30)
        for seat in seats:  # so that the rest is not waited for
            seat.close()
        engine.gate.set()
        assert [answer.result(30)["y"].shape[1] for answer in answers] == [3, 5, 3]
    assert sorted(engine.sizes) == [1, 2]


def test_a_full_batch_leaves_the_latest_for_the_next(engine: Doubler) -> None:
    batcher = Batcher(engine, most_rows=2)
    seats = [batcher.join() for _ in range(5)]
    engine.gate.clear()
    with ThreadPoolExecutor(5) as pool:
        answers = [pool.submit(seats[0].run, x=x(0))]
        engine.entered.wait(30)  # the others queue up behind it, in order
        for k in range(1, 5):
            answers.append(pool.submit(seats[k].run, x=x(k)))
            _until(lambda k=k: batcher.waiting == k)
        engine.gate.set()
        assert [float(answer.result(30)["y"][0, 0]) for answer in answers] == [0, 2, 4, 6, 8]
    assert engine.sizes == [1, 2, 2] and engine.first == [0, 1, 2, 3, 4]
    batcher.close()


def _until(true: object) -> None:
    while not true():  # type: ignore[operator]
        threading.Event().wait(0.001)


def test_batches_are_filled_up_to_few_sizes(engine: Doubler) -> None:
    batcher = Batcher(engine, window_ms=LONG_MS, sizes=(4, 8))
    seats = [batcher.join() for _ in range(3)]
    answers = together(seats, [x(1), x(2), x(3)])
    assert engine.sizes == [4]
    assert all(isinstance(answer, dict) and len(answer["y"]) == 1 for answer in answers)
    batcher.close()


def test_closed_is_told(engine: Doubler) -> None:
    batcher = Batcher(engine, window_ms=LONG_MS)
    seat = batcher.join()
    batcher.close()
    with pytest.raises(EngineError, match="closed"):
        seat.run(x=x(1))
    with pytest.raises(EngineError, match="closed"):
        batcher.join()


@pytest.mark.parametrize("inputs", [{}, {"x": np.zeros((), np.float32)}, {"x": x(1), "y": x(1, rows=2)}])
def test_inputs_without_one_batch_are_refused(batcher: Batcher, inputs: dict[str, np.ndarray]) -> None:
    with pytest.raises(EngineError, match="first axis"):
        batcher.join().run(**inputs)


@needs_networks
def test_two_speech_streams_batched_are_as_alone() -> None:
    pytest.importorskip("onnxruntime")
    engine, random = load_engine(model_path("speech", "speech.onnx")), np.random.default_rng(0)
    rows = random.random((2, 12, 1, 1, 82), np.float32)
    batcher = Batcher(engine, window_ms=LONG_MS)

    def stream(own: object, sound: np.ndarray) -> np.ndarray:
        past, made = own.to_device(np.zeros((1, 72, 256), np.float32)), []  # type: ignore[attr-defined]
        for row in sound:
            answer = own.run_on_device(rows=row, past=past)  # type: ignore[attr-defined]
            past = answer["later"]
            made.append(host(answer["features"]))
        return np.concatenate(made)

    alone = [stream(engine, sound) for sound in rows]
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(stream, [batcher.join(), batcher.join()], rows))
    assert batcher.batches == 12
    batcher.close()
    for a, b in zip(alone, both, strict=True):
        assert np.abs(a - b).max() < 1e-4
    assert np.abs(alone[0] - alone[1]).max() > 0.1


class Accumulator(MemoryEngine):
    """y = past + x, later = the same; counts what of it comes to the host, by name, and refuses NaN."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.fetched: list[str] = []
        self.served: list[list[float]] = []
        self.before = lambda rows: None

    def run(self, **inputs: Tensor) -> dict[str, np.ndarray]:
        x, past = host(inputs["x"]), host(inputs["past"])
        self.before(len(x))
        self.sizes.append(len(x))
        self.served.append(x[:, 0].tolist())
        if np.isnan(x).any():
            raise EngineError("not a number")
        return {"y": past + x, "later": past + x}

    def run_on_device(self, **inputs: Tensor) -> dict[str, DeviceArray]:
        return {name: self._counted(name, value) for name, value in self.run(**inputs).items()}

    def rows(self, count: int, shape: tuple[int, ...]) -> MemoryRows:
        made, engine = super().rows(count, shape), self

        class Counted(MemoryRows):
            def __init__(self) -> None: ...

            def take(self, index: np.ndarray) -> DeviceArray:
                return engine._counted("rows", made.take(index).value)

            def put(self, index: np.ndarray, rows: Tensor) -> None:
                made.put(index, rows.value if isinstance(rows, DeviceArray) else rows)

        return Counted()

    def _counted(self, name: str, value: np.ndarray) -> DeviceArray:
        def fetch() -> np.ndarray:
            self.fetched.append(name)
            return value

        return DeviceArray("far", value, value.shape, fetch)


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
    adder.before = lambda rows: _until(lambda: batcher.waiting == 5 - rows or stop.is_set())

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
