from __future__ import annotations

import cv2
import numpy as np
import pytest
import synthetic_face as synthetic

from talkinghead.render.layout import OPENING
from talkinghead.render.teeth import paint_mouth
from talkinghead.render.warp import WarpDecoder

POSE = synthetic.pose()
TOOTH = (240, 238, 232)
SHOWN, WIDER = 0.05, 0.075
"""How far the lips are apart in the photo and in the frame, face heights."""


def smiling(share: float) -> tuple[np.ndarray, np.ndarray]:
    """A photo of an open mouth and its points: dark inside, with teeth from lip to lip over a share of its width."""
    shape = synthetic.canonical_face(mouth_open=SHOWN)
    image, points = synthetic.picture(shape), POSE.apply(shape)
    ring = points[list(OPENING), :2]
    inside = cv2.fillPoly(np.zeros(image.shape[:2], np.uint8), [np.round(ring).astype(np.int32)], 1) > 0
    image[inside] = (60, 25, 25)
    middle, half = ring[:, 0].mean(), share * np.ptp(ring[:, 0]) / 2
    inside[:, : int(middle - half)] = inside[:, int(middle + half) :] = False
    image[inside] = TOOTH
    return image, points


def uncovered(share: float, canonical: np.ndarray) -> np.ndarray:
    """Colours just below where the photo's lower lip was, when it goes down a little."""
    image, points = smiling(share)
    frame = WarpDecoder(image, points, POSE, canonical).draw(
        POSE.apply(synthetic.canonical_face(mouth_open=WIDER)), POSE
    )
    x, y = points[14, :2].round().astype(int)
    return frame[y - 1 : y + 2, x - 8 : x + 9].reshape(-1, 3)


def test_a_row_of_teeth_goes_on_below_the_lip_that_covered_it(canonical: np.ndarray) -> None:
    assert uncovered(0.9, canonical).min(axis=1).mean() > 150


def test_two_teeth_alone_do_not_grow(canonical: np.ndarray) -> None:
    assert uncovered(0.3, canonical).min(axis=1).mean() < uncovered(0.9, canonical).min(axis=1).mean() - 40


def test_lower_teeth_stand_in_an_arch() -> None:
    made = paint_mouth(240.0, np.full(3, 200.0), np.array((170.0, 100.0, 95.0)))
    shown = made.lower[..., 3] > 0.5
    at = [int(made.middle[0] + mm * made.step * 240 / 185) for mm in (-11, 0, 11)]
    left, middle, right = (int(np.flatnonzero(shown[:, x])[0]) for x in at)
    assert left < middle and right < middle
    assert left == pytest.approx(right, abs=2)


def test_inside_it_is_darker_than_lips_and_teeth_are_the_brightest() -> None:
    flesh, tooth = np.array((170.0, 100.0, 95.0)), np.full(3, 200.0)
    made = paint_mouth(240.0, tooth, flesh)
    x, y = (int(c) for c in made.middle)
    up = int(20 * made.step * 240 / 185)
    back, tongue = made.cavity[y - up, x].mean(), made.cavity[y, x].mean()
    lower = made.lower[y + up // 5, x + up // 8, :3].mean()  # the middle of a tooth
    assert back < tongue < flesh.mean() < lower < tooth.mean()
