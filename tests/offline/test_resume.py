"""Long videos that are stopped go on at their last whole piece, and end as if nothing had been."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from fake_avatar import Avatar, Frame
from offline.batches import TESTS, worker_command
from shipped import needs_networks
from sounds import Sound, babble, clicks, decoded

from talkinghead.errors import OutputError, TalkingHeadError
from talkinghead.offline import segments as kept
from talkinghead.offline.batch import run_batch
from talkinghead.offline.dub import DubResult, dub
from talkinghead.offline.jobs import read_manifest
from talkinghead.offline.pool import LocalPool
from talkinghead.offline.segments import Segments, parts_folder

RATE_HZ = 16_000
LENGTH_S = 5.3
"""In pieces of a second: the last is no whole one."""
SIZE_PX = 128
"""x264 gives the same bits again only where a row has a multiple of eight macroblocks."""


@pytest.fixture(autouse=True)
def short_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "SEGMENT_S", 1)
    monkeypatch.setattr("talkinghead.offline.dub.LONG_S", 3)


@pytest.fixture
def sound(make_sound: Sound) -> Path:
    return make_sound("s.wav", np.tile(clicks(RATE_HZ, 2), 3)[:, : int(LENGTH_S * RATE_HZ)], RATE_HZ)


PLAIN_RENDER = Avatar.render


class Stopped(Exception):
    """As a fault of the machine."""


def make(folder: Path, name: str = "o.mp4", **options: Any) -> DubResult:
    """The video of the folder's photo and sound."""
    return dub(folder / "photo.png", folder / "s.wav", folder / name, **{"full": False, "size": SIZE_PX, **options})


