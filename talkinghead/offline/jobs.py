"""The list of a batch: a CSV file, one row a video -> checked jobs, and the rows that are none with the reason."""

from __future__ import annotations

import csv
import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from talkinghead.constants import FRAME_RATE_HZ, SIZE_PX
from talkinghead.errors import ManifestError, OutputError, TalkingHeadError
from talkinghead.offline.framing import ASPECTS
from talkinghead.offline.output import check_output, place_of
from talkinghead.runtime.weights import models_folder

MAX_BYTES = 64_000_000
"""Of a list: a million rows."""
_NEEDED = ("photo", "audio", "output")
_FORMAT = 1
"""Changes when the same job would give another video: then finished ones are made again."""


@dataclass(frozen=True)
class Job:
    """One video to make.

    row: line of the list, the header is 1; photo, audio, output: absolute paths, audio "" where options hold a text; options: of
    `OPTIONS`, all of them.
    """

    row: int
    photo: str
    audio: str
    output: str
    options: dict[str, Any] = field(default_factory=dict)

    def message(self) -> dict[str, Any]:
        """As a JSON object, for another process."""
        return asdict(self)


@dataclass(frozen=True)
class Refusal:
    """A row that cannot become a video, and why."""

    row: int
    output: str
    reason: str


def _number(kind: type, low: float, high: float) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        value = kind(text)
        if not (math.isfinite(value) and low <= value <= high):
            raise ValueError(f"must be {low:g} to {high:g}")
        return value

    return read


def _yes_no(text: str) -> bool:
    words = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}
    if text.lower() not in words:
        raise ValueError("must be yes or no")
    return words[text.lower()]


def _gaze(text: str) -> list[float]:
    limit = _number(float, -30, 30)
    parts = [limit(part) for part in text.split(",")]
    if len(parts) != 2:
        raise ValueError('must be two numbers such as "5,-2"')
    return parts


def _emotion(text: str) -> list[Any]:
    from talkinghead.motion.controls import Controls

    name, _, strength = text.partition(":")
    value = float(strength or 1.0)
    Controls(emotion=name, emotion_strength=value)
    return [name, value]


def _aspect(text: str) -> str:
    if text not in ASPECTS:
        raise ValueError(f"must be one of {', '.join(ASPECTS)}")
    return text


def _size(text: str) -> int:
    value = int(_number(int, 128, 1024)(text))
    if value % 2:
        raise ValueError("must be even")
    return value


OPTIONS: dict[str, tuple[Callable[[str], Any], Any]] = {
    "seed": (_number(int, 0, 2**31 - 1), 0),
    "gaze": (_gaze, [0.0, 0.0]),
    "distance": (_number(float, 0.5, 2.0), 1.0),
    "emotion": (_emotion, ["neutral", 1.0]),
    "pose_scale": (_number(float, 0.0, 3.0), 1.0),
    "crop": (_yes_no, False),
    "size": (_size, SIZE_PX),
    "fps": (_number(int, 1, 60), FRAME_RATE_HZ),
    "aspect": (_aspect, ""),
    "text": (str, ""),
    "voice": (str, "en"),
    "subtitles": (str, ""),
    "listen": (str, ""),
    "alpha": (_yes_no, False),
    "device": (str, ""),
    "watermark": (_yes_no, None),
    "c2pa": (_yes_no, None),
    "certificate": (str, ""),
    "certificate_key": (str, ""),
}
"""Column -> how its text is read, and what an empty cell means. Of device and marks "" and None: as the whole batch."""
_FILES = ("subtitles", "listen", "certificate", "certificate_key")
"""Options that name a file."""


def default_options() -> dict[str, Any]:
    """What a row without any option asks for."""
    return {name: default for name, (_, default) in OPTIONS.items()}


def read_manifest(path: str | Path, folder: str | Path | None = None) -> tuple[list[Job], list[Refusal]]:
    """The jobs of a list and the rows that are none.

    path: a CSV file (UTF-8; commas, semicolons or tabs) with the columns photo, audio and output, and any of `OPTIONS`.
    Photo, audio and other files are found from the list's folder; outputs lie inside `folder` (by default the list's own), and
    a row that would write anywhere else is refused.

    Raises ManifestError where the list as a whole cannot be used, OutputError where the folder cannot.
    """
    path = Path(path)
    base = path.absolute().parent
    target = (base if folder is None else Path(folder)).resolve()
    if not target.is_dir():
        raise OutputError(f"the folder {target} does not exist: create it or choose another with -o")
    jobs: list[Job] = []
    refusals: list[Refusal] = []
    taken = _Taken()
    for row, cells in _rows(path):
        try:
            job = _job(row, cells, base, target)
            taken.add(job.output)
            jobs.append(job)
        except TalkingHeadError as error:
            refusals.append(Refusal(row, cells.get("output", ""), str(error)))
    return jobs, refusals


