"""The decoder: the warp where the networks say nothing, their change in the patches alone. The shipped networks where they are
there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import synthetic_face as synthetic
from shipped import needs_networks

from talkinghead.avatar import Avatar
from talkinghead.motion.latent import LatentModel
from talkinghead.motion.pose import HeadPose
from talkinghead.motion.rest import resting_dynamics
from talkinghead.networks import Networks
from talkinghead.render.decoder import _EYE_DETAIL, _MOUTH_DETAIL, Decoder, DecoderEngines, Detail
from talkinghead.render.detail import LOOKS, energy, looks
from talkinghead.render.person import person_layers
from talkinghead.render.refine import (
    CHANNELS,
    EYE_PX,
    KEPT,
    MOUTH_PX,
    Spot,
    eye_spots,
    motion_code,
    mouth_spots,
    patch_input,
    within_face,
)
from talkinghead.render.warp import WarpDecoder
from talkinghead.runtime.weights import model_path

POSE = synthetic.pose()
PHOTO = Path(__file__).resolve().parents[2] / "examples" / "data" / "portrait.jpg"
LIGHTER = 0.1
Make = Callable[["FakeEngines | None"], Decoder]


class FakeAppearance:
    """Features are the number of its photos."""

    def __init__(self) -> None:
        self.photos: list[np.ndarray] = []

    def run(self, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        self.photos.append(inputs["photo"])
        return {"v4": np.full((len(inputs["photo"]), 1), len(self.photos), np.float32)}


class FakePainter:
    """Makes every patch lighter, by another amount each row."""

    def __init__(self) -> None:
        self.given: list[dict[str, np.ndarray]] = []

    def to_device(self, array: np.ndarray) -> np.ndarray:
        return array

    def run(self, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        self.given.append(inputs)
        count, _, height, width = inputs["patch"].shape
        change = np.full((count, 3, height, width), LIGHTER, np.float32) * np.arange(1, count + 1)[:, None, None, None]
        return {"change": change.astype(np.float32)}


class FakeEngines(DecoderEngines):
    """All four."""

    def __init__(self) -> None:
        super().__init__(FakeAppearance(), FakePainter(), FakeAppearance(), FakePainter())


@pytest.fixture(scope="module")
def latent(canonical: np.ndarray) -> LatentModel:
    """z_dyn is a shift to the right and one down, in 0.01 face heights: the mirror image of the first is its opposite."""
    modes = np.zeros((2, *canonical.shape), np.float32)
    modes[0, :, 0] = modes[1, :, 1] = 0.01
    return LatentModel(canonical.astype(np.float32), np.zeros_like(modes[:1]), modes, np.full(len(canonical), 1e4, np.float32))


Z_POSE, Z_DYN = np.array((0.02, 0.05, -0.03, 0, 0, 0)), np.array((1.5, -0.7))


@pytest.fixture(scope="module")
def decoder(photo: np.ndarray, canonical: np.ndarray) -> WarpDecoder:
    """The warp that a `Decoder` of this photo makes."""
    points = POSE.apply(canonical)
    return WarpDecoder(photo, points, POSE, canonical, layers=person_layers(photo, points))


@pytest.fixture(scope="module")
def talking(canonical: np.ndarray) -> tuple[np.ndarray, HeadPose]:
    return POSE.apply(synthetic.canonical_face(mouth_open=0.08, lids=0.02)), POSE


@pytest.fixture(scope="module")
def make(photo: np.ndarray, canonical: np.ndarray, latent: LatentModel) -> Make:
    """A decoder of the synthetic face with given networks."""
    return lambda engines: Decoder(photo, POSE.apply(canonical), POSE, latent, engines)


def spots_of(warp: WarpDecoder, points: np.ndarray, pose: HeadPose) -> list[Spot]:
    """Both eyes, then the mouth."""
    driven = warp.driven(points, pose)
    return [*eye_spots(driven), *mouth_spots(driven)]


def lit(drawn: Decoder, points: np.ndarray, pose: HeadPose) -> np.ndarray:
    """The warp in the photo's light, over which networks draw."""
    return drawn._lit(drawn._warp.driven(points, pose))


