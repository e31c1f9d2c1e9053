from __future__ import annotations

import cv2
import numpy as np
import pytest

from talkinghead.render.plate import Layers, background_plate, foreground_colours, push_pull, separate, with_strays

SIZE = 256
HAIR, WALL = np.array((60.0, 40.0, 30.0)), np.array((150.0, 170.0, 190.0))


def disc(soft_px: float = 3.0, radius_px: float = 70.0) -> np.ndarray:
    """Alpha (256, 256) float32 of a disc with a soft edge."""
    y, x = np.mgrid[:SIZE, :SIZE] - 128.0
    return np.clip((radius_px - np.hypot(x, y)) / soft_px / 2 + 0.5, 0, 1).astype(np.float32)


def mixed(alpha: np.ndarray, wall: np.ndarray, noise: float = 0.0) -> np.ndarray:
    """Hair over ``wall`` (256, 256, 3) or (3,)."""
    picture = alpha[..., None] * HAIR + (1 - alpha[..., None]) * wall
    grain = np.random.default_rng(1).normal(0, noise, (SIZE, SIZE, 1)) if noise else 0.0
    return np.clip(np.round(picture + grain), 0, 255).astype(np.uint8)


def together(layers: Layers) -> np.ndarray:
    return layers.head + np.round((255 - layers.alpha[..., None].astype(float)) / 255 * layers.plate)


@pytest.mark.parametrize("seed", range(3))
def test_layers_of_any_picture_give_the_picture(seed: int) -> None:
    rng = np.random.default_rng(seed)
    face = rng.integers(0, 256, (SIZE, SIZE, 3), np.uint8)
    face = cv2.GaussianBlur(face, (0, 0), 1.0 + seed)
    alpha = np.clip(disc(12) + 0.3 * rng.standard_normal((SIZE, SIZE)).astype(np.float32) * (disc(30) > 0), 0, 1)
    assert np.abs(together(separate(face, alpha)) - face).max() <= 1


def test_where_nobody_is_the_plate_is_the_photo() -> None:
    alpha = disc()
    face = mixed(alpha, WALL, 5.0)
    layers = separate(face, alpha)
    still = layers.alpha == 0
    assert still.mean() > 0.5
    assert (layers.plate[still] == face[still]).all() and layers.head[still].max() == 0
    assert (layers.head[alpha == 1] == face[alpha == 1]).all()


def test_no_hair_is_left_on_the_plate() -> None:
    alpha = disc(6)
    layers = separate(mixed(alpha, WALL), alpha)
    assert np.abs(layers.plate - WALL).max() < 6


def test_a_horizon_goes_on_behind_the_head() -> None:
    wall = np.where(np.arange(SIZE)[:, None, None] < 128, np.array((200.0, 210.0, 230.0)), np.array((60.0, 90.0, 40.0)))
    alpha = disc(2, 50)
    plate = background_plate(mixed(alpha, np.broadcast_to(wall, (SIZE, SIZE, 3))), alpha).astype(float)
    assert plate[:104, 128].mean() - plate[152:, 128].mean() > 60
    just_inside = plate[:, 128 - 44]
    assert np.abs(just_inside[114] - wall[114, 0]).max() < 25 and np.abs(just_inside[142] - wall[142, 0]).max() < 25


def test_the_fill_has_the_photo_s_grain() -> None:
    alpha = disc()
    plate = background_plate(mixed(alpha, WALL, 6.0), alpha).astype(float).mean(axis=2)
    fine = plate - cv2.GaussianBlur(plate, (0, 0), 2.0)
    inside, outside = fine[alpha == 1].std(), fine[disc(3, 100) == 0].std()
    assert 0.3 * outside < inside < 1.5 * outside
    smooth = background_plate(mixed(alpha, WALL), alpha).astype(float).mean(axis=2)
    assert (smooth - cv2.GaussianBlur(smooth, (0, 0), 2.0))[alpha == 1].std() < 0.5


def test_hair_at_the_edge_does_not_carry_the_wall_s_colour() -> None:
    alpha = disc(8)
    face = mixed(alpha, WALL)
    plate = np.broadcast_to(np.round(WALL).astype(np.uint8), face.shape).copy()
    found = foreground_colours(face, alpha, plate).astype(float)
    edge = (alpha > 0.3) & (alpha < 0.95)
    assert edge.sum() > 1000
    assert np.abs(found - HAIR)[edge].max() < 15
    assert np.abs(face - HAIR)[edge].max() > 50


def test_a_strand_that_the_matte_missed_goes_with_the_head() -> None:
    alpha, true = disc(), disc()
    true[126:130, 128 + 70 : 128 + 88] = 1.0
    face = mixed(true, WALL, 2.0)
    layers = separate(face, with_strays(face, alpha))
    strand = np.s_[127:129, 128 + 74 : 128 + 84]
    assert layers.alpha[strand].min() > 180
    assert np.abs(layers.plate[strand].astype(float) - WALL).max() < 15


def test_a_picture_full_of_the_person_stays_whole() -> None:
    face = mixed(disc(), WALL)
    layers = separate(face, np.ones((SIZE, SIZE), np.float32))
    assert (layers.head == face).all() and layers.alpha.min() == 255


def test_push_pull_keeps_what_is_known() -> None:
    rng = np.random.default_rng(0)
    values = rng.uniform(0, 1, (60, 70, 2)).astype(np.float32)
    weight = np.ones((60, 70), np.float32)
    weight[20:40, 20:50] = 0
    out = push_pull(values, weight)
    assert np.abs(out - values)[weight == 1].max() < 1e-5
    assert out.min() > 0 and out.max() < 1
    assert np.abs(push_pull(np.full_like(values, 0.25), weight) - 0.25).max() < 1e-4
