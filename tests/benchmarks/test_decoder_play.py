"""Faces driven by tracked points: in time, without the measurer's own offset, and no trained recording among them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from synthetic_face import canonical_face, picture, pose

from talkinghead.errors import EngineError
from talkinghead.motion.latent import RIGID, LatentModel
from talkinghead.motion.pose import HeadPose, rotation_from_vector
from talkinghead.portrait.crop import Crop
from talkinghead.portrait.portrait import Portrait
from talkinghead.runtime.weights import model_path


@pytest.fixture
def play(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("decoder_play")


@pytest.fixture(scope="module")
def latent() -> LatentModel:
    try:
        return LatentModel.load(model_path("latent", "latent.npz"))
    except EngineError:
        pytest.skip("no latent")


def test_moments_are_found_spread_and_never_the_first(play: ModuleType) -> None:
    time_s, found = np.arange(100) / 25, np.ones(100, bool)
    assert play.moments(found, time_s, 5.0, 1, 2.0) == list(range(5, 50, 5))
    found[[0, 1, 10]] = False
    some = play.moments(found, time_s, 5.0, 4, 9.0)
    assert {2, 3, 4, 5, 26, 27, 28, 29} <= set(some) and not {0, 1, 10, 6} & set(some)
    assert play.moments(np.ones(2, bool), np.arange(2.0), 8.0, 4, 12.0) == [1]


def test_a_plane_is_laid_onto_another(play: ModuleType) -> None:
    moving = np.random.default_rng(0).normal(size=(9, 2))
    matrix = np.array([[0.8, -0.3, 5.0], [0.3, 0.8, -2.0]])
    assert play.plane_similarity(moving, moving @ matrix[:, :2].T + matrix[:, 2]) == pytest.approx(matrix)


def test_some_are_spread_over_all(play: ModuleType) -> None:
    assert play.spread(list("abcdef"), 3) == ["a", "c", "e"]
    assert play.spread(list("ab"), None) == play.spread(list("ab"), 5) == ["a", "b"]


def test_a_recording_that_was_trained_on_is_no_test(play: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "data" / "video").mkdir(parents=True)
    rows = [("file", "split", "source_path"), ("grid/a.mp4", "test", "x/one.mpg"), ("grid/b.mp4", "test", "y/two.mpg@12"),
            ("grid_s1/c.mp4", "train", "z/one.mpg@34"), ("hq/d.mp4", "test", "three.mp4")]  # fmt: skip
    (tmp_path / "data" / "video" / "clips.tsv").write_text("\n".join("\t".join(row) for row in rows), encoding="utf-8")
    assert play.set_clips(tmp_path, "grid", None) == ["grid/b.mp4"]


def _face(play: ModuleType, monkeypatch: pytest.MonkeyPatch, latent: LatentModel) -> Any:
    rest = HeadPose(rotation_from_vector(np.array([0.05, -0.1, 0.02])), np.array([256.0, 240.0]), 233.0)
    points = rest.apply(latent.shape(np.zeros(latent.size_id), np.zeros(latent.size_dyn))).astype(np.float32)
    portrait = Portrait(np.zeros((300, 300, 3), np.uint8), Crop(10.0, 20.0, 256.0), np.zeros((512, 512, 3), np.uint8),
                        points, latent.encode(points))  # fmt: skip
    monkeypatch.setattr(play, "opened", lambda photo: {"warp only": SimpleNamespace(portrait=portrait)})
    return play.Face(latent, portrait.image)


def test_a_face_follows_points_but_not_their_offset(
    play: ModuleType, monkeypatch: pytest.MonkeyPatch, latent: LatentModel
) -> None:
    face = _face(play, monkeypatch, latent)
    crop, (z_pose, z_dyn) = face.portrait.crop, face.own
    moved = z_dyn + 0.5 * np.random.default_rng(0).normal(size=len(z_dyn))
    wanted_pose = np.array([0.06, 0.1, -0.05, 0.02, -0.03, 0.04])
    inside = np.stack([face.drive(z_pose, z_dyn), face.drive(wanted_pose, moved)])
    # Another measurer: in pixels of the photo, everything a little aside.
    seen = np.concatenate([crop.to_photo(inside[..., :2].reshape(-1, 2)).reshape(2, -1, 2), inside[..., 2:] / 2], axis=2) + 2.0
    poses, codes = face.follow(seen[1:], seen[0])
    assert poses[0] == pytest.approx(wanted_pose, abs=2e-3)
    again = face.drive(poses[0], codes[0])
    assert np.abs(again - inside[1])[:, :2].max() < 0.02 * face.inter_ocular_px
    still_pose, still_codes = face.follow(seen[:1], seen[0])
    assert np.abs(still_pose).max() < 1e-6 and still_codes[0] == pytest.approx(z_dyn, abs=1e-6)


def test_an_offset_turns_with_the_head(play: ModuleType, monkeypatch: pytest.MonkeyPatch, latent: LatentModel) -> None:
    face = _face(play, monkeypatch, latent)
    assert face.turn(np.zeros(6)) == pytest.approx(np.eye(3), abs=1e-9)
    twice = face.turn(np.array([0, 0, np.pi / 2, 0, 0, np.log(2)]))
    assert twice @ (1, 0, 0) == pytest.approx((0, 2, 0), abs=1e-6)


def test_the_refined_column_comes_with_the_parameter(play: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    class Plain:
        @staticmethod
        def open(photo: object) -> str:
            return "warped"

    class Refining:
        @staticmethod
        def open(photo: object, *, refine: bool = True) -> str:
            return "refined" if refine else "warped"

    monkeypatch.setattr(play, "Avatar", Plain)
    assert play.opened(None) == {"warp only": "warped"}
    monkeypatch.setattr(play, "Avatar", Refining)
    assert play.opened(None) == {"warp only": "warped", "refined": "refined"}


def test_two_stills_become_a_shot(play: ModuleType, tmp_path: Path) -> None:
    shape = canonical_face()
    image, first = picture(shape), pose().apply(shape)
    (tmp_path / "data" / "stills").mkdir(parents=True)
    shift = np.array([[1, 0, 12.0], [0, 1, -7.0]])
    for name, some in (("a.png", image), ("b.png", cv2.warpAffine(image, shift, (512, 512)))):
        cv2.imwrite(str(tmp_path / "data" / "stills" / name), cv2.cvtColor(some, cv2.COLOR_RGB2BGR))
    answers: Iterator[np.ndarray] = iter([first, first + (12, -7, 0)])
    shot = play.shot_of_pair(tmp_path, ("a.png", "b.png"), lambda _: next(answers))
    assert shot.points[1, list(RIGID)] == pytest.approx(first[list(RIGID)], abs=1e-3)
    one, two = shot.frames()
    assert np.abs(one.astype(int) - two)[20:-20, 20:-20].max() <= 1
    assert play.shot_of_pair(tmp_path, ("a.png", "b.png"), lambda _: None) is None
