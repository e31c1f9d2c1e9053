"""The shipped speech and motion networks: they load, speak, keep still, bear any sound, and do not care about chunks."""

from __future__ import annotations

import numpy as np
import pytest
from shipped import needs_networks
from sounds import babble

pytest.importorskip("onnxruntime")

from talkinghead.constants import SAMPLE_RATE_HZ
from talkinghead.motion.controls import Controls
from talkinghead.motion.denoiser import DYNAMICS, HOP_FRAMES, STATE, MotionScales
from talkinghead.motion.generator import HEAD_LIMIT, MotionGenerator
from talkinghead.motion.latent import LatentModel, Latents
from talkinghead.motion.rest import LIP_PAIRS
from talkinghead.motion.style import Style
from talkinghead.runtime.onnx import OnnxEngine
from talkinghead.runtime.weights import model_path, network_path
from talkinghead.speech.encoder import PAST_SHAPE, STEP_FRAMES, EncodedSpeech, SpeechEncoder
from talkinghead.speech.features import FEATURES

pytestmark = needs_networks
SPEECH_S = 10.0


@pytest.fixture(scope="module")
def latent() -> LatentModel:
    return LatentModel.load(model_path("latent", "latent.npz"))


@pytest.fixture(scope="module")
def encoder() -> SpeechEncoder:
    return SpeechEncoder(OnnxEngine(network_path("speech", "speech.onnx")))


@pytest.fixture(scope="module")
def generator(latent: LatentModel) -> MotionGenerator:
    numbers = MotionScales.load(model_path("motion", "motion.npz")), Style.load(model_path("motion", "style.npz")), latent
    return MotionGenerator(OnnxEngine(network_path("motion", "motion.onnx")), *numbers, controls=Controls(blink_rate=0.0))


def spoken(encoder: SpeechEncoder, sound: np.ndarray) -> EncodedSpeech:
    encoder.reset()
    return EncodedSpeech.join([encoder.push(sound), encoder.flush()])


def moved(encoder: SpeechEncoder, generator: MotionGenerator, sound: np.ndarray, seed: int = 3) -> Latents:
    generator.reset(seed)
    return Latents.join([generator.push(spoken(encoder, sound)), generator.flush()])


def opening(latent: LatentModel, motion: Latents) -> np.ndarray:
    points = latent.mean + np.tensordot(motion.z_dyn, latent.basis_dyn, 1)
    return np.mean([np.linalg.norm(points[:, a] - points[:, b], axis=1) for a, b in LIP_PAIRS], 0)


@pytest.fixture(scope="module")
def talk(encoder: SpeechEncoder, generator: MotionGenerator) -> Latents:
    """A second of silence, ten of speech-like sound, two of silence."""
    quiet = np.zeros(SAMPLE_RATE_HZ, np.float32)
    return moved(encoder, generator, np.concatenate([quiet, babble(SPEECH_S), quiet, quiet]))


def test_lips_move_in_speech_and_are_still_in_silence(talk: Latents, latent: LatentModel) -> None:
    lips = opening(latent, talk)
    assert len(lips) == 40 * 13
    speaking, before, after = lips[44 : 40 * 11], lips[4:34], lips[-40:]
    assert speaking.std() > 0.004  # face heights
    assert speaking.std() > 5 * max(before.std(), after.std())
    assert max(np.ptp(before), np.ptp(after)) < 0.004


def test_int8_moves_as_the_floating_point_networks_do(latent: LatentModel, talk: Latents) -> None:
    numbers = MotionScales.load(model_path("motion", "motion.npz")), Style.load(model_path("motion", "style.npz")), latent
    encoder = SpeechEncoder(OnnxEngine(model_path("speech", "speech.onnx")))
    generator = MotionGenerator(OnnxEngine(model_path("motion", "motion.onnx")), *numbers, controls=Controls(blink_rate=0.0))
    quiet = np.zeros(SAMPLE_RATE_HZ, np.float32)
    exact = moved(encoder, generator, np.concatenate([quiet, babble(SPEECH_S), quiet, quiet]))
    a, b = opening(latent, exact), opening(latent, talk)
    assert np.corrcoef(a, b)[0, 1] > 0.99
    assert b.std() / a.std() == pytest.approx(1.0, abs=0.04)
    assert np.median(np.abs(exact.z_pose - talk.z_pose)[:, :3]) < 0.01  # radians: half a degree


def test_motion_is_bounded_and_alive(talk: Latents) -> None:
    assert np.isfinite(talk.z_pose).all() and np.isfinite(talk.z_dyn).all()
    assert (np.abs(talk.z_pose) < HEAD_LIMIT).all()
    step_deg = np.degrees(np.linalg.norm(np.diff(talk.z_pose[44:440, :3], axis=0), axis=1))
    assert 0.03 < step_deg.mean() < 1.5
    assert step_deg.max() < 6


def test_hops_join_without_a_seam(talk: Latents) -> None:
    for z in (talk.z_pose[44:440], talk.z_dyn[44:440]):
        step = np.linalg.norm(np.diff(z, axis=0), axis=1)
        edges = step[np.arange(44, 439) % HOP_FRAMES == HOP_FRAMES - 1]
        assert np.median(edges) < 1.4 * np.median(step)


def test_silence_alone_is_calm(encoder: SpeechEncoder, generator: MotionGenerator, latent: LatentModel) -> None:
    idle = moved(encoder, generator, np.zeros(5 * SAMPLE_RATE_HZ, np.float32))
    assert np.ptp(opening(latent, idle)) < 0.004
    assert idle.z_pose[:, :3].std(0).max() > 0.0005  # and yet alive


