"""The latent: what moves between the stages, and the linear face geometry behind it (DESIGN section 1).

Canonical face points (478, 3) are in *face heights* (forehead top to chin of the mean face is 1), x to the right of the
picture, y down, z negative toward the camera. A picture shows them by scaled orthography (`HeadPose`):

    points_px = Pose(z_pose) . (mean + B_id z_id + B_dyn z_dyn + residual)

``z_id`` and ``z_dyn`` are whitened: over the training data each component has about unit variance, so that a code's norm is
its Mahalanobis distance and encoding is the posterior mean under a unit Gaussian prior (probabilistic PCA, Tipping and
Bishop 1999). The residual is what the photo has and the modes have not; it turns with the head, so drawing the portrait's
own latents gives back the photo.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from talkinghead.constants import POINTS
from talkinghead.errors import EngineError
from talkinghead.motion.pose import HeadPose, rotation_from_vector, vector_from_rotation

RIGID = (10, 151, 9, 8, 168, 6, 197, 195, 5, 33, 133, 362, 263, 127, 356, 234, 454, 21, 251)
"""Points that move with the skull."""

UPPER_INNER_LIP = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
LOWER_INNER_LIP = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
OUTER_LIPS = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146)
LIPS = tuple(sorted({*UPPER_INNER_LIP, *LOWER_INNER_LIP, *OUTER_LIPS}))
LIDS_RIGHT = (33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7)
LIDS_LEFT = (263, 466, 388, 387, 386, 385, 384, 398, 362, 382, 381, 380, 374, 373, 390, 249)
IRIS_RIGHT = (468, 469, 470, 471, 472)
IRIS_LEFT = (473, 474, 475, 476, 477)
EYES = tuple(sorted({*LIDS_RIGHT, *LIDS_LEFT, *IRIS_RIGHT, *IRIS_LEFT}))
BROWS = (46, 53, 52, 65, 55, 70, 63, 105, 66, 107, 276, 283, 282, 295, 285, 300, 293, 334, 296, 336)
EYE_OUTER_CORNERS = (33, 263)

POSE_SIZE = 6
_ENCODE_ROUNDS = 4


def similarity(moving: np.ndarray, fixed: np.ndarray, weights: np.ndarray | None = None) -> HeadPose:
    """The pose that best maps canonical points ``moving`` (n, 3) onto ``fixed`` (n, 3) px in the least-squares sense
    (Umeyama 1991). ``weights`` (n,) >= 0."""
    w = np.ones(len(moving)) if weights is None else np.asarray(weights, np.float64)
    w = w / w.sum()
    a, b = np.asarray(moving, np.float64), np.asarray(fixed, np.float64)
    centre_a, centre_b = w @ a, w @ b
    a0, b0 = a - centre_a, b - centre_b
    u, d, vt = np.linalg.svd((b0 * w[:, None]).T @ a0)
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = (u * sign) @ vt
    scale = float((d * sign).sum() / (w @ (a0**2).sum(1)))
    shift = centre_b - scale * rotation @ centre_a
    return HeadPose(rotation, shift[:2], scale, float(shift[2]))


def mirror_map(mean: np.ndarray) -> np.ndarray:
    """Index (478,) of each point's mirror twin in a frontal mean face whose middle is x = 0."""
    flipped = mean * [-1, 1, 1]
    return np.array([int(np.argmin(((mean - p) ** 2).sum(1))) for p in flipped])


def mirror_dynamics(latent: LatentModel) -> np.ndarray:
    """Matrix (D, D) that takes z_dyn to that of the mirrored face: ``matrix @ z_dyn``."""
    size, twin = latent.size_dyn, mirror_map(latent.mean)
    flat = latent.basis_dyn.reshape(size, -1).astype(np.float64)
    mirrored = (latent.basis_dyn[:, twin] * np.array([-1, 1, 1])).reshape(size, -1).astype(np.float64)
    weight = np.repeat(latent.precision.astype(np.float64), 3)
    return np.linalg.solve((flat * weight) @ flat.T, (flat * weight) @ mirrored.T)


@dataclass(frozen=True)
class Latents:
    """A stretch of motion at 40 Hz: ``z_pose`` (n, 6) and ``z_dyn`` (n, D), float32."""

    z_pose: np.ndarray
    z_dyn: np.ndarray

    def __len__(self) -> int:
        return len(self.z_dyn)

    @staticmethod
    def join(parts: list[Latents]) -> Latents:
        """The stretches one after another."""
        return Latents(np.concatenate([p.z_pose for p in parts]), np.concatenate([p.z_dyn for p in parts]))


@dataclass(frozen=True)
class FaceCode:
    """One face in a picture, encoded: identity (I,), dynamics (D,), its pose, and the residual (478, 3) in face heights."""

    z_id: np.ndarray
    z_dyn: np.ndarray
    pose: HeadPose
    residual: np.ndarray


