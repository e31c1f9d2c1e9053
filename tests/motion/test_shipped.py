"""The shipped weights: they load, speak, keep still, and do not care about chunks."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnxruntime")

from talkinghead.constants import SAMPLE_RATE_HZ
from talkinghead.motion.generator import MotionGenerator, Style
from talkinghead.motion.latent import LatentModel, Latents
from talkinghead.runtime.onnx import OnnxEngine
from talkinghead.runtime.weights import model_path
from talkinghead.speech.features import FeatureStream

PAIRS = ((13, 14), (82, 87), (312, 317))


@pytest.fixture(scope="module")
def latent() -> LatentModel:
    return LatentModel.load(model_path("latent", "latent.npz"))


@pytest.fixture
def generator(latent: LatentModel) -> MotionGenerator:
    engine = OnnxEngine(model_path("motion", "lips.onnx"))
    return MotionGenerator(engine, Style.load(model_path("motion", "style.npz")), latent, seed=3)


def babble() -> np.ndarray:
    """Two seconds of vowel-like syllables between seconds of silence, float32 at 16 kHz."""
    t = np.arange(2 * SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    buzz = sum(np.cos(2 * np.pi * 130 * k * t) / (1 + ((130 * k - 750) / 300) ** 2) for k in range(1, 40))
    quiet = np.zeros(SAMPLE_RATE_HZ)
    return np.concatenate([quiet, 0.05 * buzz * np.clip(np.sin(2 * np.pi * 2 * t), 0, 1), quiet]).astype(np.float32)


def opening(latent: LatentModel, motion: Latents) -> np.ndarray:
    points = latent.mean + np.tensordot(motion.z_dyn, latent.basis_dyn, 1)
    return np.mean([points[:, b, 1] - points[:, a, 1] for a, b in PAIRS], 0)


def test_speaks_in_speech_and_is_still_in_silence(generator: MotionGenerator, latent: LatentModel) -> None:
    speech = FeatureStream().push(babble())
    motion = Latents.join([generator.push(*speech), generator.flush()])
    lips = opening(latent, motion)
    assert len(lips) == 160
    assert lips[44:118].std() > 5 * max(lips[:36].std(), lips[150:].std())
    assert np.isfinite(motion.z_dyn).all()


def test_chunks_change_no_bit(generator: MotionGenerator) -> None:
    sound = babble()
    whole = Latents.join([generator.push(*FeatureStream().push(sound)), generator.flush()])
    generator.reset(3)
    stream = FeatureStream()
    parts = [generator.push(*stream.push(sound[i : i + 777])) for i in range(0, len(sound), 777)]
    pieces = Latents.join([*parts, generator.flush()])
    np.testing.assert_array_equal(pieces.z_dyn, whole.z_dyn)
    np.testing.assert_array_equal(pieces.z_pose, whole.z_pose)


def test_weights_are_for_the_shipped_latent(latent: LatentModel) -> None:
    safetensors = pytest.importorskip("safetensors.numpy")
    modes = safetensors.load_file(str(model_path("motion", "lips.safetensors")))["basis_dyn"]
    assert np.abs(modes.astype(np.float32) - latent.basis_dyn).max() < 1e-3, "run: talkinghead train motion_export"
