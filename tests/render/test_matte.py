from __future__ import annotations

import cv2
import numpy as np
import pytest
import synthetic_face as synthetic
from synthetic_face import HAIR, SKIN, WALL, portrait

from talkinghead.render.matte import cut_head, guided


@pytest.fixture(scope="module")
def points(canonical: np.ndarray) -> np.ndarray:
    return synthetic.pose().apply(canonical)


@pytest.mark.parametrize("wide", [1.25, 1.6])
def test_head_and_hair_are_told_from_the_wall(canonical: np.ndarray, points: np.ndarray, wide: float) -> None:
    face, person = portrait(canonical, WALL, wide)
    matte = cut_head(face, points)
    assert matte.alpha.shape == (512, 512) and matte.alpha.dtype == np.float32
    above = np.s_[:400]
    found, true = matte.alpha[above] > 0.5, person[above]
    assert (found & true).sum() / (found | true).sum() > 0.96
    assert matte.confidence > 0.85
    # Soft only near the edge.
    rim = cv2.dilate(person.astype(np.uint8), np.ones((25, 25))) - cv2.erode(person.astype(np.uint8), np.ones((25, 25)))
    assert np.abs(matte.alpha - person)[above][rim[above] == 0].max() < 0.1


def test_hair_before_a_wall_of_its_colour_gives_little_confidence(canonical: np.ndarray, points: np.ndarray) -> None:
    plain = cut_head(portrait(canonical, WALL)[0], points).confidence
    alike = cut_head(portrait(canonical, HAIR)[0], points).confidence
    assert alike < 0.6 < plain


def test_a_face_that_fills_the_picture_has_no_background(canonical: np.ndarray) -> None:
    points = synthetic.pose().apply(canonical)
    points = 256 + (points - 256) * 3.0
    matte = cut_head(np.full((512, 512, 3), SKIN, np.uint8), points)
    assert matte.confidence == 0.0
    assert matte.alpha.min() == 1.0


def test_the_same_photo_gives_the_same_matte(canonical: np.ndarray, points: np.ndarray) -> None:
    face, _ = portrait(canonical, WALL)
    first = cut_head(face, points)
    cv2.setRNGSeed(77)
    second = cut_head(face, points)
    assert first.confidence == second.confidence
    assert (first.alpha == second.alpha).all()


def test_the_guided_filter_follows_the_guide_s_edge() -> None:
    guide = np.zeros((64, 64, 3), np.float32)
    guide[:, 32:] = 1.0
    crooked = np.zeros((64, 64), np.float32)
    crooked[:, 30:] = 1.0
    out = guided(guide, crooked, 6, 1e-4)
    assert out[:, 31].max() < 0.5 < 0.9 < out[:, 32].min()
    flat = guided(np.zeros_like(guide), crooked, 6, 1e-4)
    assert np.abs(np.diff(flat[32])).max() < 0.2  # nothing to follow: only smoothed
