"""The main job: a photo and a recording -> a finished video file."""

from __future__ import annotations

import itertools
import math
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from talkinghead.constants import FRAME_RATE_HZ, SAMPLE_RATE_HZ, SIZE_PX
from talkinghead.errors import OutputError, SpeechError
from talkinghead.offline.framing import ASPECTS, Framer, frame_head
from talkinghead.offline.long_writer import LongWriter
from talkinghead.offline.output import Output, check_output
from talkinghead.offline.provenance import Marks, Provenance
from talkinghead.offline.rate import Rate
from talkinghead.offline.segments import LONG_S, Segments, pictures_key
from talkinghead.offline.sequence import SequenceWriter
from talkinghead.offline.subtitles import read_subtitles, subtitles_of
from talkinghead.offline.writer import Mp4Writer
from talkinghead.speech.source import SpeechFile
from talkinghead.speech.text import Text

if TYPE_CHECKING:
    from talkinghead.avatar import Avatar
    from talkinghead.motion.controls import Controls
    from talkinghead.networks import Networks
    from talkinghead.session import Frame

FPS_RANGE = (1, 60)
SIZE_RANGE_PX = (128, 1024)

DEFAULT_MARKS = Marks()

Progress = Callable[[int, int | None], None]
"""Called with pictures written so far and pictures in all."""


@dataclass(frozen=True)
class DubResult:
    """What was written and how quickly."""

    output: str
    frames: int
    """Pictures in the file."""
    fps: int
    seconds: float
    """Length of the video."""
    width: int
    height: int
    render_fps: float
    """Pictures drawn a second of drawing."""
    realtime_factor: float
    """Length of the video over the wall time of drawing and encoding it, without what was kept of an earlier run; the models are
    loaded before."""
    seed: int
    device: str
    notes: tuple[str, ...] = ()
    """Remarks for the user, e.g. that the photo holds several faces."""


