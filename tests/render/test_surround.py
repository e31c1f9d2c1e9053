from __future__ import annotations

import cv2
import numpy as np
import pytest
import synthetic_face as synthetic

from talkinghead.motion.pose import HeadPose, rotation_from_vector
from talkinghead.render.layout import OVAL, SKIN_POINTS
from talkinghead.render.mesh import delaunay, signed_areas
from talkinghead.render.surround import PIVOT, Borders, Surround, skin_inset

POSE = synthetic.pose()
TURNS = [(0, 20, 0), (0, -20, 0), (15, 0, 0), (-15, 0, 0), (0, 0, 20), (0, 0, -20)]


def steep_face(canonical: np.ndarray, bend: float = 3.0) -> np.ndarray:
    """A face that falls away at its outline ``bend`` times as steeply."""
    deep = canonical.copy()
    deep[:, 2] *= bend
    return deep


def person_alpha() -> np.ndarray:
    """A mask (512, 512) uint8 of face, hair and shoulders."""
    alpha = np.zeros((512, 512), np.uint8)
    cv2.circle(alpha, (256, 240), 170, 255, -1)
    alpha[400:] = 255
    return alpha


def turned(degrees: tuple[int, int, int]) -> HeadPose:
    return HeadPose(rotation_from_vector(np.radians(degrees)), POSE.translation_px, POSE.scale_px)


def eased(points: np.ndarray, pose: HeadPose) -> np.ndarray:
    points = points.copy()
    points[:SKIN_POINTS] += pose.scale_px * skin_inset(points, pose) @ pose.rotation.T
    return points


def test_a_frontal_portrait_is_moved_in_depth_alone(canonical: np.ndarray) -> None:
    points = POSE.apply(steep_face(canonical))
    moved = eased(points, POSE) - points
    assert np.abs(moved[:, :2]).max() < 1e-9
    assert moved[:, 2].min() < -5 and moved[:, 2].max() < 1e-9
    assert np.abs(moved[[468, 473]]).max() == 0


def test_only_the_outline_is_eased(canonical: np.ndarray) -> None:
    points = POSE.apply(steep_face(canonical))
    moved = np.abs(eased(points, POSE) - points)[:SKIN_POINTS, 2]
    center = points[list(OVAL), :2].mean(axis=0)
    near = np.linalg.norm(points[:SKIN_POINTS, :2] - center, axis=1) < 0.2 * POSE.scale_px
    assert near.any() and moved[near].max() == 0


def test_a_face_that_is_flat_enough_is_left_alone(canonical: np.ndarray) -> None:
    points = POSE.apply(canonical * (1, 1, 0.5))
    assert np.abs(eased(points, POSE) - points).max() < 1e-9


@pytest.mark.parametrize("degrees", [(0, 20, 0), (0, -20, 0)])
def test_the_outline_is_hardly_stretched_by_a_turn(canonical: np.ndarray, degrees: tuple[int, int, int]) -> None:
    face = steep_face(canonical)
    plain, pose = POSE.apply(face), turned(degrees)
    inset = skin_inset(plain, POSE)

    def widest(shift: np.ndarray) -> float:
        """How many times as wide the turn makes the skin between the outline and what lies 0.03 face heights inside."""
        before, after = POSE.apply(face[:SKIN_POINTS] + shift), pose.apply(face[:SKIN_POINTS] + shift)
        rim = list(OVAL)
        gap = np.linalg.norm(before[rim, None, :2] - before[None, :, :2], axis=2)
        gap[gap < 4] = np.inf
        near = gap.argmin(axis=1)
        return float((np.linalg.norm((after[rim] - after[near])[:, :2], axis=1) / gap[np.arange(len(rim)), near]).max())

    assert widest(inset) < 1.6 < widest(np.zeros_like(inset))


def test_the_photo_s_own_pose_moves_nothing(canonical: np.ndarray) -> None:
    points = POSE.apply(canonical)
    around = Surround(points, POSE, 512)
    places, depth = around.follow(points[list(OVAL)], POSE)
    assert np.abs(places - around.source).max() < 1e-9
    assert depth.shape == (len(places),)