@dataclass(frozen=True)
class LatentModel:
    """Mean face and modes.

    mean (478, 3); basis_id (I, 478, 3); basis_dyn (D, 478, 3), all in face heights; precision (478,) 1 / variance of
    a point about the model. ``LatentModel.load`` reads the shipped file.
    """

    mean: np.ndarray
    basis_id: np.ndarray
    basis_dyn: np.ndarray
    precision: np.ndarray
    _solve_dyn: np.ndarray = field(init=False, repr=False)
    _solve_both: np.ndarray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.mean.shape != (POINTS, 3) or self.basis_dyn.shape[1:] != (POINTS, 3):
            raise EngineError("the latent's file is damaged: restore models/latent/latent.npz")
        weight = np.repeat(self.precision, 3)
        both = np.concatenate([self.basis_id, self.basis_dyn]).reshape(-1, POINTS * 3)
        object.__setattr__(self, "_solve_both", _posterior_map(both, weight))
        object.__setattr__(self, "_solve_dyn", _posterior_map(self.basis_dyn.reshape(-1, POINTS * 3), weight))

    @cached_property
    def mirror(self) -> np.ndarray:
        """`mirror_dynamics` of this latent, computed once."""
        return mirror_dynamics(self)

    @classmethod
    def load(cls, path: Path) -> LatentModel:
        """Read a ``latent.npz``; EngineError when it is missing or damaged."""
        try:
            with np.load(path) as data:
                return cls(*(data[k].astype(np.float32) for k in ("mean", "basis_id", "basis_dyn", "precision")))
        except (OSError, KeyError, ValueError) as error:
            raise EngineError(f"cannot read the latent model {path.name}: reinstall talkinghead ({error})") from error

    @property
    def size_id(self) -> int:
        return len(self.basis_id)

    @property
    def size_dyn(self) -> int:
        return len(self.basis_dyn)

    def shape(self, z_id: np.ndarray, z_dyn: np.ndarray) -> np.ndarray:
        """Canonical points (478, 3) in face heights."""
        return self.mean + np.tensordot(z_id, self.basis_id, 1) + np.tensordot(z_dyn, self.basis_dyn, 1)

    def solve_dyn(self, offset: np.ndarray) -> np.ndarray:
        """z_dyn (..., D) of canonical offsets (..., 478, 3) from a person's neutral face."""
        return offset.reshape(*offset.shape[:-2], -1) @ self._solve_dyn.T

    def solve_both(self, offset: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """z_id (..., I) and z_dyn (..., D) of canonical offsets (..., 478, 3) from the mean face."""
        both = offset.reshape(*offset.shape[:-2], -1) @ self._solve_both.T
        return both[..., : self.size_id], both[..., self.size_id :]

    def encode(self, points_px: np.ndarray, z_id: np.ndarray | None = None) -> FaceCode:
        """Code of one face from its points (478, 3) px. With ``z_id`` given (a known person) only pose and dynamics
        are sought."""
        pose = similarity(self.mean[list(RIGID)], points_px[list(RIGID)])
        for _ in range(_ENCODE_ROUNDS):
            offset = pose.inverse(points_px) - self.mean
            if z_id is None:
                person, z_dyn = self.solve_both(offset)
            else:
                person, z_dyn = z_id, self.solve_dyn(offset - np.tensordot(z_id, self.basis_id, 1))
            pose = similarity(self.shape(person, z_dyn), points_px, self.precision)
        residual = pose.inverse(points_px) - self.shape(person, z_dyn)
        return FaceCode(person.astype(np.float32), z_dyn.astype(np.float32), pose, residual.astype(np.float32))

    def draw(self, code: FaceCode, z_pose: np.ndarray, z_dyn: np.ndarray) -> tuple[np.ndarray, HeadPose]:
        """Points (478, 3) px and pose of a coded face under other latents; ``z_pose`` is measured from the portrait."""
        pose = pose_from_latent(code.pose, z_pose)
        return pose.apply(self.shape(code.z_id, z_dyn) + code.residual).astype(np.float32), pose


def _posterior_map(basis: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Matrix (k, n) from offsets to the posterior mean of codes with a unit Gaussian prior."""
    weighted = basis.astype(np.float64) * weight
    return np.linalg.solve(weighted @ basis.T.astype(np.float64) + np.eye(len(basis)), weighted).astype(np.float32)


def pose_from_latent(rest: HeadPose, z_pose: np.ndarray) -> HeadPose:
    """The pose that ``z_pose`` (6,) tells, measured from a rest pose: rotation vector in the camera's axes (radians; x nods
    down, y turns to the picture's left, z tilts clockwise), translation (face heights), log scale."""
    size_px = rest.scale_px
    return HeadPose(
        rotation_from_vector(z_pose[:3]) @ rest.rotation,
        rest.translation_px + size_px * np.asarray(z_pose[3:5], np.float64),
        size_px * float(np.exp(z_pose[5])),
        rest.depth_px,
    )


def latent_from_pose(rest: HeadPose, pose: HeadPose) -> np.ndarray:
    """z_pose (6,) float32 of a pose, measured from a rest pose; the inverse of `pose_from_latent`."""
    turn = vector_from_rotation(pose.rotation @ rest.rotation.T)
    shift = (pose.translation_px - rest.translation_px) / rest.scale_px
    return np.array([*turn, *shift, np.log(pose.scale_px / rest.scale_px)], np.float32)
