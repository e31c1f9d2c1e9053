from __future__ import annotations

import cv2
import numpy as np
import pytest
import synthetic_face as synthetic

from talkinghead.render.tone import one_tone, toned

POSE = synthetic.pose()
SEPIA = np.array((1.0, 0.93, 0.82))


@pytest.fixture(scope="module")
def grey(photo: np.ndarray) -> np.ndarray:
    """The photo in black and white, with grain."""
    plain = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY) + np.random.default_rng(0).normal(0, 6, photo.shape[:2])
    return np.repeat(np.clip(np.round(plain), 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def test_a_photo_in_colour_has_no_one_tone(photo: np.ndarray, canonical: np.ndarray) -> None:
    assert one_tone(photo, POSE.apply(canonical)) is None


def test_what_is_drawn_in_black_and_white_has_no_colour(grey: np.ndarray, canonical: np.ndarray) -> None:
    tone = one_tone(grey, POSE.apply(canonical))
    assert tone is not None and np.array_equal(toned(grey, tone), grey)
    red = np.full((9, 9, 3), (200, 60, 60), np.uint8)
    assert np.ptp(toned(red, tone).astype(int), axis=2).max() == 0


def test_a_toned_photo_keeps_its_tone(grey: np.ndarray, canonical: np.ndarray) -> None:
    sepia = np.round(grey * SEPIA).astype(np.uint8)
    tone = one_tone(sepia, POSE.apply(canonical))
    assert tone is not None
    face = np.s_[200:300, 200:300]
    assert np.abs(toned(sepia[face], tone).astype(int) - sepia[face]).max() <= 4
    red = toned(np.full((4, 4, 3), (230, 140, 130), np.uint8), tone)[0, 0].astype(float)
    np.testing.assert_allclose(red / red[0], SEPIA, atol=0.03)


def test_a_face_that_is_not_in_the_picture_has_no_tone(grey: np.ndarray, canonical: np.ndarray) -> None:
    assert one_tone(grey, POSE.apply(canonical) + 5000) is None
