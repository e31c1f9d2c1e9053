"""The motion's figures: known courses give known numbers."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest

from talkinghead.constants import FRAME_RATE_HZ
from talkinghead.motion.brows import raised_brows
from talkinghead.motion.latent import LatentModel
from talkinghead.runtime.weights import model_path

pytest.importorskip("torch")


def test_raises_of_brows_are_counted_and_measured(script: Callable[[str], ModuleType]) -> None:
    latent, length = LatentModel.load(model_path("latent", "latent.npz")), 60 * FRAME_RATE_HZ
    one = 0.01 * np.sin(np.pi * np.arange(FRAME_RATE_HZ) / FRAME_RATE_HZ)  # a second long
    course = np.zeros(length)
    for start_s in (5, 20, 31, 48):
        course[start_s * FRAME_RATE_HZ :][: len(one)] = one
    course[40 * FRAME_RATE_HZ :][: len(one)] = 0.3 * one  # too low to count
    take = script("motion_play").Take(np.ones(length), np.zeros((length, 6)), course[:, None] * raised_brows(latent))
    found = script("motion_figures").brows(take, latent)
    assert found["raises a minute"] == pytest.approx(4)
    assert found["height %"] == pytest.approx(1.0, abs=0.05)
    assert 0.6 < found["seconds"] < 1.0
    assert found["sd %"] == pytest.approx(100 * course.std(), rel=0.05)
    still = script("motion_figures").brows(take.cut(0, 4 * FRAME_RATE_HZ), latent)
    assert still["raises a minute"] == 0 and np.isnan(still["height %"])
