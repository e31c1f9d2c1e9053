"""Tracks to 40 Hz motion: in time, without delay, and the bad ones left out."""

from __future__ import annotations

import numpy as np
import pytest

from talkinghead.constants import POINTS
from talkinghead.motion.latent import LatentModel, similarity
from talkinghead.motion.pose import HeadPose, rotation_from_vector
from talkinghead.training.motion_data import (
    Clip,
    encode_frames,
    fingerprint,
    hold_out,
    is_sound,
    motion_of,
    rest_pose,
    similarities,
)

FPS = 25
SECONDS = 3.0


@pytest.fixture(scope="module")
def latent() -> LatentModel:
    rng = np.random.default_rng(0)
    modes = 0.01 * rng.standard_normal((5, POINTS, 3))
    return LatentModel(
        *(a.astype(np.float32) for a in (0.3 * rng.standard_normal((POINTS, 3)), modes[:2], modes[2:], np.full(POINTS, 5e3)))
    )


def truth(time_s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """z_dyn (n, 3) and yaw (n,) at times."""
    z = np.stack([np.sin(2 * np.pi * f * time_s) for f in (1.0, 2.0, 0.5)], 1)
    return z, 0.1 * np.sin(2 * np.pi * 0.7 * time_s)


@pytest.fixture
def track(latent: LatentModel) -> dict[str, np.ndarray]:
    time_s = np.arange(int(SECONDS * FPS)) / FPS
    z, yaw = truth(time_s)
    poses = [HeadPose(rotation_from_vector(np.array([0, a, 0])), np.array([0.5, 0.5]), 0.45) for a in yaw]
    points = np.stack([p.apply(latent.shape(np.zeros(2), code)) for p, code in zip(poses, z, strict=True)])
    return {"points": points.astype(np.float32), "found": np.ones(len(points), bool), "time_s": time_s.astype(np.float32)}


def test_motion_is_in_time_at_40_hz(latent: LatentModel, track: dict[str, np.ndarray]) -> None:
    motion = motion_of(track, latent)
    assert motion is not None
    _, z_dyn, z_pose = motion
    assert len(z_dyn) == len(z_pose) == int((SECONDS - 1 / FPS) * 40) + 1
    z, yaw = truth(np.arange(len(z_dyn)) / 40)
    inner = slice(4, -4)
    for k in range(3):
        assert np.corrcoef(z_dyn[inner, k], z[inner, k])[0, 1] > 0.995
    assert np.corrcoef(z_pose[inner, 1], yaw[inner])[0, 1] > 0.999
    assert np.abs(np.median(z_pose, 0)).max() < 0.02


def test_a_lost_frame_is_bridged(latent: LatentModel, track: dict[str, np.ndarray]) -> None:
    track["found"][30] = False
    track["points"][30] = 0
    motion = motion_of(track, latent)
    assert motion is not None
    z, _ = truth(np.arange(len(motion[1])) / 40)
    assert np.corrcoef(motion[1][4:-4, 2], z[4:-4, 2])[0, 1] > 0.995


def test_filters_reject_lost_frames_jumps_and_clocks_that_go_back(track: dict[str, np.ndarray]) -> None:
    assert is_sound(track)
    found, points, time_s = (track[k].copy() for k in ("found", "points", "time_s"))
    found[:20] = False
    points[40:] += 0.4
    time_s[10] = time_s[9]
    for name, value in (("found", found), ("points", points), ("time_s", time_s)):
        assert not is_sound({**track, name: value}), name


def test_many_similarities_are_as_one_by_one(latent: LatentModel, track: dict[str, np.ndarray]) -> None:
    points = track["points"][:4]
    many = similarities(latent.mean[None], points, latent.precision)
    for pose, p in zip(many, points, strict=True):
        one = similarity(latent.mean, p, latent.precision)
        np.testing.assert_allclose(pose.rotation, one.rotation, atol=1e-4)
        np.testing.assert_allclose([*pose.translation_px, pose.scale_px], [*one.translation_px, one.scale_px], rtol=1e-3)


def test_frames_are_coded_as_one_by_one(latent: LatentModel, track: dict[str, np.ndarray]) -> None:
    points = track["points"][:3] * 512
    codes, poses = encode_frames(latent, points, np.zeros(2, np.float32))
    for code, p in zip(codes, points, strict=True):
        np.testing.assert_allclose(code, latent.encode(p, np.zeros(2, np.float32)).z_dyn, atol=0.02)
    assert abs(rest_pose(poses).scale_px - 0.45 * 512) < 2


def test_another_latent_has_another_name(latent: LatentModel) -> None:
    other = LatentModel(latent.mean, latent.basis_id, latent.basis_dyn * 1.01, latent.precision)
    assert fingerprint(latent) == fingerprint(latent) != fingerprint(other)


def test_whole_people_are_held_out_and_none_is_lost() -> None:
    nothing = np.zeros(0, np.float32)

    def clip(source: str, who: int, k: int) -> Clip:
        return Clip(f"{source}/{who}.{k}", str(who), source, "train", True, *[nothing] * 4)

    clips = [clip(source, who, k) for source in ("anchors", "hq", "grid") for who in range(8) for k in range(3)]
    clips += [clip("grid_s1", 0, k) for k in range(100)]
    train, held = hold_out(clips)
    assert {c.name for c in train} | {c.name for c in held} == {c.name for c in clips}
    assert len(train) + len(held) == len(clips)
    for source in ("anchors", "hq"):
        people = [{c.identity for c in part if c.source == source} for part in (train, held)]
        assert people[0] and people[1] and not people[0] & people[1]
    assert 0 < sum(c.source == "grid_s1" for c in held) <= 25
    assert [c.name for c in hold_out(clips)[1]] == [c.name for c in held]