def test_without_networks_it_is_the_warp(make: Make, decoder: WarpDecoder, talking: tuple[np.ndarray, HeadPose]) -> None:
    plain = make(None)
    np.testing.assert_array_equal(plain.draw(*talking, Z_POSE, Z_DYN), decoder.draw(*talking))


def test_networks_change_their_patches_and_nothing_else(
    make: Make, decoder: WarpDecoder, talking: tuple[np.ndarray, HeadPose]
) -> None:
    drawn = make(FakeEngines())
    made, plain = drawn.draw(*talking, Z_POSE, Z_DYN), lit(drawn, *talking)
    expected = plain.astype(float)
    *eyes, spot = spots_of(decoder, *talking)
    for eye, times in zip(eyes, (1, 2), strict=True):
        expected[eye.window.slices] += times * 255 * LIGHTER
    face = within_face(spot, decoder.driven(*talking).points)
    assert face.max() == 1 and face.min() < 0.1  # corners of the mouth's patch lie beside the chin
    expected[spot.window.slices] += 255 * LIGHTER * face[..., None]
    off, opening = made - np.clip(expected, 0, 255), np.zeros(expected.shape[:2], np.float32)
    opening[spot.window.slices] = spot.covers()[0]
    edge = np.zeros_like(opening)
    edge[spot.window.slices] = (face > 0.01) & (face < 0.99)
    assert np.abs(off[cv2.dilate(opening + edge, np.ones((9, 9))) == 0]).max() <= 1  # halves are rounded
    deep = cv2.erode(opening, np.ones((9, 9))) == 1
    assert deep.sum() > 20
    assert np.abs(off[deep] + round(255 * LIGHTER * KEPT)).max() <= 1
    assert (made != plain).any()


def test_networks_see_the_warp_and_the_right_eye_as_a_left_one(
    make: Make, decoder: WarpDecoder, talking: tuple[np.ndarray, HeadPose]
) -> None:
    engines = FakeEngines()
    drawn = make(engines)
    for _ in range(2):
        drawn.draw(*talking, Z_POSE, Z_DYN)
    mouth, eye = engines.mouth, engines.eye
    assert isinstance(mouth, FakePainter) and isinstance(eye, FakePainter)
    assert len(mouth.given) == len(eye.given) == 2
    code = motion_code(Z_POSE, Z_DYN)
    np.testing.assert_allclose(mouth.given[1]["code"], code[None])
    np.testing.assert_allclose(eye.given[1]["code"], [code, code * [-1, 1, 1, -1, -1]], atol=1e-6)
    *eyes, lips = spots_of(decoder, *talking)
    frame = lit(drawn, *talking)
    np.testing.assert_array_equal(eye.given[1]["patch"], patch_input(frame, eyes))
    np.testing.assert_array_equal(mouth.given[1]["patch"], patch_input(frame, [lips]))
    assert all(v.dtype == np.float32 for given in (*mouth.given, *eye.given) for v in given.values())


def test_appearances_are_of_the_photo_and_run_once(
    make: Make, photo: np.ndarray, canonical: np.ndarray, decoder: WarpDecoder, talking: tuple[np.ndarray, HeadPose]
) -> None:
    engines = FakeEngines()
    drawn = make(engines)
    drawn.draw(*talking, Z_POSE, Z_DYN)
    *eyes, lips = spots_of(decoder, POSE.apply(canonical), POSE)
    for engine, spots, size in ((engines.mouth_appearance, [lips], MOUTH_PX), (engines.eye_appearance, eyes, EYE_PX)):
        assert isinstance(engine, FakeAppearance)
        (seen,) = engine.photos
        assert seen.shape == (len(spots), CHANNELS, *size[::-1])
        np.testing.assert_array_equal(seen, patch_input(photo, spots))
    assert isinstance(engines.mouth, FakePainter)
    assert engines.mouth.given[0]["v4"] == 1


