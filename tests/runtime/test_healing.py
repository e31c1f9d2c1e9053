"""One engine serves until another one is ready."""

from __future__ import annotations

import logging
import threading

import numpy as np
import pytest

from talkinghead.errors import EngineError
from talkinghead.runtime.healing import HealingEngine
from talkinghead.runtime.memory import MemoryEngine, MemoryRows


class Constant(MemoryEngine):
    def __init__(self, value: float) -> None:
        self.value, self.given = value, list[MemoryRows]()

    def run(self, **inputs: object) -> dict[str, np.ndarray]:
        return {"y": np.float32([self.value])}

    def rows(self, count: int, shape: tuple[int, ...]) -> MemoryRows:
        self.given.append(super().rows(count, shape))
        return self.given[-1]


def test_the_first_serves_until_the_second_is_built() -> None:
    ready = threading.Event()

    def build() -> Constant:
        ready.wait()
        return Constant(2)

    engine = HealingEngine(Constant(1), build, "net")
    assert engine.run()["y"] == 1 and not engine.wait(0)
    ready.set()
    assert engine.wait(10) and engine.run()["y"] == 2


def test_where_building_fails_the_first_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    def build() -> Constant:
        raise EngineError("no room")

    with caplog.at_level(logging.WARNING):
        engine = HealingEngine(Constant(1), build, "net")
        assert engine.wait(10)
    assert engine.run()["y"] == 1
    assert "net goes on without TensorRT: no room" in caplog.text


def test_rows_move_once_to_the_engine_that_takes_over() -> None:
    ready, first, second = threading.Event(), Constant(1), Constant(2)

    def build() -> Constant:
        ready.wait()
        return second

    engine = HealingEngine(first, build, "net")
    rows = engine.rows(3, (2,))
    rows.put(np.array([1, 2]), np.float32([[1, 2], [3, 4]]))
    ready.set()
    assert engine.wait(10)
    for _ in range(2):
        assert rows.take(np.array([2, 0])).numpy().tolist() == [[3, 4], [0, 0]]
    rows.put(np.array([0]), np.float32([[5, 6]]))
    (old,), (new,) = first.given, second.given
    assert not old.take(np.array([0])).numpy().any() and new.take(np.array([0])).numpy().tolist() == [[5, 6]]
