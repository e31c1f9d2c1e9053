"""Small engines for batches, and how to wait for what other threads do."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np

from talkinghead.errors import EngineError
from talkinghead.runtime.engine import DeviceArray, Tensor, host
from talkinghead.runtime.memory import MemoryEngine, MemoryRows

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


def x(value: float, rows: int = 1, width: int = 3) -> np.ndarray:
    return np.full((rows, width), value, np.float32)


def until(true: Callable[[], bool]) -> None:
    while not true():
        threading.Event().wait(0.001)
