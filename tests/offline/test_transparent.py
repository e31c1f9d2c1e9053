"""Pictures with transparency: WebM and PNG sequences, whole or not there at all, in sync, with the matte in them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from shipped import needs_networks
from sounds import CLICKS_S, Sound, babble, click_times, clicks, decoded

from talkinghead.errors import OutputError
from talkinghead.motion.controls import Controls
from talkinghead.offline.dub import dub
from talkinghead.offline.output import check_output
from talkinghead.offline.provenance import Marks
from talkinghead.offline.subtitles import read_subtitles
from talkinghead.offline.target import PartFolder, sweep
from talkinghead.offline.verify import verify
from talkinghead.offline.watermark import Watermarker

BARE = Marks(watermark=False, manifest=False)
SRT = "1\n00:00:00,500 --> 00:00:01,000\nHello\n\n2\n00:00:01,250 --> 00:00:01,750\nWorld & more\n"


def rgba(path: Path) -> list[np.ndarray]:
    """Pictures (h, w, 4) of a WebM; FFmpeg's own VP9 decoder knows no transparency."""
    decoder, out = av.CodecContext.create("libvpx-vp9", "r"), []
    with av.open(str(path)) as container:
        for packet in container.demux(container.streams.video[0]):
            if packet.size:
                out += [(frame.format.name, frame.to_ndarray(format="rgba")) for frame in decoder.decode(packet)]
    assert {name for name, _ in out} == {"yuva420p"}
    return [picture for _, picture in out]


def beeps(path: Path) -> list[float]:
    return click_times(decoded(path, 48_000), 48_000)


@pytest.fixture
def sound(make_sound: Sound) -> Path:
    return make_sound("s.wav", clicks(44_100, 2), 44_100)


