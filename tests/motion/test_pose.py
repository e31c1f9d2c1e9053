from __future__ import annotations

import numpy as np
import pytest

from talkinghead.motion.pose import HeadPose, facing_deg, rotation_from_vector, vector_from_rotation


@pytest.mark.parametrize(
    "vector", [(0, 0, 0), (1e-9, 0, 0), (1e-4, -2e-4, 0), (0.3, -0.2, 0.5), (0, 3.0, 0.2), (np.pi, 0, 0), (0, -1.5, 2.4)]
)
def test_vectors_and_rotations_are_inverse(vector: tuple[float, float, float]) -> None:
    rotation = rotation_from_vector(np.array(vector))
    assert np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-9)
    assert np.linalg.det(rotation) == pytest.approx(1)
    again = vector_from_rotation(rotation)
    assert np.allclose(rotation_from_vector(again), rotation, atol=1e-7)
    if np.linalg.norm(vector) < 3.1:
        assert np.allclose(again, vector, atol=1e-7)


def test_half_turns_about_odd_axes() -> None:
    axis = np.array((0.6, -0.64, 0.48))
    rotation = rotation_from_vector(axis / np.linalg.norm(axis) * np.pi)
    assert np.allclose(rotation_from_vector(vector_from_rotation(rotation)), rotation, atol=1e-6)


def test_quarter_turn_about_z_takes_right_to_down() -> None:
    assert np.allclose(rotation_from_vector(np.array((0, 0, np.pi / 2))) @ (1, 0, 0), (0, 1, 0))


def test_apply_and_inverse() -> None:
    pose = HeadPose(rotation_from_vector(np.array((0.1, 0.4, -0.2))), np.array((250.0, 230.0)), 233.0)
    points = np.random.default_rng(0).normal(size=(478, 3))
    placed = pose.apply(points)
    assert np.allclose(placed[0], 233 * pose.rotation @ points[0] + (250, 230, 0))
    assert np.allclose(pose.inverse(placed), points)
    kept = placed.copy()
    pose.inverse(placed)
    assert np.array_equal(placed, kept)


def test_where_a_turned_head_looks() -> None:
    nose = rotation_from_vector(np.array((0.1, 0.3, 0.0))) @ (0, 0, -1.0)
    assert nose[0] < 0 < nose[1]  # to the picture's left and down
    assert np.allclose(facing_deg(np.array([(0, 0.3, 0), (0.1, 0, 0), (0, 0, 0.5)])), np.degrees([(-0.3, 0), (0, -0.1), (0, 0)]))
