"""Pictures and sound -> a folder of numbered PNG files, the sound as a WAV file among them."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import cv2
import numpy as np

from talkinghead.errors import OutputError
from talkinghead.offline.mux import SoundTrack
from talkinghead.offline.subtitles import Line, as_srt
from talkinghead.offline.target import PartFolder, check_parent, output_error

SOUND, SUBTITLES = "sound.wav", "subtitles.srt"
_COMPRESSION = 3  # of zlib: more takes far longer for a few per cent
_WAITING = 8  # pictures that may wait for a file


def check_folder(path: Path, names: str) -> Path:
    """The real path of a sequence's folder, after a look at whether it can be written.

    It may exist when it is empty or holds an earlier sequence of the same names, and nothing else. OutputError otherwise.
    """
    try:
        path = check_parent(path)
        if path.exists() and not path.is_dir():
            raise OutputError(f"{path} is a file: name a new folder for the pictures")
        foreign = [entry.name for entry in path.iterdir() if not _is_ours(entry, names)] if path.exists() else []
    except OSError as error:
        raise output_error(path, error) from error
    if foreign:
        raise OutputError(f"the folder {path} holds other files ({foreign[0]}): name a new folder for the pictures")
    return path


def _is_ours(entry: Path, names: str) -> bool:
    before, digits, after = re.split(r"%(0[1-9])?d", names)
    least = int(digits or 1)
    pattern = rf"{re.escape(before)}\d{{{least},}}{re.escape(after)}"
    return entry.is_file() and (entry.name in (SOUND, SUBTITLES) or re.fullmatch(pattern, entry.name) is not None)


class SequenceWriter:
    """Writes pictures 1, 2, ... of one video; a context manager that leaves the whole folder or nothing.

    The folder is written under a hidden name beside its own and renamed at the end; an earlier sequence is replaced only then.

    Args:
        folder, names: of `check_folder`; names such as "%05d.png".
        width, height: of the pictures, px.
        sound, sound_rate_hz, sound_channels: as for `Mp4Writer`: padded with silence or cut, as long as the pictures.
        fps: pictures a second.
        comment: a tag of the sound; subtitles: a file of their own, where there are any.

    Raises OutputError where a file cannot be written (also from `write`), and passes on what `sound` raises.
    """

    def __init__(
        self,
        folder: Path,
        names: str,
        width: int,
        height: int,
        *,
        sound: Iterator[np.ndarray],
        sound_rate_hz: int,
        sound_channels: int,
        fps: int = 40,
        comment: str = "",
        subtitles: list[Line] | None = None,
        **unused: Any,
    ) -> None:
        self.width, self.height = width, height
        self.frames = 0
        self._folder, self._names, self._fps = folder, names, fps
        self._sound, self._rate_hz = SoundTrack(sound, sound_rate_hz, sound_channels), sound_rate_hz
        self._comment, self._subtitles = comment, subtitles or []
        self._files: deque[Future[None]] = deque()

    def __enter__(self) -> SequenceWriter:
        self._part = PartFolder(self._folder)
        self._pool = ThreadPoolExecutor(1, "pictures")  # beside the drawing
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if error is None:
                self._finish()
        finally:
            self._pool.shutdown(cancel_futures=True)
            self._part.discard()  # after a commit there is nothing left to discard

    @property
    def seconds(self) -> float:
        """Length so far."""
        return self.frames / self._fps

    def write(self, image: np.ndarray) -> None:
        """Append one picture, (height, width, 3) uint8 RGB or (height, width, 4) RGBA with straight colours."""
        if image.shape[:2] != (self.height, self.width) or image.shape[2:] not in ((3,), (4,)) or image.dtype != np.uint8:
            raise ValueError(f"expected {(self.height, self.width)} RGB or RGBA uint8, got {image.shape} {image.dtype}")
        while len(self._files) >= _WAITING or (self._files and self._files[0].done()):
            self._files.popleft().result()
        self.frames += 1
        order = cv2.COLOR_RGB2BGR if image.shape[2] == 3 else cv2.COLOR_RGBA2BGRA
        self._files.append(self._pool.submit(self._save, self._names % self.frames, cv2.cvtColor(image, order)))

    def _save(self, name: str, image: np.ndarray) -> None:
        _, data = cv2.imencode(".png", image, (cv2.IMWRITE_PNG_COMPRESSION, _COMPRESSION))
        self._keep(name, data.tobytes())

    def _keep(self, name: str, data: bytes) -> None:
        try:
            (self._part.path / name).write_bytes(data)
        except OSError as error:
            raise output_error(self._folder, error) from error

    def _finish(self) -> None:
        while self._files:
            self._files.popleft().result()
        if self._subtitles:
            self._keep(SUBTITLES, as_srt(self._subtitles).encode())
        try:
            with av.open(f"file:{self._part.path / SOUND}", "w", format="wav") as container:
                if self._comment:
                    container.metadata["comment"] = self._comment
                stream = self._sound.add_to(container, "pcm_s16le")
                for count in range(self.frames):
                    self._sound.encode_until(Fraction(count + 1, self._fps), stream, container)
                container.mux(stream.encode(None))
        except (av.FFmpegError, OSError) as error:
            raise output_error(self._folder, error) from error
        self._part.commit()
