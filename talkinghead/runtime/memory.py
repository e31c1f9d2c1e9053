"""What stays where the network runs, where that is this machine's memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import partial

import numpy as np

from talkinghead.runtime.engine import DeviceArray, Tensor, host


class MemoryEngine(ABC):
    """An engine that computes in this machine's memory: what it lacks is `run`."""

    @abstractmethod
    def run(self, **inputs: Tensor) -> dict[str, np.ndarray]:
        """Outputs by name of float32 inputs by name."""

    def run_on_device(self, **inputs: Tensor) -> dict[str, DeviceArray]:
        """The same as handles."""
        return {name: in_memory(array) for name, array in self.run(**inputs).items()}

    def to_device(self, array: np.ndarray) -> DeviceArray:
        """The array itself."""
        return in_memory(array)

    def append(self, past: Mapping[str, Tensor], newest: Mapping[str, Tensor]) -> dict[str, DeviceArray]:
        """See `Engine.append`."""
        return {name: in_memory(_appended(host(cache), host(newest[name]))) for name, cache in past.items()}

    def rows(self, count: int, shape: tuple[int, ...]) -> MemoryRows:
        """Rows of zeros."""
        return MemoryRows(count, shape)


class MemoryRows:
    """`Rows` in an array."""

    def __init__(self, count: int, shape: tuple[int, ...]) -> None:
        self._rows = np.zeros((count, *shape), np.float32)

    def take(self, index: np.ndarray) -> DeviceArray:
        """Copies of rows."""
        return in_memory(self._rows[index])

    def put(self, index: np.ndarray, rows: Tensor) -> None:
        """Overwrite rows."""
        self._rows[index] = host(rows)


def in_memory(array: np.ndarray) -> DeviceArray:
    """An array as a handle."""
    return DeviceArray("memory", array, array.shape, partial(_itself, array))


def _itself(array: np.ndarray) -> np.ndarray:
    return array


def _appended(past: np.ndarray, newest: np.ndarray) -> np.ndarray:
    return np.concatenate([past[..., 1:, :], newest[..., None, :]], -2)
