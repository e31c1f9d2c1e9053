"""The latent: encoding, drawing, contact of the lips at rest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from talkinghead.errors import EngineError
from talkinghead.motion.latent import (
    LatentModel,
    latent_from_pose,
    pose_from_latent,
    similarity,
)
from talkinghead.motion.pose import HeadPose, rotation_from_vector
from talkinghead.motion.rest import CLOSED_GAP_FH, LID_PAIRS, LIP_PAIRS, resting_dynamics
from talkinghead.runtime.weights import model_path


@pytest.fixture(scope="module")
def latent() -> LatentModel:
    return LatentModel.load(model_path("latent", "latent.npz"))


@pytest.fixture(scope="module")
def pose() -> HeadPose:
    return HeadPose(rotation_from_vector(np.array([0.1, -0.3, 0.15])), np.array([250.0, 230.0]), 233.0)


def test_sizes_keep_the_contract(latent: LatentModel) -> None:
    assert latent.mean.shape == (478, 3)
    assert latent.size_dyn <= 64
    assert np.linalg.norm(latent.mean[10] - latent.mean[152]) == pytest.approx(1, abs=0.02)
    assert abs(latent.mean[[10, 1, 152], 0]).max() < 0.01  # frontal: the middle line is at x = 0


def test_similarity_finds_the_pose(latent: LatentModel, pose: HeadPose) -> None:
    found = similarity(latent.mean, pose.apply(latent.mean))
    np.testing.assert_allclose(found.rotation, pose.rotation, atol=1e-6)
    np.testing.assert_allclose(found.translation_px, pose.translation_px, atol=1e-4)
    assert found.scale_px == pytest.approx(233.0, abs=1e-3)


def test_encoding_gives_back_points_and_codes(latent: LatentModel, pose: HeadPose) -> None:
    rng = np.random.default_rng(0)
    z_id = rng.normal(0, 0.7, latent.size_id)
    z_dyn = rng.normal(0, 0.7, latent.size_dyn)
    points = pose.apply(latent.shape(z_id, z_dyn))
    code = latent.encode(points)
    redrawn, _ = latent.draw(code, np.zeros(6), code.z_dyn)
    np.testing.assert_allclose(redrawn, points, atol=1e-2)  # px: the residual holds what the codes do not
    known = latent.encode(points, z_id)
    assert np.corrcoef(known.z_dyn, z_dyn)[0, 1] > 0.9


def test_drawing_another_pose_moves_everything_rigidly(latent: LatentModel, pose: HeadPose) -> None:
    code = latent.encode(pose.apply(latent.mean))
    points, turned = latent.draw(code, np.array([0.0, 0.2, 0.0, 0.1, 0.0, 0.0]), code.z_dyn)
    still, _ = latent.draw(code, np.zeros(6), code.z_dyn)
    np.testing.assert_allclose(turned.inverse(points), code.pose.inverse(still), atol=1e-4)


def test_pose_latent_round_trip(pose: HeadPose) -> None:
    z_pose = np.array([0.05, -0.2, 0.1, 0.03, -0.02, 0.04], np.float32)
    np.testing.assert_allclose(latent_from_pose(pose, pose_from_latent(pose, z_pose)), z_pose, atol=1e-6)


def test_rest_closes_an_open_mouth_and_leaves_the_lids(latent: LatentModel, pose: HeadPose) -> None:
    lips = list(zip(*LIP_PAIRS, strict=True))
    opener = (latent.basis_dyn[:, lips[1], 1] - latent.basis_dyn[:, lips[0], 1]).mean(1)
    z_dyn = opener / np.linalg.norm(opener) * 2.5
    code = latent.encode(pose.apply(latent.shape(np.zeros(latent.size_id), z_dyn)))

    def gaps(z: np.ndarray, pairs: tuple[tuple[int, int], ...]) -> np.ndarray:
        shape = latent.shape(code.z_id, z) + code.residual
        above, below = (list(side) for side in zip(*pairs, strict=True))
        return shape[below, 1] - shape[above, 1]

    assert gaps(code.z_dyn, LIP_PAIRS).max() > 4 * CLOSED_GAP_FH
    rest = resting_dynamics(latent, code)
    assert gaps(rest, LIP_PAIRS).max() < 2 * CLOSED_GAP_FH
    np.testing.assert_allclose(gaps(rest, LID_PAIRS), gaps(code.z_dyn, LID_PAIRS), atol=0.004)


def test_rest_leaves_closed_lips_alone(latent: LatentModel, pose: HeadPose) -> None:
    code = latent.encode(pose.apply(latent.mean))
    closed = replace(code, z_dyn=resting_dynamics(latent, code))
    np.testing.assert_allclose(resting_dynamics(latent, closed), closed.z_dyn, atol=0.05)


def test_a_damaged_file_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "latent.npz").write_bytes(b"not a zip")
    with pytest.raises(EngineError, match="reinstall"):
        LatentModel.load(tmp_path / "latent.npz")