def test_streamed_is_as_whole(encoder: SpeechEncoder, generator: MotionGenerator) -> None:
    sound = babble(2.0)
    whole = moved(encoder, generator, sound)
    encoder.reset()
    generator.reset(3)
    parts = [generator.push(encoder.push(sound[k : k + 777])) for k in range(0, len(sound), 777)]
    pieces = Latents.join([*parts, generator.push(encoder.flush()), generator.flush()])
    np.testing.assert_array_equal(pieces.z_dyn, whole.z_dyn)
    np.testing.assert_array_equal(pieces.z_pose, whole.z_pose)


def test_a_call_shows_nearly_what_a_file_does(
    encoder: SpeechEncoder, generator: MotionGenerator, latent: LatentModel, talk: Latents
) -> None:
    quiet = np.zeros(SAMPLE_RATE_HZ, np.float32)
    generator.eager = True
    try:
        called = moved(encoder, generator, np.concatenate([quiet, babble(SPEECH_S), quiet, quiet]))
    finally:
        generator.eager = False
    a, b = opening(latent, called), opening(latent, talk)
    assert np.corrcoef(a, b)[0, 1] > 0.98
    assert np.abs(np.diff(a, 2)).mean() < 1.1 * np.abs(np.diff(b, 2)).mean()  # and does not jerk
    for z, other in ((called.z_pose, talk.z_pose), (called.z_dyn, talk.z_dyn)):
        step, usual = (np.linalg.norm(np.diff(x[44:440], axis=0), axis=1) for x in (z, other))
        for within in (0, 1):  # across hops and within them
            assert np.median(step[within::2]) < 1.15 * np.median(usual[within::2])


def test_seeds_differ_in_the_head_and_agree_in_the_lips(
    encoder: SpeechEncoder, generator: MotionGenerator, latent: LatentModel
) -> None:
    one, two = (moved(encoder, generator, babble(3.5), seed) for seed in (1, 2))
    assert np.abs(one.z_pose - two.z_pose).max() > 0.005
    assert np.corrcoef(opening(latent, one)[10:], opening(latent, two)[10:])[0, 1] > 0.7


def strange(kind: str) -> np.ndarray:
    rng, voice = np.random.default_rng(0), babble(2.0)
    hiss = rng.standard_normal(len(voice))
    if kind == "narrow":  # as a telephone at 8 kHz gives it
        return np.repeat(voice.reshape(-1, 2).mean(1), 2).astype(np.float32)
    if kind == "stereo":  # mixed badly: the sides cancel in part
        return (voice - 0.9 * np.roll(voice, 5)).astype(np.float32)
    if kind == "whisper":
        return (hiss * np.abs(np.convolve(voice, np.ones(400) / 400, "same")) * 0.2).astype(np.float32)
    if kind == "broken":
        voice[rng.integers(0, len(voice), 500)] = np.nan
        voice[rng.integers(0, len(voice), 500)] = np.inf
        return voice
    made = {
        "noise": 0.3 * hiss,
        "clipped": np.clip(100 * voice, -1, 1),
        "quiet": 1e-4 * voice,
        "loud": 1e4 * voice,
        "steady": np.full(len(voice), 0.5),
        "clicks": np.where(np.arange(len(voice)) % 4000 == 0, 1.0, 0.0),
    }
    return np.asarray(made[kind], np.float32)


STRANGE = ("noise", "narrow", "stereo", "whisper", "broken", "clipped", "quiet", "loud", "steady", "clicks")


@pytest.mark.parametrize("kind", STRANGE)
def test_strange_sounds_do_no_harm(encoder: SpeechEncoder, generator: MotionGenerator, kind: str) -> None:
    speech = spoken(encoder, strange(kind))
    assert all(np.isfinite(part).all() for part in (speech.features, speech.gate, speech.loud))
    assert speech.gate.min() >= 0 and speech.gate.max() <= 1
    generator.reset(0)
    motion = generator.push(speech)
    assert np.isfinite(motion.z_pose).all() and np.isfinite(motion.z_dyn).all()
    assert (np.abs(motion.z_pose) <= HEAD_LIMIT + 0.01).all()


def test_gain_hardly_matters(encoder: SpeechEncoder, generator: MotionGenerator, latent: LatentModel) -> None:
    plain, soft = (opening(latent, moved(encoder, generator, gain * babble(4.0)))[60:] for gain in (1.0, 0.1))
    assert np.corrcoef(plain, soft)[0, 1] > 0.8
    assert 0.7 < soft.std() / plain.std() < 1.4


def test_networks_take_what_the_package_gives() -> None:
    speech = OnnxEngine(network_path("speech", "speech.onnx"))
    answer = speech.run(rows=np.zeros((2, STEP_FRAMES, FEATURES), np.float32), past=np.zeros((2, *PAST_SHAPE), np.float32))
    assert answer["later"].shape == (2, *PAST_SHAPE)
    numbers = MotionScales.load(model_path("motion", "motion.npz"))
    assert numbers.state.shape == (STATE,) and numbers.lips.shape == (DYNAMICS, DYNAMICS)
    assert (numbers.state > 0).all() and (numbers.change > 0).all()
    assert np.abs(numbers.lips @ numbers.lips - numbers.lips).max() < 0.02


def test_weights_are_for_the_shipped_latent(latent: LatentModel) -> None:
    safetensors = pytest.importorskip("safetensors.numpy")
    for folder in ("speech", "motion"):
        modes = safetensors.load_file(str(model_path(folder, f"{folder}.safetensors")))["basis_dyn"]
        assert np.abs(modes.astype(np.float32) - latent.basis_dyn).max() < 1e-3, f"train {folder} anew"
