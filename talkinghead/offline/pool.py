"""Workers of a batch as processes of this machine."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from talkinghead.cores import usable_cores
from talkinghead.offline.output import place_of
from talkinghead.offline.target import sweep
from talkinghead.offline.worker import Message

STALLED_S = 300.0
"""A worker that tells nothing for so long is stopped."""
_POLL_S = 0.5
_GOODBYE_S = 10.0


@dataclass(frozen=True)
class Report:
    """What became of a job: ``message`` is a worker's, or {"event": "died", "reason"} when the worker was lost."""

    job: Message
    message: Message


class Pool(Protocol):
    """Where jobs are done: `size` of them at a time."""

    size: int

    def start(self, job: Message) -> None:
        """Begin a job; fewer than `size` may be under way."""
        ...

    def wait(self) -> list[Report]:
        """What workers have told since the last call; waits a little for something, and may return nothing."""
        ...

    def close(self) -> None:
        """Stop everything; unfinished jobs leave nothing."""
        ...


class _Slot:
    """One worker process and the job that it is at."""

    def __init__(self, command: Sequence[str], heard: queue.Queue[tuple[_Slot, Message]]) -> None:
        from talkinghead.offline.worker import THREAD_VARIABLES

        # A session of its own: Ctrl-C reaches the driver only, which then ends the workers.
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **dict.fromkeys(THREAD_VARIABLES, "1")},
            text=True,
            encoding="utf-8",
            start_new_session=True,
        )
        self.job: Message | None = None
        self.heard_s = time.monotonic()
        self._heard = heard
        threading.Thread(target=self._listen, name="worker", daemon=True).start()

    def give(self, job: Message) -> None:
        self.job, self.heard_s = job, time.monotonic()
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):  # a dead worker: _listen tells
            self.process.stdin.write(json.dumps(job) + "\n")
            self.process.stdin.flush()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        with contextlib.suppress(ValueError, OSError):  # half a line of a killed worker, or closed
            for line in self.process.stdout:
                self._heard.put((self, json.loads(line)))
        self._heard.put((self, {"event": "died"}))


class LocalPool:
    """Worker processes, each with one thread for every library and a core of its own.

    They are started when first needed, and again when one was lost. ``command`` starts one (default: this Python's).
    """

    def __init__(self, size: int, command: Sequence[str] | None = None, *, stalled_s: float = STALLED_S) -> None:
        self.size = size
        self._command = list(command or (sys.executable, "-m", "talkinghead.offline.worker"))
        self._stalled_s = stalled_s
        self._heard: queue.Queue[tuple[_Slot, Message]] = queue.Queue()
        self._slots: list[_Slot | None] = [None] * size
        cores = usable_cores()
        self._cores: list[int | None] = [cores[k] if size <= len(cores) else None for k in range(size)]

    def start(self, job: Message) -> None:
        number = next(k for k, slot in enumerate(self._slots) if slot is None or slot.job is None)
        slot = self._slots[number]
        if slot is None:
            slot = self._slots[number] = _Slot(self._command, self._heard)
        slot.give({**job, "core": self._cores[number]})

    def wait(self) -> list[Report]:
        reports = []
        with contextlib.suppress(queue.Empty):
            slot, message = self._heard.get(timeout=_POLL_S)
            reports = self._report(slot, message)
        for slot_now in self._slots:
            if slot_now is not None and slot_now.job is not None and time.monotonic() - slot_now.heard_s > self._stalled_s:
                slot_now.process.kill()
        return reports

    def _report(self, slot: _Slot, message: Message) -> list[Report]:
        job, slot.heard_s = slot.job, time.monotonic()
        if message["event"] == "died":
            self._slots = [None if other is slot else other for other in self._slots]
            code = slot.process.wait()
            message = {"event": "died", "reason": _how_it_ended(code)}
        if job is None or message["event"] == "ready":
            return []
        if message["event"] != "progress":
            slot.job = None
        return [Report(job, message)]

    def close(self) -> None:
        slots = [slot for slot in self._slots if slot is not None]
        for slot in slots:
            assert slot.process.stdin is not None
            with contextlib.suppress(OSError):
                slot.process.stdin.close()  # which ends it
        for slot in slots:
            try:
                slot.process.wait(_GOODBYE_S)
            except subprocess.TimeoutExpired:
                slot.process.kill()
                slot.process.wait()
            if slot.job is not None:  # what a killed one left
                target = place_of(slot.job["output"])
                sweep(target.parent, [target])
        self._slots = [None] * self.size


def _how_it_ended(code: int) -> str:
    if code == -9:
        return "its worker was killed (out of memory, or stalled)"
    return f"its worker ended with {f'signal {-code}' if code < 0 else f'code {code}'}"
