"""Where a file comes from: what its C2PA manifest says, and whether its pictures carry the watermark."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np

from talkinghead.errors import PortraitError, ProvenanceError
from talkinghead.offline.provenance import Origin, read_origin
from talkinghead.offline.watermark import Found, find_mark
from talkinghead.portrait.load import load_photo

_FRAMES, _EVERY = 48, 10
"""Pictures of a video that are looked at, and how far apart they are."""


@dataclass(frozen=True)
class Verdict:
    """What was found in a file. ``origin`` is None where there is no manifest; ``notes``: what could not be looked for."""

    file: str
    watermark: Found
    origin: Origin | None
    notes: tuple[str, ...] = ()

    @property
    def marked(self) -> bool:
        """Whether the file says that talkinghead made it, one way or the other."""
        return self.watermark.marked or (self.origin is not None and self.origin.generator.startswith("talkinghead"))

    def lines(self) -> list[str]:
        """In words."""
        seen = "found" if self.watermark.marked else "not found"
        mirrored = ", mirrored" if self.watermark.marked and self.watermark.mirrored else ""
        return [
            f"watermark of talkinghead: {seen} (score {self.watermark.score:.1f}{mirrored})",
            *(_words(self.origin) if self.origin else [] if self.notes else ["C2PA manifest: none"]),
            *(f"note: {note}" for note in self.notes),
        ]

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        found = {**asdict(self.watermark), "found": self.watermark.marked}
        origin = asdict(self.origin) if self.origin else None
        return {"file": self.file, "marked": self.marked, "watermark": found, "manifest": origin, "notes": list(self.notes)}


def verify(path: str | Path) -> Verdict:
    """Look into a video or picture. ProvenanceError, one line, where it is neither."""
    path = Path(path)
    found = find_mark(_pictures(path))
    try:
        return Verdict(str(path), found, read_origin(path))
    except ProvenanceError as error:
        return Verdict(str(path), found, None, (str(error),))


def _words(origin: Origin) -> list[str]:
    if not origin.generator:
        return [f"C2PA manifest: damaged ({', '.join(origin.faults)})"]
    state = "the file is unchanged since" if origin.intact else f"BUT THE FILE WAS CHANGED ({', '.join(origin.faults)})"
    voucher = "trusted" if origin.trusted else "that nobody here vouches for"
    weights = f"; hashes of {len(origin.weights)} weight files" if origin.weights else ""
    return [
        f"C2PA manifest: made by {origin.generator}, {'synthetic' if origin.synthetic else 'not said to be synthetic'}{weights}",
        f"C2PA signature: by {origin.signer!r}, a certificate {voucher}; {state}",
    ]


def _pictures(path: Path) -> Iterator[np.ndarray]:
    """Pictures (h, w, 3) uint8 RGB of the file: of a video some, far enough apart."""
    if not path.is_file():
        raise ProvenanceError(f"no such file: {path}: check the path")
    try:
        yield load_photo(path)
        return
    except PortraitError:
        pass  # a video then
    some = False
    try:
        with av.open(f"file:{path.absolute()}", container_options={"protocol_whitelist": "file"}) as container:
            if not container.streams.video or container.streams.video[0].codec_context is None:
                raise ProvenanceError(f"{path} has no picture in it: give a video or a photo")
            container.streams.video[0].thread_type = "AUTO"
            for frame in islice(container.decode(video=0), 0, _FRAMES * _EVERY, _EVERY):
                some = True
                yield frame.to_ndarray(format="rgb24")
    except (av.FFmpegError, OSError, ValueError) as error:
        if not some:
            raise ProvenanceError(f"{path} is not a picture or video that can be read ({type(error).__name__})") from None
    if not some:
        raise ProvenanceError(f"{path} is not a picture or video that can be read")
