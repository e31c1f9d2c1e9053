from __future__ import annotations

import cv2
import numpy as np
import pytest

from talkinghead.render.resample import FINE, FinePhoto


def places(shift: tuple[float, float], size_px: int = 64) -> np.ndarray:
    y, x = np.mgrid[:size_px, :size_px].astype(np.float32)
    return FINE * np.dstack((x + np.float32(shift[0]), y + np.float32(shift[1])))


def photo(size_px: int = 64) -> np.ndarray:
    noise = np.random.default_rng(0).normal(128, 60, (size_px, size_px, 3))
    return np.clip(cv2.GaussianBlur(noise, (0, 0), 1.2) * 3 - 256, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("shift", [(0, 0), (3, -2)])
def test_whole_pixels_are_the_photo_itself(shift: tuple[int, int]) -> None:
    found = FinePhoto(photo()).sample(places(shift))
    rows, columns = (np.clip(np.arange(64) + s, 0, 63) for s in shift[::-1])
    assert np.array_equal(found, photo()[rows[:, None], columns])


@pytest.mark.parametrize("shift", [(0.5, 0.5), (0.25, -0.4), (0.0, 0.75)])
def test_between_pixels_it_is_nearer_to_the_truth_than_linear_sampling(shift: tuple[float, float]) -> None:
    y, x = np.mgrid[:64, :64].astype(np.float64)

    def scene(right: float, down: float) -> np.ndarray:
        waves = np.cos((x + right) / 1.6) * np.sin((y + down) / 1.9) + np.cos((x + right + y + down) / 2.5)
        return np.clip(np.rint(128 + 50 * waves), 0, 255).astype(np.uint8)[..., None].repeat(3, 2)

    truth = scene(*shift)
    linear = cv2.warpAffine(
        scene(0, 0), np.array([[1, 0, shift[0]], [0, 1, shift[1]]]), (64, 64), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    )
    found = FinePhoto(scene(0, 0)).sample(places(shift))
    off, usual = (np.abs(a[4:-4, 4:-4].astype(float) - truth[4:-4, 4:-4]).mean() for a in (found, linear))
    assert off < 0.9 * usual


def test_outside_the_photo_its_border_goes_on() -> None:
    found = FinePhoto(photo()).sample(places((-200.0, 0.0)))
    assert np.array_equal(found, np.broadcast_to(photo()[:, :1], found.shape))


@pytest.mark.parametrize("corner", [(20, 30), (0, 30), (20, 59)])
def test_a_changed_photo_is_as_if_made_anew(corner: tuple[int, int]) -> None:
    photo = np.random.default_rng(5).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    other, (y, x) = photo.copy(), corner
    other[y : y + 5, x : x + 5] = 255 - other[y : y + 5, x : x + 5]
    places = FINE * np.dstack(np.meshgrid(np.arange(0, 63.5, 0.5), np.arange(0, 63.5, 0.5))).astype(np.float32)
    first = FinePhoto(photo)
    changed, anew = first.changed(other).sample(places), FinePhoto(other).sample(places)
    assert np.array_equal(changed, anew) and not np.array_equal(changed, first.sample(places))
    assert np.array_equal(first.changed(photo).sample(places), first.sample(places))
