"""The pipeline: frames and sound travel together, chunking changes nothing, a seed repeats."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from talkinghead import Avatar, PortraitError, SpeechError
from talkinghead.avatar import Frame

DATA = Path(__file__).resolve().parent.parent / "examples" / "data"


@pytest.fixture(scope="module")
def avatar() -> Avatar:
    return Avatar.open(DATA / "portrait.jpg")


@pytest.fixture(scope="module")
def sound() -> np.ndarray:
    """1.03 s of something like vowels between silences, 16 kHz."""
    t = np.arange(16_480) / 16_000
    voice = sum(np.sin(2 * np.pi * 120 * k * t) / k for k in range(1, 25))
    return (0.1 * voice * (np.sin(2 * np.pi * 3 * t) > 0) * (t > 0.3)).astype(np.float32)


def _same(a: list[Frame], b: list[Frame]) -> bool:
    return len(a) == len(b) and all((x.image == y.image).all() for x, y in zip(a, b, strict=True))


def test_frames_follow_the_sound(avatar: Avatar, sound: np.ndarray) -> None:
    frames = list(avatar.render(sound))
    assert len(frames) == 42  # ceil(1.03 s * 40)
    assert [f.pts for f in frames] == pytest.approx([k / 40 for k in range(42)])
    heard = np.concatenate([f.audio for f in frames])
    np.testing.assert_array_equal(heard[: len(sound)], sound)
    assert not heard[len(sound) :].any()
    assert all(f.image.shape == (512, 512, 3) and f.image.dtype == np.uint8 for f in frames)


def test_chunks_do_not_matter_and_seeds_repeat(avatar: Avatar, sound: np.ndarray) -> None:
    whole = list(avatar.render(sound, seed=3))
    rng = np.random.default_rng(0)
    cuts = np.sort(rng.integers(0, len(sound), 9))
    assert _same(whole, list(avatar.render(np.split(sound, cuts), seed=3)))
    assert not _same(whole, list(avatar.render(sound, seed=4)))


def test_another_rate_gives_as_many_frames(avatar: Avatar, sound: np.ndarray) -> None:
    at_48k = np.repeat(sound, 3)
    assert len(list(avatar.render(at_48k, rate=48_000))) == 42


def test_full_frames_leave_the_rest_of_the_photo_alone(avatar: Avatar, sound: np.ndarray) -> None:
    photo = avatar.portrait.image
    frames = list(avatar.render(sound[:4000], full=True))
    assert frames[0].image.shape == photo.shape
    crop = avatar.portrait.crop
    outside = np.ones(photo.shape[:2], bool)
    outside[max(0, int(crop.y)) : int(crop.y + crop.side) + 1, max(0, int(crop.x)) : int(crop.x + crop.side) + 1] = False
    for frame in frames:
        assert (frame.image[outside] == photo[outside]).all()


def test_interrupt_drops_what_waits_and_keeps_the_clock(avatar: Avatar, sound: np.ndarray) -> None:
    session = avatar.session()
    session.push_audio(sound)
    first = next(session.frames())
    session.interrupt()
    assert not list(session.frames())
    session.push_audio(np.zeros(8000, np.float32))
    after = list(session.frames())
    assert after and after[0].pts == pytest.approx(first.pts + 1 / 40)
    assert not np.concatenate([f.audio for f in after]).any()


def test_a_session_takes_no_sound_after_its_end(avatar: Avatar, sound: np.ndarray) -> None:
    session = avatar.session()
    session.push_audio(sound[:2000])
    session.flush()
    assert len(list(session.frames())) == 5
    with pytest.raises(SpeechError, match="ended"):
        session.push_audio(sound)


def test_bad_sound_and_pictures_are_named(avatar: Avatar) -> None:
    with pytest.raises(SpeechError, match="mono"):
        avatar.session().push_audio(np.zeros((2, 100), np.float32))
    with pytest.raises(PortraitError, match="uint8"):
        Avatar.open(np.zeros((64, 64), np.float32))
    with pytest.raises(PortraitError, match="no face"):
        Avatar.open(np.full((300, 300, 3), 200, np.uint8))
