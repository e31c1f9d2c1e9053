"""Proof of origin: what a fresh video says of itself, what is told of a changed one, certificates, and what is off."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import av
import numpy as np
import pytest
from sounds import Sound, clicks

from talkinghead.errors import ProvenanceError
from talkinghead.offline import provenance
from talkinghead.offline.dub import dub
from talkinghead.offline.provenance import MISSING, SELF_MADE, Marks, read_origin
from talkinghead.offline.verify import verify

pytestmark = pytest.mark.usefixtures("fake_avatar")


@pytest.fixture
def sound(make_sound: Sound) -> Path:
    return make_sound("s.wav", clicks(16_000), 16_000)


@pytest.fixture
def library() -> None:
    pytest.importorskip("c2pa")


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("name", ["out.mp4", "out.mov"])
def test_a_fresh_video_tells_where_it_comes_from(tmp_path: Path, photo: Path, sound: Path, name: str) -> None:
    result = dub(photo, sound, tmp_path / name, full=False)
    assert SELF_MADE in result.notes
    verdict = verify(tmp_path / name)
    assert verdict.marked and verdict.watermark.marked
    origin = verdict.origin
    assert origin is not None and origin.generator.startswith("talkinghead ") and origin.synthetic
    assert origin.intact and not origin.trusted and "self-made" in origin.signer
    assert origin.weights == provenance.weight_hashes() and len(origin.weights) > 5
    assert any("unchanged" in line for line in verdict.lines())
    json.dumps(verdict.as_json())
    with av.open(str(tmp_path / name)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 80
    assert {path.name for path in tmp_path.iterdir()} == {name, "photo.png", "s.wav"}


@pytest.mark.usefixtures("library")
def test_a_changed_video_is_told(tmp_path: Path, photo: Path, sound: Path) -> None:
    path = tmp_path / "out.mp4"
    dub(photo, sound, path, full=False)
    data = bytearray(path.read_bytes())
    at = data.index(b"mdat") + 2000
    data[at] ^= 1
    path.write_bytes(data)
    origin = read_origin(path)
    assert origin is not None and not origin.intact
    assert any("CHANGED" in line for line in verify(path).lines())


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("place", [0.1, 0.6, 0.99])
def test_a_change_of_a_large_video_is_told(
    tmp_path: Path, photo: Path, sound: Path, monkeypatch: pytest.MonkeyPatch, place: float
) -> None:
    monkeypatch.setattr(provenance, "_HASHED_WHOLE_BYTES", 0)
    monkeypatch.setattr(provenance, "_BLOCK_KB", 4)
    path = tmp_path / "out.mp4"
    dub(photo, sound, path, full=False)
    origin = read_origin(path)
    assert origin is not None and origin.intact
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat")
    data[start + int(place * (len(data) - start))] ^= 1
    path.write_bytes(data)
    origin = read_origin(path)
    assert origin is not None and not origin.intact


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the kernel does not tell the peak of memory")
@pytest.mark.usefixtures("library")
def test_signing_and_reading_take_little_memory(tmp_path: Path, photo: Path, sound: Path) -> None:
    """A video of 100 MB: its last box is made so long."""
    path = tmp_path / "out.mp4"
    dub(photo, sound, path, full=False, marks=Marks(manifest=False))
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat") - 4
    assert start + int.from_bytes(data[start : start + 4], "big") == len(data)
    data[start : start + 4] = (100_000_000).to_bytes(4, "big")
    path.write_bytes(data)
    os.truncate(path, start + 100_000_000)
    script = f"""
        import sys
        sys.path[:0] = {sys.path!r}
        from pathlib import Path
        from talkinghead.offline.certificate import self_made
        from talkinghead.offline.provenance import manifest, read_origin, sign
        Path("signed.mp4").touch()
        sign(Path("out.mp4"), Path("signed.mp4"), self_made(), manifest("out.mp4"))
        assert read_origin(Path("signed.mp4")).intact
        print(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=240, check=True)
    assert int(done.stdout) < 140_000


