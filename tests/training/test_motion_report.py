"""The figures that choose between networks: lag with its sign, gain, and closures that are really shut."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fake_engines import opener

from talkinghead.constants import SAMPLE_RATE_HZ
from talkinghead.motion.latent import LatentModel
from talkinghead.runtime.weights import model_path
from talkinghead.speech.encoder import LOOKAHEAD_FRAMES
from talkinghead.speech.features import SpeechFrames
from talkinghead.training.motion_data import Clip
from talkinghead.training.motion_report import closure_recall, figures, lagged, lips_of_voices, openings, rows_of, say
from talkinghead.training.sound_bank import PHONE_NAMES, Spoken

COUNT = 200


@pytest.fixture(scope="module")
def latent() -> LatentModel:
    return LatentModel.load(model_path("latent", "latent.npz"))


def course(seed: int = 0) -> np.ndarray:
    """A slow random curve (COUNT,)."""
    noise = np.random.default_rng(seed).standard_normal(COUNT + 20)
    return np.convolve(noise, np.hanning(9), "same")[10:-10]


def test_what_comes_late_has_a_positive_lag() -> None:
    real = course()
    for frames in (-4, 0, 2):
        r, lag_ms = lagged(np.roll(real, frames), real)
        assert r > 0.95 and lag_ms == pytest.approx(25 * frames, abs=10)
    assert lagged(course(1), real)[0] < 0.6


def test_openings_are_in_distances_of_the_eyes(latent: LatentModel) -> None:
    wide = openings(latent, np.zeros(latent.size_id), np.outer([0.0, 1.0, 2.0], opener(latent)))
    eyes = np.linalg.norm(latent.mean[33, :2] - latent.mean[263, :2])
    assert np.diff(wide) == pytest.approx(0.03 / eyes, rel=0.1)


def test_figures_tell_r_lag_and_gain_by_source(latent: LatentModel) -> None:
    open_lips = 2 + course() / 2
    z = np.outer(open_lips, opener(latent))
    clip = Clip("a", "x", "hq", "test", True, np.zeros(latent.size_id), z, np.zeros((COUNT, 6)), np.zeros(0, np.float32))
    clips = [clip, replace(clip, name="b", source="grid")]
    gain = {"a": 1.0, "b": 0.5}
    table = figures(latent, clips, lambda c: np.outer(np.roll(open_lips, 2) * gain[c.name], opener(latent)))
    assert set(table) == {"hq", "grid"}
    for source, expected in (("hq", 1.0), ("grid", 0.5)):
        assert table[source]["aperture_r"] > 0.9
        assert table[source]["lag_ms"] == pytest.approx(50, abs=10)
        assert table[source]["gain"] == pytest.approx(expected, rel=0.1)
    assert "hq r 0.9" in say(table) or "hq r 1.0" in say(table)


def test_a_closure_counts_when_the_lips_shut_in_it(latent: LatentModel) -> None:
    names = ["SIL", *["AA", "M", "AA", "T"] * 10, "SIL"]
    ids = np.array([PHONE_NAMES.index(name) for name in names], np.int8)
    start_s = np.arange(len(names)) * 0.1
    spoken = Spoken("x", np.zeros(round(start_s[-1] * SAMPLE_RATE_HZ), np.float16), start_s, ids)
    z_id, full = np.zeros(latent.size_id), 4 * opener(latent)

    def speak(shuts: float, late: int = 0) -> float:
        def codes(speech: SpeechFrames) -> np.ndarray:
            phone = spoken.labels(1.0, len(speech.rows) - LOOKAHEAD_FRAMES)
            shut = np.roll(phone == PHONE_NAMES.index("M"), late)
            return np.outer(np.where(shut, 1 - shuts, 1.0), full)

        return closure_recall(latent, z_id, [spoken], codes)

    assert speak(1.0) == 1.0
    assert speak(0.5) == speak(0.0) == 0.0
    assert speak(1.0, late=5) < 0.2  # shut, but elsewhere


def test_a_voice_s_vowels_are_as_open_as_they_are(latent: LatentModel) -> None:
    ids = np.array([PHONE_NAMES.index(name) for name in ("SIL", "AA", "SIL")], np.int8)
    spoken = Spoken("x", np.zeros(SAMPLE_RATE_HZ, np.float16), np.array([0.0, 0.2, 0.8]), ids)
    z_id, full = np.zeros(latent.size_id), 4 * opener(latent)

    def codes(speech: SpeechFrames) -> np.ndarray:
        voiced = spoken.labels(1.0, len(speech.rows) - LOOKAHEAD_FRAMES) == ids[1]
        return np.outer(voiced, full)

    recall, open_gap = lips_of_voices(latent, z_id, [spoken], codes)
    assert recall == 0.0  # there is nothing to shut at
    assert open_gap == pytest.approx(float(openings(latent, z_id, full[None])[0]), rel=1e-4)


def test_rows_cover_the_look_ahead() -> None:
    nothing = np.zeros(0, np.float32)
    clip = Clip("a", "x", "hq", "test", True, nothing, nothing, nothing, np.zeros(10 * 400 + 50, np.float32))
    assert len(rows_of(clip).rows) >= 11 + LOOKAHEAD_FRAMES
