from __future__ import annotations

import cv2
import numpy as np
import pytest
import synthetic_face as synthetic

from talkinghead.motion.pose import HeadPose, rotation_from_vector
from talkinghead.render.eyes import LEFT_EYE, RIGHT_EYE
from talkinghead.render.layout import LOWER_LIP, OPENING, UPPER_LIP
from talkinghead.render.mesh import delaunay, signed_areas
from talkinghead.render.warp import WarpDecoder, face_triangles

POSE = synthetic.pose()


def turned(degrees: tuple[float, float, float], shift: tuple[float, float] = (0, 0), scale: float = 1.0) -> HeadPose:
    rotation = rotation_from_vector(np.radians(degrees))
    return HeadPose(rotation, POSE.translation_px + shift, POSE.scale_px * scale)


def interior(decoder: WarpDecoder, height: float, photo: np.ndarray) -> int:
    """Pixels between the lips that are much darker than lips are."""
    points = POSE.apply(synthetic.canonical_face(mouth_open=height))
    frame = decoder.draw(points, POSE)
    box = np.s_[int(215 + 233 * 0.37) : int(215 + 233 * 0.65), 216:296]
    return int((frame[box].max(axis=2) < 110).sum())


def test_standing_still_gives_the_photo(decoder: WarpDecoder, photo: np.ndarray, canonical: np.ndarray) -> None:
    frame = decoder.draw(POSE.apply(canonical), POSE)
    assert frame.dtype == np.uint8 and frame.shape == photo.shape
    assert np.abs(frame.astype(int) - photo).max() <= 1


def test_drawing_leaves_its_input_and_earlier_frames_alone(decoder: WarpDecoder, canonical: np.ndarray) -> None:
    pose = turned((0, 0.1, 0))
    points = pose.apply(canonical)
    before = points.copy()
    first = decoder.draw(points, pose)
    kept = first.copy()
    decoder.draw(POSE.apply(canonical), POSE)
    assert np.array_equal(points, before)
    assert np.array_equal(first, kept)
    assert np.array_equal(decoder.draw(points, pose), first)


@pytest.mark.parametrize("degrees", [(0, 20, 0), (0, -20, 0), (15, 0, 0), (-15, 0, 0), (0, 0, 15)])
def test_the_border_is_still_while_the_head_turns(
    decoder: WarpDecoder, photo: np.ndarray, canonical: np.ndarray, degrees: tuple[float, float, float]
) -> None:
    pose = turned(degrees, (6, -5), 1.04)
    frame = decoder.draw(pose.apply(canonical), pose)
    changed = (frame != photo).any(axis=2)
    assert changed[150:350, 180:330].mean() > 0.05
    edge = 16
    changed[edge:-edge, edge:-edge] = False
    assert not changed.any()


def test_hair_goes_with_the_head(decoder: WarpDecoder, photo: np.ndarray, canonical: np.ndarray) -> None:
    pose = turned((0, 0, 0), (8, 0))
    frame = decoder.draw(pose.apply(canonical), pose)
    top = 110  # a row of hair above the forehead
    assert np.array_equal(frame[top, 230:280], photo[top, 222:272])


def test_closed_lips_show_no_interior_and_opening_ones_more_and_more(decoder: WarpDecoder, photo: np.ndarray) -> None:
    dark = [interior(decoder, height, photo) for height in (0.0, 0.04, 0.08, 0.12, 0.18)]
    assert dark[0] == 0
    assert all(a < b for a, b in zip(dark, dark[1:], strict=False))


def test_crossing_lips_look_closed(decoder: WarpDecoder, photo: np.ndarray, canonical: np.ndarray) -> None:
    assert interior(decoder, -0.03, photo) == 0


def test_an_open_photographed_mouth_closes(canonical: np.ndarray) -> None:
    smiling = synthetic.canonical_face(mouth_open=0.09)
    image = synthetic.picture(smiling)
    points = POSE.apply(smiling)
    ring = points[list(OPENING), :2]
    cv2.fillPoly(image, [np.round(ring).astype(np.int32)], (240, 240, 235))
    decoder = WarpDecoder(image, points, POSE, canonical)
    assert np.abs(decoder.draw(points, POSE).astype(int) - image).max() <= 1
    frame = decoder.draw(POSE.apply(canonical), POSE)
    box = np.s_[int(215 + 233 * 0.36) : int(215 + 233 * 0.49), 226:286]
    assert (image[box].min(axis=2) > 200).sum() > 200
    assert (frame[box].min(axis=2) > 200).sum() == 0