def dub(
    photo: str | Path,
    audio: str | Path | Text,
    output: str | Path,
    *,
    seed: int = 0,
    controls: Controls | None = None,
    full: bool = True,
    size: int = SIZE_PX,
    fps: int = FRAME_RATE_HZ,
    aspect: str | None = None,
    device: str = "cpu",
    progress: Progress | None = None,
    networks: Networks | None = None,
    subtitles: str | Path | None = None,
    comment: str = "",
    threads: int | None = None,
    marks: Marks = DEFAULT_MARKS,
    alpha: bool = False,
    resume: bool = True,
    other: str | Path | None = None,
) -> DubResult:
    """Let the face in `photo` speak `audio` and write the video to `output` (.mp4, .mov or .mkv: H.264 and AAC; .webm: VP9 and
    Opus; a pattern such as frames/%05d.png: pictures, with the sound beside them).

    Memory does not grow with the length of the sound. The file appears under its name when it is whole; before that,
    and after any error, whatever had that name stays. A video of `LONG_S` or more that is stopped, however, keeps its whole
    minutes in a hidden folder beside the output, and the same call goes on there: see `offline.segments`.

    Args:
        photo: any picture that `load_photo` reads.
        audio: any sound or video with sound, which goes into the video at its own quality; or text that a voice reads.
        output: the file to write.
        seed: repeats or varies head motion, blinks and gaze.
        controls: gaze, distance, emotion, pose scale.
        full: True moves the face inside the whole photo; False gives the square round the face.
        size: side of that square, even, 128 to 1024 px; not used with `full`.
        fps: pictures a second, 1 to 60. Motion is made at 40 Hz; another rate takes the nearest of those pictures.
        aspect: "9:16", "1:1" or "16:9" cuts the whole photo to this shape round the head; with `full` only.
        device: of the networks: cpu, cuda or tensorrt.
        progress: called after every picture.
        networks: loaded before, for those who make many videos; those of `device` otherwise.
        subtitles: a file such as .srt, for a track of the video; None takes those in the sound's file, if any.
        comment: a tag of the file.
        threads: of the encoder, and at most so many pictures drawn at once; None chooses by the number of cores.
        marks: watermark and C2PA manifest; both unless asked otherwise.
        alpha: the person alone on a transparent ground, straight colours; for .webm, or a folder or pattern of PNG pictures.
        other: the other party's sound, which begins when `audio` does: the face listens to it, and it is not heard in the video.
        resume: False keeps nothing of a long video that is stopped, and does not go on with what was kept.

    Raises PortraitError, SpeechError, OutputError, EngineError, VoiceError, SubtitleError, ProvenanceError, each one line that
    names the fix, all but a full disk before the long work begins; ValueError for an argument out of range.
    """
    shape = _Shape(full, size, fps, aspect)
    target = check_output(output, alpha)
    _check_apart(target.path, photo, *(() if isinstance(audio, Text) else (audio,)), *(() if other is None else (other,)))
    provenance = Provenance(marks, target.path)
    lines = None if subtitles is None else read_subtitles(subtitles)
    from talkinghead.avatar import Avatar  # brings a runtime along: not before the arguments are known to be good

    with _sound_file(audio) as sound, ExitStack() as stack:
        avatar = Avatar.open(photo, device=device, networks=networks, alpha=alpha)
        speech = SpeechFile(sound)
        party = None if other is None else SpeechFile(other)
        segments = None
        if resume and target.joinable and speech.duration_s >= LONG_S:
            options = {**asdict(shape), "seed": seed, "device": device, "controls": controls and asdict(controls)}
            options["listen"] = "" if other is None else str(other)
            segments = stack.enter_context(Segments(target.path, pictures_key(photo, sound, target.path, options, marks), fps))
        rate = Rate(fps, 0 if segments is None else segments.frames)
        started_s = time.perf_counter()
        wanted = rate.wanted(progress, speech.duration_s)
        drawn = _Drawn(_draw(avatar, speech, party, seed=seed, controls=controls, full=full, wanted=wanted, threads=threads))
        pictures = shape.shaped(drawn, avatar, rate)
        if provenance.marker is not None:
            pictures = map(provenance.marker.mark, pictures)
        seal = provenance.seal if provenance.signs else None
        lines = subtitles_of(Path(sound)) if lines is None else lines
        lines = [line for line in lines if line.start_ms < 1000 * speech.duration_s]
        options = {"comment": comment, "threads": threads, "seal": seal, "subtitles": lines, "device": device}
        writer = _write(target, pictures, speech, rate, segments, progress, **options)
        wall_s = time.perf_counter() - started_s

    return DubResult(
        output=str(output),
        frames=writer.frames,
        fps=fps,
        seconds=round(writer.seconds, 3),
        width=writer.width,
        height=writer.height,
        render_fps=round(drawn.count / max(drawn.seconds, 1e-9), 2),
        realtime_factor=round((writer.frames - rate.first) / fps / max(wall_s, 1e-9), 3),
        seed=seed,
        device=device,
        notes=(*avatar.portrait.notes, *speech.notes, *provenance.notes, *(() if segments is None else segments.notes)),
    )


@dataclass(frozen=True)
class _Shape:
    """How pictures are cut, scaled and timed; ValueError for what cannot be."""

    full: bool
    size: int
    fps: int
    aspect: str | None

    def __post_init__(self) -> None:
        _check_numbers(self.fps, self.size)
        if self.aspect is not None and not (self.full and self.aspect in ASPECTS):
            raise ValueError(f"aspect must be one of {', '.join(ASPECTS)} and goes with full only, got {self.aspect!r}")

    def shaped(self, frames: Iterable[Frame], avatar: Avatar, rate: Rate) -> Iterator[np.ndarray]:
        """Pictures at the rate, of the wanted size."""
        framer: Framer | None = None
        for picture in _at_rate(frames, rate):
            picture = _sized(picture, self.full, self.size)
            if self.aspect is not None:
                framer = framer or self._framer(avatar, picture)
                picture = framer.cut(picture)
            yield picture

    def _framer(self, avatar: Avatar, first: np.ndarray) -> Framer:
        portrait = avatar.portrait
        height_px = portrait.code.pose.scale_px * portrait.crop.side / SIZE_PX
        points = portrait.crop.to_photo(portrait.points[:, :2])
        return Framer(frame_head(points, height_px, first.shape, self.aspect or ""), first)


