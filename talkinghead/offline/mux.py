"""What every writer of a file needs: the container, the sound track beside the pictures, and the seal on the finished file."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import OutputContainer

from talkinghead.offline.target import FORMATS, PartFile

_SOUND_BIT_RATE = 160_000
_OPUS_RATE_HZ = 48_000

Seal = Callable[[Path, Path], None]
"""Copies a finished file from its first path to its second one, e.g. to sign it."""


@contextmanager
def new_container(path: Path, suffix: str, comment: str = "") -> Iterator[OutputContainer]:
    """The container of a new file, of the format that ``suffix`` means; complete after the block, unless that raised."""
    muxer = FORMATS[suffix.lower()]
    options = {"movflags": "+faststart"} if muxer in ("mp4", "mov") else {}
    container = av.open(f"file:{path}", "w", format=muxer, container_options=options)
    try:
        if comment:
            container.metadata["comment"] = comment
        yield container
    except BaseException:
        with contextlib.suppress(OSError, av.FFmpegError):
            container.close()
        raise
    container.close()


def sealed(plain: PartFile, seal: Seal) -> PartFile:
    """A hidden file with what ``seal`` makes of another one, which goes."""
    done = PartFile(plain.target)
    try:
        seal(plain.path, done.path)
    except BaseException:
        done.discard()
        raise
    finally:
        plain.discard()
    return done


class SoundTrack:
    """Feeds the sound track from float32 (channels, n) blocks of any length, as far as it is asked to."""

    def __init__(self, blocks: Iterator[np.ndarray], rate_hz: int, channels: int) -> None:
        self._blocks = blocks
        self._rate_hz = rate_hz
        self._channels = channels
        self._layout = "mono" if channels == 1 else "stereo"
        self._ready = np.zeros((channels, 0), np.float32)
        self._written = 0

    def add_to(self, container: OutputContainer, codec: str = "aac") -> AudioStream:
        """A new stream for it."""
        rate_hz = _OPUS_RATE_HZ if codec == "libopus" else self._rate_hz  # Opus knows few; the encoder resamples
        stream = cast(AudioStream, container.add_stream(codec, rate=rate_hz, layout=self._layout))
        if not codec.startswith("pcm"):
            stream.bit_rate = _SOUND_BIT_RATE
        return stream

    def encode_until(self, time_s: Fraction, stream: AudioStream, container: OutputContainer) -> None:
        """Encode and write the sound up to `time_s` from the start; silence once the blocks have ended."""
        count = round(time_s * self._rate_hz) - self._written
        pcm = self._take(count)
        frame = av.AudioFrame.from_ndarray(pcm, format="fltp", layout=self._layout)
        frame.sample_rate = self._rate_hz
        frame.pts, frame.time_base = self._written, Fraction(1, self._rate_hz)
        self._written += count
        container.mux(stream.encode(frame))

    def _take(self, count: int) -> np.ndarray:
        """The next `count` samples, (channels, count)."""
        parts, missing = [], count
        while missing > 0:
            if self._ready.shape[1] == 0:
                block = next(self._blocks, None)
                self._ready = np.zeros((self._channels, missing), np.float32) if block is None else block
            parts.append(self._ready[:, :missing])
            self._ready = self._ready[:, missing:]
            missing -= parts[-1].shape[1]
        return np.ascontiguousarray(np.concatenate(parts, axis=1))
