"""Long videos that are stopped go on at their last whole piece, and end as if nothing had been."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fake_avatar import Avatar, Frame
from offline.batches import TESTS
from offline.long_videos import RATE_HZ, Stopped, assert_same, left, lively, make
from shipped import needs_networks
from sounds import Sound, babble, clicks

from talkinghead.errors import TalkingHeadError
from talkinghead.offline.dub import DubResult, dub

pytestmark = pytest.mark.usefixtures("short_pieces")
stand_in = pytest.mark.usefixtures("fake_avatar", "photo", "long_sound")


@pytest.mark.parametrize(("fps", "stops"), [(24, (50,)), (40, (50, 95, 95, 200)), (60, (211,))])
@stand_in
def test_a_stopped_one_goes_on_and_ends_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fps: int, stops: tuple[int, ...]
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


@stand_in
def test_only_what_is_missing_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


@stand_in
def test_a_short_one_or_an_unwanted_one_leaves_nothing(
    tmp_path: Path, photo: Path, long_sound: Path, make_sound: Sound, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = make_sound("t.wav", clicks(RATE_HZ), RATE_HZ)
    for recording, stop, options in ((long_sound, 150, {"resume": False}), (short, 60, {}), (long_sound, 30, {})):
        with monkeypatch.context() as patch:
            patch.setattr(Avatar, "render", lively(stop))
            with pytest.raises(Stopped):
                dub(photo, recording, tmp_path / "o.mp4", **options)  # type: ignore[arg-type]
        assert left(tmp_path) == [] and not (tmp_path / "o.mp4").exists()


@stand_in
def test_other_sources_or_options_begin_anew(tmp_path: Path, long_sound: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
    (tmp_path / "photo.png").write_bytes(b"another photo")
    assert not went_on(made())
    stopped()
    long_sound.write_bytes(long_sound.read_bytes()[:-3200])
    assert not went_on(made())
    stopped()
    assert went_on(made())


@stand_in
def test_damaged_pieces_are_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
