"""Pictures and sound -> an H.264 + AAC file, encoded beside the drawing."""

from __future__ import annotations

import contextlib
import itertools
import os
import queue
import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import cast

import av
import cv2
import numpy as np
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.reformatter import ColorRange, Colorspace
from av.video.stream import VideoStream

from talkinghead.errors import OutputError, TalkingHeadError
from talkinghead.offline.subtitles import Line, add_subtitles
from talkinghead.offline.target import FORMATS, PartFile, check_target, output_error
from talkinghead.runtime.nvenc import file_encoder

_SOUND_BIT_RATE = 160_000
_BT709 = 1
"""Code of BT.709 primaries and transfer (ISO/IEC 23091-2): those of sRGB photos, as browsers and players take them."""
_QUEUE_S = 0.5
"""Pictures that may wait for the encoder: enough to even out its bursts, little memory."""
_MOST_THREADS = 4

Seal = Callable[[Path, Path], None]


class Mp4Writer:
    """Writes one video; a context manager that leaves the whole file or nothing.

    Pictures are encoded by a thread of their own while the caller draws the next. The sound is pulled from an iterator
    by that thread, as much as there are pictures: padded with silence or cut, it ends with the last picture exactly.
    The file is written under a hidden name in the target's folder and renamed at the end; on any exception (Ctrl-C
    included) the hidden file goes and an existing target stays.

    Args:
        path: target ending in .mp4, .mov or .mkv.
        width, height: of the pictures, px; an odd last column or row is cut off, since 4:2:0 has none.
        sound: float32 (channels, n) blocks in time with the first picture.
        sound_rate_hz, sound_channels: of those blocks; 1 or 2 channels, at most 48 kHz.
        fps: pictures a second.
        crf, preset: x264's quality (less is better) and effort.
        threads: of x264; None chooses by the number of cores.
        comment: a tag of the file; subtitles: a track of their own.
        device: on which pictures are drawn: beside a GPU its own encoder is used where it can be.
        seal: copies the finished file from its first path to its second one on the way, e.g. to sign it.

    Raises OutputError where the file cannot be written (also from `write`, once the encoder has met the trouble), and
    passes on what `sound` raises.
    """

    def __init__(
        self,
        path: str | Path,
        width: int,
        height: int,
        *,
        sound: Iterator[np.ndarray],
        sound_rate_hz: int,
        sound_channels: int,
        fps: int = 40,
        crf: int = 18,
        preset: str = "veryfast",
        threads: int | None = None,
        comment: str = "",
        subtitles: list[Line] | None = None,
        seal: Seal | None = None,
        device: str = "cpu",
    ) -> None:
        self.width, self.height = width - width % 2, height - height % 2
        if min(self.width, self.height) < 2:
            raise ValueError(f"pictures of {width}×{height} px cannot be encoded")
        self._target = check_target(path)
        self._fps = fps
        self._sound = _Sound(sound, sound_rate_hz, sound_channels)
        threads = threads or min(_MOST_THREADS, os.cpu_count() or 1)
        self._x264 = {"crf": str(crf), "preset": preset, "threads": str(threads)}
        self._device = device
        self._queue: queue.Queue[np.ndarray | None] = queue.Queue(max(2, round(fps * _QUEUE_S)))
        self._comment, self._seal, self._subtitles = comment, seal, subtitles
        self._error: Exception | None = None
        self._abandoned = threading.Event()
        self._frames = 0
        self._part: PartFile | None = None

    def __enter__(self) -> Mp4Writer:
        self._thread = threading.Thread(target=self._run, name="encoder", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if error is None:
                self._finish()
        finally:
            self._abandoned.set()
            with contextlib.suppress(queue.Full):  # a full queue wakes the thread as well
                self._queue.put_nowait(None)
            self._thread.join()
            if self._part is not None:  # after a commit there is nothing left to discard
                self._part.discard()

    @property
    def frames(self) -> int:
        """Pictures written so far."""
        return self._frames

    @property
    def seconds(self) -> float:
        """Length of the video so far."""
        return self._frames / self._fps

    def write(self, image: np.ndarray) -> None:
        """Append one picture, (height, width, 3) uint8 RGB; it may be changed by the caller afterwards."""
        self._raise_error()
        rgb = image[: self.height, : self.width]
        if rgb.shape != (self.height, self.width, 3) or rgb.dtype != np.uint8:
            raise ValueError(f"expected {(self.height, self.width, 3)} uint8, got {image.shape} {image.dtype}")
        # OpenCV's conversion is BT.601, limited range, and twice as fast as FFmpeg's; the stream is tagged accordingly.
        self._queue.put(cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2YUV_I420))
        self._frames += 1

    def _finish(self) -> None:
        self._queue.put(None)
        self._thread.join()
        self._raise_error()
        if self._part is None:
            raise OutputError(f"no picture was drawn for {self._target}: give a longer recording")
        if self._seal is not None:
            self._sealed(self._seal, self._part)
        self._part.commit()

    def _sealed(self, seal: Seal, plain: PartFile) -> None:
        self._part = PartFile(self._target)
        try:
            seal(plain.path, self._part.path)
        finally:
            plain.discard()

    def _raise_error(self) -> None:
        if self._error is None:
            return
        if isinstance(self._error, TalkingHeadError):
            raise self._error
        if isinstance(self._error, OSError | av.FFmpegError):
            raise output_error(self._target, self._error) from self._error
        raise self._error

    def _run(self) -> None:
        """The encoder thread. After a failure it goes on emptying the queue, so that `write` never waits for ever."""
        pictures = self._pictures()
        try:
            for first in pictures:
                # Not before there is a picture: from then on the caller is inside its `with`, which cleans up.
                self._part = PartFile(self._target)
                self._encode(self._part.path, itertools.chain([first], pictures))
        except Exception as error:  # handed to the caller by _raise_error
            self._error = error
            for _ in pictures:
                pass

    def _pictures(self) -> Iterator[np.ndarray]:
        """What `write` puts into the queue, up to the end or to an abandoned writer."""
        while (yuv := self._queue.get()) is not None and not self._abandoned.is_set():
            yield yuv

    def _encode(self, path: Path, pictures: Iterator[np.ndarray]) -> None:
        muxer = FORMATS[self._target.suffix.lower()]
        options = {} if muxer == "matroska" else {"movflags": "+faststart"}
        container = av.open(f"file:{path}", "w", format=muxer, container_options=options)
        try:
            if self._comment:
                container.metadata["comment"] = self._comment
            video, sound = self._add_video(container), self._sound.add_to(container)
            if self._subtitles:
                add_subtitles(container, self._subtitles, self._target.suffix.lower())
            for count, yuv in enumerate(pictures):
                frame = av.VideoFrame.from_ndarray(yuv, format="yuv420p")
                frame.pts, frame.time_base = count, Fraction(1, self._fps)
                frame.colorspace, frame.color_range = Colorspace.ITU601, ColorRange.MPEG
                container.mux(video.encode(frame))
                self._sound.encode_until(Fraction(count + 1, self._fps), sound, container)
            if not self._abandoned.is_set():
                container.mux(video.encode(None))
                container.mux(sound.encode(None))
        except BaseException:
            with contextlib.suppress(OSError, av.FFmpegError):
                container.close()
            raise
        container.close()

    def _add_video(self, container: OutputContainer) -> VideoStream:
        name, options = file_encoder(self._device, self.width, self.height, self._x264)
        stream = cast(VideoStream, container.add_stream(name, rate=self._fps, options=options))
        context = stream.codec_context
        stream.width, stream.height, stream.pix_fmt = self.width, self.height, "yuv420p"
        context.time_base = Fraction(1, self._fps)
        context.colorspace, context.color_range = Colorspace.ITU601, ColorRange.MPEG
        context.color_primaries, context.color_trc = _BT709, _BT709
        return stream


class _Sound:
    """Feeds the sound track from blocks of any length, as far as it is asked to."""

    def __init__(self, blocks: Iterator[np.ndarray], rate_hz: int, channels: int) -> None:
        self._blocks = blocks
        self._rate_hz = rate_hz
        self._channels = channels
        self._layout = "mono" if channels == 1 else "stereo"
        self._ready = np.zeros((channels, 0), np.float32)
        self._written = 0

    def add_to(self, container: OutputContainer) -> AudioStream:
        stream = container.add_stream("aac", rate=self._rate_hz, layout=self._layout)
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
