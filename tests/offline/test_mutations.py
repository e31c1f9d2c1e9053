"""Readers against damaged files: pictures, sounds, lists, consents. No other than the expected errors, no hang.

The corpus is made here, and changed in ways that are the same in every run: bytes flipped, cut, doubled, moved, filled.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
from sounds import Sound, babble

from talkinghead.errors import TalkingHeadError
from talkinghead.offline.consent import read_consents
from talkinghead.offline.jobs import read_manifest
from talkinghead.offline.verify import verify
from talkinghead.portrait.load import load_photo
from talkinghead.speech.source import SpeechFile

_ROUNDS = 40
_LONGEST_S = 10
_HEADER = 160


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """The bytes with one to four changes."""
    out = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        reach = _HEADER if rng.integers(0, 2) else max(len(out), 1)  # headers are where the trouble is
        at, size = int(rng.integers(0, min(reach, max(len(out), 1)))), int(rng.integers(1, 64))
        kind = int(rng.integers(0, 6))
        if kind == 0 and out:
            out[min(at, len(out) - 1)] ^= 1 << int(rng.integers(0, 8))
        elif kind == 1:
            out = out[:at]
        elif kind == 2:
            out[at : at + size] = rng.bytes(size)
        elif kind == 3:
            out[at:at] = out[at : at + size] * 3
        elif kind == 4:
            out[at : at + 4] = b"\xff\xff\xff\x7f"
        else:
            del out[at : at + size]
    return bytes(out)


@contextmanager
def at_most(seconds: int) -> Iterator[None]:
    """A hang becomes a failure."""

    def late(number: int, frame: object) -> None:
        raise AssertionError(f"took longer than {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def attack(data: bytes, name: str, folder: Path, read: Callable[[Path], object]) -> int:
    """Read mutations of a file; how many were refused. Any error but the expected ones is raised."""
    refused = 0
    rng = np.random.default_rng(len(data))
    path = folder / name
    for _ in range(_ROUNDS):
        path.write_bytes(mutated(data, rng))
        with at_most(_LONGEST_S):
            try:
                read(path)
            except TalkingHeadError as error:
                assert str(error) and "\n" not in str(error).replace(str(path), "")
                refused += 1
    path.unlink()
    return refused


def picture(kind: str) -> bytes:
    image = np.random.default_rng(1).integers(0, 256, (48, 64, 3), np.uint8)
    return cv2.imencode(kind, cv2.resize(image, (96, 72), interpolation=cv2.INTER_CUBIC))[1].tobytes()


@pytest.mark.parametrize("kind", [".jpg", ".png", ".webp", ".bmp", ".tiff"])
def test_pictures(tmp_path: Path, kind: str) -> None:
    refused = attack(picture(kind), f"p{kind}", tmp_path, load_photo)
    assert refused > 0 or kind == ".bmp"
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "codec"), [("s.wav", "pcm_s16le"), ("s.mp3", "libmp3lame"), ("s.ogg", "libopus"), ("s.mp4", "aac")]
)
def test_sounds(tmp_path: Path, make_sound: Sound, name: str, codec: str) -> None:
    data = make_sound(name, babble(0.5, 48_000)[None], 48_000, codec).read_bytes()
    assert attack(data, name, tmp_path, lambda path: sum(len(block) for block in SpeechFile(path).blocks())) > 0
    assert os.listdir(tmp_path) == []


def test_lists(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    head = "photo,audio,output,seed,gaze,emotion,crop,fps,aspect,text,voice\n"
    rows = ['a.jpg,b.wav,o.mp4,3,"5,-2",happy:0.5,yes,25,,,', "../x,/y,../../o.mp4,,,,,,9:16,,", "a,,sub/../o2.mp4,1,,,,,,Hi,de"]

    def read(path: Path) -> None:
        jobs, _ = read_manifest(path, out)
        assert all(Path(job.output).resolve().is_relative_to(out.resolve()) for job in jobs)

    assert attack((head + "\n".join(rows * 3) + "\n").encode(), "jobs.csv", tmp_path, read) > 0
    assert os.listdir(tmp_path) == ["out"] and os.listdir(out) == []


def test_consents(tmp_path: Path) -> None:
    entry = '{"portrait_sha256": "ab12", "who": "Ann", "purpose": "tests", "when": "2026-01-01T00:00:00+00:00"}'
    assert attack(f'{{"consents": [{entry}, {entry}]}}'.encode(), "c.json", tmp_path, read_consents) > 0


def test_files_to_verify(tmp_path: Path, make_sound: Sound) -> None:
    data = make_sound("v.mp4", babble(0.3, 48_000)[None], 48_000, "aac", with_video=True).read_bytes()
    attack(data, "v.mp4", tmp_path, verify)
    assert os.listdir(tmp_path) == []
