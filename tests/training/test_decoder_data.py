"""Pairs for the decoder: spread over what a face does, whole people held out, open mouths hidden from what is to draw them."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import synthetic_face as synthetic

from talkinghead.motion.latent import LatentModel
from talkinghead.motion.pose import HeadPose, rotation_from_vector
from talkinghead.render.layout import OPENING
from talkinghead.render.refine import share_kept
from talkinghead.runtime.weights import model_path
from talkinghead.training import decoder_avatars
from talkinghead.training.avatars import head_names, load_head
from talkinghead.training.decoder_data import KINDS, clip_shard, jobs_of, spread_choice
from talkinghead.training.decoder_pairs import ARRAYS, PHOTOS, cropped, posed, smooth_error
from talkinghead.training.decoder_stills import smile_shard, still_of, teeth_shard
from talkinghead.training.track import POINT_SCALE, read_tsv

SHARED = Path(os.environ.get("TALKINGHEAD_SHARED", Path(__file__).resolve().parents[3] / "shared"))
POSE = synthetic.pose()
GREEN = (30, 220, 40)
"""Of an open mouth's interior: nothing else is, and nothing paints it."""


@pytest.fixture(scope="module")
def latent() -> LatentModel:
    """z_dyn opens the mouth: of the drawn face, whose points are not those of the shipped mean."""
    closed, wide = synthetic.canonical_face(), synthetic.canonical_face(mouth_open=0.03)
    modes = [(wide - closed)[None].astype(np.float32), 0 * closed[None].astype(np.float32)]
    return LatentModel(closed.astype(np.float32), modes[1], modes[0], np.full(len(closed), 1e5, np.float32))


