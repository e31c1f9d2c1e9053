"""Where the face networks look: square face crops and the upright patches round lips and eyes, as affine maps.

An affine map here is (2, 3): input px of a network from picture px.
"""

from __future__ import annotations

import numpy as np

from talkinghead.motion.latent import BROWS, IRIS_LEFT, IRIS_RIGHT, LIDS_LEFT, LIDS_RIGHT, LIPS, similarity
from talkinghead.motion.pose import HeadPose

LANDMARK_INPUT_PX = 128
MOUTH_INPUT_PX = (96, 72)
"""Width, height."""
EYE_INPUT_PX = (64, 48)

FACE_SIDE_FH = 1.6
"""Side of the landmark network's square crop in face heights."""
MOUTH_WIDTH_FH = 0.62
EYE_WIDTH_FH = 0.40

_FOLD_RIGHT = (130, 247, 30, 29, 27, 28, 56, 190, 243, 112, 26, 22, 23, 24, 110, 25)
_FOLD_LEFT = (359, 467, 260, 259, 257, 258, 286, 414, 463, 341, 256, 252, 253, 254, 339, 255)
MOUTH_POINTS = LIPS
EYE_POINTS_RIGHT = (*LIDS_RIGHT, *IRIS_RIGHT, *_FOLD_RIGHT, *BROWS[:10])
"""Eye on the picture's left (the person's right)."""
EYE_POINTS_LEFT = (*LIDS_LEFT, *(473, 476, 475, 474, 477), *_FOLD_LEFT, *BROWS[10:])
"""The mirror twins of `EYE_POINTS_RIGHT`, in the same order."""
assert set(IRIS_LEFT) <= set(EYE_POINTS_LEFT)


def square_map(centre: np.ndarray, side_px: float, angle: float, size_px: int) -> np.ndarray:
    """Map of a square turned by ``angle`` (radians, the face's roll) to an upright input of ``size_px``."""
    return patch_map(centre, side_px, angle, (size_px, size_px))


def patch_map(centre: np.ndarray, width_px: float, angle: float, size_px: tuple[int, int], mirror: bool = False) -> np.ndarray:
    """Map of a turned rectangle of ``width_px`` to an input of ``size_px`` (width, height), mirrored left to right if asked.
    Pixel centres are at whole numbers."""
    zoom = size_px[0] / width_px
    c, s = np.cos(angle) * zoom, np.sin(angle) * zoom
    linear = np.array([[c, s], [-s, c]])
    if mirror:
        linear[0] *= -1
    middle = (np.array(size_px) - 1) / 2
    return np.concatenate([linear, (middle - linear @ np.asarray(centre, np.float64))[:, None]], 1)


def apply_map(affine: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Map points (n, 2) or (n, 3); z is scaled by the map's zoom."""
    out = np.array(points, np.float64)
    out[:, :2] = points[:, :2] @ affine[:, :2].T + affine[:, 2]
    if points.shape[1] == 3:
        out[:, 2] *= np.sqrt(abs(np.linalg.det(affine[:, :2])))
    return out


def invert_map(affine: np.ndarray) -> np.ndarray:
    """The opposite map."""
    inverse = np.linalg.inv(affine[:, :2])
    return np.concatenate([inverse, -inverse @ affine[:, 2:]], 1)


def roll_of(pose: HeadPose) -> float:
    """Turn of the head in the picture plane, radians, clockwise."""
    return float(np.arctan2(pose.rotation[1, 0] - pose.rotation[0, 1], pose.rotation[0, 0] + pose.rotation[1, 1]))


def face_map(points: np.ndarray, mean: np.ndarray, size_px: int) -> np.ndarray:
    """The landmark network's crop of a face whose points (478, 3) px are about known."""
    pose = similarity(mean, points)
    box = points[:468, :2]
    return square_map((box.min(0) + box.max(0)) / 2, FACE_SIDE_FH * pose.scale_px, roll_of(pose), size_px)


def mouth_map(points: np.ndarray, pose: HeadPose, size_px: tuple[int, int]) -> np.ndarray:
    """The upright patch round the lips of a face in a pose."""
    centre = points[list(LIPS), :2].mean(0)
    return patch_map(centre, MOUTH_WIDTH_FH * pose.scale_px, roll_of(pose), size_px)


def eye_map(points: np.ndarray, pose: HeadPose, size_px: tuple[int, int], left: bool) -> np.ndarray:
    """The upright patch round one eye and brow; the left eye's is mirrored, so that one network serves both."""
    lids = LIDS_LEFT if left else LIDS_RIGHT
    brow = BROWS[10:] if left else BROWS[:10]
    centre = 0.65 * points[list(lids), :2].mean(0) + 0.35 * points[list(brow), :2].mean(0)
    return patch_map(centre, EYE_WIDTH_FH * pose.scale_px, roll_of(pose), size_px, mirror=left)
