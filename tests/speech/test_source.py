"""Any sound comes out whole, aligned and streamed; every kind of trouble in one line."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sounds import CLICKS_S, Sound, click_times, clicks

from talkinghead.errors import SpeechError
from talkinghead.speech.source import SpeechFile

FORMATS = [
    ("a.wav", 8_000, 1, "pcm_s16le"),
    ("a.wav", 11_025, 1, "pcm_u8"),
    ("a.wav", 16_000, 1, "pcm_f32le"),
    ("a.wav", 44_100, 2, "pcm_s16le"),
    ("a.wav", 96_000, 2, "pcm_s24le"),
    ("a.flac", 48_000, 2, "flac"),
    ("a.mp3", 44_100, 2, "libmp3lame"),
    ("a.ogg", 48_000, 1, "libopus"),
    ("a.m4a", 44_100, 2, "aac"),
    ("a.webm", 48_000, 2, "libopus"),
]


def heard(speech: SpeechFile) -> np.ndarray:
    return np.concatenate(list(speech.blocks()))


def played(speech: SpeechFile) -> np.ndarray:
    return np.concatenate(list(speech.sound()), axis=1)


def error(path: Path) -> str:
    with pytest.raises(SpeechError) as caught:
        SpeechFile(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


@pytest.mark.parametrize(("name", "rate_hz", "channels", "codec"), FORMATS)
def test_both_streams_are_aligned(make_sound: Sound, name: str, rate_hz: int, channels: int, codec: str) -> None:
    speech = SpeechFile(make_sound(name, clicks(rate_hz, channels), rate_hz, codec))
    mono, sound = heard(speech), played(speech)
    assert speech.rate_hz in (16_000, 44_100, 48_000)
    assert speech.channels == channels == len(sound)
    assert (mono.dtype, sound.dtype) == (np.float32, np.float32)
    assert np.allclose(click_times(mono, 16_000), CLICKS_S, atol=1e-3)
    assert np.allclose(click_times(sound[0], speech.rate_hz), CLICKS_S, atol=1e-3)
    assert sound.shape[1] == round(speech.duration_s * speech.rate_hz)
    assert abs(len(mono) / 16_000 - speech.duration_s) < 1e-3
    assert abs(speech.duration_s - 2.0) < 0.025  # AAC pads its last packet
    assert abs(np.abs(mono).max() - 0.8) < 0.06
    assert speech.notes == ()


def test_blocks_are_100_ms(make_sound: Sound) -> None:
    sizes = [len(block) for block in SpeechFile(make_sound("a.wav", clicks(44_100)[:, :50_000], 44_100)).blocks()]
    assert set(sizes[:-1]) == {1600}
    assert 0 < sizes[-1] <= 1600


def test_iterators_start_over(make_sound: Sound) -> None:
    speech = SpeechFile(make_sound("a.wav", clicks(48_000)))
    assert np.array_equal(heard(speech), heard(speech))


def test_video_as_source(make_sound: Sound) -> None:
    speech = SpeechFile(make_sound("a.mp4", clicks(48_000, 2), codec="aac", with_video=True))
    assert np.allclose(click_times(heard(speech), 16_000), CLICKS_S, atol=1e-3)


def test_a_late_first_time_stamp_does_not_shift(make_sound: Sound) -> None:
    speech = SpeechFile(make_sound("a.mkv", clicks(48_000), start_s=5.0))
    assert abs(speech.duration_s - 2.0) < 2e-3
    assert np.allclose(click_times(heard(speech), 16_000), CLICKS_S, atol=1e-3)


def test_a_gap_becomes_silence_in_both_streams(make_sound: Sound) -> None:
    speech = SpeechFile(make_sound("a.mkv", clicks(48_000), pause=(1.5, 0.7)))
    mono, sound = heard(speech), played(speech)[0]
    assert abs(speech.duration_s - 2.7) < 3e-3
    for pcm, rate_hz in ((mono, 16_000), (sound, 48_000)):
        third = np.argmax(np.abs(pcm[2 * rate_hz :])) / rate_hz + 2
        assert abs(third - (CLICKS_S[2] + 0.7)) < 3e-3


def test_a_broken_clock_is_no_pause(make_sound: Sound) -> None:
    assert abs(SpeechFile(make_sound("a.mkv", clicks(48_000), pause=(1.0, 4000.0))).duration_s - 2.0) < 2e-3


def test_memory_is_bounded(make_sound: Sound, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever takes one block has made no more than a little of the file be decoded."""
    speech = SpeechFile(make_sound("a.wav", np.tile(clicks(16_000), (1, 60)), 16_000))
    taken = 0

    def count(self: SpeechFile) -> Iterator[np.ndarray]:
        nonlocal taken
        for block in original(self):
            taken += block.shape[1]
            yield block

    original = SpeechFile.sound
    monkeypatch.setattr(SpeechFile, "sound", count)
    next(speech.blocks())
    assert taken < 16_000


