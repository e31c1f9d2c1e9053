"""Detail: what is drawn soft or hard comes to the photo's, what is left alone stays."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from talkinghead.render.detail import LOOKS, TRIED, detailed, energy, looks, matching_gain
from talkinghead.render.patch import Window
from talkinghead.render.refine import Spot

SIDE = 64
SPOTS = [Spot(Window(0, 0, SIDE, SIDE), False, (np.zeros((3, 2)), np.zeros((3, 2))))]


def texture(sigma_px: float) -> np.ndarray:
    """(64, 64, 3) float32 in 0..1, of a like contrast however soft."""
    noise = np.random.default_rng(0).uniform(0, 1, (SIDE, SIDE, 3)).astype(np.float32)
    soft = cv2.GaussianBlur(noise, (0, 0), sigma_px) - 0.5
    return 0.5 + 0.1 * soft / soft.std()


def drawn_over(made: np.ndarray, gain: float) -> np.ndarray:
    """A picture that a network draws over one that is darker, (64, 64, 3) uint8."""
    seen, change = np.zeros((5, SIDE, SIDE), np.float32), np.full_like(made, 0.05)
    seen[:3] = (made - change).transpose(2, 0, 1)
    picture = made - change + detailed(seen, change, gain)
    return np.rint(255 * np.clip(picture, 0, 1)).astype(np.uint8)


def of(image: np.ndarray) -> float:
    return energy(np.rint(255 * image).astype(np.uint8), SPOTS)


@pytest.mark.parametrize(("sigma_px", "wanted_px"), [(0.9, 0.8), (0.8, 0.9)])
def test_the_found_gain_gives_the_wanted_energy(sigma_px: float, wanted_px: float) -> None:
    wanted, given = of(texture(wanted_px)), of(texture(sigma_px))
    gain = matching_gain([energy(drawn_over(texture(sigma_px), tried), SPOTS) for tried in TRIED], wanted)
    assert (gain > 0) == (wanted > given) and not 0.8 < given / wanted < 1.25
    assert energy(drawn_over(texture(sigma_px), gain), SPOTS) == pytest.approx(wanted, rel=0.05)


def test_it_has_bounds_and_leaves_alone_what_cannot_be_matched() -> None:
    energies = [energy(drawn_over(texture(0.8), gain), SPOTS) for gain in TRIED]
    assert matching_gain(energies, 100 * energies[1]) == 1.0
    assert matching_gain(energies, 0.6 * energies[1]) < 0
    assert matching_gain(energies, 0.01 * energies[1]) == -0.4
    assert matching_gain([0.0, 0.0, 0.0], 1.0) == 0.0
    assert matching_gain([3.0, 2.0, 1.0], 1.5) == 0.0  # not as sharpening behaves


@pytest.mark.parametrize("gain", [-0.5, 0.8])
def test_what_the_network_leaves_alone_stays(gain: float) -> None:
    seen, change = np.zeros((5, SIDE, SIDE), np.float32), np.zeros((SIDE, SIDE, 3), np.float32)
    seen[:3] = texture(1.2).transpose(2, 0, 1)
    assert not detailed(seen, change, gain).any()
    change[:, :20] = 0.1
    more = detailed(seen, change, gain)
    assert not more[:, 24:].any() and np.abs(more - change)[:, :18].max() > 0.01
    np.testing.assert_array_equal(detailed(seen, change, 0.0), change)


def test_looks_are_always_the_same() -> None:
    assert looks(48).shape == (LOOKS, 48)
    np.testing.assert_array_equal(looks(48), looks(48))
