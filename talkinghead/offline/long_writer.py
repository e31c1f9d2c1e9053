"""A long video: written piece by piece, so that little is lost when it is stopped, and joined at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import numpy as np

from talkinghead.offline.mux import Seal, SoundTrack, new_container, sealed
from talkinghead.offline.segments import Segments
from talkinghead.offline.subtitles import Line, add_subtitles
from talkinghead.offline.target import PartFile, output_error
from talkinghead.offline.writer import Mp4Writer


class LongWriter:
    """Goes on where the pieces in `segments` end, as `Mp4Writer` begins: the same pictures, sound, tags and seal.

    Each piece is encoded by itself and kept as soon as it is whole. On leaving, their packets are copied one after another
    beside the sound, which is encoded in one go and so has no joint; the pieces then go. Meanwhile the disk holds pieces and
    video, and with `seal` the video twice. After an exception whole pieces stay, and an existing target.

    Args, beside those of `Mp4Writer`:
        segments: entered.
        beat: called now and then while pieces are joined.
    """

    def __init__(
        self,
        segments: Segments,
        width: int,
        height: int,
        *,
        sound: Iterator[np.ndarray],
        sound_rate_hz: int,
        sound_channels: int,
        threads: int | None = None,
        device: str = "cpu",
        comment: str = "",
        subtitles: list[Line] | None = None,
        seal: Seal | None = None,
        beat: Callable[[], None] | None = None,
    ) -> None:
        self.width, self.height = width - width % 2, height - height % 2
        self._segments, self._threads, self._device = segments, threads, device
        self._sound = SoundTrack(sound, sound_rate_hz, sound_channels)
        self._comment, self._subtitles, self._seal, self._beat = comment, subtitles, seal, beat
        self._piece: Mp4Writer | None = None
        self._open = ExitStack()

    def __enter__(self) -> LongWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is not None:
            self._open.__exit__(kind, error, trace)
            return
        self._end_piece()
        self._segments.finish()
        self._join()
        self._segments.clear()

    @property
    def frames(self) -> int:
        """Pictures so far, those of earlier runs included."""
        return self._segments.frames + (0 if self._piece is None else self._piece.frames)

    @property
    def seconds(self) -> float:
        """Length of the video so far."""
        return self.frames / self._segments.fps

    def write(self, image: np.ndarray) -> None:
        """Append one picture, (height, width, 3) uint8 RGB; it may be changed by the caller afterwards."""
        if self._piece is None:
            path, fps = self._segments.next_piece, self._segments.fps
            piece = Mp4Writer(path, self.width, self.height, sound=None, fps=fps, threads=self._threads, device=self._device)
            self._piece = self._open.enter_context(piece)
        self._piece.write(image)
        if self._piece.frames == self._segments.piece_frames:
            self._end_piece()

    def _end_piece(self) -> None:
        if self._piece is not None:
            piece, self._piece = self._piece, None
            self._open.close()
            self._segments.add(piece.frames)

    def _join(self) -> None:
        target = self._segments.target
        part = PartFile(target)
        try:
            try:
                self._mux(part.path)
            except (OSError, av.FFmpegError) as error:
                raise output_error(target, error) from error
            if self._seal is not None:
                part = sealed(part, self._seal)
            part.commit()
        finally:
            part.discard()

    def _mux(self, path: Path) -> None:
        suffix, fps, pieces = self._segments.target.suffix.lower(), self._segments.fps, self._segments.pieces
        with new_container(path, suffix, self._comment) as container:
            with av.open(f"file:{pieces[0]}") as first:
                video = container.add_stream_from_template(first.streams.video[0])
            sound = self._sound.add_to(container)
            if self._subtitles:
                add_subtitles(container, self._subtitles, suffix)
            for count, packet in enumerate(self._packets(pieces)):
                packet.stream = video
                container.mux(packet)
                self._sound.encode_until(Fraction(count + 1, fps), sound, container)
            container.mux(sound.encode(None))

    def _packets(self, pieces: list[Path]) -> Iterator[av.Packet]:
        """Those of all pieces, timed as if they had been encoded in one go."""
        fps, start, delay = self._segments.fps, 0, 0
        for path in pieces:
            if self._beat is not None:
                self._beat()
            with av.open(f"file:{path}") as piece:
                count = 0
                for packet in piece.demux(video=0):
                    if packet.pts is None or packet.dts is None or packet.time_base is None:
                        continue  # the demuxer's sign of the end
                    shown, coded = (round(at * packet.time_base * fps) for at in (packet.pts, packet.dts))
                    if start == count == 0:
                        delay = shown - coded  # of every piece but a very short last one
                    packet.time_base = Fraction(1, fps)
                    packet.pts, packet.dts, packet.duration = start + shown, start + count - delay, 1
                    count += 1
                    yield packet
                start += count
