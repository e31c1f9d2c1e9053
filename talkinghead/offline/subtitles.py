"""Subtitles that go along with the sound: read from its file, or from one of their own, and written as a track of the video."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.container import OutputContainer

from talkinghead.errors import SubtitleError

_MS = Fraction(1, 1000)
_TAG = re.compile(r"<[^<>\n]{0,80}>|\{[^{}\n]{0,200}\}")
_ASS_FIELDS = 8
_ASS_HEADER = b"[Script Info]\nScriptType: v4.00+\n\n[V4+ Styles]\n\n[Events]\n"
"""FFmpeg opens no text coder without one, although packets are written as they are."""
_MOST_LINES = 100_000
_MOV_TEXT = ("mov_text", "tx3g")
_ASS = ("ass", "ssa")
_KNOWN = (*_MOV_TEXT, *_ASS, "srt", "subrip", "text", "webvtt")


@dataclass(frozen=True)
class Line:
    """What is shown from `start_ms` on for `length_ms`, from the first sample of the sound."""

    start_ms: int
    length_ms: int
    text: str


def subtitles_of(sound: Path) -> list[Line]:
    """Those in a sound's or video's file, none where there is no text track. Time 0 is the sound's first sample."""
    try:
        return _read(sound)
    except (av.FFmpegError, OSError, ValueError):
        return []  # the sound itself tells what is wrong with the file


def read_subtitles(path: str | Path) -> list[Line]:
    """Those of a file such as .srt or .vtt. SubtitleError, one line, where there are none."""
    try:
        lines = _read(Path(path))
    except (av.FFmpegError, OSError, ValueError):
        raise SubtitleError(f"{path} holds no subtitles that can be read: give an .srt or .vtt file in UTF-8") from None
    if not lines:
        raise SubtitleError(f"{path} holds no subtitles: give an .srt or .vtt file")
    return lines


def add_subtitles(container: OutputContainer, lines: list[Line], suffix: str) -> None:
    """Write a track into a video that has its other tracks already and no packet yet."""
    movie = suffix in (".mp4", ".mov")
    stream = container.add_stream("mov_text" if movie else "webvtt" if suffix == ".webm" else "subrip")
    stream.codec_context.subtitle_header = _ASS_HEADER
    stream.time_base = _MS
    for line in sorted(lines, key=lambda line: line.start_ms):
        text = line.text.encode()[:0xFFFF]
        packet = av.Packet(struct.pack(">H", len(text)) + text if movie else text)
        packet.pts = packet.dts = line.start_ms
        packet.duration, packet.time_base, packet.stream = line.length_ms, _MS, stream
        container.mux(packet)


def as_srt(lines: list[Line]) -> str:
    """As the text of an .srt file."""
    ordered = sorted(lines, key=lambda line: line.start_ms)
    return "\n".join(
        f"{number}\n{_clock(line.start_ms)} --> {_clock(line.start_ms + line.length_ms)}\n{line.text}\n"
        for number, line in enumerate(ordered, 1)
    )


def _clock(time_ms: int) -> str:
    seconds, ms = divmod(time_ms, 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02},{ms:03}"


def _read(path: Path) -> list[Line]:
    with av.open(f"file:{path.absolute()}", container_options={"protocol_whitelist": "file"}) as container:
        streams = [s for s in container.streams.subtitles if s.codec_context is not None and s.codec_context.name in _KNOWN]
        if not streams:
            return []
        sound = container.streams.best("audio")
        start = Fraction(0)
        if sound is not None and sound.start_time is not None and sound.time_base is not None:
            start = sound.start_time * sound.time_base
        lines: list[Line] = []
        for packet in container.demux(streams[0]):
            if packet.size and packet.pts is not None and packet.time_base is not None and len(lines) < _MOST_LINES:
                text = _text(bytes(packet), streams[0].codec_context.name)
                at, length = packet.pts * packet.time_base - start, (packet.duration or 0) * packet.time_base
                if text and at + length > 0 and length > 0:
                    first = max(round(at * 1000), 0)
                    lines.append(Line(first, max(round((at + length) * 1000) - first, 1), text))
        return lines


def _text(data: bytes, codec: str) -> str:
    """The words of a packet, without marks of style."""
    if codec in _MOV_TEXT:
        data = data[2 : 2 + struct.unpack(">H", data[:2])[0]] if len(data) > 2 else b""
    text = data.decode("utf-8", "replace")
    if codec in _ASS:
        text = text.split(",", _ASS_FIELDS)[-1].replace("\\N", "\n").replace("\\n", "\n")
    return _TAG.sub("", text).strip()