@pytest.mark.usefixtures("fake_avatar")
class TestDub:
    def test_webm_has_the_matte_colours_and_sound(self, tmp_path: Path, photo: Path, sound: Path) -> None:
        result = dub(photo, sound, tmp_path / "o.webm", full=False, size=128, alpha=True, marks=BARE)
        pictures = rgba(tmp_path / "o.webm")
        assert (result.frames, len(pictures), pictures[0].shape) == (80, 80, (128, 128, 4))
        for picture in pictures[::20]:
            assert picture[64, 64, 3] > 250 and picture[:8, :8, 3].max() < 5
            assert np.abs(picture[40:90, 40:90, :3].astype(int) - picture[64, 64, :3]).max() < 12
        bright = [k / 40 for k, picture in enumerate(pictures) if picture[64, 64, 0] > 200]
        assert set(bright) >= set(CLICKS_S)
        assert np.allclose(beeps(tmp_path / "o.webm"), CLICKS_S, atol=2e-3)
        with av.open(str(tmp_path / "o.webm")) as container:
            video, audio = container.streams.video[0], container.streams.audio[0]
            assert (video.metadata["ALPHA_MODE"], audio.codec_context.name) == ("1", "opus")
        assert sorted(os.listdir(tmp_path)) == ["o.webm", "photo.png", "s.wav"]

    def test_webm_without_alpha_is_plain_vp9(self, tmp_path: Path, photo: Path, sound: Path) -> None:
        dub(photo, sound, tmp_path / "o.webm", full=False, size=128, marks=BARE)
        with av.open(str(tmp_path / "o.webm")) as container:
            video = container.streams.video[0]
            assert "ALPHA_MODE" not in video.metadata
            levels = [frame.to_ndarray(format="rgb24").mean() for frame in container.decode(video)]
        assert len(levels) == 80 and abs(min(levels) - 20) < 4 and abs(max(levels) - 250) < 4

    @pytest.mark.parametrize("name", ["frames", "frames/%05d.png"])
    def test_pictures_with_their_sound(self, tmp_path: Path, photo: Path, sound: Path, name: str) -> None:
        (tmp_path / "s.srt").write_text(SRT)
        subtitles = tmp_path / "s.srt"
        result = dub(photo, sound, tmp_path / name, full=False, fps=25, alpha=True, subtitles=subtitles, marks=BARE)
        assert (result.frames, result.seconds, result.notes[1:]) == (50, 2.0, ())
        folder = tmp_path / "frames"
        names = [f"{k:05}.png" for k in range(1, 51)]
        assert sorted(os.listdir(folder)) == [*names, "sound.wav", "subtitles.srt"]
        picture = cv2.imread(str(folder / "00013.png"), cv2.IMREAD_UNCHANGED)
        assert picture.shape == (512, 512, 4)
        assert picture[256, 256].tolist() in ([20, 20, 20, 255], [250, 250, 250, 255]) and picture[0, 0, 3] == 0
        assert np.allclose(beeps(folder / "sound.wav"), CLICKS_S, atol=1e-3)
        assert abs(len(decoded(folder / "sound.wav", 44_100)) - 88_200) < 2
        assert [line.text for line in read_subtitles(folder / "subtitles.srt")] == ["Hello", "World & more"]
        assert read_subtitles(folder / "subtitles.srt") == read_subtitles(subtitles)

    def test_subtitles_in_webm(self, tmp_path: Path, photo: Path, sound: Path) -> None:
        (tmp_path / "s.srt").write_text(SRT)
        dub(photo, sound, tmp_path / "o.webm", full=False, size=128, alpha=True, subtitles=tmp_path / "s.srt", marks=BARE)
        found = read_subtitles(tmp_path / "o.webm")
        assert [(line.text, line.start_ms) for line in found] == [("Hello", 500), ("World & more", 1250)]

    def test_a_pattern_without_alpha(self, tmp_path: Path, photo: Path, sound: Path) -> None:
        dub(photo, sound, tmp_path / "p" / "a%d.png", full=False, fps=1, marks=BARE)
        assert sorted(os.listdir(tmp_path / "p")) == ["a1.png", "a2.png", "sound.wav"]
        assert cv2.imread(str(tmp_path / "p" / "a1.png"), cv2.IMREAD_UNCHANGED).shape == (512, 512, 3)

    def test_an_earlier_sequence_is_replaced_whole(self, tmp_path: Path, photo: Path, sound: Path) -> None:
        for fps, count in ((10, 20), (5, 10)):
            dub(photo, sound, tmp_path / "f", full=False, fps=fps, alpha=True, marks=BARE)
            assert len(os.listdir(tmp_path / "f")) == count + 1
        assert sorted(os.listdir(tmp_path)) == ["f", "photo.png", "s.wav"]
        with pytest.raises(OutputError, match="replace its own source"):
            dub(photo, tmp_path / "f" / "sound.wav", tmp_path / "f", alpha=True)

    @pytest.mark.parametrize("name", ["f", "o.webm"])
    @pytest.mark.parametrize("trouble", [KeyboardInterrupt, MemoryError])
    def test_trouble_leaves_what_was_there(
        self, tmp_path: Path, photo: Path, sound: Path, name: str, trouble: type[BaseException]
    ) -> None:
        def progress(done: int, total: int | None) -> None:
            if done == 30:
                raise trouble

        dub(photo, sound, tmp_path / name, full=False, fps=5, alpha=True, marks=BARE)
        target = tmp_path / name
        before = sorted(os.listdir(target)) if target.is_dir() else target.read_bytes()
        with pytest.raises(trouble):
            dub(photo, sound, target, full=False, alpha=True, marks=BARE, progress=progress)
        assert before == (sorted(os.listdir(target)) if target.is_dir() else target.read_bytes())
        assert sorted(os.listdir(tmp_path)) == sorted([name, "photo.png", "s.wav"])

    def test_a_full_disk_is_told(
        self, tmp_path: Path, photo: Path, sound: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(self: Path, data: bytes) -> int:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(Path, "write_bytes", full)
        with pytest.raises(OutputError, match="no space left"):
            dub(photo, sound, tmp_path / "f", full=False, alpha=True, marks=BARE)
        assert not (tmp_path / "f").exists()

    @pytest.mark.parametrize(("name", "kind"), [("o.webm", r"\.webm files"), ("f", "PNG sequences")])
    def test_what_cannot_carry_a_manifest_says_so(
        self, tmp_path: Path, photo: Path, sound: Path, name: str, kind: str
    ) -> None:
        pytest.importorskip("c2pa")
        result = dub(photo, sound, tmp_path / name, full=False, fps=5, alpha=True)
        assert len([note for note in result.notes if "cannot carry a C2PA manifest" in note]) == 1
        assert result.notes[-1].startswith(kind.replace("\\", ""))


@needs_networks
def test_the_demo_over_another_ground(tmp_path: Path, make_sound: Sound) -> None:
    photo = Path(__file__).parents[2] / "examples" / "data" / "portrait.jpg"
    sound = make_sound("s.wav", babble(1.5)[None], 16_000)
    result = dub(photo, sound, tmp_path / "o.webm", alpha=True, fps=10, seed=3, controls=Controls(pose_scale=2.0))
    assert not [note for note in result.notes if "told apart" in note]
    alpha = np.stack([picture[..., 3] for picture in rgba(tmp_path / "o.webm")]).astype(int)
    assert alpha.shape == (15, 512, 512)
    assert alpha[:, 60:140, 205:245].min() > 250  # face
    assert alpha[:, :40, 300:].max() < 5  # the clear wall's corner
    assert np.abs(alpha[1:] - alpha[:1])[:, 10:150, 140:310].max(axis=(1, 2)).max() > 200  # the hair's edge moves
    assert verify(tmp_path / "o.webm").watermark.marked


def test_the_mark_is_in_what_is_seen(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    colours = cv2.GaussianBlur(rng.integers(60, 200, (512, 512, 3), np.uint8), (0, 0), 3)
    alpha = np.zeros((512, 512), np.uint8)
    cv2.circle(alpha, (256, 256), 200, 255, -1)
    marked = Watermarker().mark(np.dstack((colours, alpha)))
    assert np.array_equal(marked[..., 3], alpha)
    assert np.array_equal(marked[alpha == 0][:, :3], colours[alpha == 0])
    over = np.where(alpha[..., None] > 0, marked[..., :3], np.uint8(128))
    cv2.imwrite(str(tmp_path / "over.png"), over[..., ::-1])
    assert verify(tmp_path / "over.png").watermark.marked


@pytest.mark.parametrize(
    ("name", "alpha", "words"),
    [
        ("o.mp4", True, "no transparency: with alpha name the output .*o.webm, or a folder"),
        ("o.gif", True, "must end in"),
        ("o.png", True, "name of one picture"),
        ("o.png", False, "name of one picture"),
        ("full", True, r"holds other files \(letter.txt\)"),
        ("full/%05d.png", False, "holds other files"),
        ("letter", True, "is a file"),
        ("none/f", True, "does not exist"),
        ("none/f/%05d.png", True, "does not exist"),
        ("full", False, "must end in|is a folder"),
        ("x" * 300, True, "File name too long"),
        ("o%s.png", True, "name of one picture"),
    ],
)
def test_names_that_are_refused(tmp_path: Path, name: str, alpha: bool, words: str) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").touch()
    (tmp_path / "letter").touch()
    with pytest.raises(OutputError, match=words):
        check_output(tmp_path / name, alpha)


def test_pictures_of_other_names_are_foreign(tmp_path: Path) -> None:
    (tmp_path / "f").mkdir()
    for name in ("00001.png", "123456.png", "sound.wav"):
        (tmp_path / "f" / name).touch()
    assert check_output(tmp_path / "f", True).path == tmp_path / "f"
    for pattern in ("%d.jpg.png", "a%05d.png", "%06d.png"):
        with pytest.raises(OutputError, match="other files"):
            check_output(tmp_path / "f" / pattern)


@pytest.fixture
def left(tmp_path: Path) -> Iterator[Path]:
    """What a killed process leaves: a hidden folder that nobody holds."""
    part = PartFolder(tmp_path / "f")
    (part.path / "00001.png").touch()
    part._close()
    yield part.path


def test_hidden_folders_are_swept_but_not_those_in_use(tmp_path: Path, left: Path) -> None:
    used = PartFolder(tmp_path / "f")
    assert sweep(tmp_path, [tmp_path / "g"]) == []
    assert sweep(tmp_path, [tmp_path / "f"]) == [left]
    assert used.path.is_dir() and not left.exists()
    used.discard()
    assert os.listdir(tmp_path) == []
