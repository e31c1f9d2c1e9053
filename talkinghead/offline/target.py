"""The file or folder that is being written: beside its target under a hidden name, in place only when it is whole."""

import contextlib
import errno
import fcntl
import os
import re
import secrets
import shutil
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path

import av

from talkinghead.errors import OutputError

FORMATS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
"""File name ending -> FFmpeg's name of the container."""

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NAME_KEPT_CHARS = 40
_living: weakref.WeakSet["PartFile"] = weakref.WeakSet()
_PART_NAME = re.compile(r"\.(?P<stem>.*)\.[0-9a-f]{8}\.part(?P<suffix>(\.[a-z0-9]+)?)")


def check_target(path: str | Path) -> Path:
    """The real path that will be written (links resolved), after a look at whether it can be.

    Raises OutputError, one line that names the fix: unknown ending, no such folder, a folder in the way, no permission.
    """
    path = Path(path)
    if path.suffix.lower() not in FORMATS:
        raise OutputError(f"{path} must end in {', '.join(FORMATS)}: rename the output, e.g. out.mp4")
    try:
        if path.is_dir():
            raise OutputError(f"{path} is a folder: give the name of a file in it, e.g. {path / 'out.mp4'}")
        path = check_parent(path)
        if path.exists() and not path.is_file():
            raise OutputError(f"{path} is not a regular file: choose another output")
        return path
    except OSError as error:
        raise output_error(path, error) from error


def check_parent(path: Path) -> Path:
    """The real path of what will be written into a folder; OutputError where that folder is none or cannot be written."""
    try:
        if not path.parent.exists():
            raise OutputError(f"the folder {path.parent} does not exist: create it or choose another output")
        if not path.parent.is_dir():
            raise OutputError(f"{path.parent} is not a folder: choose another output")
        path = path.resolve()
    except OSError as error:
        raise output_error(path, error) from error
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise OutputError(f"the folder {path.parent} is not writable: change its rights or choose another output")
    return path


def output_error(path: Path, error: OSError | av.FFmpegError) -> OutputError:
    """The one line for a failed write to `path`."""
    if error.errno in _FULL:
        return OutputError(f"no space left to write {path}: free some space or choose another disk")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return OutputError(f"no permission to write {path}: change the access rights or choose another output")
    return OutputError(f"cannot write {path}: {error.strerror or error}: choose another output")


class PartFile:
    """A new file `.NAME.XXXX.part.SUFFIX` in the target's folder: `commit` puts it in place, `discard` removes it.

    Until `commit` an existing target is untouched. `path` is the hidden file, created empty here. It stays locked while
    this process lives, so that `sweep` can tell what a killed one left behind.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        name = f".{target.stem[:_NAME_KEPT_CHARS]}.{secrets.token_hex(4)}.part{target.suffix.lower()}"
        self.path, self._handle = target.with_name(name), -1
        _living.add(self)  # before there is a file: a signal may come at any point
        try:
            self._handle = self._create()
        except OSError as error:
            raise output_error(target, error) from error
        with contextlib.suppress(OSError):  # a file system without locks: then nothing is swept there either
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _create(self) -> int:
        return os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)

    def _replace(self) -> None:
        self.path.replace(self.target)

    def commit(self) -> None:
        """Make it durable and give it the target's name, in one step for whoever looks."""
        try:
            os.fsync(self._handle)
            self._replace()
        except OSError as error:
            raise output_error(self.target, error) from error
        self._close()

    def discard(self) -> None:
        """Remove the hidden file if it is still there."""
        self.path.unlink(missing_ok=True)
        self._close()

    def _close(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


class PartFolder(PartFile):
    """As `PartFile`, a folder: its `commit` replaces a folder of the target's name, with all that is in it."""

    def _create(self) -> int:
        self.path.mkdir()
        return os.open(self.path, os.O_RDONLY)

    def _replace(self) -> None:
        if not self.target.exists():
            self.path.rename(self.target)
            return
        old = self.path.with_name(self.path.name.replace(".part", ".old.part"))
        self.target.rename(old)
        self.path.rename(self.target)
        shutil.rmtree(old, ignore_errors=True)

    def discard(self) -> None:
        """Remove the hidden folder if it is still there."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._close()


def discard_living() -> None:
    """Remove all hidden files and folders of this process: for one that ends without unwinding."""
    for part in list(_living):
        with contextlib.suppress(OSError):
            part.discard()


def sweep(folder: Path, targets: Iterable[Path] | None = None) -> list[Path]:
    """Remove the hidden files and folders that killed processes left in `folder`; those that a living one holds stay.

    targets: only what was meant to become one of these. Returns what was removed.
    """
    wanted = None if targets is None else {(path.stem[:_NAME_KEPT_CHARS], path.suffix.lower()) for path in targets}
    removed = []
    for path in sorted(folder.glob(".*.part*")):
        match = _PART_NAME.fullmatch(path.name)
        if match is None or path.is_symlink() or (wanted is not None and (match["stem"], match["suffix"]) not in wanted):
            continue
        with contextlib.suppress(OSError), _opened(path) as handle:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path) if path.is_dir() else path.unlink()
            removed.append(path)
    return removed


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        yield handle
    finally:
        os.close(handle)
