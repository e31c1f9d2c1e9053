"""Batches from end to end with real worker processes, the engine alone replaced; workers and drivers are killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from offline.batches import TESTS, worker_command
from shipped import needs_networks
from sounds import Sound, babble, clicks

from talkinghead.offline.batch import BatchResult, made_from, run_batch
from talkinghead.offline.jobs import Refusal, read_manifest
from talkinghead.offline.pool import LocalPool
from talkinghead.offline.target import PartFile


@pytest.fixture
def folder(tmp_path: Path, make_sound: Sound) -> Iterator[Path]:
    cv2.imwrite(str(tmp_path / "p.png"), np.full((80, 60, 3), 90, np.uint8))
    make_sound("s.wav", clicks(16_000), 16_000)
    (tmp_path / "bad.png").write_text("no picture")
    (tmp_path / "bad.wav").write_text("no sound")
    (tmp_path / "out").mkdir()
    yield tmp_path


def listed(folder: Path, *rows: str) -> Path:
    path = folder / "jobs.csv"
    path.write_text("\n".join(["photo,audio,output,seed", *rows]) + "\n")
    return path


def batch(folder: Path, *rows: str, extra: str = "", workers: int = 1, told: list[str] | None = None) -> BatchResult:
    jobs, refusals = read_manifest(listed(folder, *rows), folder / "out")
    pool = LocalPool(workers, worker_command(extra))
    try:
        return run_batch(jobs, pool, refusals=refusals, tell=(told if told is not None else []).append)
    finally:
        pool.close()


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder / "out"))


def test_twenty_jobs_two_of_them_bad(folder: Path) -> None:
    rows = [f"p.png,s.wav,o{k}.mp4,{k}" for k in range(20)]
    rows[3], rows[11] = "bad.png,s.wav,o3.mp4", "p.png,bad.wav,o11.mp4"
    told: list[str] = []
    result = batch(folder, *rows, workers=2, told=told)
    assert (result.done, result.skipped, result.workers) == (18, 0, 2)
    assert [failure.row for failure in result.failures] == [5, 13]
    assert "bad.png is no picture" in result.failures[0].reason and "bad.wav is not a sound" in result.failures[1].reason
    assert len(told) == 2 and names(folder) == sorted(f"o{k}.mp4" for k in range(20) if k not in (3, 11))
    assert result.video_s == 36.0 and sum(result.notes.values()) >= 18
    before = {name: (folder / "out" / name).stat().st_mtime_ns for name in names(folder)}
    again = batch(folder, *rows, workers=2)
    assert (again.done, again.skipped, len(again.failures)) == (0, 18, 2)
    assert before == {name: (folder / "out" / name).stat().st_mtime_ns for name in names(folder)}


def test_only_what_changed_is_made_again(folder: Path, make_sound: Sound) -> None:
    rows = ["p.png,s.wav,a.mp4", "p.png,t.wav,b.mp4", "p.png,s.wav,c.mp4"]
    make_sound("t.wav", clicks(16_000), 16_000)
    assert batch(folder, *rows).done == 3
    make_sound("t.wav", clicks(16_000, length_s=2.5), 16_000)
    (folder / "out" / "c.mp4").write_bytes(b"damaged")
    result = batch(folder, rows[0] + ",7", *rows[1:])  # another seed, another sound, a damaged video
    assert (result.done, result.skipped) == (3, 0)
    assert batch(folder, rows[0] + ",7", *rows[1:]).skipped == 3


def test_the_networks_are_loaded_once_a_worker(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert batch(folder, *(f"p.png,s.wav,o{k}.mp4" for k in range(4))).done == 4
    assert capfd.readouterr().err.count("networks loaded") == 1


def test_workers_have_one_thread(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    extra = (
        "import os; drawn = Avatar.render; "
        "Avatar.render = lambda self, *a, **o: (print('T', os.environ['OMP_NUM_THREADS'], __import__('cv2').getNumThreads(), "
        "len(os.sched_getaffinity(0)), flush=True), drawn(self, *a, **o))[1]"
    )
    assert batch(folder, "p.png,s.wav,o.mp4", extra=extra).done == 1
    assert "T 1 1 1" in capfd.readouterr().err


def dying(mark: Path) -> str:
    """A worker that is killed in the middle of a video, once for each time that ``mark`` is there."""
    return f"""
    import os, pathlib
    drawn = Avatar.render
    def render(self, *a, **o):
        for k, frame in enumerate(drawn(self, *a, **o)):
            mark = pathlib.Path({str(mark)!r})
            if k == 40 and mark.exists():
                while not list(mark.parent.glob("out/.*.part.*")): pass
                mark.unlink()
                os.kill(os.getpid(), 9)
            yield frame
    Avatar.render = render
    """


def test_a_killed_worker_costs_nothing(folder: Path) -> None:
    (folder / "mark").touch()
    result = batch(folder, *(f"p.png,s.wav,o{k}.mp4" for k in range(3)), extra=textwrap.dedent(dying(folder / "mark")))
    assert (result.done, result.failures) == (3, [])
    assert not (folder / "mark").exists() and names(folder) == ["o0.mp4", "o1.mp4", "o2.mp4"]


def test_a_job_that_kills_its_workers_is_given_up(folder: Path) -> None:
    extra = "drawn = Avatar.render; Avatar.render = lambda self, *a, **o: (__import__('os')._exit(9))"
    result = batch(folder, "p.png,s.wav,o.mp4", extra=extra)
    assert result.failures == [Refusal(2, str(folder / "out" / "o.mp4"), "its worker ended with code 9")]
    assert names(folder) == []


def test_a_fault_is_tried_again_and_then_told(folder: Path) -> None:
    tries = str(folder / "tries")
    extra = f"def render(self, *a, **o): open({tries!r}, 'a').write('x'); raise RuntimeError('oh')\nAvatar.render = render"
    result = batch(folder, "p.png,s.wav,o.mp4", "p.png,bad.wav,p.mp4", extra=extra)
    assert [failure.reason.split(":")[0] for failure in result.failures][0] == "RuntimeError"
    assert (folder / "tries").read_text() == "xx"


def test_a_stalled_worker_is_stopped(folder: Path) -> None:
    jobs, _ = read_manifest(listed(folder, "p.png,s.wav,o.mp4"), folder / "out")
    extra = "Avatar.render = lambda self, *a, **o: __import__('time').sleep(600)"
    pool = LocalPool(1, worker_command(extra), stalled_s=2.0)
    try:
        result = run_batch(jobs, pool)
    finally:
        pool.close()
    assert "killed" in result.failures[0].reason


def driver(folder: Path) -> subprocess.Popen[str]:
    """The command line's batch in a process of its own, with workers that draw slowly."""
    extra = "drawn = Avatar.render; import time; Avatar.render = lambda *a, **o: (time.sleep(0.01) or f for f in drawn(*a, **o))"
    script = f"""
import sys
sys.path[:0] = {[str(TESTS), str(TESTS.parent)]!r}
import talkinghead.offline.pool as pool
from offline.batches import worker_command
made = pool.LocalPool.__init__
pool.LocalPool.__init__ = lambda self, size, command=None, **o: made(self, size, worker_command({extra!r}), **o)
from talkinghead.cli import main
sys.argv[0] = "talkinghead"
main()
"""
    line = [sys.executable, "-c", script, "dub", "--manifest", "jobs.csv", "-o", "out", "--workers", "2", "--json"]
    return subprocess.Popen(line, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(condition: object, seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_killed_driver_loses_nothing(folder: Path, number: int) -> None:
    listed(folder, *(f"p.png,s.wav,o{k}.mp4" for k in range(6)), "bad.png,s.wav,x.mp4")
    out = folder / "out"
    process = driver(folder)
    wait_for(lambda: list(out.glob("o*.mp4")) and list(out.glob(".*.part.mp4")))
    process.send_signal(number)
    process.communicate(timeout=240)
    wait_for(lambda: not list(out.glob(".*.part.mp4")))  # the workers notice, and unwind
    finished = {path: path.stat().st_mtime_ns for path in out.glob("o*.mp4")}
    assert 0 < len(finished) < 6 and all(made_from(path) for path in finished)
    with driver(folder) as process:
        stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 1 and "x.mp4" not in names(folder)
    assert f'"skipped": {len(finished)}' in stdout and "row 8: " in stderr and "1 of 7 videos failed" in stderr
    assert names(folder) == [f"o{k}.mp4" for k in range(6)]
    assert finished == {path: path.stat().st_mtime_ns for path in finished}


STUBBORN = """
import pathlib, time

def render(self, *arguments, **options):
    (pathlib.Path(__file__).parent / "begun").touch()
    try:
        time.sleep(600)
    except SystemExit:
        raise ValueError("swallowed")
    yield
"""


@contextmanager
def hopeless(folder: Path, render: str) -> Iterator[subprocess.Popen[str]]:
    """A worker in the middle of a video that it never finishes."""
    (folder / "stubborn.py").write_text(render)
    extra = f"sys.path.insert(0, {str(folder)!r}); import stubborn; Avatar.render = stubborn.render"
    jobs, _ = read_manifest(listed(folder, "p.png,s.wav,o.mp4"), folder / "out")
    marks = {"watermark": False, "manifest": False, "certificate": "", "key": ""}
    message = {**jobs[0].message(), "key": "k", "device": "cpu", "marks": marks, "core": None}
    line = worker_command(extra)
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as worker:
        assert worker.stdin is not None
        worker.stdin.write(json.dumps(message) + "\n")
        worker.stdin.flush()
        wait_for((folder / "begun").exists)
        try:
            yield worker
        finally:
            worker.kill()


def test_a_worker_whose_library_swallows_the_signal_ends_with_its_driver(folder: Path) -> None:
    with hopeless(folder, STUBBORN) as worker:
        worker.stdin.close()  # type: ignore[union-attr]
        worker.wait(60)
        assert "swallowed" in worker.stdout.read()  # type: ignore[union-attr]
    assert not list((folder / "out").glob(".*.part.mp4"))


HANGING = """
import pathlib, time
from talkinghead.offline.target import PartFile

def render(self, *arguments, **options):
    part = PartFile(pathlib.Path(__file__).parent / "out" / "o.mp4")
    (pathlib.Path(__file__).parent / "begun").touch()
    while part:
        try:
            time.sleep(600)
        except SystemExit:
            pass
    yield
"""


def test_a_worker_that_hangs_ends_with_its_driver_and_leaves_nothing(folder: Path) -> None:
    with hopeless(folder, HANGING) as worker:
        assert len(list((folder / "out").glob(".*.part.mp4"))) == 1
        worker.stdin.close()  # type: ignore[union-attr]
        assert worker.wait(60) == 143
    assert not list((folder / "out").glob(".*.part.mp4"))


def test_what_a_power_cut_left_is_swept_up(folder: Path) -> None:
    left, other = folder / "out" / ".o.0123abcd.part.mp4", folder / "out" / ".mine.part.mp4"
    left.write_text("half")
    other.write_text("not ours")
    living = PartFile(folder / "out" / "o.mp4")
    assert batch(folder, "p.png,s.wav,o.mp4").done == 1
    assert not left.exists() and other.exists() and living.path.exists()
    living.discard()


@needs_networks
def test_real_networks_give_the_video_of_a_single_dub(tmp_path: Path, make_sound: Sound) -> None:
    from talkinghead.offline.dub import dub

    photo, sound = TESTS.parent / "examples" / "data" / "portrait.jpg", make_sound("s.wav", babble(1.5)[None], 16_000)
    jobs, _ = read_manifest(listed(tmp_path, f"{photo},s.wav,o.mp4,4"))
    pool = LocalPool(1)
    try:
        result = run_batch(jobs, pool)
    finally:
        pool.close()
    assert result.done == 1 and result.failures == []
    dub(photo, sound, tmp_path / "single.mp4", seed=4, threads=1)
    assert packets(tmp_path / "o.mp4") == packets(tmp_path / "single.mp4")


def packets(path: Path) -> list[bytes]:
    """The encoded pictures of a video."""
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]
