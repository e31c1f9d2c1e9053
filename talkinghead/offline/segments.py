"""Whole pieces of a long video, kept beside it until it is finished: what was stopped, however, goes on at the last of them.

Kept is what is costly, the drawn and encoded pictures. The motion (a tenth of the cost) is made again from the first sound on: so
no state of networks, resamplers and clocks has to be saved and read back, and the same machine goes on with the same bits. On
another one, whose last bits differ, the head may jump by about a degree at the joint.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import logging
import os
import re
from pathlib import Path
from types import TracebackType
from typing import Any

import av

from talkinghead import __version__
from talkinghead.errors import OutputError
from talkinghead.offline.jobs import Job, job_key
from talkinghead.offline.provenance import Marks
from talkinghead.offline.target import PartFile, output_error, sweep

LONG_S = 300
"""From this length on a video is made in pieces."""
SEGMENT_S = 60
"""Length of a piece: at most so much is drawn again."""
_STATE = "parts.json"
_PIECE = re.compile(r"\d{6}\.mp4")
_NAME_BYTES = 200
_log = logging.getLogger("talkinghead.segments")


class Segments:
    """The hidden folder `.NAME.parts` of one video; a context manager that holds it against other processes.

    ``key`` says what the video is made from: pieces of anything else, and damaged ones, are thrown away on entry. A folder
    without a whole piece does not stay. `clear` removes it, once the video is in its place.

    Attributes:
        target: the video; fps: its pictures a second; folder: where the pieces are.
        frames: pictures in the whole pieces.
        complete: these are all pictures of the video: they are only to be joined.
        notes: a remark for the user where there was something to go on from.

    Raises OutputError where the folder cannot be used, or another process is making the same video.
    """

    def __init__(self, target: Path, key: str, fps: int) -> None:
        self.target, self.fps, self.folder = target, fps, parts_folder(target)
        self.frames, self.complete, self.notes = 0, False, tuple[str, ...]()
        self._key, self._count, self._handle = key, 0, -1

    def __enter__(self) -> Segments:
        try:
            self._enter()
        except OSError as error:
            self._release()
            raise output_error(self.folder, error) from error
        except BaseException:
            self._release()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if not self._count:
            self.clear()
        elif error is not None:
            kept = clock(self.frames / self.fps)
            _log.warning("%s: the first %s are kept in %s: run the same again to go on", self.target.name, kept, self.folder)
        self._release()

    @property
    def pieces(self) -> list[Path]:
        """The whole ones, in order."""
        return [self._piece(number) for number in range(self._count)]

    @property
    def next_piece(self) -> Path:
        """The name of the piece that is to be written."""
        return self._piece(self._count)

    @property
    def piece_frames(self) -> int:
        """Pictures in every piece but the last."""
        return SEGMENT_S * self.fps

    def add(self, frames: int) -> None:
        """`next_piece` has been written with so many pictures."""
        self._count, self.frames = self._count + 1, self.frames + frames

    def finish(self) -> None:
        """There are no more pictures to come."""
        self.complete = True
        self._save()

    def clear(self) -> None:
        """Throw everything away, the folder too."""
        self._drop(0)
        self._count = 0
        with contextlib.suppress(OSError):  # somebody keeps something of his own in it
            (self.folder / _STATE).unlink(missing_ok=True)
            self.folder.rmdir()

    def _enter(self) -> None:
        if self.folder.is_symlink():
            raise OutputError(f"{self.folder} is a link: remove it, or choose another output")
        self.folder.mkdir(exist_ok=True)
        self._handle = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OutputError(f"{self.target} is being made already: wait for it, or choose another output") from None
        except OSError:  # a file system without locks
            pass
        sweep(self.folder)
        sweep(self.target.parent, [self.target])  # as large as the video, where joining was cut short
        state = self._state()
        whole = self._whole(state.get("frames")) if state.get("key") == self._key else 0
        self._drop(whole)
        self._save()
        if whole:
            self.notes = (f"went on at {clock(self.frames / self.fps)}, where an earlier run was stopped",)

    def _whole(self, total: int | None) -> int:
        """How many pieces from the first on are whole; `total`: pictures of the video, where they had all been made."""
        count = 0
        while (frames := _frames_in(self._piece(count))) > 0:
            last = total is not None and self.frames + frames == total
            if frames != self.piece_frames and not last:
                break
            self.add(frames)
            count += 1
            if last:
                self.complete = True
                break
        return count

    def _drop(self, number: int) -> None:
        """Remove the pieces from this one on."""
        for path in self.folder.glob("*.mp4"):
            if _PIECE.fullmatch(path.name) and path.name >= self._piece(number).name:
                path.unlink(missing_ok=True)

    def _state(self) -> dict[str, Any]:
        with contextlib.suppress(OSError, ValueError):
            state = json.loads((self.folder / _STATE).read_text(encoding="utf-8"))
            if isinstance(state, dict) and isinstance(state.get("frames"), int | None):
                return state
        return {}

    def _save(self) -> None:
        part = PartFile(self.folder / _STATE)
        try:
            part.path.write_text(json.dumps({"key": self._key, "frames": self.frames if self.complete else None}))
            part.commit()
        finally:
            part.discard()

    def _piece(self, number: int) -> Path:
        return self.folder / f"{number:06d}.mp4"

    def _release(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)  # which unlocks it
            self._handle = -1


def pictures_key(photo: str | Path, sound: str | Path, target: Path, options: dict[str, Any], marks: Marks) -> str:
    """What the pictures of a video depend on, as a SHA-256: files, options, weights, versions of program and encoder."""
    versions = {"talkinghead": __version__, "av": av.__version__}
    job = Job(0, str(photo), str(sound), str(target), {**options, **versions})
    return job_key(job, marks={"watermark": marks.watermark})


def parts_folder(target: Path) -> Path:
    """Where the pieces of a video are kept. A very long name is cut, and told from others by its hash."""
    name = target.name
    if len(name.encode()) > _NAME_BYTES:
        name = f"{name[:40]}.{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    return target.with_name(f".{name}.parts")


def clock(seconds: float) -> str:
    """Hours, minutes and seconds for the reader: 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def _frames_in(path: Path) -> int:
    """Pictures in a piece; 0 where it is missing or damaged."""
    if not path.is_file() or path.is_symlink():
        return 0
    with contextlib.suppress(av.FFmpegError, OSError, ValueError), av.open(f"file:{path}") as container:
        return container.streams.video[0].frames if container.streams.video else 0
    return 0
