"""Photo to portrait with the shipped face network."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from talkinghead.constants import FACE_HEIGHT_PX
from talkinghead.errors import PortraitError
from talkinghead.motion.latent import LatentModel
from talkinghead.portrait.bars import Area
from talkinghead.portrait.load import load_photo
from talkinghead.portrait.portrait import FaceReader, frame_face
from talkinghead.runtime.weights import model_path

DATA = Path(__file__).resolve().parent.parent.parent / "examples" / "data"


@pytest.fixture(scope="module")
def reader() -> FaceReader:
    return FaceReader(LatentModel.load(model_path("latent", "latent.npz")))


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return load_photo(DATA / "portrait.jpg")


def _on_canvas(photo: np.ndarray, width: int, height: int, places: list[tuple[int, int, float]]) -> np.ndarray:
    canvas = np.full((height, width, 3), 150, np.uint8)
    for x, y, zoom in places:
        small = cv2.resize(photo, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_AREA)
        canvas[y : y + small.shape[0], x : x + small.shape[1]] = small
    return canvas


def test_the_face_is_framed_as_the_decoder_expects(reader: FaceReader, photo: np.ndarray) -> None:
    portrait = reader.read(photo)
    assert portrait.face.shape == (512, 512, 3)
    assert portrait.code.pose.scale_px == pytest.approx(FACE_HEIGHT_PX, rel=0.3)
    inside = portrait.points[:, :2]
    assert inside.min() > 30 and inside.max() < 490
    eyes = portrait.points[263, 0] - portrait.points[33, 0]
    assert 50 < eyes < 170


def test_a_small_and_a_turned_face_are_found_where_they_are(reader: FaceReader, photo: np.ndarray) -> None:
    whole = reader.read(photo)
    home = whole.crop.to_photo(whole.points[:, :2])
    canvas = _on_canvas(photo, 2000, 1600, [(1100, 700, 1.0)])
    moved = reader.read(canvas)
    zoom = moved.image.shape[1] / 2000
    there = moved.crop.to_photo(moved.points[:, :2]) / zoom - (1100, 700)
    eye = np.linalg.norm(home[33] - home[263])
    assert np.linalg.norm(there - home, axis=1).mean() < 0.06 * eye
    h, w = photo.shape[:2]
    for degrees in (-25, 25):
        turn = cv2.getRotationMatrix2D((w / 2, h / 2), degrees, 0.9)
        turned = cv2.warpAffine(photo, turn, (w, h), borderMode=cv2.BORDER_REPLICATE)
        portrait = reader.read(turned)
        found = portrait.crop.to_photo(portrait.points[:, :2])
        expected = home @ turn[:, :2].T + turn[:, 2]
        assert np.linalg.norm(found - expected, axis=1).mean() < 0.09 * eye


def test_the_largest_of_several_faces_is_taken_and_said(reader: FaceReader, photo: np.ndarray) -> None:
    canvas = _on_canvas(photo, 1200, 700, [(20, 50, 0.7), (500, 80, 1.1)])
    portrait = reader.read(canvas)
    assert portrait.crop.x > 400
    assert any("2 faces" in note for note in portrait.notes)


def test_no_face_and_a_tiny_face_name_the_fix(reader: FaceReader, photo: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(PortraitError, match="no face found"):
        reader.read(rng.integers(0, 255, (400, 600, 3), np.uint8).astype(np.uint8))
    with pytest.raises(PortraitError, match="too small"):
        reader.read(_on_canvas(photo, 400, 400, [(100, 100, 0.4)]))


def test_crops_stay_inside_the_photo_where_they_can() -> None:
    face = np.array([[100.0, 40], [180, 40], [100, 140], [180, 140]]).repeat(117, 0)
    crop = frame_face(face, 100.0, Area(0, 0, 300, 400))
    assert crop.x >= 0 and crop.y >= 0 and crop.x + crop.side <= 300 and crop.y + crop.side <= 400
    tight = frame_face(face, 100.0, Area(0, 0, 200, 150))
    assert tight.side >= 150
