"""A photo made ready to be moved."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np

from talkinghead.constants import FACE_HEIGHT_PX, SIZE_PX
from talkinghead.errors import PortraitError
from talkinghead.motion.latent import FaceCode, LatentModel
from talkinghead.portrait.bars import Area, picture_area
from talkinghead.portrait.checkup import CheckUp, check_up
from talkinghead.portrait.crop import Crop
from talkinghead.portrait.detector import FaceBox, FaceDetector
from talkinghead.portrait.landmarker import Landmarker
from talkinghead.portrait.load import load_photo
from talkinghead.runtime.engine import load_engine
from talkinghead.runtime.weights import model_path

MAX_SIDE_PX = 1920
"""Longer photos are shrunk to this: the side of the video that `full` makes."""
SMALLEST_FACE_PX = 60
_FACE_CENTRE = (0.5, 0.561)
"""Where the middle of the face's box lies in the crop."""
_TIGHTEST = 0.8
"""A crop may be this much tighter than usual rather than reach past the photo."""
_PRESENCE = 0.9
_STRANGE_SHAPE_FH = 0.0045
"""Mean distance of a true face's points from the latent's shapes: 0.0013 as a rule, seldom above this."""
_SURE, _STRANGER = 0.99, 1.6
"""Where presence is this sure, the shape may be this much stranger (blurred and covered faces)."""
_ASIDE = 0.32
_MOST_LOOKED_AT = 8


@dataclass(frozen=True)
class Portrait:
    """A face found in a photo.

    image (h, w, 3) uint8 RGB: the photo, upright, long side at most `MAX_SIDE_PX`; crop: the square that is drawn; face
    (512, 512, 3) uint8 RGB: that square; points (478, 3) float32 px in it; code: its identity, dynamics, pose and residual;
    notes: remarks for the user; checkup: how well the photo suits.
    """

    image: np.ndarray
    crop: Crop
    face: np.ndarray
    points: np.ndarray
    code: FaceCode
    notes: tuple[str, ...] = ()
    checkup: CheckUp | None = None

    @property
    def z_id(self) -> np.ndarray:
        return self.code.z_id

    @property
    def z_dyn(self) -> np.ndarray:
        return self.code.z_dyn


class FaceReader:
    """The face network: photo -> `Portrait`. Engines are loaded when first used."""

    def __init__(self, latent: LatentModel, device: str = "cpu", threads: int = 1) -> None:
        self._latent, self._device, self._threads = latent, device, threads

    @cached_property
    def detector(self) -> FaceDetector:
        return FaceDetector(load_engine(model_path("face", "detector.onnx"), self._device, self._threads))

    @cached_property
    def landmarker(self) -> Landmarker:
        face, mouth, eye = (
            load_engine(model_path("face", f"{part}.onnx"), self._device, self._threads) for part in ("landmarks", "mouth", "eye")
        )
        return Landmarker(face, mouth, eye, self._latent.mean)

    def read(self, photo: str | Path | np.ndarray) -> Portrait:
        """The portrait of the largest face; PortraitError where there is none or it is too small."""
        image = photo if isinstance(photo, np.ndarray) else load_photo(photo)
        name = "the picture" if isinstance(photo, np.ndarray) else Path(photo).name
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise PortraitError(f"{name} must be uint8 RGB of shape (h, w, 3), not {image.dtype} {image.shape}")
        height_px, points, faces = self._find(image, name)
        if height_px < SMALLEST_FACE_PX:
            raise PortraitError(
                f"the face in {name} is too small ({height_px:.0f} px high): it needs {SMALLEST_FACE_PX} px, "
                "so crop closer or use a larger photo"
            )
        zoom = min(1.0, MAX_SIDE_PX / max(image.shape[:2]))
        if zoom < 1:
            image = cv2.resize(image, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_AREA)
            points = points * np.float32(zoom)
            points[:, :2] += (zoom - 1) / 2
        crop = frame_face(points, height_px * zoom, picture_area(image))
        inside = np.concatenate([crop.from_photo(points[:, :2]), points[:, 2:] * (SIZE_PX / crop.side)], axis=1).astype(
            np.float32
        )
        portrait = Portrait(image, crop, crop.extract(image), inside, self._latent.encode(inside))
        checkup = check_up(portrait, faces)
        return replace(portrait, notes=checkup.advice, checkup=checkup)

    def _find(self, image: np.ndarray, name: str) -> tuple[float, np.ndarray, int]:
        """Height px and points (478, 3) px of the largest true face, and how many there are."""
        found = self._measured(image)
        if not found:
            raise PortraitError(f"no face found in {name}: use a photo that shows one face from the front, in good light")
        return *found[0], len(found)

    def faces(self, image: np.ndarray) -> list[np.ndarray]:
        """Points (478, 3) px of every face that is believed, the largest first."""
        return [points for _, points in self._measured(image)]

    def _measured(self, image: np.ndarray) -> list[tuple[float, np.ndarray]]:
        """As `faces`, with each one's height px."""
        found = self._believed(image, self.detector.find(image)) or self._believed(image, self.detector.find_small(image))
        return sorted(found, key=lambda face: -face[0])

    def _believed(self, image: np.ndarray, boxes: list[FaceBox]) -> list[tuple[float, np.ndarray]]:
        """Height px and points of the boxes that hold a face: the landmark network says so, near the box, in a face's shape."""
        faces: list[tuple[float, np.ndarray]] = []
        for box in boxes[:_MOST_LOOKED_AT]:
            points, presence = self.landmarker.locate(image, box)
            code = self._latent.encode(points)
            height_px, middle = code.pose.scale_px, points[:468, :2].mean(0)
            aside = np.hypot(*(middle - (box.x, box.y))) / max(height_px, box.height_px)
            strange = np.abs(code.residual).mean() / _STRANGE_SHAPE_FH
            shaped = strange < 1 or (presence > _SURE and strange < _STRANGER)
            true = presence > _PRESENCE and shaped and aside < _ASIDE
            known = (np.linalg.norm(middle - other[:468, :2].mean(0)) < 0.5 * height for height, other in faces)
            if true and not any(known):
                faces.append((height_px, points))
        return faces


def frame_face(points: np.ndarray, height_px: float, area: Area) -> Crop:
    """The square round a face that shows it at the usual size, inside the photo's picture, ``area``, as far as it goes."""
    columns, rows = area.right - area.left, area.bottom - area.top
    side = height_px * SIZE_PX / FACE_HEIGHT_PX
    if side > min(rows, columns):
        side = max(_TIGHTEST * side, min(rows, columns))
    box = points[:468, :2]
    first = np.array(area[:2])
    corner = (box.min(0) + box.max(0)) / 2 - np.array(_FACE_CENTRE) * side - first
    for axis, length in enumerate((columns, rows)):
        if side <= length:
            corner[axis] = np.clip(corner[axis], 0, length - side)
        else:
            corner[axis] = (length - side) / 2 if axis == 0 else min(max(corner[axis], length - side), 0)
    corner += first
    return Crop(float(corner[0]), float(corner[1]), float(side), area)
