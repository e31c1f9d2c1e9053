"""A long video that is made in pieces is what it is in one go."""

from __future__ import annotations

import logging
from pathlib import Path

import av
import numpy as np
import pytest
from fake_avatar import Avatar
from offline.long_videos import assert_same, content, left, lively, make

from talkinghead.errors import OutputError

pytestmark = pytest.mark.usefixtures("fake_avatar", "short_pieces", "photo", "long_sound")


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_pieces_joined_are_the_video_of_one_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    monkeypatch.setattr(Avatar, "render", lively())
    made = make(tmp_path, f"long{suffix}", comment="c")
    single = make(tmp_path, f"single{suffix}", comment="c", resume=False)
    assert (made.frames, made.seconds, made.width, made.height) == (single.frames, single.seconds, single.width, single.height)
    pictures, pcm, times = content(tmp_path / f"long{suffix}")
    once, pcm_once, times_once = content(tmp_path / f"single{suffix}")
    assert np.array_equal(pcm, pcm_once) and np.allclose(times, times_once, atol=1e-6)
    assert np.abs(pictures.astype(int) - once).mean() < 2  # where pieces begin the encoder has no past
    facts = []
    for name in ("long", "single"):
        with av.open(str(tmp_path / f"{name}{suffix}")) as container:
            video, track, tags = container.streams.video[0], container.streams.audio[0], container.metadata
            context = video.codec_context
            colour = (context.colorspace, context.color_range, context.color_primaries, context.color_trc, context.pix_fmt)
            lengths = (video.average_rate, video.frames, video.start_time, track.start_time, container.duration)
            facts.append((colour, lengths, context.codec_tag, {k.lower(): v for k, v in tags.items()}["comment"]))
    assert facts[0] == facts[1]
    if suffix != ".mkv":
        data = (tmp_path / f"long{suffix}").read_bytes()
        assert 0 < data.index(b"moov") < data.index(b"mdat")
    assert left(tmp_path) == []


def test_packets_are_in_order_and_pieces_begin_with_key_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Avatar, "render", lively())
    make(tmp_path)
    with av.open(str(tmp_path / "o.mp4")) as container:
        packets = [p for p in container.demux(video=0) if p.size]
    coded = [p.dts for p in packets]
    assert coded == sorted(set(coded)) and all(p.pts >= p.dts for p in packets)
    keys = [round(float(p.pts * p.time_base) * 40) for p in packets if p.is_keyframe]
    assert set(range(0, 212, 40)) <= set(keys)


def test_stopped_while_joining_nothing_is_drawn_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Avatar, "render", lively())
    make(tmp_path, "whole.mp4")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("talkinghead.offline.long_writer.add_subtitles", full)
        lines = tmp_path / "l.srt"
        lines.write_text("1\n00:00:00,500 --> 00:00:01,000\nHello\n")
        with pytest.raises(OutputError, match="no space left"), caplog.at_level(logging.WARNING):
            make(tmp_path, subtitles=lines)
    assert "the first 0:00:05 are kept in" in caplog.text
    assert left(tmp_path) == [".o.mp4.parts"] and not (tmp_path / "o.mp4").exists()
    with monkeypatch.context() as patch:
        patch.setattr(Avatar, "render", lively(1))
        result = make(tmp_path, subtitles=lines)
    assert result.frames == 212
    with av.open(str(tmp_path / "o.mp4")) as container:
        assert len(container.streams.subtitles) == 1
    assert_same(tmp_path / "o.mp4", tmp_path / "whole.mp4")
    assert left(tmp_path) == []
