"""Clips taken apart: eyes and emotions told from the rest, and the mirror."""

from __future__ import annotations

import numpy as np
import pytest
from fake_engines import opener

from talkinghead.motion.controls import EMOTIONS
from talkinghead.motion.denoiser import STATE
from talkinghead.motion.latent import POSE_SIZE, LatentModel, mirror_map
from talkinghead.motion.style import Style
from talkinghead.runtime.weights import model_path
from talkinghead.training.motion_state import TALKING_STEP_DEG, Eyes, eyes_of, lip_opening, mirror, perform

FRAMES = 240
T = np.arange(FRAMES)


@pytest.fixture(scope="module")
def latent() -> LatentModel:
    return LatentModel.load(model_path("latent", "latent.npz"))


@pytest.fixture(scope="module")
def eyes(latent: LatentModel) -> Eyes:
    return Eyes.of(Style.load(model_path("motion", "style.npz")), latent)


@pytest.fixture(scope="module")
def gaze() -> np.ndarray:
    """(n, 2) degrees."""
    return np.stack([10 * np.sin(T / 15), 4 * np.sin(T / 23)], 1)


def talk(latent: LatentModel) -> np.ndarray:
    """Lips alone (n, D)."""
    return np.asarray(np.clip(np.sin(0.7 * T), 0, 1)[:, None] * opener(latent))


def test_gaze_is_found_again(latent: LatentModel, eyes: Eyes, gaze: np.ndarray) -> None:
    found, _ = eyes_of(latent, gaze @ eyes.gaze)
    off = found - gaze
    assert (off - np.median(off, 0)).std(0).max() < 0.5
    assert np.abs(np.median(found, 0)).max() < 1.0  # counted from the clip's middle


def test_lids_are_found_again_and_gaze_is_held_behind_them(latent: LatentModel, eyes: Eyes, gaze: np.ndarray) -> None:
    blink = np.clip(np.sin(T / 7) * 3 - 2, 0, 1)
    right = gaze * [1, 0]
    found, lids = eyes_of(latent, blink[:, None] * eyes.blink + right @ eyes.gaze)
    assert np.abs(lids - blink).max() < 0.2 and lids.min() >= 0 and lids.max() <= 1
    off = found - right
    assert np.abs(off - np.median(off, 0)).max() < 2.5


def test_eyes_at_rest_look_ahead(latent: LatentModel, eyes: Eyes) -> None:
    found, lids = eyes_of(latent, np.tile(0 * eyes.blink, (50, 1)))
    assert not found.any() and lids.max() < 1e-6


def test_a_clip_is_the_sum_of_its_parts(latent: LatentModel, eyes: Eyes, gaze: np.ndarray) -> None:
    usual = 0.3 * np.random.default_rng(0).standard_normal(latent.size_dyn)
    z_dyn = usual + talk(latent) + gaze @ eyes.gaze
    z_pose = 0.01 * np.random.default_rng(1).standard_normal((FRAMES, POSE_SIZE))
    made = perform(latent, eyes, usual, z_dyn, z_pose)
    assert made.state.shape == (FRAMES, STATE) and made.lasting.shape == (len(EMOTIONS) + 1,)
    np.testing.assert_allclose(made.state[:, :POSE_SIZE], z_pose, atol=1e-6)
    told = made.gaze @ eyes.gaze + made.lids[:, None] * eyes.blink + made.emotion @ eyes.emotions
    np.testing.assert_allclose(made.state[:, POSE_SIZE:] + told, z_dyn, atol=1e-4)
    left = made.state[:, POSE_SIZE:]
    assert (np.abs(eyes_of(latent, left)[0]) < 1.5).all()  # what remains looks ahead


@pytest.mark.parametrize("name", EMOTIONS[1:])
def test_a_lasting_emotion_is_told(latent: LatentModel, eyes: Eyes, name: str) -> None:
    k = EMOTIONS[1:].index(name)
    usual = 0.3 * np.random.default_rng(0).standard_normal(latent.size_dyn)
    made = perform(latent, eyes, usual, usual + talk(latent) + 0.8 * eyes.emotions[k], np.zeros((FRAMES, POSE_SIZE)))
    assert np.argmax(made.emotion) == k
    assert made.emotion[k] == pytest.approx(0.8, abs=0.25)


def test_liveliness_and_articulation_are_logarithms_of_how_much(latent: LatentModel, eyes: Eyes) -> None:
    pose = np.zeros((FRAMES, POSE_SIZE))
    pose[:, 1] = np.radians(TALKING_STEP_DEG) * (25 / 40) * (T % 2)  # a typical step, to and fro
    usual, lips = np.zeros(latent.size_dyn), talk(latent)
    once, twice = (perform(latent, eyes, usual, k * lips, k * pose) for k in (1, 2))
    assert once.liveliness == pytest.approx(0, abs=0.01)
    assert twice.liveliness - once.liveliness == pytest.approx(np.log(2), abs=1e-3)
    assert twice.articulation - once.articulation == pytest.approx(np.log(2), abs=0.1)
    still = perform(latent, eyes, usual, 0 * lips, 0 * pose)
    assert np.isfinite([still.liveliness, still.articulation]).all()
    assert still.articulation < -2 and still.liveliness < -2


def test_opening_is_of_the_inner_lips(latent: LatentModel) -> None:
    opening = lip_opening(latent, talk(latent))
    np.testing.assert_allclose(opening - opening[0], 0.03 * np.clip(np.sin(0.7 * T), 0, 1), atol=0.004)


def test_the_mirror_undoes_itself_and_turns_what_it_should(latent: LatentModel, eyes: Eyes, gaze: np.ndarray) -> None:
    turn = mirror(latent)
    np.testing.assert_allclose(turn @ turn, np.eye(STATE), atol=1e-4)
    state = np.random.default_rng(0).standard_normal((FRAMES, STATE)).astype(np.float32)
    state[:, POSE_SIZE:] = 0.5 * state[:, POSE_SIZE:] + gaze @ eyes.gaze
    other = state @ turn.T
    np.testing.assert_allclose(other[:, :POSE_SIZE], state[:, :POSE_SIZE] * [1, -1, -1, -1, 1, 1], atol=1e-6)
    found, flipped = (eyes_of(latent, x[:, POSE_SIZE:]) for x in (state, other))
    np.testing.assert_allclose(flipped[0], found[0] * [-1, 1], atol=0.05)
    np.testing.assert_allclose(flipped[1], found[1], atol=0.01)


def test_the_mirror_is_that_of_the_face(latent: LatentModel) -> None:
    z = np.random.default_rng(0).standard_normal(STATE).astype(np.float32)
    points, other = (np.tensordot(x[POSE_SIZE:], latent.basis_dyn, 1) for x in (z, mirror(latent) @ z))
    np.testing.assert_allclose(other, (points * [-1, 1, 1])[mirror_map(latent.mean)], atol=1e-3)