def test_a_blink_covers_the_eyes(decoder: WarpDecoder, photo: np.ndarray) -> None:
    shut = synthetic.canonical_face(lids=0.0)
    frame = decoder.draw(POSE.apply(shut), POSE)
    for eye in (LEFT_EYE, RIGHT_EYE):
        x, y = POSE.apply(shut)[eye.iris[0], :2].astype(int)
        box = np.s_[y - 6 : y + 7, x - 14 : x + 15]
        assert (photo[box].max(axis=2) < 60).sum() > 60  # the iris is there in the photo
        assert (frame[box].max(axis=2) < 60).sum() == 0
        assert (frame[box].min(axis=2) > 215).sum() == 0  # nor is any of the white


def test_the_iris_follows_the_gaze(decoder: WarpDecoder, canonical: np.ndarray) -> None:
    looking = canonical.copy()
    looking[468:, 0] += 0.02
    frame = decoder.draw(POSE.apply(looking), POSE)
    for eye in (LEFT_EYE, RIGHT_EYE):
        x, y = np.round(POSE.apply(canonical)[eye.iris[0], :2]).astype(int)
        row = frame[y, x - 15 : x + 16].max(axis=1) < 90
        assert np.flatnonzero(row).mean() - 15 == pytest.approx(0.02 * 233, abs=1.2)


def test_small_motion_changes_the_picture_little(decoder: WarpDecoder, canonical: np.ndarray) -> None:
    frames = []
    for k in range(12):
        pose = turned((0.05 * k, 0.15 * k, 0.05 * k), (0.1 * k, 0))
        frames.append(decoder.draw(pose.apply(synthetic.canonical_face(0.06 + 0.0008 * k)), pose).astype(int))
    steps = [np.abs(b - a) for a, b in zip(frames, frames[1:], strict=False)]
    assert max(float(step.mean()) for step in steps) < 2.0
    assert max(float((step.max(axis=2) > 120).mean()) for step in steps) < 2e-4


@pytest.mark.parametrize("scale", [0.0, 0.05, 1.0, 30.0])
def test_extreme_points_give_a_picture(decoder: WarpDecoder, canonical: np.ndarray, scale: float) -> None:
    rng = np.random.default_rng(5)
    points = POSE.apply(canonical + rng.normal(0, scale, canonical.shape))
    frame = decoder.draw(points, turned((40, -60, 90), (300, -300), 0.3))
    assert frame.shape == (512, 512, 3) and frame.dtype == np.uint8


def test_points_that_are_not_numbers_do_not_break_it(decoder: WarpDecoder, canonical: np.ndarray) -> None:
    points = POSE.apply(canonical)
    points[13] = np.nan
    assert decoder.draw(points, POSE).shape == (512, 512, 3)


def test_triangles_cover_the_face_once_and_leave_no_edge_of_an_opening_out(canonical: np.ndarray) -> None:
    triangles = face_triangles(canonical)
    edges = {tuple(sorted((int(t[i]), int(t[i - 1])))) for t in triangles for i in range(3)}
    rings = [UPPER_LIP, LOWER_LIP] + [ring for eye in (LEFT_EYE, RIGHT_EYE) for ring in (eye.upper, eye.lower)]
    for ring in rings:
        for pair in zip(ring, ring[1:], strict=False):
            assert tuple(sorted(pair)) in edges


def test_delaunay_is_repeatable_and_fills_the_hull() -> None:
    points = np.random.default_rng(0).uniform(0, 10, (60, 2))
    corners = np.array(((0, 0), (10, 0), (0, 10), (10, 10)))
    points = np.concatenate((points, corners))
    first, second = delaunay(points), delaunay(points)
    assert np.array_equal(first, second)
    assert np.abs(signed_areas(points, first)).sum() / 2 == pytest.approx(
        100, rel=0.02
    )  # OpenCV 4 shaves thin slivers off the hull