def test_names_that_look_like_protocols(make_sound: Sound) -> None:
    path = make_sound("a.wav", clicks(48_000))
    odd = path.rename(path.with_name("http:x %20 ü.wav"))
    assert SpeechFile(odd).duration_s == 2.0


def test_playlists_do_not_reach_the_network(tmp_path: Path) -> None:
    (tmp_path / "a.m3u8").write_text("#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/x.ts\n")
    error(tmp_path / "a.m3u8")


def test_no_such_file(tmp_path: Path) -> None:
    assert "no such sound" in error(tmp_path / "nothing.wav")


def test_folder(tmp_path: Path) -> None:
    assert "is a folder" in error(tmp_path)


def test_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.wav")
    assert "not a regular file" in error(tmp_path / "a.wav")


def test_empty_file(tmp_path: Path) -> None:
    (tmp_path / "a.wav").touch()
    assert "is empty" in error(tmp_path / "a.wav")


@pytest.mark.parametrize("content", [b"Dear recording,\nplease be sound.\n", bytes(range(256)) * 50])
def test_not_a_sound(tmp_path: Path, content: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.wav").write_bytes(content)
    assert "export it as WAV" in error(tmp_path / "a.wav")
    assert capfd.readouterr().err == ""


def test_wav_with_a_header_only(make_sound: Sound) -> None:
    path = make_sound("a.wav", clicks(48_000))
    path.write_bytes(path.read_bytes()[:44])
    error(path)


def test_video_without_sound(tmp_path: Path) -> None:
    import av

    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        video = container.add_stream("mpeg4", rate=25)
        video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
        picture = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
        container.mux([*video.encode(picture), *video.encode(None)])
    assert "no sound in it" in error(tmp_path / "a.mp4")


@pytest.mark.parametrize("level", [0.0, 0.0005])
def test_silence(make_sound: Sound, level: float) -> None:
    assert "is silent" in error(make_sound("a.wav", clicks(48_000) * level))


def test_quiet_speech_is_not_silence(make_sound: Sound) -> None:
    assert SpeechFile(make_sound("a.wav", clicks(48_000) * 0.005)).duration_s == 2.0


def test_too_short(make_sound: Sound) -> None:
    assert "less than 0.1 s" in error(make_sound("a.wav", clicks(48_000)[:, :4000] + 0.1))


def test_cut_off_file_is_used_as_far_as_it_goes(make_sound: Sound) -> None:
    path = make_sound("a.mp3", clicks(44_100), 44_100, "libmp3lame")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert 0.7 < SpeechFile(path).duration_s < 1.3


def test_damaged_middle_is_left_out_and_told(make_sound: Sound, capfd: pytest.CaptureFixture[str]) -> None:
    path = make_sound("a.mp3", clicks(44_100), 44_100, "libmp3lame")
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 5000] = np.random.default_rng(1).bytes(5000)
    path.write_bytes(data)
    speech = SpeechFile(path)
    assert 1.0 < speech.duration_s <= 2.01
    assert "damaged" in speech.notes[0]
    assert capfd.readouterr().err == ""


def test_not_a_number_samples_are_silenced(make_sound: Sound) -> None:
    pcm = clicks(48_000)
    pcm[0, 100:200] = np.nan
    assert np.isfinite(heard(SpeechFile(make_sound("a.wav", pcm, codec="pcm_f32le")))).all()


def test_no_permission(make_sound: Sound, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, *_: object) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    path = make_sound("a.wav", clicks(48_000))
    monkeypatch.setattr(Path, "open", refuse)
    assert "no permission" in error(path)