class _Taken:
    """Outputs so far. None may be another's, nor lie in a folder of pictures, which is replaced as a whole."""

    def __init__(self) -> None:
        self._places: set[Path] = set()
        self._folders: set[Path] = set()
        self._above: set[Path] = set()

    def add(self, output: str) -> None:
        place = place_of(output)
        if place in self._places | self._above or self._folders.intersection(place.parents):
            raise OutputError(f"an earlier row writes {output} too: give each row a name of its own")
        self._places.add(place)
        self._above.update(place.parents)
        if place != Path(output):
            self._folders.add(place)


def job_key(job: Job, hashes: dict[str, str] | None = None, marks: dict[str, Any] | None = None) -> str:
    """What a job's video depends on, as a SHA-256: bytes of photo, sound and other files, options, weights, marks.

    hashes: of files seen before, kept from call to call. Raises OSError where a file cannot be read.
    """
    hashes = {} if hashes is None else hashes
    files = {name: job.options[name] for name in _FILES if job.options.get(name)}
    for name in (job.photo, job.audio, *files.values(), str(models_folder() / "manifest.json")):
        if name and name not in hashes:
            with open(name, "rb") as file:
                hashes[name] = _digest(file)
    parts = {
        "format": _FORMAT,
        "photo": hashes[job.photo],
        "audio": hashes.get(job.audio, ""),
        "options": {**job.options, **{name: hashes[path] for name, path in files.items()}},
        "marks": marks or {},
        "suffix": Path(job.output).suffix.lower(),
        "weights": hashes[str(models_folder() / "manifest.json")],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    """Line numbers and cells by column, without empty lines."""
    text = _text(path)
    head = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=head.count)
    try:
        lines = list(_numbered(csv.reader(text.splitlines(keepends=True), delimiter=delimiter, strict=False)))
    except csv.Error as error:
        raise ManifestError(f"{path} is not a CSV file ({error}): save the list as CSV, UTF-8") from None
    columns = [name.strip().lower() for name in lines[0][1]] if lines else []
    missing = [name for name in _NEEDED if name not in columns and not (name == "audio" and "text" in columns)]
    if missing:
        raise ManifestError(f"{path} has no column {', '.join(missing)}: its first line must be photo,audio,output")
    unknown = [name for name in columns if name and name not in (*_NEEDED, *OPTIONS)]
    if unknown or len(set(columns)) < len(columns):
        known = ", ".join((*_NEEDED, *OPTIONS))
        raise ManifestError(f"{path} has a column {(unknown or ['twice'])[0]!r:.60}: there are {known}, once each")
    return [(row, dict(zip(columns, map(str.strip, cells), strict=False))) for row, cells in lines[1:] if any(cells)]


def _numbered(reader: Any) -> Any:
    for cells in reader:
        yield reader.line_num, cells


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ManifestError(f"{path} is larger than {MAX_BYTES // 1_000_000} MB: split the list")
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ManifestError(f"{path} is not UTF-8 text: save the list as CSV, UTF-8") from None
    except OSError as error:
        raise ManifestError(f"cannot read {path}: {error.strerror or error}: check the path") from None


def _job(row: int, cells: dict[str, str], base: Path, folder: Path) -> Job:
    if bool(cells.get("audio")) == bool(cells.get("text")):
        raise ManifestError("one of the columns audio and text must be filled in, and not both")
    for name in _NEEDED:
        if not cells.get(name) and name != "audio":
            raise ManifestError(f"the column {name} is empty: fill it in")
    for name in (*_NEEDED, *_FILES):
        if "\0" in cells.get(name, ""):
            raise ManifestError(f"the column {name} holds a zero byte: write the name again")
    options = default_options()
    for name, (read, _) in OPTIONS.items():
        if cells.get(name):
            try:
                options[name] = read(cells[name])
            except (ValueError, OverflowError) as error:
                raise ManifestError(f"{name} is {cells[name]!r:.60}: {error}") from None
    for name in _FILES:
        options[name] = str(base / options[name]) if options[name] else ""
    output = _inside(folder, cells["output"], options["alpha"])
    if options["aspect"] and options["crop"]:
        raise ManifestError("aspect cuts the whole photo: leave crop empty")
    audio = str(base / cells["audio"]) if cells.get("audio") else ""
    return Job(row, str(base / cells["photo"]), audio, output, options)


def _inside(folder: Path, name: str, alpha: bool) -> str:
    """The real path of an output, which must lie in `folder` whatever dots and links say."""
    output = check_output(folder / name, alpha)
    if folder not in output.path.parents:
        raise OutputError(f"{name} lies outside the folder {folder}: give a name inside it")
    return str(output.path / output.names)


def _digest(file: Any) -> str:
    total = hashlib.sha256()
    while block := file.read(1 << 20):
        total.update(block)
    return total.hexdigest()
