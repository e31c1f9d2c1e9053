"""Pictures and sound -> an H.264 + AAC file, encoded beside the drawing."""

from __future__ import annotations

import contextlib
import itertools
import os
import queue
import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import cast

import av
import cv2
import numpy as np
from av.container import OutputContainer
from av.video.reformatter import ColorRange, Colorspace
from av.video.stream import VideoStream

from talkinghead.errors import OutputError, TalkingHeadError
from talkinghead.offline.mux import Seal, SoundTrack, new_container, sealed
from talkinghead.offline.subtitles import Line, add_subtitles
from talkinghead.offline.target import PartFile, check_target, output_error
from talkinghead.runtime.nvenc import file_encoder

_BT709 = 1
"""Code of BT.709 primaries and transfer (ISO/IEC 23091-2): those of sRGB photos, as browsers and players take them."""
_QUEUE_S = 0.5
"""Pictures that may wait for the encoder: enough to even out its bursts, little memory."""
_MOST_THREADS = 4
_LOOK_AHEAD = "mbtree=1:rc-lookahead=10"
"""With it `superfast` spends bits where they last: at crf 17 it is as near to the pictures as `veryfast` at 18, in little more
than half the time, in files larger by a fifth."""


class Mp4Writer:
    """Writes one video; a context manager that leaves the whole file or nothing.

    Pictures are encoded by a thread of their own while the caller draws the next. The sound is pulled from an iterator
    by that thread, as much as there are pictures: padded with silence or cut, it ends with the last picture exactly.
    The file is written under a hidden name in the target's folder and renamed at the end; on any exception (Ctrl-C
    included) the hidden file goes and an existing target stays.

    Args:
        path: target ending in .mp4, .mov or .mkv.
        width, height: of the pictures, px; an odd last column or row is cut off, since 4:2:0 has none.
        sound: float32 (channels, n) blocks in time with the first picture; None: no sound track.
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

    _sound_codec = "aac"

    def __init__(
        self,
        path: str | Path,
        width: int,
        height: int,
        *,
        sound: Iterator[np.ndarray] | None,
        sound_rate_hz: int = 48_000,
        sound_channels: int = 1,
        fps: int = 40,
        crf: int = 17,
        preset: str = "superfast",
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
        self._sound = None if sound is None else SoundTrack(sound, sound_rate_hz, sound_channels)
        threads = threads or min(_MOST_THREADS, os.cpu_count() or 1)
        self._x264 = {"crf": str(crf), "preset": preset, "threads": str(threads), "x264-params": _LOOK_AHEAD}
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
        self._queue.put(self._planes(image))
        self._frames += 1

    def _planes(self, image: np.ndarray) -> np.ndarray:
        """A picture as the encoder takes it, below each other: Y, U and V."""
        rgb = image[: self.height, : self.width]
        if rgb.shape != (self.height, self.width, 3) or rgb.dtype != np.uint8:
            raise ValueError(f"expected {(self.height, self.width, 3)} uint8, got {image.shape} {image.dtype}")
        # OpenCV's conversion is BT.601, limited range, and twice as fast as FFmpeg's; the stream is tagged accordingly.
        return cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2YUV_I420)

    def _frame(self, planes: np.ndarray) -> av.VideoFrame:
        return av.VideoFrame.from_ndarray(planes, format="yuv420p")

    def _finish(self) -> None:
        self._queue.put(None)
        self._thread.join()
        self._raise_error()
        if self._part is None:
            raise OutputError(f"no picture was drawn for {self._target}: give a longer recording")
        if self._seal is not None:
            self._part = sealed(self._part, self._seal)
        self._part.commit()

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
        suffix = self._target.suffix.lower()
        with new_container(path, suffix, self._comment) as container:
            video = self._add_video(container)
            sound = None if self._sound is None else self._sound.add_to(container, self._sound_codec)
            if self._subtitles:
                add_subtitles(container, self._subtitles, suffix)
            for count, yuv in enumerate(pictures):
                frame = self._frame(yuv)
                frame.pts, frame.time_base = count, Fraction(1, self._fps)
                frame.colorspace, frame.color_range = Colorspace.ITU601, ColorRange.MPEG
                container.mux(video.encode(frame))
                if self._sound is not None and sound is not None:
                    self._sound.encode_until(Fraction(count + 1, self._fps), sound, container)
            if not self._abandoned.is_set():
                for stream in (video, *(() if sound is None else (sound,))):
                    container.mux(stream.encode(None))

    def _add_video(self, container: OutputContainer) -> VideoStream:
        name, options = file_encoder(self._device, self.width, self.height, self._x264)
        return self._tagged(cast(VideoStream, container.add_stream(name, rate=self._fps, options=options)), "yuv420p")

    def _tagged(self, stream: VideoStream, format_: str) -> VideoStream:
        """``stream`` for pictures of this size and rate in a pixel format."""
        context = stream.codec_context
        stream.width, stream.height, stream.pix_fmt = self.width, self.height, format_
        context.time_base = Fraction(1, self._fps)
        context.colorspace, context.color_range = Colorspace.ITU601, ColorRange.MPEG
        context.color_primaries, context.color_trc = _BT709, _BT709
        return stream
