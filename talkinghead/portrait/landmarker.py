"""The 478 face points of one face."""

from __future__ import annotations

import cv2
import numpy as np

from talkinghead.motion.latent import mirror_map, similarity
from talkinghead.portrait.detector import FaceBox
from talkinghead.portrait.patches import (
    EYE_INPUT_PX,
    EYE_POINTS_LEFT,
    EYE_POINTS_RIGHT,
    FACE_SIDE_FH,
    LANDMARK_INPUT_PX,
    MOUTH_INPUT_PX,
    MOUTH_POINTS,
    apply_map,
    eye_map,
    face_map,
    invert_map,
    mouth_map,
    square_map,
)
from talkinghead.runtime.engine import Engine

_LOOKS = 2
"""Looks after detection: each frames the face better for the next; one more, mirrored too, follows."""


class Landmarker:
    """Points of a face: the whole face first, then lips and eyes once more in patches of their own.

    ``mean`` (478, 3) is the latent's mean face, by which crops are framed.
    """

    def __init__(self, face: Engine, mouth: Engine, eye: Engine, mean: np.ndarray) -> None:
        self._face, self._mouth, self._eye, self._mean = face, mouth, eye, mean
        self._twins = mirror_map(mean)

    def locate(self, image: np.ndarray, box: FaceBox) -> tuple[np.ndarray, float]:
        """Points (478, 3) float32 in px of an RGB uint8 picture and the presence score 0..1 of a detected face."""
        affine = square_map(np.array([box.x, box.y]), FACE_SIDE_FH * box.height_px, 0.0, LANDMARK_INPUT_PX)
        points, score = self._look(image, affine)
        for _ in range(_LOOKS - 1):
            points, score = self._look(image, face_map(points, self._mean, LANDMARK_INPUT_PX))
        points, score = self._look_twice(image, face_map(points, self._mean, LANDMARK_INPUT_PX))
        return self._refine(image, points), score

    def track(self, image: np.ndarray, previous: np.ndarray) -> tuple[np.ndarray, float]:
        """As `locate`, from the points of the frame before: one look."""
        points, score = self._look(image, face_map(previous, self._mean, LANDMARK_INPUT_PX))
        return self._refine(image, points), score

    def _look_twice(self, image: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, float]:
        """The mean of what is seen in the crop and in its mirror image: their errors partly cancel."""
        cut = _cut(image, affine, (LANDMARK_INPUT_PX, LANDMARK_INPUT_PX))
        out = self._face.run(image=np.stack([cut, cut[:, :, ::-1]]))
        points, mirrored = out["points"]
        mirrored = mirrored[self._twins] * np.array([-1, 1, 1], np.float32)
        mirrored[:, 0] += LANDMARK_INPUT_PX - 1
        return apply_map(invert_map(affine), (points + mirrored) / 2).astype(np.float32), _share(out["presence"])

    def _look(self, image: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, float]:
        out = self._face.run(image=_cut(image, affine, (LANDMARK_INPUT_PX, LANDMARK_INPUT_PX))[None])
        return apply_map(invert_map(affine), out["points"][0]).astype(np.float32), _share(out["presence"])

    def _refine(self, image: np.ndarray, points: np.ndarray) -> np.ndarray:
        pose = similarity(self._mean, points)
        maps = [
            mouth_map(points, pose, MOUTH_INPUT_PX),
            eye_map(points, pose, EYE_INPUT_PX, left=False),
            eye_map(points, pose, EYE_INPUT_PX, left=True),
        ]
        mouth = self._mouth.run(image=_cut(image, maps[0], MOUTH_INPUT_PX)[None])["points"][0]
        eyes = self._eye.run(image=np.stack([_cut(image, m, EYE_INPUT_PX) for m in maps[1:]]))["points"]
        out = points.copy()
        for keep, found, affine in zip(
            (MOUTH_POINTS, EYE_POINTS_RIGHT, EYE_POINTS_LEFT), (mouth, eyes[0], eyes[1]), maps, strict=True
        ):
            out[list(keep), :2] = apply_map(invert_map(affine), found)
        return out


def _share(logits: np.ndarray) -> float:
    """The probability of the mean logit."""
    return float(1 / (1 + np.exp(-logits.mean())))


def _cut(image: np.ndarray, affine: np.ndarray, size_px: tuple[int, int]) -> np.ndarray:
    """A network's input (3, h, w) in 0..1: the picture through an affine map, blurred before shrinking, border replicated."""
    zoom = float(np.sqrt(abs(np.linalg.det(affine[:, :2]))))
    if zoom < 0.6:  # only the part that is seen is blurred
        corners = apply_map(invert_map(affine), np.array([[0, 0], [size_px[0], 0], [0, size_px[1]], [*size_px]], float))
        low = np.maximum(np.floor(corners.min(0)) - 8, 0).astype(int)
        high = np.maximum(np.ceil(corners.max(0)) + 8, low + 1).astype(int)
        part = image[low[1] : high[1], low[0] : high[0]]
        if part.size:
            image = cv2.GaussianBlur(part, (0, 0), 0.4 / zoom)
            affine = affine.copy()
            affine[:, 2] += affine[:, :2] @ low
    cut = cv2.warpAffine(image, affine, size_px, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return cut.transpose(2, 0, 1).astype(np.float32) / 255
