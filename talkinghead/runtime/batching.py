"""One engine for many sessions: calls that come within a short window run as one batch.

Each session calls an engine of its own (`Batcher.join`) from its own thread and waits for its rows. A batch runs as soon as
everybody who has joined is waiting, or the window is over; who came first goes first, and as each session waits for its answer
before it asks again, none can crowd out another. Rows of a batch do not meet, but in the int8 files of
the CPU, which count by the range of all that they are given: batch the float files.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field
from time import monotonic

import numpy as np

from talkinghead.errors import EngineError
from talkinghead.runtime.engine import DeviceArray, Engine, Tensor, host

_REMEMBERED = 1000
"""Calls of a session by which its latency is told."""


@dataclass(eq=False)
class _Call:
    """What a session waits for."""

    inputs: dict[str, np.ndarray]
    asked_s: float = field(default_factory=monotonic)
    done: threading.Event = field(default_factory=threading.Event)
    made: dict[str, np.ndarray] = field(default_factory=dict)
    error: Exception | None = None

    @property
    def rows(self) -> int:
        return len(next(iter(self.inputs.values())))

    def fits(self, other: _Call) -> bool:
        """Whether both can be rows of one batch."""
        return self.inputs.keys() == other.inputs.keys() and all(
            value.shape[1:] == other.inputs[name].shape[1:] for name, value in self.inputs.items()
        )


class Batcher:
    """Runs an engine in a thread of its own for all who join."""

    def __init__(self, engine: Engine, window_ms: float = 2.0, most_rows: int = 256, sizes: tuple[int, ...] = ()) -> None:
        """window_ms: how long the first to ask waits for others. most_rows: of a batch. sizes: batches are filled up to the next
        of these, so that a GPU needs few recorded graphs; without, each runs as it is."""
        self._engine, self._window_s, self._most, self._sizes = engine, window_ms / 1000, most_rows, sorted(sizes)
        self._calls: deque[_Call] = deque()
        self._changed = threading.Condition()
        self._sessions = 0
        self._closed = False
        self.batches = 0
        """Calls of the engine so far."""
        self._thread = threading.Thread(target=self._serve, name="batcher", daemon=True)
        self._thread.start()

    def join(self) -> SessionEngine:
        """An engine for one more session; `SessionEngine.close` when it leaves."""
        with self._changed:
            if self._closed:
                raise EngineError("this batcher is closed: open another one")
            self._sessions += 1
        return SessionEngine(self)

    def close(self) -> None:
        """Finish what waits, refuse what comes later, end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    def leave(self) -> None:
        """One session less: the others do not wait for it any more."""
        with self._changed:
            self._sessions -= 1
            self._changed.notify_all()

    def ask(self, call: _Call) -> None:
        """Queue a call and wait for it."""
        with self._changed:
            if self._closed:
                raise EngineError("this batcher is closed: open another one")
            self._calls.append(call)
            self._changed.notify_all()
        call.done.wait()

    def _serve(self) -> None:
        while batch := self._next():
            self.batches += 1
            try:
                self._run(batch)
            except Exception:
                for call in batch:  # one may be at fault: each by itself
                    self._run_alone(call)
            for call in batch:
                call.done.set()

    def _next(self) -> list[_Call]:
        """The oldest calls that go together; empty when there are none left and the batcher is closed."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._calls) or self._closed)
            if not self._calls:
                return []
            left_s = self._calls[0].asked_s + self._window_s - monotonic()
            self._changed.wait_for(lambda: len(self._calls) >= self._sessions or self._closed, max(0.0, left_s))
            first, rows, batch = self._calls[0], 0, list[_Call]()
            for call in list(self._calls):
                if batch and (not call.fits(first) or rows + call.rows > self._most):
                    continue
                batch.append(call)
                rows += call.rows
                self._calls.remove(call)
            return batch

    def _run(self, batch: list[_Call]) -> None:
        rows = sum(call.rows for call in batch)
        size = next((size for size in self._sizes if size >= rows), rows)
        inputs: dict[str, Tensor] = {}
        for name in batch[0].inputs:
            parts = [call.inputs[name] for call in batch]
            if size > rows:
                parts.append(np.repeat(parts[-1][-1:], size - rows, 0))
            inputs[name] = np.concatenate(parts) if len(parts) > 1 else parts[0]
        made, start = self._engine.run(**inputs), 0
        for call in batch:
            call.made = {name: value[start : start + call.rows].copy() for name, value in made.items()}
            start += call.rows

    def _run_alone(self, call: _Call) -> None:
        try:
            self._run([call])
        except Exception as error:  # told to the session that asked
            call.error = error


class SessionEngine:
    """An `Engine` of one session. Its handles lie in this machine's memory, where batches are put together."""

    def __init__(self, batcher: Batcher) -> None:
        self._batcher: Batcher | None = batcher
        self._waits_ms: deque[float] = deque(maxlen=_REMEMBERED)

    def run(self, **inputs: Tensor) -> dict[str, np.ndarray]:
        """Outputs by name of inputs by name, all of the same first axis. EngineError for these inputs alone, or when closed."""
        if self._batcher is None:
            raise EngineError("this session has left its batcher: join again")
        arrays = {name: np.asarray(host(tensor)) for name, tensor in inputs.items()}
        if not arrays or len({value.shape[:1] for value in arrays.values()}) != 1 or not next(iter(arrays.values())).shape:
            raise EngineError("inputs of a network need one batch as their first axis")
        call = _Call(arrays)
        self._batcher.ask(call)
        self._waits_ms.append(1000 * (monotonic() - call.asked_s))
        if call.error is not None:
            raise call.error
        return call.made

    def run_on_device(self, **inputs: Tensor) -> dict[str, DeviceArray]:
        """The same as handles."""
        return {name: self.to_device(value) for name, value in self.run(**inputs).items()}

    def to_device(self, array: np.ndarray) -> DeviceArray:
        """The array itself."""
        return DeviceArray("memory", array, array.shape, lambda: array)

    def latency_ms(self) -> dict[str, float]:
        """Median and 95th percentile of this session's last calls, waiting included; empty before the first."""
        return {f"p{q}": float(np.percentile(self._waits_ms, q)) for q in (50, 95)} if self._waits_ms else {}

    def close(self) -> None:
        """Leave; twice does no harm."""
        if self._batcher is not None:
            self._batcher.leave()
            self._batcher = None
