"""Patches: where they lie, what the networks are shown, and that a change lands where it was cut."""

from __future__ import annotations

import numpy as np
import pytest
import synthetic_face as synthetic

from talkinghead.motion.latent import LatentModel, mirror_map
from talkinghead.motion.pose import HeadPose
from talkinghead.render.patch import Window
from talkinghead.render.refine import (
    CHANNELS,
    EYE_PX,
    KEPT,
    MOUTH_PX,
    Refiner,
    Spot,
    code_mirror,
    eye_spots,
    interior_kept,
    motion_code,
    mouth_spots,
    mouth_width,
    patch_input,
)
from talkinghead.render.warp import Driven, WarpDecoder
from talkinghead.runtime.weights import model_path

POSE = synthetic.pose()
SIZE_PX = 512
BLOCK = np.array(((-5.0, -5.0), (5.0, -5.0), (5.0, 5.0), (-5.0, 5.0)))
WINDOWS = [
    Window(100, 200, 180, 264),
    Window(-30, 200, 50, 264),
    Window(470, 200, 550, 264),
    Window(100, -20, 180, 44),
    Window(470, 490, 550, 554),
    Window(0, 0, 80, 64),
    Window(600, 700, 680, 764),
    Window(-200, 100, -120, 164),
]


@pytest.fixture(scope="module")
def noise() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (SIZE_PX, SIZE_PX, 3), dtype=np.uint8)


def spot_of(window: Window, mirrored: bool = False) -> Spot:
    return Spot(window, mirrored, (BLOCK + window.origin + 20, BLOCK + window.origin + 30))


def driven(decoder: WarpDecoder, points: np.ndarray, pose: HeadPose = POSE) -> Driven:
    return decoder.driven(pose.apply(points), pose)


def centre(cover: np.ndarray) -> np.ndarray:
    """x and y of the middle of what is covered."""
    y, x = np.mgrid[: cover.shape[0], : cover.shape[1]]
    return np.array(((x * cover).sum(), (y * cover).sum())) / cover.sum()


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_a_cut_repeats_the_border_outside(noise: np.ndarray, window: Window, mirrored: bool) -> None:
    wide = np.pad(noise, ((SIZE_PX, SIZE_PX), (SIZE_PX, SIZE_PX), (0, 0)), "edge")
    expected = wide[window.y0 + SIZE_PX : window.y1 + SIZE_PX, window.x0 + SIZE_PX : window.x1 + SIZE_PX]
    cut = spot_of(window, mirrored).cut(noise)
    np.testing.assert_array_equal(cut, expected[:, ::-1] if mirrored else expected)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_what_was_cut_is_added_at_its_place_and_nowhere_else(noise: np.ndarray, window: Window, mirrored: bool) -> None:
    spot, frame = spot_of(window, mirrored), np.zeros_like(noise)
    spot.add(frame, spot.cut(noise).astype(np.float32) / 255)
    inside = np.zeros((SIZE_PX, SIZE_PX, 1), bool)
    inside[max(window.y0, 0) : max(window.y1, 0), max(window.x0, 0) : max(window.x1, 0)] = True
    np.testing.assert_array_equal(frame, np.where(inside, noise, 0))


def test_a_change_stops_at_black_and_white(noise: np.ndarray) -> None:
    spot, change = spot_of(WINDOWS[0]), np.full((64, 80, 3), 10 / 255, np.float32)
    for sign in (1, -1):
        frame = noise.copy()
        spot.add(frame, sign * change)
        expected = np.clip(noise[WINDOWS[0].slices].astype(int) + sign * 10, 0, 255)
        np.testing.assert_array_equal(frame[WINDOWS[0].slices], expected)


def test_covers_are_where_the_outlines_are_and_mirrored_with_the_patch() -> None:
    plain, flipped = (spot_of(WINDOWS[0], mirrored).covers() for mirrored in (False, True))
    assert plain.shape == (2, 64, 80) and plain.dtype == np.float32
    assert centre(plain[0]) == pytest.approx((20, 20), abs=0.2)
    assert plain[1].sum() == pytest.approx(100, rel=0.12)
    np.testing.assert_array_equal(flipped, plain[:, :, ::-1])


def test_the_mouths_cover_rises_as_lips_part(decoder: WarpDecoder) -> None:
    openings, lips = [], []
    for height in (0.0, 0.03, 0.06, 0.12, 0.18):
        (spot,) = mouth_spots(driven(decoder, synthetic.canonical_face(mouth_open=height)))
        assert spot.window.shape == MOUTH_PX[::-1] and not spot.mirrored
        covers = spot.covers()
        assert covers.min() >= 0 and covers.max() <= 1
        openings.append(float(covers[0].sum()))
        lips.append(float(covers[1].sum()))
    assert openings[0] < 0.05 * lips[0]
    assert all(a < b for a, b in zip(openings, openings[1:], strict=False))
    assert all(opening < whole for opening, whole in zip(openings, lips, strict=True))
    assert openings[-1] > 0.3 * lips[-1]


