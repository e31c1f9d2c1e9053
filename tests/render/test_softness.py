from __future__ import annotations

import cv2
import numpy as np
import pytest
import synthetic_face as synthetic

from talkinghead.render.patch import Window
from talkinghead.render.softness import soften, softness_px

SIZE_PX = 512


@pytest.fixture(scope="module")
def face() -> tuple[np.ndarray, np.ndarray]:
    """A face of hard-edged tiles, as sharp as a lens gives it, with its points."""
    tiles = np.random.default_rng(0).integers(40, 215, (32, 32, 3)).astype(np.uint8)
    hard = cv2.resize(tiles, (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_NEAREST)
    return cv2.GaussianBlur(hard, (0, 0), 0.7), synthetic.pose().apply(synthetic.canonical_face())


def test_a_sharp_photo_is_not_soft(face: tuple[np.ndarray, np.ndarray]) -> None:
    assert softness_px(*face) == 0


def test_a_blurred_photo_is_as_soft_as_it_was_blurred(face: tuple[np.ndarray, np.ndarray]) -> None:
    photo, points = face
    found = [softness_px(cv2.GaussianBlur(photo, (0, 0), sigma), points) for sigma in (1.5, 2.0, 3.0)]
    assert found == sorted(found)
    assert found == pytest.approx([1.5, 2.0, 3.0], abs=0.6)


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_flat_picture_and_points_elsewhere_are_no_trouble(face: tuple[np.ndarray, np.ndarray], level: int) -> None:
    flat = np.full((SIZE_PX, SIZE_PX, 3), level, np.uint8)
    assert softness_px(flat, face[1]) == 0
    assert softness_px(face[0], face[1] + 1e7) == 0


def test_only_what_is_covered_becomes_soft(face: tuple[np.ndarray, np.ndarray]) -> None:
    frame, cover = face[0].copy(), np.zeros((60, 80), np.float32)
    cover[20:40, 30:50] = 1
    soften(frame, Window(200, 300, 280, 360), cover, 1.5)
    blurred = cv2.GaussianBlur(face[0], (0, 0), 1.5).astype(int)
    assert np.abs(frame[322:338, 232:248].astype(int) - blurred[322:338, 232:248]).max() <= 2
    changed = np.argwhere((frame != face[0]).any(axis=2))
    assert changed.min(axis=0) == pytest.approx((312, 222), abs=6) and changed.max(axis=0) == pytest.approx((347, 257), abs=6)


@pytest.mark.parametrize("corner", [(-40, -30), (480, 470), (600, 700), (-300, 10)])
def test_a_window_may_reach_past_the_picture(face: tuple[np.ndarray, np.ndarray], corner: tuple[int, int]) -> None:
    frame, (x, y) = face[0].copy(), corner
    soften(frame, Window(x, y, x + 80, y + 60), np.ones((60, 80), np.float32), 2.0)
    outside = np.ones(frame.shape[:2], bool)
    outside[max(y, 0) : max(y + 60, 0), max(x, 0) : max(x + 80, 0)] = False
    assert np.array_equal(frame[outside], face[0][outside])
