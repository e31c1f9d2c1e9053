"""Kernels of a frame fused behind those who draw: what was recorded as it is serves at once, and is replaced when a recording of
fewer, larger kernels is ready.

A frame of one portrait is some 1,900 small operators. A graph replays them without the CPU, yet each still costs the GPU a few
microseconds to begin. Inductor (Ansel et al., *PyTorch 2: Faster Machine Learning Through Dynamic Python Bytecode Transformation
and Graph Compilation*, 2024) makes some 300 kernels of them, in a minute or so the first time, and keeps them in the cache
(counted by ``python benchmarks/kernels.py``).
"""

from __future__ import annotations

import logging
import os
import queue
import threading
from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor

from talkinghead.runtime.cache import cache_folder

_LOG = logging.getLogger(__name__)
_MOST_RECOMPILED = 256
"""A frame is compiled for each size of a batch, form and softness, and again when the bank grows."""
_FAR, _MOST_FAR = 8, 0.001
"""Grey levels by which a byte may differ, and the share of bytes that may differ by more: sums that are rounded otherwise decide
where a triangle's edge falls."""

Call = Callable[[list[Tensor]], tuple[Tensor, ...]]


class Recording(Protocol):
    """`runtime.torch.Graph`, or what does as it does."""

    def replay(self, given: list[Any], copy: bool) -> tuple[Any, ...]:
        """Outputs; without ``copy`` the next replay overwrites them."""


Recorder = Callable[[list[Tensor], Call], Recording]
"""Records a call with these inputs."""


class Fuser:
    """Makes better recordings, one after another, in a thread of its own."""

    def __init__(self, record: Recorder, lock: threading.RLock, fused: Callable[[Call], Call] | None = None) -> None:
        """lock: held by who replays. fused: makes a call one of larger kernels; Inductor without it."""
        self._record, self._lock, self._fused = record, lock, fused or inductor
        self._asked: queue.SimpleQueue[tuple[FusedRecording, list[Tensor], Call]] = queue.SimpleQueue()
        self._idle = threading.Condition()
        self._due, self._given_up = 0, False
        self._thread: threading.Thread | None = None

    def recording(self, given: list[Tensor], call: Call) -> Recording:
        """A recording of ``call``, that is there at once and becomes better."""
        plain = self._record(given, call)
        made = FusedRecording(plain)
        with self._idle:
            if self._given_up:
                return plain
            self._due += 1
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="fuse kernels", daemon=True)
                self._thread.start()
        self._asked.put((made, [value.clone() for value in given], call))
        return made

    def wait(self, timeout_s: float | None = None) -> bool:
        """Until nothing is left to be made; False where something still is."""
        with self._idle:
            return self._idle.wait_for(lambda: not self._due, timeout_s)

    def _work(self) -> None:
        while True:
            made, given, call = self._asked.get()
            try:
                if not self._given_up:
                    self._improve(made, given, call)
            except Exception as error:  # no compiler, an operator that it does not know: frames are drawn all the same
                self._given_up = True
                reason = (str(error).strip() or type(error).__name__).splitlines()[0]
                _LOG.warning("frames are drawn by unfused kernels: %s", reason[:200])
            with self._idle:
                self._due -= 1
                self._idle.notify_all()

    def _improve(self, made: FusedRecording, given: list[Tensor], call: Call) -> None:
        with torch.inference_mode():
            better = self._record(given, self._fused(call))
            with self._lock:
                pairs = zip(better.replay(given, copy=True), made.best.replay(given, copy=True), strict=True)
                alike = all(_alike(a, b) for a, b in pairs)
            if alike:
                made.best = better
            else:
                _LOG.warning("fused kernels draw another picture and are not used")


class FusedRecording:
    """Replays the best recording there is."""

    def __init__(self, plain: Recording) -> None:
        self.best = plain

    def replay(self, given: list[Any], copy: bool) -> tuple[Any, ...]:
        """See `Recording`."""
        return self.best.replay(given, copy)


def inductor(call: Call) -> Call:
    """The call, compiled to larger kernels when it is first called: fixed shapes, one graph, no way back to Python."""
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_folder() / "kernels"))
    import torch._dynamo

    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, _MOST_RECOMPILED)
    compiled: Call = torch.compile(call, dynamic=False, fullgraph=True)
    return compiled


def _alike(a: Tensor, b: Tensor) -> bool:
    """Whether pictures of bytes are the same but for a few pixels."""
    far = (a.int() - b.int()).abs() > _FAR
    return a.shape == b.shape and float(far.float().mean()) <= _MOST_FAR
