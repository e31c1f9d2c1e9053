"""Any sound or video file -> sound, streamed: a file of hours costs no more memory than one of seconds."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import soxr
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream

from talkinghead.constants import SAMPLE_RATE_HZ
from talkinghead.errors import SpeechError

SHORTEST_S = 0.1
SILENCE_DBFS = -60.0
KEPT_RATES_HZ = (16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
"""Rates that a finished video keeps; any other becomes 48 kHz."""

_BLOCK_S = 0.1
_GAP_MS = 20
"""A jump of the time stamps up to this is jitter (containers round to 1 ms, codecs to a packet)."""
_LONGEST_GAP_S = 60
"""A jump beyond this is a broken clock, not a pause."""


class SpeechFile:
    """The sound of a file: what the networks hear and what the finished video plays, sample-aligned to each other.

    Time 0 is the file's first sample, whatever its time stamp says; gaps between time stamps (a muted microphone, lost
    packets) are filled with silence. Opening reads the file through once, so that `duration_s` is exact and a silent
    or unreadable file is told before any long work; each iterator then reads it again from the start.

    Attributes:
        path: the file.
        duration_s: length of the sound, seconds.
        rate_hz: sample rate of `sound()`, at most 48 kHz.
        channels: channels of `sound()`, 1 or 2.
        notes: remarks for the user, such as damaged parts that were left out.

    Raises SpeechError, one line that names the fix: no such file, no sound in it, empty, silent, shorter than 0.1 s.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        _check_file(self.path)
        with _open(self.path) as container:
            stream = _best_stream(self.path, container)
            rate_hz, channels = stream.codec_context.sample_rate, stream.codec_context.channels
        self.rate_hz = rate_hz if rate_hz in KEPT_RATES_HZ else 48_000
        self.channels = min(max(channels, 1), 2)
        samples, peak, damaged = self._measure()
        self.duration_s = samples / self.rate_hz
        self.notes = (f"parts of {self.path} are damaged and were left out",) if damaged else ()
        if self.duration_s < SHORTEST_S:
            raise SpeechError(f"{self.path} holds less than {SHORTEST_S} s of readable sound: record it again")
        if peak < 10 ** (SILENCE_DBFS / 20):
            raise SpeechError(f"{self.path} is silent (nothing above {SILENCE_DBFS:.0f} dBFS): check the recording")

    def blocks(self) -> Iterator[np.ndarray]:
        """Mono for the networks: float32 (n,) at 16 kHz, n = 1600 but for the last block."""
        return _blocks_of(self._mono_16k(), SAMPLE_RATE_HZ)

    def sound(self) -> Iterator[np.ndarray]:
        """The sound itself: float32 (channels, n) at `rate_hz`, any n."""
        return _Decoder(self.path, self.rate_hz, self.channels).blocks()

    def _mono_16k(self) -> Iterator[np.ndarray]:
        resampler = soxr.ResampleStream(self.rate_hz, SAMPLE_RATE_HZ, 1, dtype="float32")
        for block in self.sound():
            yield resampler.resample_chunk(block.mean(axis=0))
        yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)

    def _measure(self) -> tuple[int, float, bool]:
        """Samples, peak (1.0 = full scale) and whether something was damaged, over the whole file."""
        decoder = _Decoder(self.path, self.rate_hz, self.channels)
        samples, peak = 0, 0.0
        for block in decoder.blocks():
            samples += block.shape[1]
            peak = max(peak, float(np.abs(block).max(initial=0.0)))
        return samples, peak, decoder.damaged


class _Decoder:
    """One pass over a file's sound. `damaged` tells afterwards whether packets had to be left out."""

    def __init__(self, path: Path, rate_hz: int, channels: int) -> None:
        self.damaged = False
        self._path = path
        self._rate_hz = rate_hz
        self._layout = "mono" if channels == 1 else "stereo"

    def blocks(self) -> Iterator[np.ndarray]:
        """float32 (channels, n) without a hole from first sample to last. SpeechError for a format that cannot be converted."""
        try:
            yield from self._converted()
        except av.FFmpegError:
            raise SpeechError(f"{self._path} has a sound track that cannot be read: export it as WAV, MP3 or MP4") from None

    def _converted(self) -> Iterator[np.ndarray]:
        resampler: AudioResampler | None = None
        format_now: tuple[str, str, int] | None = None
        for frame in _without_gaps(self._frames()):
            frame.pts = None  # the resampler counts samples; time stamps were dealt with
            if (found := _format_of(frame)) != format_now:  # joined files may change their format on the way
                yield from _drain(resampler, None)
                resampler, format_now = AudioResampler("fltp", self._layout, self._rate_hz), found
            yield from _drain(resampler, frame)
        yield from _drain(resampler, None)

    def _frames(self) -> Iterator[AudioFrame]:
        """Every frame that can be decoded; what cannot is left out, as every player does."""
        with _open(self._path) as container:
            packets = container.demux(_best_stream(self._path, container))
            while True:
                try:
                    packet = next(packets)
                except StopIteration:
                    return
                except (av.FFmpegError, OSError):  # cut off inside the container
                    self.damaged = True
                    return
                try:
                    yield from (frame for frame in packet.decode() if isinstance(frame, AudioFrame))
                except av.FFmpegError:
                    self.damaged = True


