"""Consent: asked once, bound to the picture's bytes, required where a file is given; the demo's portrait needs none."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest
from sounds import Sound, clicks
from test_cli import command, run

from talkinghead.errors import ConsentError
from talkinghead.offline.consent import FILE_NAME, ask_consent, missing, portrait_hash, read_consents

DEMO = Path(__file__).parent.parent.parent / "examples" / "data" / "portrait.jpg"


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    cv2.imwrite(str(tmp_path / "p.png"), np.full((80, 60, 3), 90, np.uint8))
    return tmp_path / "p.png"


def answers(*lines: str):  # type: ignore[no-untyped-def]
    left = iter(lines)

    def ask(question: str) -> str:
        try:
            return next(left) + "\n"
        except StopIteration:
            raise EOFError from None

    return ask


def test_asked_once_and_bound_to_the_bytes(tmp_path: Path, photo: Path) -> None:
    assert missing([photo, photo], tmp_path) == [str(photo)]
    record = ask_consent(photo, tmp_path, answers("y", "Ann Lee", "course videos"))
    assert (record.who, record.purpose, record.portrait_sha256) == ("Ann Lee", "course videos", portrait_hash(photo))
    assert record.when.endswith("+00:00")
    assert missing([photo], tmp_path) == []
    other = tmp_path / "other.png"
    other.write_bytes(photo.read_bytes() + b"x")
    assert missing([photo, other], tmp_path) == [str(other)]
    ask_consent(other, tmp_path, answers("YES", "Bo", "ads"))
    assert {consent.who for consent in read_consents(tmp_path / FILE_NAME).values()} == {"Ann Lee", "Bo"}
    assert sorted(os.listdir(tmp_path)) == [FILE_NAME, "other.png", "p.png"]


@pytest.mark.parametrize(
    ("lines", "words"),
    [(("n",), "without the consent"), (("",), "without the consent"), (("y", "Ann", ""), "who agreed"), (("y",), "not answered")],
)
def test_no_answer_no_record(tmp_path: Path, photo: Path, lines: tuple[str, ...], words: str) -> None:
    with pytest.raises(ConsentError, match=words):
        ask_consent(photo, tmp_path, answers(*lines))
    assert os.listdir(tmp_path) == ["p.png"]


def test_the_demo_portrait_needs_none(tmp_path: Path) -> None:
    assert missing([DEMO], tmp_path) == []


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"consents": 3}', '{"consents": [{"who": "x"}]}', "\udcff", "[" * 100_000])
def test_what_is_no_file_of_consents(tmp_path: Path, text: str) -> None:
    (tmp_path / "c.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ConsentError, match="no file of consents"):
        read_consents(tmp_path / "c.json")
    with pytest.raises(ConsentError, match="cannot read"):
        read_consents(tmp_path / "none.json")


def record_for(photo: Path, who: str = "Ann") -> str:
    entry = {"portrait_sha256": portrait_hash(photo), "who": who, "purpose": "tests", "when": "2026-01-01T00:00:00+00:00"}
    return json.dumps({"consents": [entry]})


def test_a_record_must_say_who(tmp_path: Path, photo: Path) -> None:
    (tmp_path / "c.json").write_text(record_for(photo, " "))
    with pytest.raises(ConsentError, match="does not say who"):
        read_consents(tmp_path / "c.json")


def test_the_command_requires_what_a_file_should_hold(tmp_path: Path, photo: Path, make_sound: Sound) -> None:
    make_sound("s.wav", clicks(16_000), 16_000)
    (tmp_path / "c.json").write_text('{"consents": []}')
    done = run("dub", photo, "s.wav", "-o", "o.mp4", "--crop", "--consent", "c.json", folder=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1) and "holds no consent" in done.stderr
    (tmp_path / "jobs.csv").write_text("photo,audio,output\np.png,s.wav,b.mp4\n")
    done = run("dub", "--manifest", "jobs.csv", "--consent", "c.json", folder=tmp_path)
    assert done.returncode == 1 and "row 2: c.json holds no consent" in done.stderr
    (tmp_path / "c.json").write_text(record_for(photo))
    done = run("dub", photo, "s.wav", "-o", "o.mp4", "--crop", "--consent", "c.json", folder=tmp_path)
    assert done.returncode == 0 and "no record says" not in done.stderr


def test_a_terminal_is_asked_and_a_pipe_is_told(tmp_path: Path, photo: Path, make_sound: Sound) -> None:
    make_sound("s.wav", clicks(16_000), 16_000)
    line = ("dub", photo, "s.wav", "-o", "o.mp4", "--crop")
    done = run(*line, folder=tmp_path)
    assert done.returncode == 0 and "no record says that the person in p.png agrees" in done.stderr
    assert not (tmp_path / FILE_NAME).exists()
    master, terminal = pty.openpty()
    try:
        os.write(master, b"y\nAnn Lee\ntests\n")
        done_code = subprocess.run(
            command(*line), cwd=tmp_path, stdin=terminal, stdout=subprocess.DEVNULL, stderr=terminal, timeout=120, check=False
        ).returncode
    finally:
        os.close(terminal)
        os.close(master)
    assert done_code == 0
    assert [consent.who for consent in read_consents(tmp_path / FILE_NAME).values()] == ["Ann Lee"]
    assert "no record" not in run(*line, folder=tmp_path).stderr
