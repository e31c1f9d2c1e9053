"""An engine that another one replaces as soon as it is ready."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping

import numpy as np

from talkinghead.errors import EngineError
from talkinghead.runtime.engine import DeviceArray, Engine, Rows, Tensor

_LOG = logging.getLogger(__name__)


class HealingEngine:
    """Serves by one engine while a better one is built in a thread; from then on by that. Handles of the first one stay valid:
    the second one takes them through this machine's memory."""

    def __init__(self, now: Engine, build: Callable[[], Engine], name: str) -> None:
        self._engine, self._build, self._name = now, build, name
        self._thread = threading.Thread(target=self._heal, name=f"build {name}", daemon=True)
        self._thread.start()

    def _heal(self) -> None:
        try:
            self._engine = self._build()
        except EngineError as error:
            _LOG.warning("%s goes on without TensorRT: %s", self._name, error)

    def wait(self, timeout_s: float | None = None) -> bool:
        """Until building has ended; False when it still goes on."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def run(self, **inputs: Tensor) -> dict[str, np.ndarray]:
        """By the best engine there is."""
        return self._engine.run(**inputs)

    def run_on_device(self, **inputs: Tensor) -> dict[str, DeviceArray]:
        """By the best engine there is."""
        return self._engine.run_on_device(**inputs)

    def to_device(self, array: np.ndarray) -> DeviceArray:
        """Where the best engine there is runs."""
        return self._engine.to_device(array)

    def append(self, past: Mapping[str, Tensor], newest: Mapping[str, Tensor]) -> dict[str, DeviceArray]:
        """Where the best engine there is runs."""
        return self._engine.append(past, newest)

    def rows(self, count: int, shape: tuple[int, ...]) -> MovingRows:
        """Where the best engine there is runs; they move, once, when there is a better one."""
        return MovingRows(lambda: self._engine, count, shape)


class MovingRows:
    """`Rows` that go where the engine of the moment runs."""

    def __init__(self, now: Callable[[], Engine], count: int, shape: tuple[int, ...]) -> None:
        self._now, self._count, self._shape = now, count, shape
        self._engine = now()
        self._rows = self._engine.rows(count, shape)

    def take(self, index: np.ndarray) -> DeviceArray:
        """Copies of rows."""
        return self._here().take(index)

    def put(self, index: np.ndarray, rows: Tensor) -> None:
        """Overwrite rows."""
        self._here().put(index, rows)

    def _here(self) -> Rows:
        engine = self._now()
        if engine is not self._engine:
            everything, moved = np.arange(self._count), engine.rows(self._count, self._shape)
            moved.put(everything, self._rows.take(everything))
            self._engine, self._rows = engine, moved
        return self._rows
