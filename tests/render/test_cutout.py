"""The person cut out: matte of the whole photo, colours free of the wall, and both moved with the head."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import synthetic_face as synthetic

from talkinghead.motion.pose import HeadPose, rotation_from_vector
from talkinghead.portrait.crop import Crop
from talkinghead.render.body import cut_body
from talkinghead.render.cutout import UNSURE, Cutout, CutoutPaster, cut_out
from talkinghead.render.layout import OVAL
from talkinghead.render.warp import WarpDecoder

POSE = synthetic.pose()
HAIR, SKIN, WALL, COAT = (60, 40, 30), (205, 165, 140), (60, 190, 90), (70, 60, 150)
CROP = Crop(128.0, 0.0, 512.0)


def scene(canonical: np.ndarray, wall: tuple[int, int, int] = WALL) -> tuple[np.ndarray, np.ndarray]:
    """A photo (800, 768, 3) with head, neck and a coat before a green wall, and the person (800, 768) float32. The face's square
    is `CROP`."""
    oval = POSE.apply(canonical)[list(OVAL), :2] + (CROP.x, CROP.y)
    image, person = np.zeros((800, 768, 3), np.float32) + wall, np.zeros((800, 768), np.float32)
    hair = oval.mean(axis=0) + (oval - oval.mean(axis=0)) * 1.25 - (0, 18)
    chin = float(oval[:, 1].max())
    middle = float(oval[:, 0].mean())
    neck = np.array(((-56, chin - 60), (56, chin - 60), (56, chin + 90), (-56, chin + 90))) + (middle, 0)
    coat = np.array(((-60, chin + 50), (60, chin + 50), (210, chin + 110), (230, 800), (-230, 800), (-210, chin + 110)))
    for ring, colour in ((hair, HAIR), (neck, SKIN), (coat + (middle, 0), COAT), (oval, SKIN)):
        cv2.fillPoly(image, [np.round(ring).astype(np.int32)], colour)
        cv2.fillPoly(person, [np.round(ring).astype(np.int32)], 1)
    image = cv2.GaussianBlur(image, (0, 0), 1.0) + np.random.default_rng(0).normal(0, 3, image.shape)
    return np.clip(np.round(image), 0, 255).astype(np.uint8), person


def portrait(canonical: np.ndarray, image: np.ndarray) -> Any:
    return SimpleNamespace(image=image, crop=CROP, face=CROP.extract(image), points=POSE.apply(canonical), notes=("x",))


@pytest.fixture(scope="module")
def cutout(canonical: np.ndarray) -> Cutout:
    return cut_out(portrait(canonical, scene(canonical)[0]))


def test_the_matte_is_the_person_of_the_whole_photo(canonical: np.ndarray, cutout: Cutout) -> None:
    _, person = scene(canonical)
    inside, outside = cv2.erode(person, np.ones((9, 9))) > 0, cv2.dilate(person, np.ones((9, 9))) == 0
    assert (cutout.alpha[inside] > 250).mean() > 0.995
    assert (cutout.alpha[outside] < 5).mean() > 0.99
    assert cutout.trusted


def test_no_green_in_the_colours(canonical: np.ndarray, cutout: Cutout) -> None:
    image, person = scene(canonical)
    for part in (slice(None), cutout.alpha > 8):
        red, green, _ = cutout.picture[part].reshape(-1, 3).astype(int).T
        assert (green - red > 30).mean() < 0.004
    solid = cutout.alpha > 250
    assert np.abs(cutout.picture[solid].astype(int) - image[solid]).max() == 0


def test_edge_over_another_ground_is_hair_and_that_ground(canonical: np.ndarray, cutout: Cutout) -> None:
    soft = (cutout.alpha > 30) & (cutout.alpha < 225)
    assert soft.any()
    share = cutout.alpha[..., None] / 255
    over = (share * cutout.picture)[soft]  # over black nothing of the wall's green may shine
    plain = (share * scene(canonical)[0])[soft]
    green, before = (np.maximum(colours[:, 1] - colours[:, 0], 0).mean() for colours in (over, plain))
    assert green < 0.2 * before


def test_what_is_not_trusted_says_so_and_still_has_the_face(canonical: np.ndarray) -> None:
    given = portrait(canonical, scene(canonical, wall=HAIR)[0])
    unsure = cut_out(given)
    assert not unsure.trusted
    assert UNSURE.count("\n") == 0
    face = POSE.apply(canonical)[list(OVAL), :2].mean(axis=0) + (CROP.x, CROP.y)
    assert unsure.alpha[int(face[1]), int(face[0])] == 255


def test_beyond_the_photo_there_is_nobody(cutout: Cutout) -> None:
    low = cutout.face_alpha(Crop(128.0, 500.0, 512.0))
    assert low[:290, 200:300].min() > 250 and low[310:].max() == 0


def test_the_body_is_found_below_a_known_head(canonical: np.ndarray) -> None:
    image, person = scene(canonical)
    small, truth = (cv2.resize(picture, (192, 200), interpolation=cv2.INTER_AREA) for picture in (image, person))
    points = (POSE.apply(canonical)[:, :2] + (CROP.x, CROP.y) + 0.5) / 4 - 0.5
    head = truth * (np.arange(200)[:, None] < points[:, 1].max() + 8)
    assert (cut_body(small, head, points) == (truth > 0.5)).mean() > 0.98
    # Above the shoulders the head's matte alone counts.
    hat = head.copy()
    hat[:20, 60:120] = 1
    joined = np.maximum(hat, (np.arange(200)[:, None] < 60) & (np.abs(np.arange(192) - points[:, 0].mean()) < 20))
    assert cut_body(small, joined.astype(np.float32), points)[:20, 60:120].mean() > 0.95


def test_the_matte_moves_with_the_head(canonical: np.ndarray, cutout: Cutout) -> None:
    matte = cutout.face_alpha(CROP)
    decoder = WarpDecoder(CROP.extract(cutout.picture), POSE.apply(canonical), POSE, canonical, matte=matte)
    still = decoder.alpha(decoder.driven(POSE.apply(canonical), POSE))
    assert np.abs(still.astype(int) - matte).max() <= 2
    aside = HeadPose(rotation_from_vector(np.zeros(3)), POSE.translation_px + (14, 0), POSE.scale_px)
    points = aside.apply(canonical)
    moved = decoder.alpha(decoder.driven(points, aside))
    row = int(points[list(OVAL), 1].mean())
    edges = [np.flatnonzero(alpha[row] > 128)[[0, -1]] for alpha in (still, moved)]
    assert np.abs(edges[1] - edges[0] - 14).max() <= 2
    hull = np.zeros_like(moved)
    cv2.fillConvexPoly(hull, cv2.convexHull(points[list(OVAL), :2].astype(np.int32)), 1)
    assert moved[cv2.erode(hull, np.ones((15, 15))) > 0].min() > 250
    assert moved[:40, :40].max() == 0 and moved[:40, -40:].max() == 0
    with pytest.raises(ValueError, match="without a matte"):
        WarpDecoder(CROP.extract(cutout.picture), POSE.apply(canonical), POSE, canonical).alpha(decoder.driven(points, aside))


def test_pasted_back_where_nothing_moved_it_is_the_cutout(cutout: Cutout) -> None:
    paster = CutoutPaster(cutout, CROP)
    face = np.dstack((CROP.extract(cutout.picture), cutout.face_alpha(CROP)))
    whole = paster.paste(face)
    assert np.array_equal(whole, np.dstack((cutout.picture, cutout.alpha)))
    face[200:300, 200:300] = (1, 2, 3, 40)
    drawn = paster.paste(face)
    assert drawn[250, 250 + 128].tolist() == [1, 2, 3, 40]
    assert np.array_equal(drawn[600:], whole[600:])