def test_the_same_motion_gives_the_same_frame(make: Make, canonical: np.ndarray, talking: tuple[np.ndarray, HeadPose]) -> None:
    drawn = make(FakeEngines())
    first = drawn.draw(*talking, Z_POSE, Z_DYN)
    kept = first.copy()
    other = drawn.draw(POSE.apply(canonical), POSE, 0 * Z_POSE, 0 * Z_DYN)
    np.testing.assert_array_equal(first, kept)
    assert (other != first).any()
    np.testing.assert_array_equal(drawn.draw(*talking, Z_POSE, Z_DYN), first)
    again = make(FakeEngines())
    np.testing.assert_array_equal(again.draw(*talking, Z_POSE, Z_DYN), first)


@pytest.mark.parametrize("shift", [(-205, 0), (205, 150), (0, -200), (0, 190), (900, 900)])
def test_a_face_at_the_edge_is_drawn_as_far_as_it_is_seen(
    make: Make, decoder: WarpDecoder, talking: tuple[np.ndarray, HeadPose], shift: tuple[int, int]
) -> None:
    pose = HeadPose(POSE.rotation, POSE.translation_px + shift, POSE.scale_px)
    points = talking[0] + (*shift, 0)
    drawn = make(FakeEngines())
    made, plain = drawn.draw(points, pose, Z_POSE, Z_DYN), lit(drawn, points, pose)
    inside, surely = np.zeros((2, 512, 512), bool)
    *eyes, lips = spots_of(decoder, points, pose)
    for spot in (*eyes, lips):
        window = spot.window
        seen = np.s_[max(window.y0, 0) : max(window.y1, 0), max(window.x0, 0) : max(window.x1, 0)]
        inside[seen] = True
        face = within_face(spot, decoder.driven(points, pose).points) > 0.5
        part = face[max(-window.y0, 0) :, max(-window.x0, 0) :][: surely[seen].shape[0], : surely[seen].shape[1]]
        surely[seen] |= part | (spot is not lips)
    changed = (made != plain).any(2)
    assert not changed[~inside].any()
    assert changed[surely].all() and inside.any() == (shift != (900, 900))


@pytest.mark.parametrize("shift", [(-150, 0), (150, 120), (0, -150)])
def test_a_portrait_at_the_edge_can_be_drawn(
    photo: np.ndarray, canonical: np.ndarray, latent: LatentModel, shift: tuple[int, int]
) -> None:
    pose = HeadPose(POSE.rotation, POSE.translation_px + shift, POSE.scale_px)
    image = np.roll(photo, shift, (1, 0))
    points = pose.apply(canonical)
    drawn = Decoder(image, points, pose, latent, FakeEngines())
    assert drawn.draw(points, pose, 0 * Z_POSE, 0 * Z_DYN).shape == image.shape


@pytest.fixture(scope="module")
def pair() -> tuple[Avatar, Avatar]:
    """One portrait with and without the decoder's networks."""
    refined = Avatar.open(PHOTO)
    return refined, Avatar(refined.portrait, Networks.load(refine=False))


def avatar_spots(avatar: Avatar, z_pose: np.ndarray, z_dyn: np.ndarray) -> list[Spot]:
    latent, face = LatentModel.load(model_path("latent", "latent.npz")), avatar.portrait
    points, pose = latent.draw(face.code, z_pose, resting_dynamics(latent, face.code) + z_dyn)
    return spots_of(WarpDecoder(face.face, face.points, face.code.pose, latent.mean), points, pose)


@needs_networks
def test_the_shipped_networks_draw_round_mouth_and_eyes_alone(pair: tuple[Avatar, Avatar]) -> None:
    refined, _ = pair
    z_dyn = np.random.default_rng(0).standard_normal(len(refined.portrait.z_dyn)).astype(np.float32)
    z_pose = np.array((0.03, 0.08, 0.02, 0.01, 0, 0))
    assert refined._decoder is not None
    latent = LatentModel.load(model_path("latent", "latent.npz"))
    rest = resting_dynamics(latent, refined.portrait.code)
    before = lit(refined._decoder, *latent.draw(refined.portrait.code, z_pose, rest + z_dyn))
    changed = (refined.draw(z_pose, z_dyn) != before).any(2)
    inside = np.zeros_like(changed)
    for spot in avatar_spots(refined, z_pose, z_dyn):
        assert changed[spot.window.slices].mean() > 0.05
        inside[spot.window.slices] = True
    assert not changed[~inside].any()