def test_lids_that_close_cover_less_and_leave_the_patch_in_its_place(decoder: WarpDecoder) -> None:
    wide, narrow, shut = (eye_spots(driven(decoder, synthetic.canonical_face(lids=lids))) for lids in (0.05, 0.025, 0.0))
    for a, b, c in zip(wide, narrow, shut, strict=True):
        assert a.window == b.window == c.window and a.window.shape == EYE_PX[::-1]
        assert a.covers()[0].sum() > 1.5 * b.covers()[0].sum() > 3 * c.covers()[0].sum()
        radius_px = 0.03 * POSE.scale_px
        assert c.covers()[1].sum() == pytest.approx(np.pi * radius_px**2, rel=0.1)


def test_eyes_that_squint_look_the_same_way_in_both_patches(decoder: WarpDecoder) -> None:
    face = synthetic.canonical_face()
    face[468:473, 0] += 0.02
    face[473:, 0] -= 0.02
    spots = eye_spots(driven(decoder, face))
    assert [spot.mirrored for spot in spots] == [False, True]
    assert spots[0].window.x0 < spots[1].window.x0
    left, right = (centre(spot.covers()[1]) for spot in spots)
    assert left == pytest.approx(right, abs=0.15)
    assert left[0] - (EYE_PX[0] - 1) / 2 == pytest.approx(0.02 * POSE.scale_px, abs=1)


def test_patches_go_with_the_face(decoder: WarpDecoder, canonical: np.ndarray) -> None:
    pose = HeadPose(POSE.rotation, POSE.translation_px + (31, -12), POSE.scale_px)
    rest, moved = driven(decoder, canonical), driven(decoder, canonical, pose)
    for spots in (mouth_spots, eye_spots):
        for a, b in zip(spots(rest), spots(moved), strict=True):
            assert b.window.origin - a.window.origin == pytest.approx((31, -12), abs=1)


def test_patches_go_with_the_face_in_parts_of_a_pixel(decoder: WarpDecoder, canonical: np.ndarray) -> None:
    y, x = np.mgrid[:SIZE_PX, :SIZE_PX]
    seen, landed = [], []
    for part in (0.0, 0.2, 0.4, 0.6, 0.8):
        moved = driven(decoder, canonical, HeadPose(POSE.rotation, POSE.translation_px + (part, 2 * part), POSE.scale_px))
        (spot,) = mouth_spots(moved)
        where = spot.window.origin + spot.shift
        dot = np.exp(-((x - where[0] - 60) ** 2 + (y - where[1] - 50) ** 2) / 50)  # goes with the face
        seen.append(spot.cut(np.rint(255 * dot).astype(np.uint8)[..., None].repeat(3, 2)).astype(float))
        frame, change = np.zeros((SIZE_PX, SIZE_PX, 3), np.uint8), np.zeros((*spot.window.shape, 3), np.float32)
        change[45:56, 55:66] = 0.5
        spot.add(frame, change)
        landed.append(centre(frame[..., 0].astype(float)) - where)
    assert np.ptp(seen, axis=0).max() < 4  # the network sees the same
    np.testing.assert_allclose(landed, [(60, 50)] * 5, atol=0.03)


def test_a_network_sees_colours_and_covers(noise: np.ndarray, decoder: WarpDecoder, canonical: np.ndarray) -> None:
    spots = eye_spots(driven(decoder, canonical))
    given = patch_input(noise, spots)
    assert given.shape == (2, CHANNELS, *EYE_PX[::-1]) and given.dtype == np.float32
    assert given.min() >= 0 and given.max() <= 1
    for row, spot in zip(given, spots, strict=True):
        np.testing.assert_allclose(row[:3], spot.cut(noise).transpose(2, 0, 1) / 255, atol=1e-6)
        np.testing.assert_array_equal(row[3:], spot.covers())


@pytest.mark.parametrize("shift", [(1e4, 0), (-1e4, -1e4), (3e6, 1e7), (0, -1e30)])
def test_points_far_outside_change_nothing(
    noise: np.ndarray, decoder: WarpDecoder, canonical: np.ndarray, shift: tuple[float, float]
) -> None:
    far = decoder.driven(POSE.apply(canonical) + (*shift, 0), POSE)
    with np.errstate(invalid="raise"):  # numbers too large for pixels
        both = mouth_spots(far), eye_spots(far)
    for spots in both:
        given, frame = patch_input(noise, spots), noise.copy()
        assert np.isfinite(given).all()
        for spot in spots:
            spot.add(frame, np.ones((*spot.window.shape, 3), np.float32))
        np.testing.assert_array_equal(frame, noise)


