"""A video is whole, in sync and in place, or it is not there at all."""

import errno
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from sounds import CLICKS_S, click_times, clicks, decoded

from talkinghead.errors import OutputError, SpeechError
from talkinghead.offline.target import PartFile, check_target
from talkinghead.offline.writer import Mp4Writer

RATE_HZ = 44_100
FPS = 40


def blocks(pcm: np.ndarray, size: int = 777) -> Iterator[np.ndarray]:
    yield from (pcm[:, at : at + size] for at in range(0, pcm.shape[1], size))


def pictures(count: int, width: int = 64, height: int = 48) -> Iterator[np.ndarray]:
    """Dark pictures that flash with the beeps."""
    for k in range(count):
        yield np.full((height, width, 3), 250 if any(abs(k / FPS - at) < 1e-6 for at in CLICKS_S) else 20, np.uint8)


def write(path: Path, frames: Iterator[np.ndarray], pcm: np.ndarray, width: int = 64, height: int = 48) -> None:
    sound = {"sound": blocks(pcm), "sound_rate_hz": RATE_HZ, "sound_channels": len(pcm)}
    with Mp4Writer(path, width, height, fps=FPS, **sound) as out:
        for frame in frames:
            out.write(frame)


def shown(path: Path) -> list[tuple[float, np.ndarray]]:
    with av.open(str(path)) as container:
        return [(frame.time, frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize("channels", [1, 2])
def test_flashes_and_beeps_line_up(tmp_path: Path, suffix: str, channels: int) -> None:
    path = tmp_path / f"a{suffix}"
    write(path, pictures(2 * FPS), clicks(RATE_HZ, channels))
    flashes = [time_s for time_s, image in shown(path) if image.mean() > 200]
    assert np.allclose(flashes, CLICKS_S, atol=1e-3)
    assert np.allclose(click_times(decoded(path, RATE_HZ), RATE_HZ), CLICKS_S, atol=1e-3)
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("length_s", [1.8, 2.0, 2.2])
def test_sound_is_padded_or_cut_to_the_pictures(tmp_path: Path, length_s: float) -> None:
    write(tmp_path / "a.mp4", pictures(2 * FPS), clicks(RATE_HZ, length_s=length_s))
    with av.open(str(tmp_path / "a.mp4")) as container:
        video, sound = container.streams.video[0], container.streams.audio[0]
        assert float(video.duration * video.time_base) == 2.0
        assert abs(float(sound.duration * sound.time_base) - 2.0) < 1 / FPS
        assert video.start_time == sound.start_time == 0
        assert (video.codec_context.name, video.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert (video.average_rate, video.frames) == (FPS, 2 * FPS)
        assert (sound.codec_context.name, sound.codec_context.sample_rate) == ("aac", RATE_HZ)


def test_faststart(tmp_path: Path) -> None:
    write(tmp_path / "a.mp4", pictures(FPS), clicks(RATE_HZ))
    data = (tmp_path / "a.mp4").read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")


@pytest.mark.parametrize("colour", [(200, 60, 30), (30, 160, 70), (20, 40, 180), (128, 128, 128), (235, 200, 180)])
def test_colours_come_back(tmp_path: Path, colour: tuple[int, int, int]) -> None:
    path = tmp_path / "a.mp4"
    write(path, iter([np.full((48, 64, 3), colour, np.uint8)] * 4), clicks(RATE_HZ))
    assert np.abs(shown(path)[2][1].mean(axis=(0, 1)) - colour).max() < 4
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        assert (context.colorspace, context.color_range) == (5, 1)  # BT.601 matrix, limited range
        assert (context.color_primaries, context.color_trc) == (1, 1)


def test_odd_sizes_lose_their_last_row_and_column(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    write(path, pictures(4, 65, 49), clicks(RATE_HZ), 65, 49)
    assert shown(path)[0][1].shape == (48, 64, 3)


def test_pictures_may_be_changed_after_they_were_written(tmp_path: Path) -> None:
    path, image = tmp_path / "a.mp4", np.zeros((48, 64, 3), np.uint8)
    with Mp4Writer(path, 64, 48, sound=blocks(clicks(RATE_HZ)), sound_rate_hz=RATE_HZ, sound_channels=1) as out:
        for k in range(10):
            image[:] = 25 * k
            out.write(image)
    assert np.allclose([image.mean() for _, image in shown(path)], np.arange(10) * 25, atol=4)


def test_an_existing_target_is_replaced_only_by_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_text("old")

    def broken() -> Iterator[np.ndarray]:
        yield from pictures(30)
        assert path.read_text() == "old"
        assert len(list(tmp_path.glob(".a.*.part.mp4"))) == 1
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(path, broken(), clicks(RATE_HZ))
    assert (path.read_text(), os.listdir(tmp_path)) == ("old", ["a.mp4"])
    write(path, pictures(10), clicks(RATE_HZ))
    assert len(shown(path)) == 10


def test_no_picture_at_all(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no picture"):
        write(tmp_path / "a.mp4", iter(()), clicks(RATE_HZ))
    assert os.listdir(tmp_path) == []


def test_pictures_of_another_size_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected"):
        write(tmp_path / "a.mp4", pictures(3, 32, 32), clicks(RATE_HZ))
    assert os.listdir(tmp_path) == []


def test_trouble_with_the_sound_reaches_the_caller(tmp_path: Path) -> None:
    def broken() -> Iterator[np.ndarray]:
        yield np.zeros((1, 100), np.float32)
        raise SpeechError("the file went away")

    with (
        pytest.raises(SpeechError, match="went away"),
        Mp4Writer(tmp_path / "a.mp4", 64, 48, sound=broken(), sound_rate_hz=RATE_HZ, sound_channels=1) as out,
    ):
        for image in pictures(500):
            out.write(image)
    assert os.listdir(tmp_path) == []


def test_disk_full_while_encoding(tmp_path: Path) -> None:
    """A file size limit makes every write fail for real, as a full disk does."""
    script = f"""
        import resource, sys
        sys.path[:0] = {sys.path!r}
        import numpy as np
        from talkinghead.errors import OutputError
        from talkinghead.offline.writer import Mp4Writer
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        noise = np.random.default_rng(0).integers(0, 256, (40, 256, 256, 3), dtype=np.uint8)
        sound = iter([np.zeros((1, 480_000), np.float32)])
        try:
            with Mp4Writer("a.mp4", 256, 256, sound=sound, sound_rate_hz=48_000, sound_channels=1) as out:
                for k in range(400):
                    out.write(noise[k % 40])
        except OutputError as error:
            print(error)
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=True)
    assert "no space left to write" in done.stdout
    assert (done.stdout.count("\n"), done.stderr, os.listdir(tmp_path)) == (1, "", [])


def test_disk_full_at_the_very_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="no space left"):
        write(tmp_path / "a.mp4", pictures(10), clicks(RATE_HZ))
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_disk_full_on_a_tiny_disk(tmp_path: Path) -> None:
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", tmp_path], capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        noise = np.random.default_rng(0).integers(0, 256, (50, 48, 64, 3), dtype=np.uint8)
        with pytest.raises(OutputError, match="no space left"):
            write(tmp_path / "a.mp4", iter(noise), clicks(RATE_HZ))
        assert os.listdir(tmp_path) == []
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def test_target_checks(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "b.mp4").mkdir()
    os.mkfifo(tmp_path / "pipe.mp4")
    for name, words in {
        "a.avi": "must end in .mp4",
        "none/a.mp4": "does not exist",
        "file/a.mp4": "is not a folder",
        "b.mp4": "is a folder",
        "pipe.mp4": "not a regular file",
    }.items():
        with pytest.raises(OutputError, match=words):
            check_target(tmp_path / name)
    assert check_target(str(tmp_path / "a.MP4")) == tmp_path / "a.MP4"


def test_folder_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(OutputError, match="not writable"):
        check_target(tmp_path / "a.mp4")


def test_links_are_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "a.mp4").symlink_to(tmp_path / "real" / "b.mp4")
    assert check_target(tmp_path / "a.mp4") == tmp_path / "real" / "b.mp4"


def test_part_file_has_ordinary_rights_and_a_name_that_fits(tmp_path: Path) -> None:
    part = PartFile(tmp_path / ("n" * 250 + ".mp4"))
    umask = os.umask(0)
    os.umask(umask)
    assert part.path.stat().st_mode & 0o777 == 0o666 & ~umask
    assert part.path.name.startswith(".n")
    part.discard()
    part.discard()
    assert os.listdir(tmp_path) == []


def test_the_queue_is_bounded(tmp_path: Path) -> None:
    """Memory does not grow where encoding is slower than drawing: `write` waits."""
    out = Mp4Writer(tmp_path / "a.mp4", 64, 48, sound=iter(()), sound_rate_hz=RATE_HZ, sound_channels=1)
    assert 0 < out._queue.maxsize <= FPS
