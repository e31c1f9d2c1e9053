"""Nothing tears: in every look and turn what moves is neither folded nor stretched out, the wall stays, and glasses go with the
head."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import synthetic_face as synthetic

from talkinghead.motion.pose import HeadPose, rotation_from_vector
from talkinghead.render.eyes import LEFT_EYE, RIGHT_EYE
from talkinghead.render.layout import SKIN_POINTS
from talkinghead.render.person import person_layers
from talkinghead.render.warp import WarpDecoder

POSE = synthetic.pose()
NECK_FH = np.array((0.0, 0.75, 0.3))
TURNS = [(0, 20, 0), (0, -20, 0), (15, 0, 0), (-15, 0, 0), (0, 0, 20), (0, 0, -20)]
MOST_STRETCHED = 3.0
FRAME_COLOUR = (18, 16, 20)


def turned(degrees: tuple[int, int, int]) -> HeadPose:
    """The head turned on its neck."""
    rotation = rotation_from_vector(np.radians(degrees))
    shift = (NECK_FH - rotation @ NECK_FH)[:2] * POSE.scale_px
    return HeadPose(rotation, POSE.translation_px + shift, POSE.scale_px)


def positions(decoder: WarpDecoder, points: np.ndarray, pose: HeadPose) -> np.ndarray:
    """Where each pixel of the moved picture comes from (512, 512, 2) px, read off a photo of coordinates that is moved alike."""
    driven = decoder.driven(points, pose)
    moved = decoder._mesh.displacement(*decoder._vertices(driven.points, pose))
    where = np.dstack(np.meshgrid(np.arange(512, dtype=np.float32), np.arange(512, dtype=np.float32)))
    if moved is not None:
        where[moved.area.slices] = moved.places(moved.area)
    return where


def torn(where: np.ndarray, person: np.ndarray) -> tuple[float, float]:
    """Of the moved person's pixels, ``person`` (512, 512) 0..1 before, the shares that are folded over and that are stretched."""
    across, down = np.gradient(where, axis=1), np.gradient(where, axis=0)
    fold = across[..., 0] * down[..., 1] - across[..., 1] * down[..., 0]
    least = np.linalg.svd(np.stack((across, down), axis=-1), compute_uv=False)[..., 1]
    seen = cv2.remap(person, where, None, cv2.INTER_LINEAR, borderValue=0) > 0.9
    seen = cv2.erode(seen.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    return float((fold[seen] < 0).mean()), float((least[seen] < 1 / MOST_STRETCHED).mean())


def with_glasses(photo: np.ndarray, canonical: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The photo with glasses, and where their frame is (512, 512) bool."""
    scale = POSE.scale_px
    face, frame = photo.copy(), np.zeros(photo.shape[:2], np.uint8)
    for eye in (LEFT_EYE, RIGHT_EYE):
        x, y = POSE.apply(canonical)[eye.iris[0], :2]
        corners = [(round(x - 0.13 * scale), round(y - 0.058 * scale)), (round(x + 0.13 * scale), round(y + 0.12 * scale))]
        cv2.rectangle(frame, *corners, 1, 3)
    face[frame > 0] = FRAME_COLOUR
    return face, frame > 0


@pytest.fixture(scope="module")
def person(photo: np.ndarray, canonical: np.ndarray) -> WarpDecoder:
    points = POSE.apply(canonical)
    layers = person_layers(photo, points)
    assert layers is not None
    return WarpDecoder(photo, points, POSE, canonical, layers=layers)


def head(canonical: np.ndarray) -> np.ndarray:
    """Where face and hair of the photo are (512, 512) float32 0..1."""
    oval = POSE.apply(canonical)[:SKIN_POINTS, :2]
    hull = cv2.convexHull(np.round(oval.mean(axis=0) + (oval - oval.mean(axis=0)) * 1.2 - (0, 18)).astype(np.int32))
    out = np.zeros((512, 512), np.float32)
    cv2.fillConvexPoly(out, hull, 1.0)
    return out


@pytest.mark.parametrize("degrees", TURNS)
def test_turns_neither_fold_nor_stretch_the_head(
    person: WarpDecoder, canonical: np.ndarray, degrees: tuple[int, int, int]
) -> None:
    pose = turned(degrees)
    folded, stretched = torn(positions(person, pose.apply(canonical), pose), head(canonical))
    assert folded < 0.002 and stretched < 0.01


def test_a_fold_and_a_stretch_are_seen_as_such() -> None:
    where = np.dstack(np.meshgrid(np.arange(512, dtype=np.float32), np.arange(512, dtype=np.float32)))
    whole = np.ones((512, 512), np.float32)
    assert torn(where, whole) == (0.0, 0.0)
    folded, wide = where.copy(), where.copy()
    folded[:, 200:300, 0] = 300 - (folded[:, 200:300, 0] - 200)
    wide[:, 200:300, 0] = 200 + (wide[:, 200:300, 0] - 200) / 4
    assert torn(folded, whole)[0] > 0.15 and torn(wide, whole)[1] > 0.15


@pytest.mark.parametrize("degrees", TURNS)
def test_the_wall_stays_where_the_head_is_not(
    person: WarpDecoder, photo: np.ndarray, canonical: np.ndarray, degrees: tuple[int, int, int]
) -> None:
    layers = person_layers(photo, POSE.apply(canonical))
    assert layers is not None
    pose = turned(degrees)
    frame, where = person.draw(pose.apply(canonical), pose), positions(person, pose.apply(canonical), pose)
    covers = cv2.remap(layers.alpha, where, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    wall = (cv2.dilate(covers, np.ones((5, 5), np.uint8)) == 0) & (layers.alpha == 0)
    assert wall.mean() > 0.15 and np.array_equal(frame[wall], photo[wall])


@pytest.mark.parametrize("degrees", TURNS)
def test_glasses_go_with_the_head(photo: np.ndarray, canonical: np.ndarray, degrees: tuple[int, int, int]) -> None:
    points = POSE.apply(canonical)
    eyes = [canonical[list(eye.upper + eye.lower), :2].mean(axis=0) for eye in (LEFT_EYE, RIGHT_EYE)]
    away = np.min([np.linalg.norm(canonical[:SKIN_POINTS, :2] - eye, axis=1) for eye in eyes], axis=0)
    rivets: list[int] = []
    for k in np.flatnonzero((away > 0.1) & (away < 0.16)):
        if all(np.linalg.norm(points[k, :2] - points[other, :2]) > 18 for other in rivets):
            rivets.append(int(k))
    face = photo.copy()
    for x, y in points[rivets, :2]:
        cv2.circle(face, (round(x * 16), round(y * 16)), 40, (20, 240, 40), -1, cv2.LINE_AA, 4)
    decoder = WarpDecoder(face, points, POSE, canonical, layers=person_layers(face, points))
    pose = turned(degrees)
    frame = decoder.draw(pose.apply(canonical), pose).astype(int)
    green = np.clip(frame[..., 1] - frame[..., 0], 0, None)
    assert len(rivets) >= 4
    for x, y in pose.apply(canonical)[rivets, :2]:
        rows, columns = np.mgrid[round(y) - 6 : round(y) + 7, round(x) - 6 : round(x) + 7]
        weight = green[rows, columns] / green[rows, columns].sum()
        assert np.hypot((weight * columns).sum() - x, (weight * rows).sum() - y) < 1.0


def test_a_blink_leaves_the_frame_of_glasses_alone(photo: np.ndarray, canonical: np.ndarray) -> None:
    face, frame = with_glasses(photo, canonical)
    points = POSE.apply(canonical)
    decoder = WarpDecoder(face, points, POSE, canonical, layers=person_layers(face, points))
    shut = decoder.draw(POSE.apply(synthetic.canonical_face(lids=0.0)), POSE)
    assert np.abs(shut.astype(int) - face)[points[LEFT_EYE.iris[0], 1].astype(int)].max() > 40  # the eyes are shut
    assert (shut[frame].mean(axis=1) < 60).mean() > 0.97
