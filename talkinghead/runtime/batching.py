"""One engine for many sessions: what they ask while it is busy is its next batch.

Each session calls an engine of its own (`Batcher.join`) from its own thread and waits for its rows. Who came first goes first,
and as each session waits for its answer before it asks again, none can crowd out another. What a session carries stays where the
network runs, in a `Slab`; only what it asks for as an array comes back. Rows of a batch do not meet, but in the int8 files of the
CPU, which count by the range of all that they are given: batch the float files.

A batch is filled up to one of few sizes by repeating its last row; what comes of that is thrown away. So graphs and plans of
these sizes serve any number of sessions.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from time import monotonic
from traceback import clear_frames
from typing import TypeAlias

import numpy as np

from talkinghead.errors import EngineError
from talkinghead.runtime.calls import Call, CallQueue, joined_rows, paired, parted_rows, unpaired
from talkinghead.runtime.engine import DeviceArray, Engine, Rows, Tensor, host
from talkinghead.runtime.slab import Slab, Slot

_REMEMBERED = 1000
"""Calls of a session by which its latency is told."""

Observer: TypeAlias = Callable[[str, float], None]
"""Told (name, value) in any thread: "batch_rows" and "batch_ms" of each batch; "wait_ms" of each call, until its batch began."""


class Batcher:
    """Runs an engine in a thread of its own for all who join. It is an `Engine` itself, for those who need no account."""

    def __init__(
        self,
        engine: Engine,
        *,
        stays: tuple[str, ...] = (),
        window_ms: float = 0.0,
        most_rows: int = 256,
        sizes: tuple[int, ...] = (),
        observer: Observer | None = None,
    ) -> None:
        """stays: outputs that `run_on_device` leaves where the network runs; the others come back at once. window_ms: how long
        the first to ask waits for others, besides what a running batch takes. most_rows: of a batch. sizes: batches are filled
        up to the next of these; without, each runs as it is."""
        self._engine, self._stays, self._sizes, self._most = engine, stays, sorted(sizes), most_rows
        self._observe = observer or _untold
        self._queue = CallQueue(window_ms, most_rows, bool(stays))
        self._device = threading.Lock()  # slabs are for one thread at a time
        self._slabs: dict[tuple[int, ...], Slab] = {}
        self._pattern: dict[str, np.ndarray] = {}
        self.batches = 0
        """Calls of the engine so far."""
        self._thread = threading.Thread(target=self._serve, name="batcher", daemon=True)
        self._thread.start()

    @property
    def sessions(self) -> int:
        """Who has joined and not left."""
        return self._queue.sessions

    @property
    def waiting(self) -> int:
        """Calls whose batch has not begun."""
        return len(self._queue)

    @property
    def held(self) -> int:
        """Tensors that sessions have where the network runs."""
        return sum(slab.held for slab in list(self._slabs.values()))

    def join(self, observer: Observer | None = None) -> SessionEngine:
        """An engine for one more session; `SessionEngine.close` when it leaves. The observer is told "wait_ms"."""
        self._queue.join()
        return SessionEngine(self, observer or _untold)

    def leave(self) -> None:
        """One session less; by `SessionEngine.close`."""
        self._queue.leave()

    def close(self) -> None:
        """Finish what waits, refuse what comes later, end the thread."""
        self._queue.close()
        self._thread.join()

    def run(self, **inputs: Tensor) -> dict[str, np.ndarray]:
        """Outputs by name of inputs by name, all of the same first axis. EngineError for these inputs alone, or when closed."""
        return {name: value.numpy() for name, value in self.run_on_device(**inputs).items()}

    def run_on_device(self, **inputs: Tensor) -> dict[str, DeviceArray]:
        """The same as handles."""
        return self.ask(inputs).take()

    def append(self, past: Mapping[str, Tensor], newest: Mapping[str, Tensor]) -> dict[str, DeviceArray]:
        """See `Engine.append`."""
        return self.ask(paired(past, newest), append=True).take()

    def to_device(self, array: np.ndarray) -> DeviceArray:
        """A copy in a slot, where the network runs."""
        with self._device:
            (handle,) = self._kept(array, 1, array.shape)
        return handle

    def rows(self, count: int, shape: tuple[int, ...]) -> Rows:
        """Those of the engine."""
        return self._engine.rows(count, shape)

    def ask(self, inputs: Mapping[str, Tensor], append: bool = False) -> Call:
        """Queue a call and wait until it is served."""
        given = {name: self._own(tensor) for name, tensor in inputs.items()}
        return self._queue.ask(Call(given, {name: tensor.shape for name, tensor in inputs.items()}, append))

    def prepare(self) -> None:
        """Run every size once, on inputs like those of the first call, so that no session waits for a graph to be recorded."""
        for size in self._sizes if self._pattern else ():
            if size <= self._most:
                given = {name: np.resize(row, (size, *row.shape[1:])) for name, row in self._pattern.items()}
                with self._device:
                    self._engine.run_on_device(**given)

    def _own(self, tensor: Tensor) -> np.ndarray | Slot:
        if isinstance(tensor, DeviceArray) and tensor.owner is self:
            slot: Slot = tensor.value
            return slot
        return host(tensor)

    def _serve(self) -> None:
        while self._serve_next():
            pass

    def _serve_next(self) -> bool:
        """One batch; nothing of it is held any more when its sessions go on. False when there will be no more."""
        batch = self._queue.next()
        waiting = [call.done for call in batch]
        try:
            if batch:
                self._run(batch, monotonic())
        finally:
            for call in batch:
                call.inputs.clear()
            for done in waiting:
                done.set()
        return bool(waiting)

    def _run(self, batch: list[Call], began_s: float) -> None:
        for call in batch:
            call.began_s = began_s
        if len(batch) == 1:
            batch[0].error = self._failure(batch)  # told to the session that asked
        elif self._failure(batch) is not None:  # one may be at fault: each by itself
            for call in batch:
                self._run([call], began_s)
            return
        self.batches += 1
        self._observe("batch_rows", sum(call.rows for call in batch))
        self._observe("batch_ms", 1000 * (monotonic() - began_s))
        for call in batch:
            self._observe("wait_ms", call.wait_ms)

    def _failure(self, batch: list[Call]) -> Exception | None:
        """Run a batch. What goes wrong is given back; it may be kept for long, and must not hold what the batch held."""
        try:
            self._run_together(batch)
        except Exception as error:
            cause: BaseException | None = error
            while cause is not None:
                clear_frames(cause.__traceback__)
                cause = cause.__cause__ or cause.__context__
            return error
        return None

    def _run_together(self, batch: list[Call]) -> None:
        first, rows = batch[0], sum(call.rows for call in batch)
        fitting = (size for size in self._sizes if size >= rows and size % first.rows == 0)
        size = rows if first.append else next(fitting, rows)  # what moves rows has no graph
        with self._device:
            inputs = {name: joined_rows([call.inputs[name] for call in batch], size) for name in first.inputs}
            if first.append:
                made = self._engine.append(*unpaired(inputs))
            else:
                made = self._engine.run_on_device(**inputs)
                if not self._pattern:
                    self._pattern = {name: host(value)[:1] for name, value in inputs.items()}
            for name, value in made.items():
                if first.append or name in self._stays:
                    handles = self._kept(value, len(batch), (first.rows, *value.shape[1:]))
                else:
                    handles = parted_rows(value.numpy(), batch)
                for call, handle in zip(batch, handles, strict=True):
                    call.made[name] = handle

    def _kept(self, tensors: Tensor, count: int, shape: tuple[int, ...]) -> list[DeviceArray]:
        """So many tensors of a shape, of a batch of them, in slots."""
        if shape not in self._slabs:
            self._slabs[shape] = Slab(self._engine, shape)
        return [self._handle(slot, shape) for slot in self._slabs[shape].put(count, tensors)]

    def _handle(self, slot: Slot, shape: tuple[int, ...]) -> DeviceArray:
        def fetch() -> np.ndarray:
            with self._device:
                return slot.slab.take([slot]).numpy()

        return DeviceArray(self, slot, shape, fetch)


class SessionEngine:
    """An `Engine` of one session, with an account of how it fares."""

    def __init__(self, batcher: Batcher, observer: Observer) -> None:
        self._batcher: Batcher | None = batcher
        self._observe = observer
        self._times_ms: deque[float] = deque(maxlen=_REMEMBERED)
        self.served = 0
        """Calls answered so far."""

    def run(self, **inputs: Tensor) -> dict[str, np.ndarray]:
        """As `Batcher.run`; EngineError after `close`."""
        return {name: value.numpy() for name, value in self._answer(inputs).items()}

    def run_on_device(self, **inputs: Tensor) -> dict[str, DeviceArray]:
        """As `Batcher.run_on_device`."""
        return self._answer(inputs)

    def append(self, past: Mapping[str, Tensor], newest: Mapping[str, Tensor]) -> dict[str, DeviceArray]:
        """As `Batcher.append`."""
        return self._answer(paired(past, newest), append=True)

    def to_device(self, array: np.ndarray) -> DeviceArray:
        """As `Batcher.to_device`."""
        return self._joined().to_device(array)

    def rows(self, count: int, shape: tuple[int, ...]) -> Rows:
        """As `Batcher.rows`."""
        return self._joined().rows(count, shape)

    def latency_ms(self) -> dict[str, float]:
        """Median and 95th percentile of this session's last calls, waiting included; empty before the first."""
        return {f"p{q}": float(np.percentile(self._times_ms, q)) for q in (50, 95)} if self._times_ms else {}

    def close(self) -> None:
        """Leave; twice does no harm."""
        if self._batcher is not None:
            self._batcher.leave()
            self._batcher = None

    def _joined(self) -> Batcher:
        if self._batcher is None:
            raise EngineError("this session has left its batcher: join again")
        return self._batcher

    def _answer(self, inputs: Mapping[str, Tensor], append: bool = False) -> dict[str, DeviceArray]:
        call = self._joined().ask(inputs, append)
        self.served += 1
        self._times_ms.append(1000 * (monotonic() - call.asked_s))
        self._observe("wait_ms", call.wait_ms)
        return call.take()


def _untold(name: str, value: float) -> None:
    """For nobody."""


def seat(engine: Engine, observer: Observer | None = None) -> Engine:
    """What one session calls an engine by: a `SessionEngine` where sessions share it in batches, else the engine itself."""
    return engine.join(observer) if isinstance(engine, Batcher) else engine
