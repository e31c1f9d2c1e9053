"""One engine serves until another one is ready."""

from __future__ import annotations

import logging
import threading

import numpy as np
import pytest

from talkinghead.errors import EngineError
from talkinghead.runtime.healing import HealingEngine


class Constant:
    def __init__(self, value: float) -> None:
        self.value = value

    def run(self, **inputs: object) -> dict[str, np.ndarray]:
        return {"y": np.float32([self.value])}

    run_on_device = to_device = run


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
