"""The pipeline: frames and sound travel together, chunking changes nothing, a seed repeats. Sessions are tried with stand-ins for
the networks, the whole with the shipped ones."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_engines import FakeMotion, FakeSpeech, opener, scales
from shipped import needs_networks
from sounds import babble

from talkinghead import Avatar, PortraitError, SpeechError
from talkinghead.avatar import _attentive, _motions
from talkinghead.motion.controls import Controls
from talkinghead.motion.denoiser import DYNAMICS
from talkinghead.motion.generator import SETTLE_FRAMES, MotionGenerator
from talkinghead.motion.latent import POSE_SIZE, LatentModel
from talkinghead.motion.style import Style
from talkinghead.render.apart import ApartDecoder
from talkinghead.runtime.weights import model_path
from talkinghead.session import Frame, Session
from talkinghead.speech.activity import voices
from talkinghead.speech.encoder import SpeechEncoder

DATA = Path(__file__).resolve().parent.parent / "examples" / "data"
FRAME = 400
Open = Callable[..., Session]


def vowels(seconds: float, start_s: float = 0.3) -> np.ndarray:
    """Something like vowels between silences, float32 at 16 kHz."""
    t = np.arange(round(seconds * 16_000)) / 16_000
    voice = sum(np.sin(2 * np.pi * 120 * k * t) / k for k in range(1, 25))
    return (0.1 * voice * (np.sin(2 * np.pi * 3 * t) > 0) * (t > start_s)).astype(np.float32)


@pytest.fixture(scope="module")
def sound() -> np.ndarray:
    return vowels(1.03)


class Slate:
    """An avatar that writes the latents into the picture: how far the lips part, then the pose."""

    def __init__(self, latent: LatentModel) -> None:
        self._open = opener(latent)
        self._unit = float(self._open @ self._open)

    def draw(self, z_pose: np.ndarray, z_dyn: np.ndarray) -> np.ndarray:
        return np.array([z_dyn @ self._open / self._unit, *z_pose, *z_dyn], np.float32)


@pytest.fixture(scope="module")
def open_session() -> Open:
    latent = LatentModel.load(model_path("latent", "latent.npz"))
    style = Style.load(model_path("motion", "style.npz"))

    def made(seed: int = 0) -> Session:
        calm = Controls(blink_rate=0.0)
        generator = MotionGenerator(FakeMotion(latent), scales(latent), style, latent, controls=calm, seed=seed)
        avatar: Any = Slate(latent)
        return Session(avatar, SpeechEncoder(FakeSpeech()), generator, None)

    return made


def taken(session: Session, *parts: np.ndarray) -> list[Frame]:
    """All frames of sound in parts, taken as they come."""
    frames = []
    for part in parts:
        session.push_audio(part)
        frames += list(session.frames())
    session.flush()
    return [*frames, *session.frames()]


def lips(frames: list[Frame]) -> np.ndarray:
    return np.array([frame.image[0] for frame in frames])


def _same(a: list[Frame], b: list[Frame]) -> bool:
    return len(a) == len(b) and all((x.image == y.image).all() for x, y in zip(a, b, strict=True))


def test_as_many_frames_as_begin_within_the_sound_each_with_its_own(open_session: Open, sound: np.ndarray) -> None:
    frames = taken(open_session(), sound)
    assert len(frames) == 42  # ceil(1.03 s * 40)
    assert [f.pts for f in frames] == pytest.approx([k / 40 for k in range(42)])
    heard = np.concatenate([f.audio for f in frames])
    np.testing.assert_array_equal(heard[: len(sound)], sound)
    assert not heard[len(sound) :].any()


@pytest.mark.parametrize("samples", [1, 300, 400, 700, 1600])
def test_the_shortest_sounds_give_their_frames(open_session: Open, samples: int) -> None:
    assert len(taken(open_session(), np.full(samples, 0.1, np.float32))) == -(-samples // FRAME)


def test_frames_taken_early_or_late_are_the_same(open_session: Open, sound: np.ndarray) -> None:
    whole = taken(open_session(3), sound)
    cuts = np.sort(np.random.default_rng(0).integers(0, len(sound), 9))
    assert _same(whole, taken(open_session(3), *np.split(sound, cuts)))
    assert not _same(whole, taken(open_session(4), sound))


def test_the_mouth_opens_with_the_sound_of_the_same_frame(open_session: Open) -> None:
    frames = taken(open_session(), vowels(1.5, 0.5))
    opening = lips(frames)
    loud = np.array([np.abs(f.audio).max() > 0.01 for f in frames])
    first = int(np.argmax(loud))
    assert np.abs(opening[: first - 4]).max() < 0.05
    assert opening[first : first + 4].max() > 0.5


def test_interrupt_drops_what_waits_and_keeps_the_clock(open_session: Open, sound: np.ndarray) -> None:
    session = open_session()
    session.push_audio(vowels(3.0))
    stream = session.frames()
    shown = [next(stream) for _ in range(35)]
    session.interrupt()
    assert not list(session.frames())
    session.push_audio(np.zeros(40 * FRAME, np.float32))
    after = list(session.frames())
    assert [f.pts for f in after] == pytest.approx([(35 + k) / 40 for k in range(len(after))])
    assert not np.concatenate([f.audio for f in after]).any()
    course = lips(shown[-1:] + after)
    assert np.abs(course[SETTLE_FRAMES:]).max() < 0.02
    pictures = np.stack([f.image for f in shown[-1:] + after[:10]])[:, 1:]
    step = np.abs(np.diff(pictures, axis=0)).max(1)
    assert step[0] <= 0.3 * np.abs(pictures - pictures[0]).max()


def test_after_an_interruption_sound_and_lips_are_in_step(open_session: Open) -> None:
    session = open_session()
    session.push_audio(vowels(2.0)[: 31 * FRAME + 123])
    list(session.frames())
    session.interrupt()
    session.push_audio(vowels(2.0, 1.0))
    session.flush()
    frames = list(session.frames())
    sound = np.concatenate([f.audio for f in frames])
    begin = int(np.argmax(np.abs(sound) > 0.01)) // FRAME
    assert 40 <= begin <= 50
    np.testing.assert_array_equal(sound[len(sound) - 80 * FRAME :], vowels(2.0, 1.0))
    opening = lips(frames)
    assert np.abs(opening[SETTLE_FRAMES : begin - 4]).max() < 0.05
    assert opening[begin : begin + 4].max() > 0.5


def test_a_session_can_be_interrupted_at_any_time(open_session: Open) -> None:
    session = open_session()
    session.interrupt()
    assert not list(session.frames())
    session.push_audio(vowels(1.0))
    session.interrupt()
    session.interrupt()
    session.push_audio(vowels(1.0))
    session.flush()
    frames = list(session.frames())
    np.testing.assert_array_equal(np.concatenate([f.audio for f in frames])[-40 * FRAME :], vowels(1.0))


def test_a_session_takes_no_sound_after_its_end(open_session: Open, sound: np.ndarray) -> None:
    session = open_session()
    session.push_audio(sound[:2000])
    session.flush()
    assert len(list(session.frames())) == 5
    with pytest.raises(SpeechError, match="ended"):
        session.push_audio(sound)


def test_bad_sound_is_named(open_session: Open) -> None:
    session = open_session()
    with pytest.raises(SpeechError, match="mono"):
        session.push_audio(np.zeros((2, 100), np.float32))
    with pytest.raises(SpeechError, match="4000 to 384000"):
        session.push_audio(np.zeros(100, np.float32), 10)
    session.push_audio(np.zeros(4000, np.float32), 48_000)
    with pytest.raises(SpeechError, match="rate changed"):
        session.push_audio(np.zeros(4000, np.float32), 44_100)


def test_integers_broken_samples_and_other_rates(open_session: Open, sound: np.ndarray) -> None:
    whole = (sound * 32_767).astype(np.int16)
    frames = taken(open_session(), whole)
    np.testing.assert_allclose(np.concatenate([f.audio for f in frames])[: len(sound)], sound, atol=1e-4)
    broken = sound.copy()
    broken[::100] = np.nan
    assert all(np.isfinite(f.image).all() and np.isfinite(f.audio).all() for f in taken(open_session(), broken))
    session = open_session()
    session.push_audio(np.repeat(sound, 3), 48_000)
    session.flush()
    assert len(list(session.frames())) == 42


@pytest.fixture(scope="module")
def avatar() -> Avatar:
    return Avatar.open(DATA / "portrait.jpg")


@needs_networks
def test_frames_follow_the_sound(avatar: Avatar, sound: np.ndarray) -> None:
    frames = list(avatar.render(sound))
    assert len(frames) == 42
    assert all(f.image.shape == (512, 512, 3) and f.image.dtype == np.uint8 for f in frames)


@needs_networks
def test_a_face_listens_to_the_other_party() -> None:
    avatar = Avatar.open(DATA / "portrait.jpg", refine=False)
    quiet = np.zeros(7 * 16_000, np.float32)
    other = np.concatenate([babble(2.0), quiet[:16_000], babble(2.5), quiet[:24_000]])
    seen: list[tuple[list[np.ndarray], list[np.ndarray]]] = []
    for party in (None, other):
        poses: list[np.ndarray] = []
        codes: list[np.ndarray] = []
        session = avatar.session(seed=4)
        heard = iter(()) if party is None else voices([party])
        for motion in _attentive(session, _motions(session, [quiet], 16_000), heard):
            poses.append(motion.z_pose)
            codes.append(motion.z_dyn)
        seen.append((poses, codes))
    down_deg = np.degrees(np.array(seen[1][0])[:, 0] - np.array(seen[0][0])[:, 0])
    assert down_deg.max() > 1.5 and np.abs(down_deg[:75]).max() < 0.5  # it nods, and not before the first pause
    assert len(list(avatar.render(quiet[:16_000], other=other[:16_000], wanted=lambda k: k % 10 == 0))) == 4


@needs_networks
def test_chunks_do_not_matter_and_seeds_repeat(avatar: Avatar, sound: np.ndarray) -> None:
    whole = list(avatar.render(sound, seed=3))
    cuts = np.sort(np.random.default_rng(0).integers(0, len(sound), 9))
    assert _same(whole, list(avatar.render(np.split(sound, cuts), seed=3)))
    assert not _same(whole, list(avatar.render(sound, seed=4)))


@needs_networks
def test_frames_that_are_not_wanted_do_not_come(avatar: Avatar, sound: np.ndarray) -> None:
    whole = list(avatar.render(sound, seed=3))
    some = list(avatar.render(sound, seed=3, wanted=lambda number: number in (0, 7, 30)))
    assert _same([whole[k] for k in (0, 7, 30)], some)
    assert [frame.pts for frame in some] == [0, 7 / 40, 30 / 40]


@needs_networks
@pytest.mark.parametrize("full", [False, True])
def test_pictures_drawn_side_by_side_are_those_drawn_alone(
    avatar: Avatar, sound: np.ndarray, full: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    monkeypatch.setattr("talkinghead.avatar.ApartDecoder", partial(ApartDecoder, after=2))
    for cores in ([0], [0, 1], [0, 1, 2, 3]):
        monkeypatch.setattr("talkinghead.avatar.usable_cores", lambda cores=cores: cores)
        made.append(list(avatar.render(np.tile(sound, 2), seed=3, full=full)))
    assert _same(*made[:2]) and _same(*made[1:]) and len(made[0]) > 10


@needs_networks
def test_full_frames_leave_the_rest_of_the_photo_alone(avatar: Avatar, sound: np.ndarray) -> None:
    photo = avatar.portrait.image
    frames = list(avatar.render(sound[:4000], full=True))
    assert frames[0].image.shape == photo.shape
    crop = avatar.portrait.crop
    outside = np.ones(photo.shape[:2], bool)
    outside[max(0, int(crop.y)) : int(crop.y + crop.side) + 1, max(0, int(crop.x)) : int(crop.x + crop.side) + 1] = False
    for frame in frames:
        assert (frame.image[outside] == photo[outside]).all()


def test_bad_pictures_are_named() -> None:
    with pytest.raises(PortraitError, match="uint8"):
        Avatar.open(np.zeros((64, 64), np.float32))
    with pytest.raises(PortraitError, match="no face"):
        Avatar.open(np.full((300, 300, 3), 200, np.uint8))


@needs_networks
def test_twins_draw_the_same_at_the_same_time(avatar: Avatar) -> None:
    rng = np.random.default_rng(0)
    motions = [(rng.normal(0, 0.05, POSE_SIZE), rng.normal(0, 1, DYNAMICS)) for _ in range(5)]
    expected = [avatar.draw(*motion) for motion in motions]
    twins = [avatar.twin() for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        for drawn in pool.map(lambda twin: [twin.draw(*motion) for motion in motions], twins):
            assert all((a == b).all() for a, b in zip(drawn, expected, strict=True))


def test_only_pictures_that_are_put_back_hold_shoulders_at_the_square_s_border(avatar: Avatar) -> None:
    aside, nothing = np.array((0, 0, 0, 0.15, 0, 0), np.float32), np.zeros_like(avatar.portrait.z_dyn)
    crop, area = avatar.portrait.crop, avatar.portrait.crop.within(avatar.portrait.image.shape)
    assert crop.y + crop.side < area.bottom - 1  # the photo goes on below
    still, free, held = avatar.draw(0 * aside, nothing), avatar.draw(aside, nothing), avatar._held().draw(aside, nothing)
    loud = [np.abs(image[-1].astype(int) - still[-1]).mean() for image in (free, held)]
    assert loud[0] > 5 * loud[1]
    assert np.array_equal(free, avatar.draw(aside, nothing))
