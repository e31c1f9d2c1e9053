"""What is written: a video file, or a folder of numbered PNG pictures; and who writes it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from talkinghead.errors import OutputError
from talkinghead.offline.sequence import SequenceWriter, check_folder
from talkinghead.offline.target import FORMATS, check_target, output_error
from talkinghead.offline.webm import WebmWriter
from talkinghead.offline.writer import Mp4Writer

NAMES = "%05d.png"
_PATTERN = re.compile(r"[^%/\\]*%(0[1-9])?d[^%/\\]*\.png", re.IGNORECASE)


@dataclass(frozen=True)
class Output:
    """path: the video, or the pictures' folder, links resolved; names: of the pictures, such as "%05d.png", "" for a video;
    alpha: with transparency."""

    path: Path
    names: str = ""
    alpha: bool = False

    @property
    def joinable(self) -> bool:
        """Whether it can be made in pieces that are joined: H.264 can."""
        return not self.names and self.path.suffix.lower() != ".webm"

    def writer(self, width: int, height: int, **options: Any) -> Mp4Writer | SequenceWriter:
        """A context manager that writes it; ``options`` as for `Mp4Writer`."""
        if self.names:
            return SequenceWriter(self.path, self.names, width, height, **options)
        if self.path.suffix.lower() == ".webm":
            return WebmWriter(self.path, width, height, alpha=self.alpha, **options)
        return Mp4Writer(self.path, width, height, **options)


def place_of(output: str | Path) -> Path:
    """The file or folder that an output's name stands for: of "frames/%05d.png" the folder."""
    path = Path(output)
    return path.parent if _PATTERN.fullmatch(path.name) else path


def check_output(path: str | Path, alpha: bool = False) -> Output:
    """The output of that name after a look at whether it can be written.

    A video's ending says its format; a pattern such as frames/%05d.png asks for pictures, and with ``alpha`` so does the name of
    a folder. Raises OutputError, one line that names the fix.
    """
    path = Path(path)
    if _PATTERN.fullmatch(path.name):
        return Output(check_folder(path.parent, path.name), path.name, alpha)
    suffix = path.suffix.lower()
    try:
        folder = alpha and (not suffix or path.is_dir())
    except OSError as error:
        raise output_error(path, error) from error
    if folder:
        return Output(check_folder(path, NAMES), NAMES, alpha)
    if suffix == ".png":
        raise OutputError(f"{path} is the name of one picture: name them all, e.g. {path.parent / 'frames' / NAMES}")
    if alpha and suffix in FORMATS and suffix != ".webm":
        fix = f"{path.with_suffix('.webm')}, or a folder for PNG pictures"
        raise OutputError(f"{suffix} files carry no transparency: with alpha name the output {fix}")
    return Output(check_target(path), alpha=alpha)
