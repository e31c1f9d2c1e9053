"""dub from end to end, with a stand-in for the engine: order of checks, sync, lengths, rates, leftovers."""

import os
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from fake_avatar import Avatar, Controls, Frame
from sounds import CLICKS_S, Sound, click_times, clicks, decoded

from talkinghead.errors import OutputError, PortraitError, SpeechError
from talkinghead.offline.dub import DubResult, dub

pytestmark = pytest.mark.usefixtures("fake_avatar")


def flashes(path: Path) -> list[float]:
    """Starts of the bright stretches, seconds."""
    with av.open(str(path)) as container:
        seen = [(frame.time, frame.to_ndarray(format="gray").mean() > 128) for frame in container.decode(video=0)]
    return [now[0] for before, now in zip(seen, seen[1:], strict=False) if now[1] and not before[1]]


@pytest.mark.parametrize(
    ("name", "rate_hz", "channels", "codec"),
    [
        ("s.wav", 8_000, 1, "pcm_s16le"),
        ("s.wav", 44_100, 2, "pcm_s16le"),
        ("s.mp3", 48_000, 2, "libmp3lame"),
        ("s.mkv", 48_000, 2, "aac"),
    ],
)
def test_picture_follows_sound(
    tmp_path: Path, photo: Path, make_sound: Sound, name: str, rate_hz: int, channels: int, codec: str
) -> None:
    half_a_frame = rate_hz // 80  # each beep falls into the middle of one frame
    pcm = np.roll(clicks(rate_hz, channels), half_a_frame, axis=1)
    sound = make_sound(name, pcm, rate_hz, codec, start_s=3.0 if codec == "aac" else 0.0)
    result = dub(photo, sound, tmp_path / "out.mp4", full=False)
    beeps = click_times(decoded(tmp_path / "out.mp4", 48_000), 48_000)
    assert np.allclose(np.subtract(beeps, half_a_frame / rate_hz), CLICKS_S, atol=2e-3)
    assert np.allclose(flashes(tmp_path / "out.mp4"), CLICKS_S, atol=1e-3)
    assert abs(result.seconds - 2.0) <= 1 / 40
    assert result.frames == round(result.seconds * 40)


@pytest.mark.parametrize("fps", [1, 12, 24, 25, 30, 50, 60])
def test_other_rates_keep_length_and_sync(tmp_path: Path, photo: Path, make_sound: Sound, fps: int) -> None:
    result = dub(photo, make_sound("s.wav", clicks(48_000, length_s=3.1)), tmp_path / "out.mp4", full=False, fps=fps)
    assert abs(result.seconds - 3.1) <= 1 / fps
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.video[0].average_rate == fps
    if fps >= 40:  # a flash lasts one drawn frame; slower rates may rightly miss it
        assert np.abs(np.subtract(flashes(tmp_path / "out.mp4"), CLICKS_S)).max() <= 1 / 40 + 1 / fps


def test_result_and_progress(tmp_path: Path, photo: Path, make_sound: Sound) -> None:
    seen: list[tuple[int, int | None]] = []
    output = tmp_path / "out.mp4"
    result = dub(photo, make_sound("s.wav", clicks(48_000)), output, seed=5, progress=lambda *p: seen.append(p))
    assert isinstance(result, DubResult)
    assert (result.output, result.frames, result.fps, result.seconds) == (str(output), 80, 40, 2.0)
    assert (result.width, result.height, result.seed, result.device) == (100, 74, 5, "cpu")
    assert result.render_fps > 0
    assert result.realtime_factor > 0
    assert "2 faces" in result.notes[0]
    assert seen == [(k, 80) for k in range(1, 81)]


def test_options_reach_the_engine(tmp_path: Path, photo: Path, make_sound: Sound) -> None:
    sound, controls = make_sound("s.wav", clicks(48_000)), Controls(gaze=(5, -2))
    output = tmp_path / "o.mp4"
    result = dub(photo, sound, output, controls=controls, full=False, size=256, seed=9, threads=1)  # type: ignore[arg-type]
    assert Avatar.calls == [{"full": False, "rate": 16_000, "seed": 9, "controls": controls, "threads": 1}]
    assert (result.width, result.height) == (256, 256)