def still(mouth_open: float, pose: HeadPose = POSE) -> tuple[np.ndarray, np.ndarray]:
    """A picture whose mouth is green inside, and its points px."""
    shape = synthetic.canonical_face(mouth_open=mouth_open)
    image, points = synthetic.picture(shape), POSE.apply(shape)
    if mouth_open:
        ring = points[list(OPENING), :2]
        cv2.fillPoly(image, [np.round(ring).astype(np.int32)], GREEN)
    if pose is not POSE:
        turn = pose.scale_px / POSE.scale_px * pose.rotation[:2, :2]
        shift = pose.translation_px - turn @ POSE.translation_px
        flat = np.concatenate([turn, shift[:, None]], 1)
        image = cv2.warpAffine(image, flat, (512, 512), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        points = pose.apply(shape)
    return image, points.astype(np.float32)


def green(pictures: np.ndarray) -> int:
    """Pixels of (..., 3) that are of the interior."""
    wide = pictures.astype(int)
    return int((wide[..., 1] - wide[..., [0, 2]].max(-1) > 60).sum())


def test_a_choice_takes_one_of_each_share_of_the_sizes() -> None:
    rng = np.random.default_rng(0)
    values = np.random.default_rng(1).permutation(np.linspace(0, 1, 200)) ** 3
    chosen = spread_choice(values, 10, rng)
    ranks = np.argsort(np.argsort(values))[chosen]
    assert (ranks // 20).tolist() == list(range(10))
    assert len({tuple(spread_choice(values, 10, rng)) for _ in range(5)}) == 5


def test_a_choice_of_few_values_takes_each_once() -> None:
    assert sorted(spread_choice(np.zeros(4), 9, np.random.default_rng(0))) == [0, 1, 2, 3]
    assert spread_choice(np.zeros(0), 9, np.random.default_rng(0)) == []


def test_errors_of_points_are_small_smooth_and_flat() -> None:
    shipped, rng = LatentModel.load(model_path("latent", "latent.npz")), np.random.default_rng(0)
    errors = np.stack([smooth_error(shipped, rng) for _ in range(20)])
    assert errors.shape == (20, 478, 3) and not errors[..., 2].any()
    sizes = np.linalg.norm(errors, axis=2)
    assert 0.1 < sizes.mean() < 1 and sizes.max() < 2.5
    assert np.abs(errors.mean(0)).max() < 0.5  # no place is always wrong the same way
    apart = np.linalg.norm(shipped.mean[:, None, :2] - shipped.mean[None, :, :2], axis=2) + np.eye(478)
    steps = np.linalg.norm(errors - errors[:, apart.argmin(1)], axis=2)
    assert steps.mean() < 0.2 * sizes.mean()
    opposite = np.linalg.norm(errors[:, 33] - errors[:, 291], axis=1)
    assert opposite.mean() > 0.5 * sizes.mean()


@pytest.mark.parametrize("hidden", [False, True])
def test_a_hidden_interior_is_in_neither_photo_nor_warp(latent: LatentModel, hidden: bool) -> None:
    image, points = still(0.1)
    at = posed(latent, image, points, np.random.default_rng(0), hidden=hidden)
    assert set(at.photo) == set(PHOTOS)
    assert at.photo["mouth_photo"].shape == (1, 112, 144, 3) and at.photo["mouth_photo_cover"].shape == (1, 2, 112, 144)
    assert at.photo["eye_photo"].shape == (2, 64, 80, 3) and at.photo["eye_photo_cover"].shape == (2, 2, 64, 80)
    inside = cropped(at.crop, points)
    drawn = at.warp.draw(inside, latent.encode(inside).pose)
    whole = green(at.crop.extract(image))
    assert whole > 300
    for shown in (at.photo["mouth_photo"], drawn):
        assert green(shown) < 5 if hidden else green(shown) > 0.8 * whole
    assert at.photo["mouth_photo_cover"][0, 0].sum() / 255 == pytest.approx(whole, rel=0.25)  # what is to be drawn is told


def test_an_open_mouth_is_a_pair_and_a_closed_or_averted_one_is_not(latent: LatentModel, tmp_path: Path) -> None:
    averted = HeadPose(rotation_from_vector(np.array((0, 0.7, 0))), POSE.translation_px, POSE.scale_px)
    image, points = still(0.1)
    turned = averted.apply(synthetic.canonical_face(mouth_open=0.1)).astype(np.float32)
    assert teeth_shard(latent, *still(0.0), "a").save(tmp_path / "closed.npz", "teeth", False) == 0
    assert teeth_shard(latent, image, turned, "a").save(tmp_path / "averted.npz", "teeth", False) == 0
    assert teeth_shard(latent, image, points, "a").save(tmp_path / "x" / "open.npz", "teeth", True) == 1
    assert [path.name for path in (tmp_path / "x").iterdir()] == ["open.npz"]
    with np.load(tmp_path / "closed.npz") as data:
        assert "code" not in data
    with np.load(tmp_path / "x" / "open.npz") as data:
        assert {*data} == {*ARRAYS, *PHOTOS, "kind", "held"}
        assert data["kind"] == "teeth" and data["held"] and data["portrait"] == [0]
        assert data["code"].shape == (1, latent.size_dyn + 3) and data["code"].dtype == np.float32
        assert share_kept(data["width"]) == 0  # teeth are drawn
        assert all(data[name].dtype == np.uint8 for name in (*ARRAYS[:6], *PHOTOS))
        assert green(data["mouth_true"]) > 300
        assert green(data["mouth_drawn"]) < 5 and green(data["mouth_photo"]) < 5
        assert data["code"][0, 0] > 1.5  # from the closed rest to the open mouth, in steps of 0.03
        off = np.abs(data["eye_drawn"].astype(int) - data["eye_true"])
        assert off.mean() < 3


def test_padding_matters_where_more_than_the_mouth_is_looked_at(tmp_path: Path) -> None:
    image, points = still(0.05)
    row = {"file": "one.png", "face_height_px": "233", "padding": "0.5"}
    picture, track = tmp_path / "data" / "stills" / "one.png", tmp_path / "track" / "stills" / "one.npz"
    for path in (picture, track):
        path.parent.mkdir(parents=True)
    cv2.imwrite(str(picture), image[..., ::-1])
    coded = np.round(points / 512 * POINT_SCALE).astype(np.int16)[None]
    np.savez(track, points=coded, found=np.ones(1, bool), time_s=np.zeros(1), blendshapes=np.zeros((1, 52), np.uint8))
    found = still_of(tmp_path, tmp_path, row, "teeth")
    assert found is not None
    np.testing.assert_array_equal(found[0], image)
    np.testing.assert_allclose(found[1], points, atol=0.05)
    assert still_of(tmp_path, tmp_path, row, "london") is None
    assert still_of(tmp_path, tmp_path, row | {"padding": "0.2"}, "london") is not None
    assert still_of(tmp_path, tmp_path, row | {"face_height_px": "149"}, "teeth") is None


def test_photos_of_a_person_are_brought_onto_each_other(latent: LatentModel, tmp_path: Path) -> None:
    aside = HeadPose(rotation_from_vector(np.array((0, 0, 0.15))), POSE.translation_px + (14, -9), 1.1 * POSE.scale_px)
    shard = smile_shard(latent, [still(0.0), still(0.1, aside)], "a")
    assert shard.save(tmp_path / "a.npz", "london", False) == 2
    with np.load(tmp_path / "a.npz") as data:
        assert data["portrait"].tolist() == [0, 1]
        assert green(data["mouth_photo"][0]) == 0 and green(data["mouth_true"][0]) > 300
        assert green(data["mouth_true"][1]) == 0 and green(data["mouth_photo"][1]) > 300
        assert np.abs(data["eye_true"].astype(int) - data["eye_drawn"]).mean() < 4  # eyes are where they were
        covered = data["mouth_cover"][0, 0, 0] > 200
        assert green(data["mouth_true"][0, 0][covered]) > 0.9 * covered.sum()  # and the mouth is where it is told to be


def test_clips_with_too_few_faces_give_nothing(latent: LatentModel, tmp_path: Path) -> None:
    found = np.arange(40) < 11
    points = np.zeros((40, 478, 3), np.int16) + np.int16(POINT_SCALE / 2)
    arrays = {"points": points, "found": found, "time_s": np.arange(40) / 25, "blendshapes": np.zeros((40, 52), np.uint8)}
    np.savez(tmp_path / "clip.npz", **arrays)
    shard = clip_shard(latent, tmp_path / "clip.mp4", tmp_path / "clip.npz", "hq")
    assert shard.save(tmp_path / "made.npz", "hq", False) == 0


def test_points_outside_the_photo_keep_their_places_in_the_crop(latent: LatentModel) -> None:
    image, points = still(0.0)
    at = posed(latent, image, points, np.random.default_rng(0))
    inside = cropped(at.crop, points)
    np.testing.assert_allclose(at.crop.to_photo(inside[:, :2]), points[:, :2], atol=1e-3)
    assert inside.dtype == np.float32
    np.testing.assert_allclose(cropped(at.crop, np.stack([points, points]))[1], inside)


@pytest.mark.skipif(not (SHARED / "data" / "stills" / "stills.tsv").exists(), reason="no shared data beside the checkout")
@pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared")
def test_an_avatar_in_two_postures_is_a_pair(latent: LatentModel, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numba")
    monkeypatch.setattr(decoder_avatars, "_PORTRAITS", 1)
    monkeypatch.setattr(decoder_avatars, "_TARGETS", 2)
    shipped = LatentModel.load(model_path("latent", "latent.npz"))
    shard = decoder_avatars.avatar_shard(shipped, load_head(SHARED, head_names(SHARED)[0]))
    rows, photos = shard._rows, shard._photos
    assert len(rows["code"]) == 2 and len(photos["mouth_photo"]) == 1
    for name in ("mouth", "eye"):
        for drawn, true in zip(rows[f"{name}_drawn"], rows[f"{name}_true"], strict=True):
            off = np.abs(drawn.astype(float) - true).mean()
            assert 0.2 < off < 30  # the same skin in the same light, but not the same look


def test_sources_are_of_the_train_split_and_whole_people_are_held_out() -> None:
    every = list(jobs_of(SHARED))
    jobs = [job for job in every if job.kind != "avatar"]
    tables = [read_tsv(SHARED / "data" / name) for name in ("video/clips.tsv", "stills/stills.tsv")]
    train = {row["file"] for table in tables for row in table if row["split"] == "train"}
    files = [row["file"] for job in jobs for row in job.rows]
    again = [row["file"] for job in jobs for row in job.rows if job.kind == "returned"]
    assert set(files) <= train and len(set(files)) == len(files) - len(again) and len(set(again)) == len(again)
    assert all(row["split"] == "train" and not row["file"].startswith("anchors") for job in jobs for row in job.rows)
    assert len({(job.kind, job.name) for job in jobs}) == len(jobs)  # none writes over another
    assert {job.kind for job in every} == set(KINDS)
    assert {job.name for job in every if job.kind == "avatar"} == set(head_names(SHARED))
    people = [{row["identity"] for job in jobs if job.held is held for row in job.rows} for held in (True, False)]
    assert not people[0] & people[1]
    for kind in KINDS:
        held = sum(job.held for job in every if job.kind == kind)
        assert (held == 0) if kind == "grid_s1" else 0 < held < 0.5 * sum(job.kind == kind for job in every)
    assert [(job.name, job.held) for job in jobs_of(SHARED)] == [(job.name, job.held) for job in every]
