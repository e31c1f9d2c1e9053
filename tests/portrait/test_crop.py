from __future__ import annotations

import numpy as np
import pytest

from talkinghead.portrait.crop import Crop


def ramp(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.stack((x * 255 / width, y * 255 / height, np.full_like(x, 40.0)), axis=-1).astype(np.uint8)


def test_a_crop_of_the_wanted_size_is_the_photo_itself() -> None:
    image = np.random.default_rng(0).integers(0, 256, (600, 700, 3), dtype=np.uint8)
    assert np.array_equal(Crop(30, 50, 512).extract(image), image[50:562, 30:542])


@pytest.mark.parametrize("side", [200.0, 512.0, 777.7, 1500.0])
def test_places_are_kept_at_every_scale(side: float) -> None:
    image = ramp(1600, 1600)
    crop = Crop(20.5, 40.25, side)
    face = crop.extract(image)
    places = np.array(((100.0, 200.0), (400.0, 50.0)))
    for (x, y), (px, py) in zip(places.astype(int), crop.to_photo(places), strict=True):
        expected = image[int(round(py)), int(round(px))]
        assert np.abs(face[y, x].astype(int) - expected).max() <= 2


def test_it_may_reach_past_the_photo() -> None:
    image = ramp(300, 300)
    face = Crop(-100, -100, 500).cut(image, 250)
    assert face.shape == (250, 250, 3)
    assert np.abs(face[0, 0].astype(int) - image[0, 0]).max() <= 1
    assert np.abs(face[249, 249].astype(int) - image[299, 299]).max() <= 2


def test_beyond_the_photo_its_edge_dissolves_above_soonest() -> None:
    striped = np.zeros((512, 512, 3), np.uint8)
    striped[:, ::8] = striped[:, 1::8] = striped[:, 2::8] = striped[:, 3::8] = 200
    crop = Crop(0, -64, 640)
    face, hard = crop.extract(striped[:, :640], 640), crop.cut(striped[:, :640], 640)
    inside = np.s_[64 : 64 + 512, :512]
    assert np.array_equal(face[inside], hard[inside]) and np.array_equal(face[inside], striped)
    contrast = face[:, 100:400].astype(float).std(axis=(1, 2))
    assert (hard[:, 100:400].astype(float).std(axis=(1, 2)) > 95).all()
    above, below = contrast[:64][::-1], contrast[576:]
    assert above[0] > 60 and above[16] < 2 and below[4] > 40 and below[40] < 2
    assert (np.diff(above) < 0.5).all() and (np.diff(below) < 0.5).all()
    assert (above[2:12] < below[2:12] - 1).all()


def test_shrinking_averages() -> None:
    fine = np.zeros((2048, 2048, 3), np.uint8)
    fine[::2, ::2] = fine[1::2, 1::2] = 200
    face = Crop(0, 0, 2048).extract(fine, 256)
    assert np.abs(face.astype(int) - 100).max() <= 2


def test_coordinates_go_there_and_back() -> None:
    crop = Crop(-12.5, 33.0, 700.0)
    places = np.random.default_rng(0).uniform(0, 512, (20, 2))
    assert np.allclose(crop.from_photo(crop.to_photo(places)), places)