def test_the_other_party_is_listened_to_and_not_in_the_sound(tmp_path: Path, photo: Path, make_sound: Sound) -> None:
    sound, other = make_sound("s.wav", clicks(48_000)), make_sound("o.wav", clicks(48_000))
    result = dub(photo, sound, tmp_path / "o.mp4", other=other)
    assert Avatar.calls[-1]["other_s"] == pytest.approx(2.0, abs=0.01)
    assert result.seconds == pytest.approx(2.0, abs=0.05)
    with pytest.raises(SpeechError, match="no such sound"):
        dub(photo, sound, tmp_path / "p.mp4", other=tmp_path / "none.wav")
    with pytest.raises(OutputError, match="replace its own source"):
        dub(photo, sound, make_sound("q.mp4", clicks(48_000), codec="aac"), other=tmp_path / "q.mp4")


@pytest.mark.parametrize("wrong", [{"fps": 0}, {"fps": 61}, {"size": 127}, {"size": 126}, {"size": 2048}])
def test_arguments_out_of_range(tmp_path: Path, wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be"):
        dub("none.png", "none.wav", tmp_path / "out.mp4", **wrong)  # type: ignore[arg-type]


def test_output_is_checked_first_then_photo_then_sound(tmp_path: Path, photo: Path) -> None:
    with pytest.raises(OutputError, match="does not exist"):
        dub(tmp_path / "none.png", tmp_path / "none.wav", tmp_path / "none" / "out.mp4")
    with pytest.raises(PortraitError, match="no such photo"):
        dub(tmp_path / "none.png", tmp_path / "none.wav", tmp_path / "out.mp4")
    with pytest.raises(SpeechError, match="no such sound"):
        dub(photo, tmp_path / "none.wav", tmp_path / "out.mp4")
    assert os.listdir(tmp_path) == [photo.name]


def test_a_source_is_never_overwritten(tmp_path: Path, photo: Path, make_sound: Sound) -> None:
    sound = make_sound("s.mp4", clicks(48_000), codec="aac")
    with pytest.raises(OutputError, match="replace its own source"):
        dub(photo, sound, tmp_path / "." / "s.mp4")


@pytest.mark.parametrize("trouble", [KeyboardInterrupt, PortraitError, MemoryError])
def test_nothing_is_left_after_trouble(
    tmp_path: Path, photo: Path, make_sound: Sound, monkeypatch: pytest.MonkeyPatch, trouble: type[BaseException]
) -> None:
    def render(self: Avatar, audio: Iterator[np.ndarray], **_: object) -> Iterator[Frame]:
        for _ in range(30):
            yield Frame(np.zeros((64, 64, 3), np.uint8), 0.0, next(iter(audio)))
        raise trouble("while drawing")

    monkeypatch.setattr(Avatar, "render", render)
    sound = make_sound("s.wav", clicks(48_000, length_s=9))
    with pytest.raises(trouble):
        dub(photo, sound, tmp_path / "out.mp4")
    assert sorted(os.listdir(tmp_path)) == ["photo.png", "s.wav"]


def test_sound_is_read_as_it_is_drawn(tmp_path: Path, photo: Path, make_sound: Sound) -> None:
    """Memory stays bounded: when the first picture is done, most of a long file has not been decoded for drawing."""
    from talkinghead.speech.source import SpeechFile

    ahead: list[float] = []
    heard = 0
    original = SpeechFile.blocks

    def blocks(self: SpeechFile) -> Iterator[np.ndarray]:
        nonlocal heard
        for block in original(self):
            heard += len(block)
            yield block

    sound = make_sound("s.wav", np.tile(clicks(16_000), (1, 10)), 16_000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SpeechFile, "blocks", blocks)
        dub(photo, sound, tmp_path / "o.mp4", progress=lambda done, _: ahead.append(heard / 16_000 - done / 40))
    assert max(ahead) < 0.2
