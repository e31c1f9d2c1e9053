from __future__ import annotations

import cv2
import numpy as np
import pytest
import synthetic_face as synthetic

from talkinghead.motion.pose import HeadPose, rotation_from_vector
from talkinghead.render.layout import OVAL
from talkinghead.render.patch import Window
from talkinghead.render.person import Person, left_over, person_layers, with_strip
from talkinghead.render.plate import Layers, separate
from talkinghead.render.resample import FINE
from talkinghead.render.warp import WarpDecoder

POSE = synthetic.pose()
HAIR, SKIN, WALL = (60, 40, 30), (205, 165, 140), (150, 170, 190)
REACH_PX = (3.0, 30.0)


def portrait(canonical: np.ndarray, wall: tuple[int, int, int] = WALL, rise_px: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A face with hair and neck before a wall with grain (512, 512, 3), and the person (512, 512) float32."""
    oval = POSE.apply(canonical)[list(OVAL), :2]
    image, person = np.zeros((512, 512, 3), np.float32) + wall, np.zeros((512, 512), np.float32)
    hair = oval.mean(axis=0) + (oval - oval.mean(axis=0)) * 1.25 - (0, 18)
    hair[hair[:, 1] < 200, 1] -= rise_px
    for ring, colour in ((hair, HAIR), (np.array(((200, 330), (312, 330), (312, 512), (200, 512))), SKIN), (oval, SKIN)):
        cv2.fillPoly(image, [np.round(ring).astype(np.int32)], colour)
        cv2.fillPoly(person, [np.round(ring).astype(np.int32)], 1)
    image = cv2.GaussianBlur(image, (0, 0), 1.0) + np.random.default_rng(0).normal(0, 3, image.shape)
    return np.clip(np.round(image), 0, 255).astype(np.uint8), person


def identity() -> np.ndarray:
    return FINE * np.dstack(np.meshgrid(np.arange(512, dtype=np.float32), np.arange(512, dtype=np.float32)))


@pytest.fixture(scope="module")
def layers(canonical: np.ndarray) -> Layers:
    face, person = portrait(canonical)
    return separate(face, with_strip(person, REACH_PX))


def test_the_less_sure_the_matte_the_more_of_the_wall_goes_along(canonical: np.ndarray) -> None:
    points = POSE.apply(canonical)
    widths = []
    for wall in (WALL, HAIR):
        layers = person_layers(portrait(canonical, wall=wall)[0], points)
        assert layers is not None
        away = cv2.distanceTransform((portrait(canonical)[1] < 0.5).astype(np.uint8), cv2.DIST_L2, 5)[40:300]
        ring = (away > 24) & (away < 32)
        widths.append(layers.alpha[40:300][ring].mean())
    assert widths[0] < 40 < widths[1]


def test_a_picture_without_background_is_not_taken_apart(canonical: np.ndarray) -> None:
    assert person_layers(np.full((512, 512, 3), SKIN, np.uint8), POSE.apply(canonical)) is None


def test_hair_that_the_border_cuts_off_is_held_there(canonical: np.ndarray) -> None:
    face = portrait(canonical, rise_px=140)[0]
    layers = person_layers(face, POSE.apply(canonical))
    assert layers is not None and layers.alpha[0].max() > 250
    decoder = WarpDecoder(face, POSE.apply(canonical), POSE, canonical, layers=layers)
    pose = HeadPose(rotation_from_vector(np.radians((12.0, 0, 0))), POSE.translation_px + (0, 14), POSE.scale_px)
    frame = decoder.draw(pose.apply(canonical), pose)
    cut = layers.alpha[0] > 250
    assert np.abs(frame[0][cut].astype(int) - face[0][cut]).max() < 12


def test_standing_still_both_layers_are_the_photo(canonical: np.ndarray, layers: Layers) -> None:
    face, out = portrait(canonical)[0], np.zeros((512, 512, 3), np.uint8)
    Person(face, layers).sample(identity(), Window(0, 0, 512, 512), out)
    assert np.abs(out.astype(int) - face).max() <= 3


def test_a_strip_of_the_wall_goes_along_and_fades_out(canonical: np.ndarray) -> None:
    person = portrait(canonical)[1]
    wide = with_strip(person, REACH_PX)
    away = cv2.distanceTransform((person < 0.5).astype(np.uint8), cv2.DIST_L2, 5)
    assert (wide >= person).all() and wide[away > 32].max() == 0
    assert wide[away < 2].min() == 1
    ring = (away > 14) & (away < 18)
    assert 0.3 < wide[ring].mean() < 0.7
    edges = np.concatenate((wide[0], wide[:300, 0], wide[:300, -1]))
    assert edges.max() == 0  # the picture's border shows none of it, however near the person is


def test_missed_strands_are_noticed(canonical: np.ndarray, layers: Layers) -> None:
    face = portrait(canonical)[0]
    chin_px = float(POSE.apply(canonical)[152, 1])
    strands = face.copy()
    for x in range(60, 460, 9):
        cv2.line(strands, (x, 20), (x + 20, 110), HAIR, 2)
    alpha = layers.alpha.astype(np.float32) / 255
    assert left_over(face, alpha, chin_px) < 0.5
    assert left_over(strands, alpha, chin_px) > 3
    assert left_over(face, np.ones((512, 512), np.float32), chin_px) == float("inf")


def test_a_tilted_head_leaves_the_wall_in_its_place_and_keeps_its_hair(canonical: np.ndarray) -> None:
    face, person = portrait(canonical)
    wall = np.where(np.arange(512) // 16 % 2, 235, 120).astype(np.uint8)[None, :, None]
    face = np.where((person > 0)[..., None], face, wall)
    pose = HeadPose(rotation_from_vector(np.radians((0, 0, 15.0))), POSE.translation_px, POSE.scale_px)
    off = []
    for layers in (None, separate(face, with_strip(person, REACH_PX))):
        decoder = WarpDecoder(face, POSE.apply(canonical), POSE, canonical, layers=layers)
        frame = decoder.draw(pose.apply(canonical), pose)
        away = cv2.distanceTransform((person < 0.5).astype(np.uint8), cv2.DIST_L2, 5)[:250]
        off.append(np.abs(frame.astype(int) - face)[:250][(away > 75) & (away < 110)].mean())
    assert off[1] < 3 and off[1] < 0.25 * off[0]
