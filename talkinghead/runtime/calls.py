"""Calls of many sessions that wait for one engine, first come, first served, and which of them go together."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic

import numpy as np

from talkinghead.errors import EngineError
from talkinghead.runtime.engine import DeviceArray, Tensor
from talkinghead.runtime.memory import in_memory
from talkinghead.runtime.slab import Slot

_PAST, _NEWEST = "past ", "newest "


@dataclass(eq=False)
class Call:
    """What a session waits for: ``made``, outputs of the network or, of an ``append``, caches."""

    inputs: dict[str, np.ndarray | Slot]
    shapes: dict[str, tuple[int, ...]]
    append: bool = False
    asked_s: float = field(default_factory=monotonic)
    began_s: float = 0.0
    done: threading.Event = field(default_factory=threading.Event)
    made: dict[str, DeviceArray] = field(default_factory=dict)
    error: Exception | None = None

    def __post_init__(self) -> None:
        if len({shape[:1] for shape in self.shapes.values()}) != 1 or () in self.shapes.values():
            raise EngineError("inputs of a network need one batch as their first axis")

    @property
    def rows(self) -> int:
        return next(iter(self.shapes.values()))[0]

    @property
    def wait_ms(self) -> float:
        """From asking to the beginning of its batch."""
        return 1000 * (self.began_s - self.asked_s)

    def take(self) -> dict[str, DeviceArray]:
        """What was made; nobody else has it any more."""
        made, self.made = self.made, {}
        return made

    def fits(self, other: Call, whole: bool) -> bool:
        """Whether both can be rows of one batch; ``whole``: they must have as many rows, since slots have."""
        if self.append != other.append or self.shapes.keys() != other.shapes.keys() or (whole and self.rows != other.rows):
            return False
        return all(
            shape[1:] == other.shapes[name][1:] and isinstance(self.inputs[name], Slot) == isinstance(other.inputs[name], Slot)
            for name, shape in self.shapes.items()
        )


class CallQueue:
    """Any thread asks; one thread serves."""

    def __init__(self, window_ms: float, most_rows: int, whole: bool) -> None:
        """window_ms: how long the first to ask waits for others, at most until all have asked. most_rows: of a batch. whole: as
        `Call.fits` has it."""
        self._window_s, self._most, self._whole = window_ms / 1000, most_rows, whole
        self._calls: deque[Call] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self.sessions = 0
        """Who has joined and not left."""

    def __len__(self) -> int:
        return len(self._calls)

    def join(self) -> None:
        """One session more; EngineError when the queue is closed."""
        with self._changed:
            self._refuse_when_closed()
            self.sessions += 1

    def leave(self) -> None:
        """One session less: the others do not wait for it any more."""
        with self._changed:
            self.sessions -= 1
            self._changed.notify_all()

    def close(self) -> None:
        """What waits is still served, what comes later refused."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def ask(self, call: Call) -> Call:
        """Queue a call and wait until it is served; its error is raised."""
        with self._changed:
            self._refuse_when_closed()
            self._calls.append(call)
            self._changed.notify_all()
        call.done.wait()
        error, call.error = call.error, None
        try:
            if error is not None:
                raise error
            return call
        finally:
            del error  # else it would hold the call, and its slots, until the cycle is found

    def next(self) -> list[Call]:
        """The oldest call and all that go with it; waits for one. Empty when there are none left and the queue is closed."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._calls) or self._closed)
            if not self._calls:
                return []
            left_s = self._calls[0].asked_s + self._window_s - monotonic()
            if left_s > 0:
                self._changed.wait_for(lambda: len(self._calls) >= self.sessions or self._closed, left_s)
            first, rows, batch = self._calls[0], 0, list[Call]()
            whole = self._whole or any(isinstance(value, Slot) for value in first.inputs.values())
            for call in list(self._calls):
                if not batch or (call.fits(first, whole) and rows + call.rows <= self._most):
                    batch.append(call)
                    rows += call.rows
                    self._calls.remove(call)
            return batch

    def _refuse_when_closed(self) -> None:
        if self._closed:
            raise EngineError("this batcher is closed: open another one")


def joined_rows(parts: Sequence[np.ndarray | Slot], size: int) -> Tensor:
    """One input of all calls as a batch, the last call's last row, or slot, repeated up to the size."""
    slots = [part for part in parts if isinstance(part, Slot)]
    if slots:  # then all are, and of one shape
        return slots[0].slab.take([*slots, *slots[-1:] * (size // slots[0].slab.rows_each - len(slots))])
    arrays = [part for part in parts if isinstance(part, np.ndarray)]
    lacking = size - sum(map(len, arrays))
    if lacking:
        arrays.append(np.repeat(arrays[-1][-1:], lacking, 0))
    return np.concatenate(arrays) if len(arrays) > 1 else arrays[0]


def parted_rows(array: np.ndarray, batch: Sequence[Call]) -> list[DeviceArray]:
    """Each call's rows of an output, in this machine's memory."""
    ends = np.cumsum([call.rows for call in batch])
    return [in_memory(array[end - call.rows : end].copy()) for end, call in zip(ends, batch, strict=True)]


def paired(past: Mapping[str, Tensor], newest: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Both of an ``append`` as inputs of one call."""
    return {_PAST + name: x for name, x in past.items()} | {_NEWEST + name: newest[name] for name in past}


def unpaired(inputs: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The two again."""
    past, newest = ({k.removeprefix(p): x for k, x in inputs.items() if k.startswith(p)} for p in (_PAST, _NEWEST))
    return past, newest
