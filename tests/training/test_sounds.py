"""Made-up sounds: of every kind, loud enough, the same for the same seed, and labelled as silence."""

from __future__ import annotations

import numpy as np

from talkinghead.constants import FRAME_RATE_HZ, SAMPLE_RATE_HZ
from talkinghead.speech.features import FeatureStream
from talkinghead.training.sound_bank import SILENCE
from talkinghead.training.sounds import made_up

MINUTES = 8.0


def test_there_is_as_much_as_was_asked_for_of_every_kind() -> None:
    pieces = made_up(MINUTES)
    seconds = sum(len(p.sound) for p in pieces) / SAMPLE_RATE_HZ
    assert 60 * MINUTES <= seconds < 60 * MINUTES + 31
    assert {p.speaker.split("/")[1] for p in pieces} == {"music", "band", "drums", "hiss", "signals"}


def test_nobody_speaks_in_them() -> None:
    for piece in made_up(1.0):
        frames = len(piece.sound) * FRAME_RATE_HZ // SAMPLE_RATE_HZ
        assert (piece.labels(1.0, frames) == SILENCE).all()


def test_they_are_heard_and_would_be_taken_for_a_voice_by_their_level() -> None:
    for piece in made_up(1.0):
        sound = piece.sound.astype(np.float32)
        assert np.isfinite(sound).all() and np.abs(sound).max() <= 1 and 0.02 < sound.std() < 0.2
    spoken = [FeatureStream().push(p.sound.astype(np.float32)).voice.mean() for p in made_up(3.0) if "music" in p.speaker]
    assert np.mean(spoken) > 0.3


def test_a_seed_repeats_and_another_differs() -> None:
    one, again, other = made_up(0.5), made_up(0.5), made_up(0.5, seed=1)
    assert all(np.array_equal(a.sound, b.sound) for a, b in zip(one, again, strict=True))
    assert len(one) != len(other) or not all(np.array_equal(a.sound, b.sound) for a, b in zip(one, other, strict=True))
