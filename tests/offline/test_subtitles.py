"""Subtitles: passed through from the sound's file or one of their own, at the right time, in every container."""

from __future__ import annotations

from pathlib import Path

import av
import pytest
from sounds import Sound, clicks

from talkinghead.errors import SubtitleError
from talkinghead.offline.dub import dub
from talkinghead.offline.subtitles import Line, read_subtitles, subtitles_of

pytestmark = pytest.mark.usefixtures("fake_avatar")

SRT = "1\n00:00:00,500 --> 00:00:01,200\nHello <i>you</i>\nand you\n\n2\n00:00:01,500 --> 00:00:01,900\nBye, äöü\n\n"
LATE = "3\n00:00:05,000 --> 00:00:06,000\nToo late\n"
LINES = [Line(500, 700, "Hello you\nand you"), Line(1500, 400, "Bye, äöü")]


@pytest.fixture
def srt(tmp_path: Path) -> Path:
    (tmp_path / "s.srt").write_text(SRT + LATE, encoding="utf-8")
    return tmp_path / "s.srt"


def test_read(srt: Path) -> None:
    assert read_subtitles(srt)[:2] == LINES and len(read_subtitles(srt)) == 3


@pytest.mark.parametrize("name", ["out.mp4", "out.mov", "out.mkv"])
def test_a_file_of_their_own_and_through_again(
    tmp_path: Path, photo: Path, srt: Path, make_sound: Sound, name: str
) -> None:
    sound = make_sound("s.wav", clicks(48_000))
    dub(photo, sound, tmp_path / name, full=False, subtitles=srt)
    assert subtitles_of(tmp_path / name) == LINES
    again = tmp_path / f"again{Path(name).suffix}"
    dub(photo, tmp_path / name, again, full=False)  # a video with subtitles is the sound's source
    assert subtitles_of(again) == LINES
    with av.open(str(tmp_path / name)) as container:
        assert [stream.type for stream in container.streams] == ["video", "audio", "subtitle"]
        assert sum(1 for _ in container.decode(video=0)) == 80


def test_no_subtitles_no_track(tmp_path: Path, photo: Path, make_sound: Sound) -> None:
    dub(photo, make_sound("s.wav", clicks(48_000)), tmp_path / "o.mp4", full=False)
    with av.open(str(tmp_path / "o.mp4")) as container:
        assert not container.streams.subtitles


@pytest.mark.parametrize("text", ["", "a letter", None])
def test_what_holds_none(tmp_path: Path, photo: Path, make_sound: Sound, text: str | None) -> None:
    if text is not None:
        (tmp_path / "x.srt").write_text(text)
    with pytest.raises(SubtitleError, match="no subtitles"):
        dub(photo, make_sound("s.wav", clicks(48_000)), tmp_path / "o.mp4", subtitles=tmp_path / "x.srt")