def _check_file(path: Path) -> None:
    try:
        if path.is_dir():
            raise SpeechError(f"{path} is a folder: name the sound file in it")
        if not path.exists():
            raise SpeechError(f"no such sound: {path}: check the path")
        if not path.is_file():
            raise SpeechError(f"{path} is not a regular file: give a sound file such as speech.wav")
        if path.stat().st_size == 0:
            raise SpeechError(f"{path} is empty (0 bytes): record or export the sound again")
        with path.open("rb"):
            pass
    except PermissionError:
        raise SpeechError(f"no permission to read {path}: change its access rights") from None
    except OSError as error:
        raise SpeechError(f"cannot read {path}: {error.strerror or error}: check the path and the disk") from error


def _open(path: Path) -> av.container.InputContainer:
    # "file:" and the whitelist: neither a colon in a name nor a playlist inside a file may reach the network.
    options: dict[str, Any] = {"container_options": {"protocol_whitelist": "file"}}
    if int(av.__version__.split(".")[0]) < 19:  # from 19 on, tags in a wrong encoding are no error any more
        options["metadata_errors"] = "replace"
    try:
        return av.open(f"file:{path.absolute()}", **options)
    except (av.FFmpegError, OSError, ValueError):
        raise SpeechError(f"{path} is not a sound or video that can be read: export it as WAV, MP3 or MP4") from None


def _best_stream(path: Path, container: av.container.InputContainer) -> AudioStream:
    stream = container.streams.best("audio")
    if not isinstance(stream, AudioStream):
        raise SpeechError(f"{path} has no sound in it: give a recording, or a video with a sound track")
    if stream.codec_context is None or not stream.codec_context.sample_rate:  # None: a codec that nobody knows
        raise SpeechError(f"{path} has a sound track that cannot be read: export it as WAV, MP3 or MP4")
    return stream


def _without_gaps(frames: Iterator[AudioFrame]) -> Iterator[AudioFrame]:
    """The frames, with silence where the time stamps leave a hole.

    Each frame is held against its neighbour only, so that a clock that drifts slowly is not cut up.
    """
    due: Fraction | None = None
    for frame in frames:
        if frame.samples == 0 or not frame.sample_rate:
            continue
        start = None if frame.pts is None or frame.time_base is None else frame.pts * frame.time_base
        if start is not None and due is not None and Fraction(_GAP_MS, 1000) < start - due < _LONGEST_GAP_S:
            yield from _silence(frame, start - due)
        due = None if start is None else start + Fraction(frame.samples, frame.sample_rate)
        yield frame


def _silence(like: AudioFrame, length_s: Fraction) -> Iterator[AudioFrame]:
    """Silent frames of the same format, a second at most each."""
    left = round(length_s * like.sample_rate)
    while left > 0:
        frame = AudioFrame(like.format.name, like.layout.name, min(left, like.sample_rate))
        frame.sample_rate = like.sample_rate
        for plane in frame.planes:
            plane.update((b"\x80" if like.format.name.startswith("u8") else b"\0") * plane.buffer_size)
        left -= frame.samples
        yield frame


def _format_of(frame: AudioFrame) -> tuple[str, str, int]:
    return frame.format.name, frame.layout.name, frame.sample_rate


def _drain(resampler: AudioResampler | None, frame: AudioFrame | None) -> Iterator[np.ndarray]:
    """What the resampler has ready after `frame` (None: all that is left), finite float32 (channels, n)."""
    if resampler is None:
        return
    for done in resampler.resample(frame):
        if done is not None:
            yield np.nan_to_num(done.to_ndarray(), posinf=1.0, neginf=-1.0)


def _blocks_of(pieces: Iterator[np.ndarray], rate_hz: int) -> Iterator[np.ndarray]:
    """Pieces of any length -> blocks of 0.1 s; the last may be shorter."""
    size = math.ceil(_BLOCK_S * rate_hz)
    kept = np.zeros(0, np.float32)
    for piece in pieces:
        kept = np.concatenate([kept, piece]) if kept.size else piece
        while kept.size >= size:
            yield kept[:size]
            kept = kept[size:]
    if kept.size:
        yield kept
