"""Light stays where it is: a lit ball for a face."""

from __future__ import annotations

import numpy as np
import pytest
import synthetic_face as synthetic

from talkinghead.motion.pose import HeadPose, rotation_from_vector
from talkinghead.render.layout import OVAL, SKIN_POINTS
from talkinghead.render.shade import LEAST, MOST, STRENGTH, Light, Surface, harmonics, shade
from talkinghead.render.warp import face_triangles

POSE = synthetic.pose()
ALL = np.arange(SKIN_POINTS)
FROM_LEFT = np.array((-0.7, -0.2, -0.68))


@pytest.fixture(scope="module")
def surface(canonical: np.ndarray) -> Surface:
    return Surface(face_triangles(canonical), canonical)


def photo(points: np.ndarray, surface: Surface) -> np.ndarray:
    """Skin (512, 512, 3) uint8 of one colour under a lamp at the left: each pixel as its nearest point has it."""
    bright = 90 + 110 * np.clip(surface.normals(points) @ FROM_LEFT, 0, 1)
    y, x = np.mgrid[0:512:8, 0:512:8]
    away = (x[..., None] - points[:SKIN_POINTS, 0]) ** 2 + (y[..., None] - points[:SKIN_POINTS, 1]) ** 2
    grey = bright[away.argmin(axis=-1)].repeat(8, 0).repeat(8, 1)
    return np.repeat(grey[..., None], 3, axis=2).astype(np.uint8)


def turned(yaw_deg: float) -> HeadPose:
    return HeadPose(rotation_from_vector(np.radians((0, yaw_deg, 0))), POSE.translation_px, POSE.scale_px)


def test_directions_are_unit_vectors_toward_the_camera(canonical: np.ndarray, surface: Surface) -> None:
    normals = surface.normals(POSE.apply(canonical))
    assert normals.shape == (SKIN_POINTS, 3)
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-5)
    assert (normals[:, 2] < 0).mean() > 0.95
    left, right = points_aside(canonical)
    assert normals[left, 0].mean() < -0.2 < 0.2 < normals[right, 0].mean()


def points_aside(canonical: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points of the left and right cheek, clear of the outline."""
    x = canonical[:SKIN_POINTS, 0]
    inner = ~np.isin(np.arange(SKIN_POINTS), OVAL)
    return tuple(np.flatnonzero(inner & (side * x > 0.15) & (side * x < 0.25)) for side in (-1, 1))  # type: ignore[return-value]


def test_the_photo_s_light_is_found(canonical: np.ndarray, surface: Surface) -> None:
    points = POSE.apply(canonical)
    light = Light.of(photo(points, surface), points, POSE.rotation, surface)
    normals = surface.normals(points)
    told, true = harmonics(normals) @ light.coefficients, (90 + 110 * np.clip(normals @ FROM_LEFT, 0, 1)) / 255 + 0.01
    seen = normals[:, 2] < -0.4
    assert np.abs(told - true)[seen].mean() < 0.03
    assert np.abs(light.change(normals, POSE.rotation, ALL)).max() < 1e-6


def test_skin_that_turns_to_the_lamp_gets_brighter(canonical: np.ndarray, surface: Surface) -> None:
    points = POSE.apply(canonical)
    light = Light.of(photo(points, surface), points, POSE.rotation, surface)
    changes = []
    for yaw_deg in (15, -15):  # the face's front turns to the picture's left, and away
        driven = turned(yaw_deg).apply(canonical)
        frame = np.full((512, 512, 3), 120, np.uint8)
        shade(frame, driven, turned(yaw_deg), light)
        x, y = driven[:SKIN_POINTS, :2].mean(axis=0).round().astype(int)
        changes.append(int(frame[y, x, 0]) - 120)
    assert max(changes) > 3 > -3 > min(changes)
    ahead = [turned(yaw_deg).rotation @ (0, 0, -1) for yaw_deg in (15, -15)]
    assert (changes[0] > changes[1]) == (ahead[0] @ FROM_LEFT > ahead[1] @ FROM_LEFT)


def test_the_photo_s_own_pose_and_the_wall_keep_their_light(canonical: np.ndarray, surface: Surface) -> None:
    points = POSE.apply(canonical)
    light = Light.of(photo(points, surface), points, POSE.rotation, surface)
    still = np.full((512, 512, 3), 120, np.uint8)
    shade(still, points, POSE, light)
    assert (still == 120).all()
    shade(still, turned(15).apply(canonical), turned(15), light)
    hull = points[list(OVAL), :2]
    low, high = hull.min(axis=0) - 30, hull.max(axis=0) + 30
    outside = np.ones((512, 512), bool)
    outside[int(low[1]) : int(high[1]), int(low[0]) : int(high[0])] = False
    assert np.abs(still[outside].astype(int) - 120).max() <= 1 < np.abs(still[~outside].astype(int) - 120).max()


@pytest.mark.parametrize("shift", [(900, 0), (-400, 30), (0, 470)])
def test_a_face_outside_the_picture_is_no_error(canonical: np.ndarray, surface: Surface, shift: tuple[int, int]) -> None:
    points = POSE.apply(canonical)
    light = Light.of(photo(points, surface), points, POSE.rotation, surface)
    frame = np.full((512, 512, 3), 120, np.uint8)
    shade(frame, turned(15).apply(canonical) + (*shift, 0), turned(15), light)


def test_a_face_in_profile_is_left_alone(canonical: np.ndarray, surface: Surface) -> None:
    points = turned(88).apply(canonical)
    light = Light.of(np.zeros((512, 512, 3), np.uint8), points, turned(88).rotation, surface)
    assert not light.change(surface.normals(POSE.apply(canonical)), POSE.rotation, ALL).any()


def test_an_expression_counts_for_half(canonical: np.ndarray, surface: Surface) -> None:
    points = POSE.apply(canonical)
    light = Light.of(photo(points, surface), points, POSE.rotation, surface)
    smiling, turn = POSE.apply(synthetic.canonical_face(mouth_open=0.08)), turned(15)
    assert np.abs(light.change(surface.normals(smiling), POSE.rotation, ALL)).max() > 0.01
    # Skin that goes with the head as a whole turns wholly.
    normals = surface.normals(turn.apply(canonical))
    told = np.maximum(harmonics(normals) @ light.coefficients, light.least) / light.rest
    expected = STRENGTH * np.log(np.clip(told, LEAST, MOST))
    np.testing.assert_allclose(light.change(normals, turn.rotation, ALL), expected, atol=1e-3)
