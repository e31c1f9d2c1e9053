"""Thousands of videos: a list of jobs, workers that make them, and what became of each.

A video says what it was made from (its key, in the file's comment), and appears under its name only when it is whole. So a
batch that was stopped, however, goes on where it was: what is there and has the right key is skipped, everything else is made.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import av

from talkinghead.offline.jobs import Job, Refusal, job_key
from talkinghead.offline.output import place_of
from talkinghead.offline.pool import Pool, Report
from talkinghead.offline.provenance import Marks
from talkinghead.offline.sequence import SOUND
from talkinghead.offline.target import sweep
from talkinghead.offline.worker import KEY_PREFIX, Message

TRIES = 2
"""Of a job whose worker was lost or met a fault of the program; a bad photo is not tried again."""

Progress = Callable[[int, int], None]
"""Called with jobs finished (made, skipped or failed) and jobs in all."""
Tell = Callable[[str], None]


@dataclass
class BatchResult:
    """What became of a batch."""

    done: int = 0
    skipped: int = 0
    """Videos that were there already."""
    failures: list[Refusal] = field(default_factory=list)
    notes: dict[str, int] = field(default_factory=dict)
    """Remarks on the videos, and how many each concerns."""
    video_s: float = 0.0
    """Length of the videos made, seconds."""
    wall_s: float = 0.0
    workers: int = 0

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        speed = round(self.video_s / max(self.wall_s, 1e-9), 3)
        return {**asdict(self), "failed": len(self.failures), "realtime_factor": speed}


@dataclass
class _Waiting:
    """A job that is still to be made."""

    job: Job
    key: str
    tries: int = 0


def run_batch(
    jobs: Sequence[Job],
    pool: Pool,
    *,
    refusals: Iterable[Refusal] = (),
    device: str = "cpu",
    marks: Marks | None = None,
    progress: Progress | None = None,
    tell: Tell | None = None,
) -> BatchResult:
    """Make the videos of `jobs` with the workers of `pool`; failures are counted, not raised.

    Args:
        jobs, refusals: of `read_manifest`.
        pool: stays open.
        device: of the networks.
        progress, tell: called after every job; called with one line for every failure.
        marks: of every video; by default watermark and manifest.
    """
    extra = {"device": device, "marks": asdict(marks or Marks())}
    return _Batch(pool, len(jobs), list(refusals), extra, progress, tell).run(jobs)


class _Batch:
    def __init__(
        self, pool: Pool, total: int, refusals: list[Refusal], extra: Message, progress: Progress | None, tell: Tell | None
    ) -> None:
        self._pool, self._extra = pool, extra
        self._progress, self._tell = progress, tell
        self._total = total + len(refusals)
        self._result = BatchResult(workers=pool.size)
        self._queue: deque[_Waiting] = deque()
        self._busy: dict[str, _Waiting] = {}
        self._notes: Counter[str] = Counter()
        for refusal in refusals:
            self._fail(refusal)

    def run(self, jobs: Sequence[Job]) -> BatchResult:
        started_s = time.perf_counter()
        self._sweep(jobs)
        pending, hashes = deque(jobs), dict[str, str]()
        try:
            while pending or self._queue or self._busy:
                # Looked at while others are being made: hashing long recordings takes its time.
                while len(self._busy) < self._pool.size and (self._queue or pending):
                    if not self._queue:
                        self._look_at(pending.popleft(), hashes)
                    if self._queue:
                        self._start(self._queue.popleft())
                if self._busy:
                    for report in self._pool.wait():
                        self._hear(report)
        finally:
            self._sweep([waiting.job for waiting in self._busy.values()])
        self._result.failures.sort(key=lambda failure: failure.row)
        self._result.notes = dict(self._notes.most_common())
        self._result.wall_s = round(time.perf_counter() - started_s, 3)
        self._result.video_s = round(self._result.video_s, 3)
        return self._result

    def _look_at(self, job: Job, hashes: dict[str, str]) -> None:
        """Skip a job whose video is there; queue it otherwise."""
        try:
            key = job_key(job, hashes, self._extra["marks"])
        except OSError:  # the worker finds out why, in the words of a single dub
            key = ""
        if key and made_from(place_of(job.output)) == key:
            self._result.skipped += 1
            self._told()
        else:
            self._queue.append(_Waiting(job, key))

    def _start(self, waiting: _Waiting) -> None:
        waiting.tries += 1
        self._busy[waiting.job.output] = waiting
        self._pool.start({**waiting.job.message(), "key": waiting.key, **self._extra})

    def _hear(self, report: Report) -> None:
        message = report.message
        if message["event"] == "progress":
            return
        waiting = self._busy.pop(report.job["output"])
        if message["event"] == "done":
            self._result.done += 1
            self._result.video_s += message["result"]["seconds"]
            self._notes.update(message["result"]["notes"])
            self._told()
            return
        if message["event"] == "died":
            self._sweep([waiting.job])
        if (message["event"] == "died" or message["again"]) and waiting.tries < TRIES:
            self._queue.append(waiting)
            return
        self._fail(Refusal(waiting.job.row, waiting.job.output, message["reason"]))

    def _fail(self, refusal: Refusal) -> None:
        self._result.failures.append(refusal)
        if self._tell is not None:
            self._tell(f"row {refusal.row}: {refusal.reason}")
        self._told()

    def _told(self) -> None:
        if self._progress is not None:
            self._progress(self._result.done + self._result.skipped + len(self._result.failures), self._total)

    @staticmethod
    def _sweep(jobs: Iterable[Job]) -> None:
        folders: dict[Path, list[Path]] = {}
        for job in jobs:
            path = place_of(job.output)
            folders.setdefault(path.parent, []).append(path)
        for folder, targets in folders.items():
            sweep(folder, targets)


def made_from(path: Path) -> str | None:
    """The key of the job that a video, or a folder of pictures, was made by; None where there is no such video."""
    path = path / SOUND if path.is_dir() else path
    if not path.is_file():
        return None
    with contextlib.suppress(av.FFmpegError, OSError, ValueError), av.open(f"file:{path}") as container:
        tags = {name.lower(): value for name, value in container.metadata.items()}
        comment = tags.get("comment", "")
        if comment.startswith(KEY_PREFIX):
            return comment.removeprefix(KEY_PREFIX)
    return None