def lively(stop_at: int | None = None) -> Callable[..., Iterator[Frame]]:
    """A stand-in's render whose every frame is another; it stops before frame `stop_at`."""

    def render(self: Avatar, *arguments: object, **options: object) -> Iterator[Frame]:
        for frame in PLAIN_RENDER(self, *arguments, **options):  # type: ignore[arg-type]
            number = round(frame.pts * 40)
            if stop_at is not None and number >= stop_at:
                raise Stopped
            noise = np.random.default_rng(number).integers(0, 40, (25, 34, 3), dtype=np.uint8)
            yield replace(frame, image=frame.image // 2 + cv2.resize(noise, frame.image.shape[1::-1]))

    return render


def content(path: Path) -> tuple[np.ndarray, np.ndarray, list[float]]:
    """Decoded pictures, decoded sound, and when pictures are shown."""
    with av.open(str(path)) as container:
        frames = [*container.decode(video=0)]
    return np.stack([f.to_ndarray(format="yuv420p") for f in frames]), decoded(path, RATE_HZ), [float(f.time) for f in frames]


def assert_same(path: Path, whole: Path) -> None:
    for mine, other in zip(content(path), content(whole), strict=True):
        assert np.array_equal(mine, other)


def left(folder: Path) -> list[str]:
    return sorted(name for name in os.listdir(folder) if name.startswith("."))


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_pieces_joined_are_the_video_of_one_go(
    tmp_path: Path, photo: Path, sound: Path, fake_avatar: type, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
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


def test_packets_are_in_order_and_pieces_begin_with_key_frames(
    tmp_path: Path, photo: Path, sound: Path, fake_avatar: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Avatar, "render", lively())
    make(tmp_path)
    with av.open(str(tmp_path / "o.mp4")) as container:
        packets = [p for p in container.demux(video=0) if p.size]
    coded = [p.dts for p in packets]
    assert coded == sorted(set(coded)) and all(p.pts >= p.dts for p in packets)
    keys = [round(float(p.pts * p.time_base) * 40) for p in packets if p.is_keyframe]
    assert set(range(0, 212, 40)) <= set(keys)


@pytest.mark.parametrize(("fps", "stops"), [(24, (50,)), (40, (50, 95, 95, 200)), (60, (211,))])
def test_a_stopped_one_goes_on_and_ends_the_same(
    tmp_path: Path, photo: Path, sound: Path, fake_avatar: type, monkeypatch: pytest.MonkeyPatch, fps: int, stops: tuple[int, ...]
) -> None:
    monkeypatch.setattr(Avatar, "render", lively())
    whole = make(tmp_path, "whole.mp4", fps=fps)
    (tmp_path / "o.mp4").write_text("old")
    for stop in stops:
        with monkeypatch.context() as patch:
            patch.setattr(Avatar, "render", lively(stop))
            with pytest.raises(Stopped):
                make(tmp_path, fps=fps)
        assert (tmp_path / "o.mp4").read_text() == "old" and left(tmp_path) == [".o.mp4.parts"]
        assert left(tmp_path / ".o.mp4.parts") == []
    seen: list[int] = []
    result = make(tmp_path, progress=lambda done, _: seen.append(done), fps=fps)
    assert (result.frames, result.seconds) == (whole.frames, whole.seconds)
    assert "went on at 0:00:0" in result.notes[-1]
    assert seen == sorted(seen) and seen[-1] == result.frames
    assert_same(tmp_path / "o.mp4", tmp_path / "whole.mp4")
    assert left(tmp_path) == []


def test_only_what_is_missing_is_drawn(
    tmp_path: Path, photo: Path, sound: Path, fake_avatar: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Avatar, "render", lively(150))
    with pytest.raises(Stopped):
        make(tmp_path)
    render, drawn = lively(), list[int]()

    def counted(*arguments: object, **options: object) -> Iterator[Frame]:
        for frame in render(*arguments, **options):
            drawn.append(round(frame.pts * 40))
            yield frame

    monkeypatch.setattr(Avatar, "render", counted)
    make(tmp_path)
    assert drawn == [0, *range(120, 212)]


def test_a_short_one_or_an_unwanted_one_leaves_nothing(
    tmp_path: Path, photo: Path, sound: Path, make_sound: Sound, fake_avatar: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = make_sound("t.wav", clicks(RATE_HZ), RATE_HZ)
    for recording, stop, options in ((sound, 150, {"resume": False}), (short, 60, {}), (sound, 30, {})):
        with monkeypatch.context() as patch:
            patch.setattr(Avatar, "render", lively(stop))
            with pytest.raises(Stopped):
                dub(photo, recording, tmp_path / "o.mp4", **options)  # type: ignore[arg-type]
        assert left(tmp_path) == [] and not (tmp_path / "o.mp4").exists()


def test_other_sources_or_options_begin_anew(
    tmp_path: Path, photo: Path, sound: Path, fake_avatar: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(**options: int) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(Avatar, "render", lively(100))
            with pytest.raises(Stopped):
                make(tmp_path, **options)

    def made(**options: int) -> DubResult:
        return make(tmp_path, **options)

    def went_on(result: DubResult) -> bool:
        return any("went on" in note for note in result.notes)

    stopped()
    assert not went_on(made(seed=1))
    stopped()
    photo.write_bytes(b"another photo")
    assert not went_on(made())
    stopped()
    sound.write_bytes(sound.read_bytes()[:-3200])
    assert not went_on(made())
    stopped()
    assert went_on(made())


def test_damaged_pieces_are_made_again(
    tmp_path: Path, photo: Path, sound: Path, fake_avatar: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Avatar, "render", lively())
    make(tmp_path, "whole.mp4")

    def damage(how: Callable[[Path], object]) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(Avatar, "render", lively(170))
            with pytest.raises(Stopped):
                make(tmp_path)
        how(tmp_path / ".o.mp4.parts")
        result = make(tmp_path)
        assert any("went on at 0:00:02" in note for note in result.notes)
        assert_same(tmp_path / "o.mp4", tmp_path / "whole.mp4")
        assert left(tmp_path) == []

    damage(lambda folder: (folder / "000002.mp4").unlink())
    damage(lambda folder: os.truncate(folder / "000002.mp4", 700))
    damage(lambda folder: (folder / "000002.mp4").write_bytes(b""))


@pytest.mark.parametrize("state", ["", "[]", "{", '{"key": 1}', '{"key": "k", "frames": "many"}', "\0"])
def test_a_damaged_state_begins_anew(tmp_path: Path, state: str) -> None:
    with Segments(tmp_path / "o.mp4", "k", 40) as first:
        first.next_piece.write_bytes(b"not looked at")
        first.add(40)
    (first.folder / "parts.json").write_text(state)
    with Segments(tmp_path / "o.mp4", "k", 40) as again:
        assert (again.frames, again.pieces, again.complete) == (0, [], False)
    assert os.listdir(tmp_path) == []


def test_stopped_while_joining_nothing_is_drawn_again(
    tmp_path: Path, photo: Path, sound: Path, fake_avatar: type, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
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


def test_two_at_once_are_refused(tmp_path: Path) -> None:
    with Segments(tmp_path / "o.mp4", "k", 40), pytest.raises(OutputError, match="being made already"):
        Segments(tmp_path / "o.mp4", "k", 40).__enter__()
    assert os.listdir(tmp_path) == []


def test_a_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", none)
    with Segments(tmp_path / "o.mp4", "k", 40) as segments:
        assert segments.frames == 0


def test_what_is_in_the_way(tmp_path: Path) -> None:
    parts_folder(tmp_path / "a.mp4").write_text("a file")
    with pytest.raises(OutputError, match="File exists"):
        Segments(tmp_path / "a.mp4", "k", 40).__enter__()
    (tmp_path / "else").mkdir()
    parts_folder(tmp_path / "b.mp4").symlink_to(tmp_path / "else")
    with pytest.raises(OutputError, match="is a link"):
        Segments(tmp_path / "b.mp4", "k", 40).__enter__()
    folder = parts_folder(tmp_path / "c.mp4")
    folder.mkdir()
    (folder / "mine.txt").write_text("kept")
    with Segments(tmp_path / "c.mp4", "k", 40):
        pass
    assert os.listdir(folder) == ["mine.txt"]


def test_long_names(tmp_path: Path) -> None:
    names = [tmp_path / ("ü" * 120 + end) for end in ("a.mp4", "b.mp4")]
    with Segments(names[0], "k", 40) as one, Segments(names[1], "k", 40) as other:
        assert one.folder != other.folder


PROCESS = """
import os, sys
sys.path[:0] = {paths!r}
import pytest
import talkinghead.offline.segments as kept, talkinghead.offline.dub as dubbing, talkinghead.offline.target as target
from fake_avatar import Avatar, Controls, Frame
import types
engine, controls = types.ModuleType("talkinghead.avatar"), types.ModuleType("talkinghead.motion.controls")
engine.Avatar, engine.Frame, controls.Controls = Avatar, Frame, Controls
sys.modules["talkinghead.avatar"], sys.modules["talkinghead.motion.controls"] = engine, controls
kept.SEGMENT_S, dubbing.LONG_S = 1, 3
from offline.test_resume import lively
Avatar.render = lively()
{extra}
from talkinghead.cli import main
sys.argv[:] = ["talkinghead", "dub", "photo.png", "s.wav", "-o", "o.mp4", "--no-c2pa", "--crop", "--size", "128"]
main()
"""

STRIKE = """
counted = 0
def strike(real):
    def run(*a, **o):
        global counted
        if counted == {count}:
            os.kill(os.getpid(), {number})
        counted += 1
        return real(*a, **o)
    return run
"""


def process(folder: Path, extra: str = "") -> subprocess.CompletedProcess[str]:
    script = PROCESS.format(paths=[str(TESTS), str(TESTS.parent)], extra=extra)
    return subprocess.run([sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize(
    ("place", "count"),
    [
        ("dubbing.LongWriter.write", 20),
        ("dubbing.LongWriter.write", 130),
        ("kept.Segments.add", 2),
        ("target.os.fsync", 3),
        ("target.Path.replace", 3),
        ("kept.Segments.finish", 0),
        ("dubbing.LongWriter._mux", 0),
        ("dubbing.LongWriter._packets", 0),
        ("kept.Segments.clear", 0),
        ("kept.Path.rmdir", 0),
    ],
)
def test_killed_anywhere(
    tmp_path: Path, photo: Path, sound: Path, fake_avatar: type, monkeypatch: pytest.MonkeyPatch, place: str, count: int
) -> None:
    monkeypatch.setattr(Avatar, "render", lively())
    make(tmp_path, "whole.mp4")
    extra = STRIKE.format(count=count, number=int(signal.SIGKILL)) + f"\n{place} = strike({place})"
    done = process(tmp_path, extra)
    assert done.returncode == -signal.SIGKILL, done.stderr
    if (tmp_path / "o.mp4").exists():  # then it is whole
        assert_same(tmp_path / "o.mp4", tmp_path / "whole.mp4")
    done = process(tmp_path)
    assert done.returncode == 0, done.stderr
    assert_same(tmp_path / "o.mp4", tmp_path / "whole.mp4")
    assert left(tmp_path) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_by_a_signal_it_says_how_to_go_on(tmp_path: Path, photo: Path, sound: Path, number: int) -> None:
    extra = STRIKE.format(count=130, number=number) + "\ndubbing.LongWriter.write = strike(dubbing.LongWriter.write)"
    done = process(tmp_path, extra)
    assert done.returncode == (130 if number == signal.SIGINT else 143)
    assert "o.mp4: the first 0:00:03 are kept in " in done.stderr and "run the same again" in done.stderr
    assert "nothing" not in done.stderr and not (tmp_path / "o.mp4").exists()
    assert sorted(os.listdir(tmp_path / ".o.mp4.parts")) == ["000000.mp4", "000001.mp4", "000002.mp4", "parts.json"]
    done = process(tmp_path)
    assert done.returncode == 0 and "went on at 0:00:03" in done.stderr
    assert left(tmp_path) == []


def test_a_batch_whose_worker_was_killed_goes_on(tmp_path: Path, sound: Path) -> None:
    cv2.imwrite(str(tmp_path / "p.png"), np.full((80, 60, 3), 90, np.uint8))
    (tmp_path / "out").mkdir()
    (tmp_path / "jobs.csv").write_text("photo,audio,output\np.png,s.wav,o.mp4\n")
    extra = f"""
    import os, pathlib
    import talkinghead.offline.segments as kept, talkinghead.offline.dub as dubbing
    kept.SEGMENT_S, dubbing.LONG_S = 1, 3
    drawn = Avatar.render
    def render(self, *a, **o):
        for k, frame in enumerate(drawn(self, *a, **o)):
            mark = pathlib.Path({str(tmp_path / "mark")!r})
            if k == 100 and not mark.exists():
                while len(list(mark.parent.glob("out/.o.mp4.parts/00000?.mp4"))) < 2: pass
                mark.touch()
                os.kill(os.getpid(), 9)
            yield frame
    Avatar.render = render
    """
    jobs, _ = read_manifest(tmp_path / "jobs.csv", tmp_path / "out")
    pool = LocalPool(1, worker_command(textwrap.dedent(extra)))
    try:
        result = run_batch(jobs, pool)
    finally:
        pool.close()
    assert result.done == 1 and any("went on at 0:00:02" in note for note in result.notes)
    assert os.listdir(tmp_path / "out") == ["o.mp4"]


@needs_networks
def test_real_networks_go_on_with_the_same_pictures(tmp_path: Path, make_sound: Sound) -> None:
    shutil.copy(TESTS.parent / "examples" / "data" / "portrait.jpg", tmp_path / "photo.png")
    make_sound("s.wav", babble(3.2)[None], RATE_HZ)
    options = {"fps": 10, "seed": 3}
    make(tmp_path, "whole.mp4", **options)

    def stop(done: int, _: int | None) -> None:
        if done == 25:
            raise TalkingHeadError("stopped")

    with pytest.raises(TalkingHeadError, match="stopped"):
        make(tmp_path, progress=stop, **options)
    assert json.loads((tmp_path / ".o.mp4.parts" / "parts.json").read_text())["frames"] is None
    result = make(tmp_path, **options)
    assert "went on at 0:00:02" in result.notes[-1]
    assert_same(tmp_path / "o.mp4", tmp_path / "whole.mp4")
