"""A listener nods where the other pauses, not over its own words, smoothly, and by a seed."""

from __future__ import annotations

import numpy as np
import pytest

from talkinghead.constants import FRAME_RATE_HZ
from talkinghead.motion.eyes import Gaze
from talkinghead.motion.listening import Listening

SPEECH = np.tile(np.r_[np.ones(80), np.zeros(40)], 40)
"""Two seconds of speech and a second of pause, forty times."""


def course(other: np.ndarray, own: np.ndarray | None = None, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Nod (n,) radians down, and attention (n,)."""
    listening = Listening()
    listening.reset(np.random.SeedSequence(seed))
    own = np.zeros(len(other)) if own is None else own
    nods, attention = zip(*(listening.step(float(a), float(b)) for a, b in zip(other, own, strict=True)), strict=True)
    return np.array(nods), np.array(attention)


def test_nobody_is_nodded_at() -> None:
    nods, attention = course(np.zeros(4000))
    assert not nods.any() and not attention.any()


def test_nods_answer_pauses() -> None:
    nods, attention = course(SPEECH)
    begins = np.flatnonzero((nods > 0) & (np.r_[0.0, nods[:-1]] == 0))
    # A nod of several dips touches rest between them.
    answered = {int(at // 120) for at in begins if at % 120 >= 80}
    assert 0.55 * 40 < len(answered) < 0.95 * 40
    assert all(at % 120 >= 80 or at % 120 < 60 for at in begins)
    first = [min(at % 120 for at in begins if at // 120 == k and at % 120 >= 80) for k in answered]
    assert set(first) <= {87, 88, 89}  # a fifth of a second of silence is a pause
    assert (attention[60:] > 0.9).all()


def test_nods_are_small_smooth_and_down() -> None:
    nods, _ = course(SPEECH)
    assert nods.min() >= 0 and np.radians(2) < nods.max() < np.radians(6)
    speed_deg_s = np.degrees(np.abs(np.diff(nods))) * FRAME_RATE_HZ
    assert speed_deg_s.max() < 45
    assert np.degrees(np.abs(np.diff(nods, 2))).max() < 0.6


def test_who_speaks_on_is_nodded_at_now_and_then() -> None:
    nods, _ = course(np.ones(120 * FRAME_RATE_HZ))
    count = np.count_nonzero((nods > 0) & (np.r_[0.0, nods[:-1]] == 0))
    assert 2 <= count <= 30


def test_a_speaker_does_not_nod_at_the_others_pauses() -> None:
    nods, _ = course(SPEECH, np.ones(len(SPEECH)))
    assert not nods.any()


def test_a_nod_gives_way_when_the_listener_begins_to_speak() -> None:
    nods, _ = course(SPEECH)
    at = int(np.flatnonzero(nods > np.radians(1.5))[0])
    own = np.r_[np.zeros(at), np.ones(len(SPEECH) - at)]
    assert not course(SPEECH, own)[0][at:].any()


def test_a_short_word_is_no_phrase_and_a_closure_no_pause() -> None:
    assert not course(np.r_[np.ones(16), np.zeros(200), np.ones(16), np.zeros(200)])[0].any()
    assert not course(np.tile(np.r_[np.ones(12), np.zeros(6)], 10))[0].any()


def test_nods_are_apart() -> None:
    nods, _ = course(np.tile(np.r_[np.ones(50), np.zeros(10)], 60))
    begins = np.flatnonzero((nods > 0) & (np.r_[0.0, nods[:-1]] == 0))
    assert len(begins) < 60 and np.diff(begins)[np.diff(begins) > 40].min() >= 60


def test_seeds_repeat_and_differ() -> None:
    np.testing.assert_array_equal(course(SPEECH, seed=1)[0], course(SPEECH, seed=1)[0])
    assert (course(SPEECH, seed=1)[0] != course(SPEECH, seed=2)[0]).any()


@pytest.mark.parametrize(("attention", "low", "high"), [(0.0, 0.05, 0.25), (1.0, 0.0, 0.03)])
def test_a_listener_looks_aside_less(attention: float, low: float, high: float) -> None:
    gaze = Gaze()
    gaze.reset(np.random.SeedSequence(3))
    aside = [abs(gaze.step(0.0, attention)[0]) > 3.1 for _ in range(8000)]
    assert low < np.mean(aside) < high
