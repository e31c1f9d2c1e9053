"""The folder of kept pieces: whose it is, and what is in its way."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from talkinghead.errors import OutputError
from talkinghead.offline.segments import Segments, parts_folder

pytestmark = pytest.mark.usefixtures("short_pieces")


@pytest.mark.parametrize("state", ["", "[]", "{", '{"key": 1}', '{"key": "k", "frames": "many"}', "\0"])
def test_a_damaged_state_begins_anew(tmp_path: Path, state: str) -> None:
    with Segments(tmp_path / "o.mp4", "k", 40) as first:
        first.next_piece.write_bytes(b"not looked at")
        first.add(40)
    (first.folder / "parts.json").write_text(state)
    with Segments(tmp_path / "o.mp4", "k", 40) as again:
        assert (again.frames, again.pieces, again.complete) == (0, [], False)
    assert os.listdir(tmp_path) == []


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
