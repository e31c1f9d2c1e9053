"""Rigid head pose: canonical face (face heights) to picture pixels, and rotation vectors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_TINY = 1e-8


@dataclass(frozen=True)
class HeadPose:
    """Where the head is in the picture: ``P_px = scale * (R @ X) + (tx, ty, depth)``.

    X is the canonical face in face heights (x right, y down, z negative toward the camera).
    """

    rotation: np.ndarray
    """(3, 3) proper rotation."""
    translation_px: np.ndarray
    """(2,) where the canonical origin lies, px."""
    scale_px: float
    """Pixels a face height."""
    depth_px: float = 0.0
    """Shift along z. Orthography cannot see it: it only keeps the points' third coordinate centred."""

    def apply(self, canonical: np.ndarray) -> np.ndarray:
        """Canonical points (..., 3) in face heights to picture points (..., 3) in px."""
        points = self.scale_px * (np.asarray(canonical) @ np.asarray(self.rotation).T)
        return points + self._offset(points.dtype)

    def inverse(self, points: np.ndarray) -> np.ndarray:
        """Picture points (..., 3) in px back to canonical points (..., 3) in face heights."""
        moved = np.asarray(points, np.result_type(np.asarray(points).dtype, np.float32))
        return (moved - self._offset(moved.dtype)) @ np.asarray(self.rotation) / self.scale_px

    def _offset(self, dtype: np.dtype) -> np.ndarray:
        return np.array([*self.translation_px, self.depth_px], dtype)


def rotation_from_vector(vector: np.ndarray) -> np.ndarray:
    """Rodrigues: axis times angle (3,) in radians to a rotation (3, 3)."""
    v = np.asarray(vector, np.float64)
    angle = float(np.linalg.norm(v))
    k = np.array([[0.0, -v[2], v[1]], [v[2], 0.0, -v[0]], [-v[1], v[0], 0.0]])
    if angle < _TINY:
        return np.eye(3) + k
    return np.eye(3) + np.sin(angle) / angle * k + (1 - np.cos(angle)) / angle**2 * (k @ k)


def vector_from_rotation(rotation: np.ndarray) -> np.ndarray:
    """Inverse of ``rotation_from_vector``: (3,) with an angle in [0, pi]."""
    r = np.asarray(rotation, np.float64)
    skew = np.array([r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1]]) / 2
    sine = float(np.linalg.norm(skew))
    cosine = float(np.clip((np.trace(r) - 1) / 2, -1.0, 1.0))
    angle = float(np.arctan2(sine, cosine))
    if sine > 1e-6:
        return skew * (angle / sine)
    if cosine > 0:
        return skew
    # Half a turn: the skew part vanishes; the axis is the largest column of (R + I) / 2.
    square = (r + np.eye(3)) / 2
    column = square[:, int(np.argmax(np.diag(square)))]
    return column / np.linalg.norm(column) * np.pi


def facing_deg(turns: np.ndarray) -> np.ndarray:
    """Where a head that faced the camera looks after rotation vectors (n, 3): degrees to the picture's right and up (n, 2)."""
    ahead = np.array([rotation_from_vector(turn) @ (0.0, 0.0, -1.0) for turn in turns]).reshape(-1, 3)
    right = np.arctan2(ahead[:, 0], -ahead[:, 2])
    return np.degrees(np.stack([right, np.arctan2(-ahead[:, 1], np.hypot(ahead[:, 0], ahead[:, 2]))], 1))
