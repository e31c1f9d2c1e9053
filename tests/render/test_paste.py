from __future__ import annotations

import cv2
import numpy as np
import pytest

from talkinghead.portrait.crop import Crop
from talkinghead.render.paste import Paster

CROPS = [Crop(40.3, 22.6, 300.5), Crop(20.0, 10.0, 512.0), Crop(-30.0, -40.0, 700.0), Crop(200.0, 150.0, 900.0)]


def photo() -> np.ndarray:
    noise = np.random.default_rng(1).normal(120, 40, (640, 720, 3))
    return np.clip(cv2.GaussianBlur(noise, (0, 0), 1.0) * 2 - 120, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("crop", CROPS)
def test_a_still_frame_gives_the_photo_back(crop: Crop) -> None:
    image = photo()
    paster = Paster(image, crop)
    assert np.array_equal(paster.paste(paster.still), image)


@pytest.mark.parametrize("crop", CROPS)
def test_only_what_moved_is_touched(crop: Crop) -> None:
    image = photo()
    paster = Paster(image, crop)
    frame = paster.still.copy()
    frame[200:260, 180:240] = (250, 20, 20)
    out = paster.paste(frame)
    changed = (out != image).any(axis=2)
    (x0, y0), (x1, y1) = crop.to_photo(np.array(((170, 190), (250, 270))))
    inside = np.zeros_like(changed)
    inside[max(int(y0), 0) : int(y1) + 2, max(int(x0), 0) : int(x1) + 2] = True
    assert changed.any()
    assert not (changed & ~inside).any()
    cx, cy = np.round(crop.to_photo(np.array(((210, 230),)))[0]).astype(int)
    assert np.abs(out[cy, cx].astype(int) - (250, 20, 20)).max() <= 2


def test_a_change_at_the_border_fades_out() -> None:
    image = np.full((600, 600, 3), 100, np.uint8)
    paster = Paster(image, Crop(50, 50, 512))
    out = paster.paste(np.full((512, 512, 3), 200, np.uint8)).astype(int)
    row = out[300, :, 0]
    assert row[300] == 200 and row[50] == 100 and row[561] == 100
    assert np.abs(np.diff(row)).max() <= 16


def test_the_photo_itself_is_never_changed() -> None:
    image = photo()
    kept = image.copy()
    Paster(image, CROPS[0]).paste(np.zeros((512, 512, 3), np.uint8))
    assert np.array_equal(image, kept)


def test_pasting_and_cropping_again_gives_the_frame() -> None:
    image = cv2.resize(photo(), None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    crop = Crop(100, 80, 1024)
    paster = Paster(image, crop)
    frame = paster.still.copy()
    frame[150:350, 150:350] = cv2.GaussianBlur(frame[150:350, 160:360], (0, 0), 1.5)
    again = crop.extract(paster.paste(frame))
    assert np.abs(again[160:340, 160:340].astype(int) - frame[160:340, 160:340]).mean() < 2.5


@pytest.mark.parametrize("step", [0.7, 1.0, 1.1, 1.37, 2.0, 3.0])
@pytest.mark.parametrize("offset", [0.0, 0.25, 0.5, 0.71])
def test_what_is_drawn_lands_where_the_crop_says(step: float, offset: float) -> None:
    crop = Crop(30 + offset, 21 - offset, 512 * step)
    side = int(512 * step) + 70
    paster = Paster(np.full((side, side, 3), 60, np.uint8), crop)
    y, x = np.mgrid[:512, :512]
    blob = np.exp(-((x - 300) ** 2 + (y - 211) ** 2) / (2 * 9.0**2))
    out = paster.paste(np.round(60 + 180 * blob[..., None].repeat(3, axis=2)).astype(np.uint8))
    weight = out[..., 0].astype(float) - 60
    assert weight.max() > 165
    rows, columns = np.mgrid[:side, :side]
    centre = np.array(((columns * weight).sum(), (rows * weight).sum())) / weight.sum()
    assert centre == pytest.approx(crop.to_photo(np.array(((300, 211),)))[0], abs=0.12)


@pytest.mark.parametrize("crop", CROPS)
def test_a_change_at_the_very_edge_of_the_crop_is_pasted_without_a_seam(crop: Crop) -> None:
    image = np.full((640, 720, 3), 100, np.uint8)
    paster = Paster(image, crop)
    frame = paster.still.copy()
    ramp = np.clip((300 - np.arange(512)) / 100, 0, 1)  # no sharp edge: enlarging rings there
    frame[:] = np.round(100 + 60 * np.outer(ramp, ramp))[..., None]
    out = paster.paste(frame).astype(int)
    assert out.max() <= 161 and out.min() >= 99
    x0, y0 = (max(round(edge), 0) for edge in (crop.x, crop.y))
    if crop.x > 0 and crop.y > 0:
        assert np.abs(out[y0 - 2 : y0 + 2] - 100).max() <= 6 and np.abs(out[:, x0 - 2 : x0 + 2] - 100).max() <= 6


def test_each_picture_belongs_to_its_taker() -> None:
    paster = Paster(photo(), CROPS[0])
    frame = paster.still.copy()
    frame[100:300, 100:300] //= 2
    first = paster.paste(frame)
    kept = first.copy()
    second = paster.paste(paster.still)
    second[:] = 7
    assert np.array_equal(first, kept)
    assert np.array_equal(paster.paste(frame), kept)