@pytest.mark.parametrize("scale", [0.1, 10.0, 1e4])
def test_scattered_points_give_patches(noise: np.ndarray, decoder: WarpDecoder, canonical: np.ndarray, scale: float) -> None:
    wild = driven(decoder, canonical + np.random.default_rng(5).normal(0, scale, canonical.shape))
    for spots in (mouth_spots(wild), eye_spots(wild)):
        given = patch_input(noise, spots)
        assert np.isfinite(given).all() and given.min() >= 0 and given.max() <= 1


def test_the_code_is_of_dynamics_and_turn_alone() -> None:
    z_dyn, z_pose = np.arange(4.0), np.array((0.1, -0.2, 0.3, 5.0, 6.0, 7.0))
    code = motion_code(z_pose, z_dyn)
    assert code.shape == (7,) and code.dtype == np.float32
    np.testing.assert_array_equal(code[:4], z_dyn)
    np.testing.assert_allclose(code[4:] / z_pose[:3], code[4] / z_pose[0])
    np.testing.assert_array_equal(motion_code(z_pose * [1, 1, 1, 0, 0, 0], z_dyn), code)


def test_the_codes_mirror_is_that_of_the_shape_and_its_own_inverse() -> None:
    latent = LatentModel.load(model_path("latent", "latent.npz"))
    matrix, size = code_mirror(latent), latent.size_dyn
    assert matrix.shape == (size + 3, size + 3) and matrix.dtype == np.float32
    np.testing.assert_allclose(matrix @ matrix, np.eye(size + 3), atol=1e-3)
    code = np.random.default_rng(0).standard_normal(size + 3)
    flipped = code @ matrix
    np.testing.assert_allclose(flipped[size:], code[size:] * [1, -1, -1], atol=1e-6)  # nods stay, turns and tilts do not
    shape, other = (np.tensordot(z[:size], latent.basis_dyn, 1) for z in (code, flipped))
    expected = shape[mirror_map(latent.mean)] * [-1, 1, 1]
    assert np.abs(other - expected).mean() < 0.01 * np.abs(expected).mean()
    assert np.abs(other - shape).mean() > 0.1 * np.abs(shape).mean()


def test_speech_leaves_the_interior_and_a_smile_does_not() -> None:
    given, change = np.zeros((1, CHANNELS, 4, 9), np.float32), np.ones((1, 4, 9, 3), np.float32)
    given[0, 3, :, :3] = 1
    for width, left in ((0.9, 1 - KEPT), (1.05, 1 - KEPT), (1.125, 1 - KEPT / 2), (1.3, 1.0)):
        made = interior_kept(change, given, width)
        np.testing.assert_allclose(made[:, :, :5], left, atol=1e-6)
        np.testing.assert_array_equal(made[:, :, 5:], 1)


def test_the_mouths_width_is_that_of_its_corners_at_any_size_and_turn() -> None:
    face = synthetic.canonical_face()
    wide = np.linalg.norm(face[61] - face[291])
    for pose in (POSE, HeadPose(POSE.rotation[[1, 2, 0]], POSE.translation_px, 2 * POSE.scale_px)):
        assert mouth_width(pose.apply(face), pose) == pytest.approx(wide)


class Recorder:
    """Gives an answer and keeps what it was given."""

    def __init__(self, **answer: np.ndarray) -> None:
        self.answer, self.given = answer, list[dict[str, np.ndarray]]()
        self.placed: list[np.ndarray] = []

    def to_device(self, array: np.ndarray) -> np.ndarray:
        self.placed.append(array)
        return array

    def run(self, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        self.given.append(inputs)
        return self.answer


def test_the_appearance_is_seen_once_and_told_every_time() -> None:
    change = np.random.default_rng(0).random((1, 3, 4, 6)).astype(np.float32)
    photo, patch, code = np.ones((1, CHANNELS, 4, 6)), np.zeros((1, CHANNELS, 4, 6)), np.full((1, 7), 2.0)
    features = {"v2": np.full((1, 8, 2, 3), 3.0), "v4": np.full((1, 16, 1, 2), 4.0)}
    appearance, network = Recorder(**features), Recorder(change=change)
    refiner = Refiner(appearance, network, photo)
    for _ in range(2):
        np.testing.assert_array_equal(refiner.change(patch, code)[0, 1, 2], change[0, :, 1, 2])
    assert len(appearance.given) == 1 and appearance.given[0]["photo"] is photo
    assert len(network.given) == 2 and len(network.placed) == 2  # each feature goes to where the network runs, once
    for given in network.given:
        assert set(given) == {"patch", "code", "v2", "v4"}
        assert given["patch"] is patch and given["code"] is code and given["v4"] is features["v4"]