def test_after_a_new_encoding_the_watermark_is_left(tmp_path: Path, photo: Path, sound: Path) -> None:
    dub(photo, sound, tmp_path / "out.mp4", full=False)
    with av.open(str(tmp_path / "out.mp4")) as source, av.open(str(tmp_path / "small.mkv"), "w") as target:
        stream = target.add_stream("libx264", rate=40)
        stream.width = stream.height = 256
        stream.pix_fmt, stream.bit_rate = "yuv420p", 300_000
        for frame in source.decode(video=0):
            target.mux(stream.encode(frame.reformat(256, 256, "yuv420p")))
        target.mux(stream.encode(None))
    verdict = verify(tmp_path / "small.mkv")
    assert verdict.marked and verdict.origin is None


def test_off_only_when_asked_and_logged(
    tmp_path: Path, photo: Path, sound: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "talkinghead.provenance"):
        dub(photo, sound, tmp_path / "marked.mp4", full=False)
        assert caplog.messages == []
        result = dub(photo, sound, tmp_path / "bare.mp4", full=False, marks=Marks(watermark=False, manifest=False))
    assert len(caplog.messages) == 1 and "without watermark and manifest" in caplog.messages[0]
    assert not [note for note in result.notes if "C2PA" in note]
    verdict = verify(tmp_path / "bare.mp4")
    assert not verdict.marked and verdict.origin is None


def test_without_the_library_a_note_says_so(
    tmp_path: Path, photo: Path, sound: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provenance, "find_spec", lambda name: None)
    assert MISSING in dub(photo, sound, tmp_path / "out.mp4", full=False).notes
    verdict = verify(tmp_path / "out.mp4")
    assert verdict.watermark.marked and verdict.origin is None and "provenance" in verdict.notes[0]
    with pytest.raises(ProvenanceError, match="c2pa-python"):
        dub(photo, sound, tmp_path / "b.mp4", marks=Marks(certificate="c.pem", key="k.pem"))


@pytest.mark.usefixtures("library")
def test_matroska_is_told_to_carry_none(tmp_path: Path, photo: Path, sound: Path) -> None:
    assert any(".mkv files cannot" in note for note in dub(photo, sound, tmp_path / "out.mkv", full=False).notes)


@pytest.mark.usefixtures("library")
def test_a_certificate_of_ones_own(tmp_path: Path, photo: Path, sound: Path) -> None:
    from talkinghead.offline.certificate import self_made

    mine, other = self_made(), self_made()
    for name, data in (("c.pem", mine.chain), ("k.pem", mine.key), ("other.pem", other.key), ("bad.pem", b"nothing")):
        (tmp_path / name).write_bytes(data)

    def make(certificate: str, key: str) -> tuple[str, ...]:
        marks = Marks(certificate=str(tmp_path / certificate), key=str(tmp_path / key))
        return dub(photo, sound, tmp_path / "out.mp4", full=False, marks=marks).notes

    assert SELF_MADE not in make("c.pem", "k.pem")
    assert (origin := read_origin(tmp_path / "out.mp4")) is not None and origin.intact
    for certificate, key, words in (
        ("bad.pem", "k.pem", "no PEM certificate"),
        ("c.pem", "bad.pem", "no PEM key"),
        ("c.pem", "other.pem", "is not the key of"),
        ("none.pem", "k.pem", "no PEM certificate"),
    ):
        with pytest.raises(ProvenanceError, match=words):
            make(certificate, key)
    with pytest.raises(ProvenanceError, match="needs its key"):
        Marks(certificate="c.pem")


def test_what_verify_cannot_look_at(tmp_path: Path, sound: Path) -> None:
    (tmp_path / "text.mp4").write_text("I am a letter")
    for path, words in ((tmp_path / "none.mp4", "no such"), (tmp_path / "text.mp4", "not a picture"), (sound, "no picture")):
        with pytest.raises(ProvenanceError, match=words):
            verify(path)


def test_a_photo_is_looked_at_too(tmp_path: Path) -> None:
    photo = Path(__file__).parent.parent.parent / "examples" / "data" / "portrait.jpg"
    assert not verify(photo).marked
    assert np.isfinite(verify(photo).watermark.score)
