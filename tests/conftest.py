"""Fixtures that several rooms share."""

import importlib
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest
from fake_avatar import fake_avatar
from sounds import Sound, make_sound_file

__all__ = ["fake_avatar", "make_sound"]


def pytest_configure() -> None:
    """A shell's background jobs ignore SIGINT, and hand that on: what a test starts and interrupts must hear it all the same."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def make_sound(tmp_path: Path) -> Sound:
    """make_sound(name, pcm, rate_hz, codec, ...) -> path of a new file in tmp_path."""
    return partial(make_sound_file, tmp_path)


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Imports a benchmark by its name: they are scripts, not a package, and their folder is put on the path for a test."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
    return importlib.import_module