@contextmanager
def _sound_file(audio: str | Path | Text) -> Iterator[str | Path]:
    """The sound's file; text is read aloud into one that goes again."""
    if not isinstance(audio, Text):
        yield audio
        return
    with tempfile.TemporaryDirectory(prefix="talkinghead-") as folder:
        yield audio.write(Path(folder) / "speech.wav")


def _check_numbers(fps: int, size: int) -> None:
    if not FPS_RANGE[0] <= fps <= FPS_RANGE[1]:
        raise ValueError(f"fps must be {FPS_RANGE[0]} to {FPS_RANGE[1]}, got {fps}")
    if size % 2 or not SIZE_RANGE_PX[0] <= size <= SIZE_RANGE_PX[1]:
        raise ValueError(f"size must be even and {SIZE_RANGE_PX[0]} to {SIZE_RANGE_PX[1]} px, got {size}")


def _check_apart(target: Path, *sources: str | Path) -> None:
    for source in map(Path, sources):
        if source.exists() and source.resolve().is_relative_to(target):
            raise OutputError(f"the output would replace its own source {source}: choose another output")


def _draw(avatar: Avatar, speech: SpeechFile, party: SpeechFile | None, **options: Any) -> Iterator[Frame]:
    other = None if party is None else party.blocks()
    return avatar.render(speech.blocks(), rate=SAMPLE_RATE_HZ, other=other, **options)


class _Drawn:
    """The renderer's pictures, counted and timed: `seconds` is what was spent inside the renderer."""

    def __init__(self, frames: Iterator[Frame]) -> None:
        self.count, self.seconds = 0, 0.0
        self._frames = frames

    def __iter__(self) -> Iterator[Frame]:
        while True:
            started_s = time.perf_counter()
            frame = next(self._frames, None)
            self.seconds += time.perf_counter() - started_s
            if frame is None:
                return
            self.count += 1
            yield frame


def _sized(image: np.ndarray, full: bool, size: int) -> np.ndarray:
    if full or image.shape[:2] == (size, size):
        return image
    way = cv2.INTER_AREA if size < image.shape[0] else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, (size, size), interpolation=way), np.uint8)


def _at_rate(frames: Iterable[Frame], rate: Rate) -> Iterator[np.ndarray]:
    for frame in frames:
        for _ in rate.pictures(round(frame.pts * FRAME_RATE_HZ)):
            yield frame.image


def _write(
    target: Output,
    pictures: Iterator[np.ndarray],
    speech: SpeechFile,
    rate: Rate,
    segments: Segments | None,
    progress: Progress | None,
    **options: Any,
) -> Mp4Writer | LongWriter | SequenceWriter:
    first = next(pictures, None)
    if first is None:
        raise SpeechError(f"{speech.path} is too short for a single picture: give a longer recording")
    expected = math.ceil(speech.duration_s * rate.fps)

    def tell() -> None:
        if progress is not None:
            progress(writer.frames, max(expected, writer.frames))

    size = (first.shape[1], first.shape[0])
    options |= {"sound": speech.sound(), "sound_rate_hz": speech.rate_hz, "sound_channels": speech.channels}
    writer: Mp4Writer | LongWriter | SequenceWriter
    if segments is None:
        writer = target.writer(*size, fps=rate.fps, **options)
    else:
        writer = LongWriter(segments, *size, beat=tell, **options)
        if segments.complete:
            pictures = iter(())
    with writer:
        for picture in pictures if rate.first else itertools.chain([first], pictures):
            writer.write(picture)
            tell()
    return writer
