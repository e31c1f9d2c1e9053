"""An engine that another one replaces as soon as it is ready."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import numpy as np

from talkinghead.errors import EngineError
from talkinghead.runtime.engine import DeviceArray, Engine, Tensor

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
