"""Black bars: found where they have an edge, never in a dark picture; nothing is drawn on them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from talkinghead.portrait.bars import Area, picture_area
from talkinghead.portrait.crop import Crop
from talkinghead.render.paste import Paster


def barred(area: Area, noise: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(0)
    photo = np.zeros((300, 400, 3), np.float64)
    left, top, right, bottom = area
    y, x = np.mgrid[: bottom - top, : right - left]
    photo[top:bottom, left:right] = np.stack((80 + y / 2, 120 - x / 5, np.full_like(x, 90.0)), axis=-1)
    return np.clip(photo + rng.normal(0, noise, photo.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("area", [(0, 40, 400, 260), (60, 0, 340, 300), (50, 30, 350, 270), (0, 0, 400, 250), (30, 0, 400, 300)])
@pytest.mark.parametrize("noise", [0.0, 4.0])
def test_bars_are_found_on_every_side(area: tuple[int, int, int, int], noise: float) -> None:
    found = np.array(picture_area(barred(Area(*area), noise)))
    assert (np.abs(found - area) <= 2).all()
    assert ((found[:2] >= area[:2]) & (found[2:] <= area[2:])).all()


def test_a_soft_edge_is_no_part_of_the_picture() -> None:
    photo = cv2.GaussianBlur(barred(Area(0, 40, 400, 260)), (0, 0), 0.7)
    found = picture_area(photo)
    assert photo[found.top].max(1).min() > 70 and photo[found.bottom - 1].max(1).min() > 70 and found.top < 44


def test_a_dark_picture_has_no_bars() -> None:
    night = np.zeros((300, 400, 3), np.uint8)
    assert picture_area(night) == (0, 0, 400, 300)
    cv2.ellipse(night, (200, 180), (70, 100), 0, 0, 360, (150, 110, 90), -1)  # a head before a black wall
    assert picture_area(night) == (0, 0, 400, 300)
    fading = np.repeat(np.linspace(0, 200, 300)[:, None, None], 400, axis=1).repeat(3, axis=2).astype(np.uint8)
    assert picture_area(fading) == (0, 0, 400, 300)
    assert picture_area(np.full((300, 400, 3), 200, np.uint8)) == (0, 0, 400, 300)


def test_nothing_is_shown_of_bars_and_nothing_is_drawn_on_them() -> None:
    area = Area(50, 30, 350, 270)
    photo = barred(area)
    crop = Crop(20.0, 10.0, 280.0, area)
    assert crop.extract(photo).max(2).min() > 70
    frame = 255 - crop.extract(photo)
    pasted = Paster(photo, crop).paste(frame)
    bars = np.ones(photo.shape[:2], bool)
    bars[area.top : area.bottom, area.left : area.right] = False
    assert (pasted[bars] == 0).all() and not np.array_equal(pasted[~bars], photo[~bars])
