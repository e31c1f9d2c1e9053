"""Calls of several sessions in one batch: the same answers, nobody left behind, errors to those who made them."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from batch_engines import LONG_MS, Doubler, until, x
from shipped import needs_networks

from talkinghead.errors import EngineError
from talkinghead.runtime.batching import Batcher, SessionEngine
from talkinghead.runtime.engine import host, load_engine
from talkinghead.runtime.weights import model_path


@pytest.fixture
def engine() -> Doubler:
    return Doubler()


@pytest.fixture
def batcher(engine: Doubler) -> Iterator[Batcher]:
    made = Batcher(engine, window_ms=LONG_MS)
    yield made
    engine.gate.set()
    made.close()


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
            until(lambda k=k: batcher.waiting == k)
        engine.gate.set()
        assert [float(answer.result(30)["y"][0, 0]) for answer in answers] == [0, 2, 4, 6, 8]
    assert engine.sizes == [1, 2, 2] and engine.first == [0, 1, 2, 3, 4]
    batcher.close()


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
