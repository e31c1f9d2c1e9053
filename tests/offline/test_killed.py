"""Long videos whose process is killed, at any point, go on when they are made again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import cv2
import numpy as np
import pytest
from fake_avatar import Avatar
from offline.batches import TESTS, worker_command
from offline.long_videos import assert_same, left, lively, make

from talkinghead.offline.batch import run_batch
from talkinghead.offline.jobs import read_manifest
from talkinghead.offline.pool import LocalPool

pytestmark = pytest.mark.usefixtures("short_pieces")


PROCESS = """
import os, sys
sys.path[:0] = {paths!r}
import talkinghead.offline.segments as kept, talkinghead.offline.dub as dubbing, talkinghead.offline.target as target
from fake_avatar import Avatar, Controls, Frame
import types
engine, controls = types.ModuleType("talkinghead.avatar"), types.ModuleType("talkinghead.motion.controls")
engine.Avatar, engine.Frame, controls.Controls = Avatar, Frame, Controls
sys.modules["talkinghead.avatar"], sys.modules["talkinghead.motion.controls"] = engine, controls
kept.SEGMENT_S, dubbing.LONG_S = 1, 3
from offline.long_videos import lively
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
@pytest.mark.usefixtures("fake_avatar", "photo", "long_sound")
def test_killed_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, count: int) -> None:
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
def test_stopped_by_a_signal_it_says_how_to_go_on(tmp_path: Path, photo: Path, long_sound: Path, number: int) -> None:
    extra = STRIKE.format(count=130, number=number) + "\ndubbing.LongWriter.write = strike(dubbing.LongWriter.write)"
    done = process(tmp_path, extra)
    assert done.returncode == (130 if number == signal.SIGINT else 143)
    assert "o.mp4: the first 0:00:03 are kept in " in done.stderr and "run the same again" in done.stderr
    assert "nothing" not in done.stderr and not (tmp_path / "o.mp4").exists()
    assert sorted(os.listdir(tmp_path / ".o.mp4.parts")) == ["000000.mp4", "000001.mp4", "000002.mp4", "parts.json"]
    done = process(tmp_path)
    assert done.returncode == 0 and "went on at 0:00:03" in done.stderr
    assert left(tmp_path) == []


def test_a_batch_whose_worker_was_killed_goes_on(tmp_path: Path, long_sound: Path) -> None:
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
