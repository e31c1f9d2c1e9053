"""The lips' mixture: shut where the mean course says so, and never crossed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fake_engines import scales

from talkinghead.motion.latent import LatentModel
from talkinghead.motion.lips import LipMix
from talkinghead.motion.rest import LIP_PAIRS, gap_rows
from talkinghead.runtime.weights import model_path
from talkinghead.speech.encoder import NECK, SPEECH_FEATURES


@pytest.fixture(scope="module")
def latent() -> LatentModel:
    return LatentModel.load(model_path("latent", "latent.npz"))


def gaps_fh(latent: LatentModel, course: float, count: int = 200) -> np.ndarray:
    """Gaps (count,) between the lips of the mean face, when the mean course moves them by ``course`` and the network does not."""
    features = np.zeros(SPEECH_FEATURES)
    features[NECK] = course
    above, below = (list(side) for side in zip(*LIP_PAIRS, strict=True))
    rest = float((latent.mean[below, 1] - latent.mean[above, 1]).mean())
    row = gap_rows(latent, LIP_PAIRS).mean(0)
    mix = LipMix(replace(scales(latent), shut=row / (row @ row)), latent)
    return np.array([rest + row @ mix(np.zeros(latent.size_dyn), features, 1.0) for _ in range(count)])


def test_lips_that_are_pressed_meet_and_do_not_cross(latent: LatentModel) -> None:
    for course in (-0.6, -1.0, -4.0):
        gaps = gaps_fh(latent, course)
        assert gaps.min() >= -1e-6 and gaps.max() < 0.004


def test_lips_that_are_heard_open_are_open(latent: LatentModel) -> None:
    assert gaps_fh(latent, 1.0).min() > 0.01
