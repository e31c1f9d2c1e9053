"""How the command line talks to a terminal and to the system that runs it."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from talkinghead.offline.dub import Progress

TERMINATED = 143
"""Exit code of a process that was asked to end."""


def say(message: str) -> None:
    """One line on standard error, also where a file name holds a line break."""
    line = " ".join(message.split())
    print(f"talkinghead: {line}", file=sys.stderr, flush=True)


def somebody_answers() -> bool:
    """Whether a question on standard error can be answered on standard input."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()


def ask(question: str) -> str:
    """Show a question on standard error and read a line; EOFError when there is none."""
    print(question, end="", file=sys.stderr, flush=True)
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line


@contextmanager
def progress_bar(quiet: bool, what: str = "drawing") -> Iterator[Progress | None]:
    """A bar with the time left on standard error; None where nobody watches."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)

        def update(done: int, total: int | None) -> None:
            bar.update(task, completed=done, total=total)

        yield update


@contextmanager
def terminable() -> Iterator[None]:
    """SIGTERM unwinds like Ctrl-C does, so that no half file stays behind."""

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        raise SystemExit(TERMINATED)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
