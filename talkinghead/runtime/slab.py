"""What sessions carry from call to call, side by side in one tensor where the network runs, so that a batch is one copy of rows.

A slot belongs to whoever holds its `Slot` and comes back with it: a session that ends, or fails, leaves nothing behind. What a
slot holds is never changed (the next state takes another slot), so that a call that failed can be made again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np

from talkinghead.runtime.engine import DeviceArray, Engine, Tensor

_FIRST_SLOTS = 8
_SPARE = 0
"""The slot that takes what nobody wants."""


class Slab:
    """Slots of tensors of one shape. All but `free` and the end of a `Slot` is for one thread at a time."""

    def __init__(self, engine: Engine, shape: tuple[int, ...]) -> None:
        """shape (r, ...): r rows of the network make one slot."""
        self._engine, self._row, self._count = engine, shape[1:], _FIRST_SLOTS
        self.rows_each = shape[0]
        self._rows = engine.rows(self._count * shape[0], shape[1:])
        self._free = deque(range(_SPARE + 1, self._count))

    @property
    def held(self) -> int:
        """Slots that somebody holds."""
        return self._count - 1 - len(self._free)

    def take(self, slots: Sequence[Slot]) -> DeviceArray:
        """The tensors of slots as one batch."""
        return self._rows.take(self._numbers([slot.number for slot in slots]))

    def put(self, count: int, tensors: Tensor) -> list[Slot]:
        """A batch's first so many tensors in slots of their own; the rest is thrown away."""
        while len(self._free) < count:
            self._grow()
        slots = [Slot(self, self._free.popleft()) for _ in range(count)]
        filled = tensors.shape[0] // self.rows_each
        self._rows.put(self._numbers([slot.number for slot in slots] + [_SPARE] * (filled - count)), tensors)
        return slots

    def free(self, number: int) -> None:
        """Nobody holds this slot any more."""
        self._free.append(number)

    def _grow(self) -> None:
        count = self._count
        rows = self._engine.rows(2 * count * self.rows_each, self._row)
        everything = self._numbers(range(count))
        rows.put(everything, self._rows.take(everything))
        self._rows, self._count = rows, 2 * count
        self._free.extend(range(count, 2 * count))

    def _numbers(self, slots: Sequence[int]) -> np.ndarray:
        each = np.arange(self.rows_each)
        return (np.asarray(slots, np.int64)[:, None] * self.rows_each + each).ravel()


class Slot:
    """A place in a slab, for as long as this is held."""

    def __init__(self, slab: Slab, number: int) -> None:
        self.slab, self.number = slab, number

    def __del__(self) -> None:
        self.slab.free(self.number)
