"""One worker of a batch: loads the networks once, then makes one video after the other on one core.

As a process of its own it reads jobs from standard input and writes what became of them to standard output, one JSON
object a line. It ends with its input: when the driver goes, however it goes, the worker stops at once and leaves nothing.
Nothing heavy is imported before the first job: `limit_threads` must come first.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from talkinghead.console import TERMINATED, terminable
from talkinghead.errors import TalkingHeadError

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
KEY_PREFIX = "talkinghead job "
"""What the comment of a batch's videos begins with; the job's key follows."""
_PROGRESS_S = 1.0
_UNWIND_S = 5.0
"""What a worker without a driver has to unwind in. Less than the pool waits before it kills."""

Message = dict[str, Any]
Send = Callable[[Message], None]


def limit_threads() -> None:
    """One thread for every library that would take all cores. Only works before they are imported."""
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))


class Worker:
    """Makes videos with networks that are loaded once."""

    def __init__(self) -> None:
        self._networks: dict[str, Any] = {}

    def perform(self, job: Message, send: Send) -> Message:
        """Make one video. ``job``: `Job.message` with key, device and the fields of `Marks`.

        What became of it: {"event": "done", "result"} or {"event": "failed", "reason", "again": another try may help}.
        """
        import cv2

        cv2.setNumThreads(1)
        try:
            return {"event": "done", "result": self._dub(job, send)}
        except TalkingHeadError as error:
            return {"event": "failed", "reason": str(error), "again": False}
        except Exception as error:  # a fault of the program or of the machine: the other jobs go on
            return {"event": "failed", "reason": f"{type(error).__name__}: {error}", "again": True}

    def _dub(self, job: Message, send: Send) -> Message:
        from dataclasses import asdict

        from talkinghead.motion.controls import Controls
        from talkinghead.offline.dub import dub
        from talkinghead.offline.provenance import Marks
        from talkinghead.speech.text import Text

        told_s = 0.0

        def progress(done: int, total: int | None) -> None:
            nonlocal told_s
            if time.monotonic() - told_s >= _PROGRESS_S:
                told_s = time.monotonic()
                send({"event": "progress", "done": done, "total": total})

        options, device = job["options"], job["options"]["device"] or job["device"]
        columns = {"watermark": "watermark", "c2pa": "manifest", "certificate": "certificate", "certificate_key": "key"}
        said = {field: options[column] for column, field in columns.items() if options[column] not in (None, "")}
        marks = {**job["marks"], **said}
        result = dub(
            job["photo"],
            job["audio"] or Text(options["text"], options["voice"]),
            job["output"],
            seed=options["seed"],
            controls=Controls(
                gaze=tuple(options["gaze"]),
                distance=options["distance"],
                pose_scale=options["pose_scale"],
                emotion=options["emotion"][0],
                emotion_strength=options["emotion"][1],
            ),
            full=not options["crop"],
            size=options["size"],
            fps=options["fps"],
            aspect=options["aspect"] or None,
            device=device,
            progress=progress,
            networks=self._loaded(device),
            subtitles=options["subtitles"] or None,
            comment=KEY_PREFIX + job["key"],
            threads=1,
            marks=Marks(**marks),
            alpha=options["alpha"],
            other=options["listen"] or None,
        )
        return asdict(result)

    def _loaded(self, device: str) -> Any:
        if device not in self._networks:
            from talkinghead.networks import Networks

            self._networks[device] = Networks.load(device)
        return self._networks[device]


def main() -> None:
    """The process: jobs in, outcomes out."""
    limit_threads()
    # What a library prints must not get between the messages.
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def send(message: Message) -> None:
        with contextlib.suppress(OSError):  # the driver is gone: the end of the input tells it
            out.write(json.dumps(message) + "\n")
            out.flush()

    jobs: queue.Queue[Message | None] = queue.Queue()
    threading.Thread(target=_listen, args=(jobs,), daemon=True).start()
    worker = Worker()
    with terminable():
        send({"event": "ready"})
        while (job := jobs.get()) is not None:
            _keep_to(job.get("core"))
            send(worker.perform(job, send))


def _listen(jobs: queue.Queue[Message | None]) -> None:
    for line in sys.stdin:
        jobs.put(json.loads(line))
    with contextlib.suppress(queue.Empty):  # what waits is nobody's any more
        while True:
            jobs.get_nowait()
    jobs.put(None)  # a library that calls back swallows the exception that the signal means
    os.kill(os.getpid(), signal.SIGTERM)  # unwinds whatever the main thread is at
    time.sleep(_UNWIND_S)
    from talkinghead.offline.target import discard_living

    discard_living()  # it hangs somewhere
    os._exit(TERMINATED)


def _keep_to(core: int | None) -> None:
    if core is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})


if __name__ == "__main__":
    main()