@pytest.mark.parametrize("degrees", TURNS)
def test_turns_move_hair_smoothly_and_leave_the_border(canonical: np.ndarray, degrees: tuple[int, int, int]) -> None:
    points = eased(POSE.apply(steep_face(canonical, 1.5)), POSE)
    around = Surround(points, POSE, 512)
    pose = turned(degrees)
    driven = pose.apply(POSE.inverse(points))
    places, _ = around.follow(driven[list(OVAL)], pose)
    moved = np.linalg.norm(places - around.source, axis=1)
    assert moved.max() > 8
    border = (around.source < 16).any(axis=1) | (around.source > 495).any(axis=1)
    assert moved[border].max() == 0
    source = np.concatenate((points[list(OVAL), :2], around.source))
    target = np.concatenate((driven[list(OVAL), :2], places))
    triangles = delaunay(source)
    # The ring's own inside is the face's, not the surround's.
    triangles = triangles[(triangles >= len(OVAL)).any(axis=1)]
    before, after = signed_areas(source, triangles), signed_areas(target, triangles)
    assert (np.sign(before) * after > 0)[np.abs(before) > 20].all()  # nothing folds over


def test_a_person_alone_keeps_hair_with_the_head(canonical: np.ndarray) -> None:
    points = POSE.apply(canonical)
    whole = person_alpha()
    bending, alone = Surround(points, POSE, 512), Surround(points, POSE, 512, alone=whole)
    ratio, angle = alone.ratio(alone.source)
    margin = np.minimum(alone.source, 511 - alone.source).min(axis=1)
    hair = (np.sin(angle) < 0) & (ratio > 1.9) & (ratio < 2.2)
    assert hair.any() and alone.weight[hair].min() > 0.99 > 0.8 > bending.weight[hair & (margin > 40)].max()
    shoulders = (np.sin(angle) > 0.9) & (ratio > 2.2)
    np.testing.assert_allclose(alone.weight[shoulders], bending.weight[shoulders], atol=0.05)
    assert not alone.weight[alone.source[:, 1] >= 511].any()


def test_a_person_whom_the_border_cuts_off_is_held_there(canonical: np.ndarray) -> None:
    points = POSE.apply(canonical)
    whole, cut = person_alpha(), person_alpha()
    cut[:60, 200:300] = 255
    free, held = (Surround(points, POSE, 512, alone=alpha) for alpha in (whole, cut))
    at_cut = (free.source[:, 1] < 5) & (np.abs(free.source[:, 0] - 250) < 40)
    far = np.linalg.norm(free.source - (250, 0), axis=1) > 220
    assert held.weight[at_cut].max() < 0.01 < 0.9 < free.weight[at_cut].min()
    np.testing.assert_allclose(held.weight[far], free.weight[far])


def shifted(around: Surround, canonical: np.ndarray, pose: HeadPose) -> np.ndarray:
    """How far (n, 2) px each vertex goes with a pose."""
    return around.follow(pose.apply(canonical)[list(OVAL)], pose)[0] - around.source


def test_shoulders_sway_with_the_neck_and_do_not_turn(canonical: np.ndarray) -> None:
    around = Surround(POSE.apply(canonical), POSE, 512, alone=person_alpha())
    shoulders = (around.source[:, 1] > 460) & (around.source[:, 1] < 485)
    aside = HeadPose(POSE.rotation, POSE.translation_px + (20, 10), POSE.scale_px)
    moved = shifted(around, canonical, aside)[shoulders]
    assert (moved[:, 0] > 12).all() and (moved[:, 0] < 18).all()
    assert (moved[:, 1] >= 0).all() and (moved[:, 1] < 4).all() and moved[:, 1].max() > 1
    # A head that turns about the neck leaves them where they are.
    turn = turned((0, 15, 0))
    pivot = turn.apply(np.array(PIVOT)) - POSE.apply(np.array(PIVOT))
    about = HeadPose(turn.rotation, POSE.translation_px - pivot[:2], POSE.scale_px)
    low = shoulders & (np.abs(around.source[:, 0] - 256) > 150)
    assert np.abs(shifted(around, canonical, about)[low]).max() < 1.5


def test_shoulders_are_held_where_the_photo_goes_on(canonical: np.ndarray) -> None:
    points, aside = POSE.apply(canonical), HeadPose(POSE.rotation, POSE.translation_px + (20, 0), POSE.scale_px)
    free = Surround(points, POSE, 512, alone=person_alpha())
    bottom, left = free.source[:, 1] >= 511, free.source[:, 0] <= 0
    low = free.source[:, 1] > 480
    assert shifted(free, canonical, aside)[bottom & low, 0].min() > 12
    for borders, still in ((Borders(bottom=True), bottom), (Borders(left=True), left & low)):
        held = Surround(points, POSE, 512, alone=person_alpha())
        held.hold(borders)
        moved = np.abs(shifted(held, canonical, aside)[:, 0])
        assert moved[still].max() < 1e-6 < 2 < moved[low & ~still].max()
        free.hold(borders)
        np.testing.assert_allclose(free.sway, held.sway)
        free.hold(Borders())


def test_without_layers_shoulders_stay(canonical: np.ndarray) -> None:
    assert not Surround(POSE.apply(canonical), POSE, 512).sway.any()