@needs_networks
def test_the_photos_own_motion_gives_nearly_the_photo(pair: tuple[Avatar, Avatar]) -> None:
    refined, _ = pair
    face = refined.portrait
    rest = resting_dynamics(LatentModel.load(model_path("latent", "latent.npz")), face.code)
    for z_dyn, kept in ((face.z_dyn - rest, 3), (0 * rest, 2)):  # at rest it closes its mouth: then the eyes alone stay
        nothing = np.zeros(6), z_dyn
        frame = refined.draw(*nothing).astype(int)
        for spot in avatar_spots(refined, *nothing)[:kept]:
            window = spot.window.slices
            assert np.abs(frame[window] - face.face[window]).mean() < 6


@needs_networks
@pytest.mark.parametrize("part", ["mouth", "eye"])
def test_the_shipped_int8_networks_are_those_of_the_weights(part: str, pair: tuple[Avatar, Avatar]) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnx")
    pytest.importorskip("safetensors")
    from talkinghead.training.decoder import load_weights

    net, engines = load_weights(part, model_path("decoder", f"{part}.safetensors")), DecoderEngines.load()
    appearance, painter = getattr(engines, f"{part}_appearance"), getattr(engines, part)
    rng, face = np.random.default_rng(0), pair[1].portrait
    latent, cut = LatentModel.load(model_path("latent", "latent.npz")), mouth_spots if part == "mouth" else eye_spots
    warp = WarpDecoder(face.face, face.points, face.code.pose, latent.mean)
    photo = patch_input(face.face, cut(warp.driven(face.points, face.code.pose)))
    features, errors = appearance.run(photo=photo), []
    with torch.no_grad():
        pyramid = net.appearance(torch.from_numpy(photo))
    for name, level in zip(("v4", "v8"), pyramid, strict=True):
        np.testing.assert_allclose(features[name], level.numpy(), atol=2e-3)
    for _ in range(6):
        z_dyn = 0.7 * rng.standard_normal(latent.size_dyn)
        driven = warp.driven(*latent.draw(face.code, np.zeros(6), resting_dynamics(latent, face.code) + z_dyn))
        patch = patch_input(warp.paint(driven), cut(driven))
        code = np.repeat(motion_code(np.zeros(6), z_dyn)[None], len(patch), 0)
        with torch.no_grad():
            change = net.painter(torch.from_numpy(patch), torch.from_numpy(code), *pyramid).numpy()
        assert np.abs(change).max() > 0.01
        errors.append(((painter.run(patch=patch, code=code, **features)["change"] - change) ** 2).mean())
    assert -10 * np.log10(np.mean(errors)) > 40


@needs_networks
@pytest.mark.parametrize("soft_px", [0.0, 1.5])
def test_drawn_looks_have_about_the_photos_detail(pair: tuple[Avatar, Avatar], soft_px: float) -> None:
    photo = pair[0].portrait.face
    avatar = Avatar.open(cv2.GaussianBlur(photo, (0, 0), soft_px) if soft_px else photo)
    face, decoder, nowhere = avatar.portrait, avatar._decoder, np.zeros(6)
    assert decoder is not None

    def energies(frame: np.ndarray, z_dyn: np.ndarray) -> np.ndarray:
        spots = spots_of(decoder._warp, *avatar._latent.draw(face.code, nowhere, avatar._rest + z_dyn))
        return np.array([energy(frame, spots[:2]), energy(frame, spots[2:])])

    still = energies(face.face, face.z_dyn - avatar._rest) * (_EYE_DETAIL, _MOUTH_DETAIL)
    matched, off = decoder.detail, []
    for decoder.detail in (Detail(), matched):
        drawn = [energies(avatar.draw(nowhere, z_dyn), z_dyn) / LOOKS for z_dyn in looks(48)]
        off.append(np.log(np.sum(drawn, 0) / still))
    assert (np.abs(off[1]) < np.maximum(np.abs(off[0]), 0.05) + 1e-3).all()
    assert matched != Detail()
