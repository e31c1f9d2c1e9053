"""Light stays where it is when a head turns: skin that turns to it becomes brighter, skin that turns away darker.

The photo's own skin tells the light: its brightness is fitted by second-order spherical harmonics of the surface's direction
(Ramamoorthi, Hanrahan, *An Efficient Representation for Irradiance Environment Maps*, 2001). A frame's skin is then multiplied by
what the light gives it in its new direction over what it gave it in the photo.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from talkinghead.motion.latent import LIPS
from talkinghead.motion.pose import HeadPose
from talkinghead.render.eyes import LEFT_EYE, RIGHT_EYE
from talkinghead.render.layout import OVAL, SKIN_POINTS
from talkinghead.render.mesh import signed_areas
from talkinghead.render.surround import smoothstep

STEP_PX = 16
"""Between the places at which the light's change is computed: it is smooth."""
SPREAD_FH, FAINT = 0.06, 0.6
"""Reach of a point's change, face heights; and what stands for the surroundings, which keep their light, in points."""
EASED_FH, PINNED = 0.12, 0.5
"""How far inside the outline the change is whole, and what a point of the outline counts, in points."""
POINTS_TOLD = 160
"""So many points tell the light's change."""
STRENGTH = 0.8
"""Of the change that the fit tells, which takes folds and beards for light too: chosen on sharp clips of `train`."""
LEAST, MOST = 0.6, 1.6
_DARKEST = 0.15
"""Of the skin's mean brightness: what faces away from all light has as much from all around."""
_BROWS = (70, 63, 105, 66, 107, 55, 65, 52, 53, 46, 336, 296, 334, 293, 300, 276, 283, 282, 295, 285)
_BARE = sorted(
    set(range(SKIN_POINTS))
    - {*LIPS, *OVAL, *_BROWS}
    - {n for eye in (LEFT_EYE, RIGHT_EYE) for n in (*eye.upper, *eye.lower, *eye.upper_fold, *eye.lower_fold)}
)
"""Points of skin that is neither lip, lid, brow nor outline: the light is told by them."""
_FACING = 0.3  # toward the camera, of a unit vector
_BLUR_PX = 4.0  # pores and stubble are no light
_RIDGE = 0.005
_ROUNDS = 6


class Surface:
    """Directions of the face's skin. ``triangles`` (t, 3) over its 468 points, in any order of corners; ``canonical`` (478, 3) is
    the mean face, which looks to -z."""

    def __init__(self, triangles: np.ndarray, canonical: np.ndarray) -> None:
        triangles = triangles[(triangles < SKIN_POINTS).all(axis=1)]
        backward = signed_areas(canonical[:, :2], triangles) > 0
        self.triangles = np.where(backward[:, None], triangles[:, ::-1], triangles)
        # A point's triangles, as many for each: one more that has no size.
        corners = self.triangles.ravel()
        order = np.argsort(corners, kind="stable")
        count = np.bincount(corners, minlength=SKIN_POINTS)
        self.beside = np.full((SKIN_POINTS, int(count.max())), len(self.triangles))
        """Numbers of the triangles at each point (468, k); what is past the last is none."""
        self.beside[np.arange(self.beside.shape[1]) < count[:, None]] = order // 3
        skin = canonical[:SKIN_POINTS, :2].astype(np.float32)
        self.chosen = _spread(skin)
        """Numbers (n,) of points that tell the light's change: it is smooth."""
        outline = skin[list(OVAL)]
        away = np.array([cv2.pointPolygonTest(outline, (float(x), float(y)), True) for x, y in skin[self.chosen]])
        self.share = smoothstep(0.0, EASED_FH, away).astype(np.float32)
        """Of the change that they have (n,): none at the outline, beside which hair and wall keep their light."""
        self.pinned = np.where(np.isin(self.chosen, OVAL), np.float32(PINNED), np.float32(0))
        """How much they count (n,) at least, however little they are seen."""

    def normals(self, points: np.ndarray, chosen: np.ndarray | None = None) -> np.ndarray:
        """Unit vectors (468, 3), or at ``chosen`` points alone, out of the skin of points (478, 3) px, z negative toward the
        camera."""
        a, b, c = (points[:SKIN_POINTS].astype(np.float32)[corner] for corner in self.triangles.T)
        (ux, uy, uz), (vx, vy, vz) = (b - a).T, (c - a).T
        # By components, several times as quick as np.cross; summed without BLAS, whose threads would wait for one another.
        faces = np.zeros((len(self.triangles) + 1, 3), np.float32)
        faces[:-1, 0], faces[:-1, 1], faces[:-1, 2] = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        out = np.take(faces, self.beside if chosen is None else self.beside[chosen], axis=0).sum(axis=1)
        return np.asarray(out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-9))


def _spread(places: np.ndarray) -> np.ndarray:
    """Numbers of `POINTS_TOLD` of places (n, 2) that lie far from one another, those of the face's outline among them."""
    chosen = list(OVAL)
    near = np.linalg.norm(places[:, None] - places[chosen], axis=2).min(axis=1)
    while len(chosen) < POINTS_TOLD:
        chosen.append(int(near.argmax()))
        near = np.minimum(near, np.linalg.norm(places - places[chosen[-1]], axis=1))
    return np.array(chosen)


def harmonics(normals: np.ndarray) -> np.ndarray:
    """The nine real spherical harmonics (n, 9) of directions (n, 3), not normalised."""
    x, y, z = normals.T
    return np.stack((np.ones_like(x), x, y, z, x * y, x * z, y * z, x * x - y * y, 3 * z * z - 1), axis=1)


@dataclass(frozen=True)
class Light:
    """coefficients (9,) of the harmonics; rest (468,): what the skin has of it in the photo; normals (468, 3): the photo's, as if
    the head faced the camera; least: no skin has less; surface: whose light it is."""

    coefficients: np.ndarray
    rest: np.ndarray
    normals: np.ndarray
    least: float
    surface: Surface

    @classmethod
    def of(cls, face: np.ndarray, points: np.ndarray, rotation: np.ndarray, surface: Surface) -> Light:
        """Of a portrait (512, 512, 3) uint8 with its points (478, 3) px and its head's rotation (3, 3): a robust fit (Cauchy
        weights)."""
        grey = cv2.GaussianBlur(face, (0, 0), _BLUR_PX).mean(axis=2)
        x, y = np.clip(np.round(points[:SKIN_POINTS, :2]), 0, len(face) - 1).astype(int).T
        normals = surface.normals(points)
        facing = (normals @ rotation).astype(np.float32)
        seen = np.array([n for n in _BARE if normals[n, 2] < -_FACING], int)
        if len(seen) < 4 * 9:  # a face in profile tells little
            return cls(np.eye(9, dtype=np.float32)[0], np.ones(SKIN_POINTS, np.float32), facing, 1.0, surface)
        value = grey[y, x][seen] / 255 + 0.01
        given = harmonics(normals)
        chosen, weight = given[seen].astype(np.float64), np.ones(len(seen))
        ridge = _RIDGE * len(seen) * np.diag((0.0, *[1.0] * 8))
        found = np.zeros(9)
        for _ in range(_ROUNDS):
            weighted = chosen * weight[:, None]
            found = np.linalg.solve(chosen.T @ weighted + ridge, weighted.T @ value)
            off = np.abs(value - chosen @ found)
            weight = 1 / (1 + (off / (2 * np.median(off) + 1e-3)) ** 2)
        least = _DARKEST * float(value.mean())
        return cls(found.astype(np.float32), np.maximum(given @ found, least).astype(np.float32), facing, least, surface)

    def change(self, normals: np.ndarray, rotation: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        """Logarithm (n,) of how much brighter skin is than in the photo at ``chosen`` points (n,), of directions (n, 3) on a head
        of that rotation.

        Half of what turns skin on the head itself is taken: a smile's mesh tells its folds but roughly."""
        normals = normals + self.normals[chosen] @ rotation.T.astype(np.float32)
        normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-6)
        now = np.maximum(harmonics(normals) @ self.coefficients, self.least)
        return np.asarray(STRENGTH * np.log(np.clip(now / self.rest[chosen], LEAST, MOST)))


def shade(frame: np.ndarray, points: np.ndarray, pose: HeadPose, light: Light) -> None:
    """Bring a frame (s, s, 3) uint8 of driven points (478, 3) px and pose into its light, in place."""
    surface = light.surface
    normals, scale_px = surface.normals(points, surface.chosen), pose.scale_px
    change = surface.share * light.change(normals, pose.rotation, surface.chosen)
    seen = np.maximum(-normals[:, 2], surface.pinned)
    if np.abs(change * seen).max() < 1e-3:
        return
    reach, size = 3 * SPREAD_FH * scale_px, len(frame)
    flat = points[surface.chosen, :2]
    low = np.clip(np.floor((flat.min(0) - reach) / STEP_PX), 0, size // STEP_PX).astype(int)
    high = np.clip(np.ceil((flat.max(0) + reach) / STEP_PX), 0, size // STEP_PX).astype(int)
    if (high <= low).any():
        return
    across, down = (_near(flat[:, k], low[k], high[k], scale_px) for k in (0, 1))
    weight = down * seen.astype(np.float32)
    field = (weight * change.astype(np.float32)) @ across.T / (weight @ across.T + FAINT)
    factor = cv2.resize(np.exp(field), None, None, STEP_PX, STEP_PX, interpolation=cv2.INTER_LINEAR)
    part = frame[low[1] * STEP_PX : high[1] * STEP_PX, low[0] * STEP_PX : high[0] * STEP_PX]
    part[:] = cv2.multiply(part, cv2.merge([factor] * 3), dtype=cv2.CV_8U)


def _near(at: np.ndarray, first: int, last: int, scale_px: float) -> np.ndarray:
    """How near (n, p) the middles of cells are to points on one axis, 0..1."""
    middle = (np.arange(first, last, dtype=np.float32) + np.float32(0.5)) * STEP_PX - np.float32(0.5)
    away = (middle[:, None] - at.astype(np.float32)) / np.float32(SPREAD_FH * scale_px)
    return np.asarray(np.exp(-0.5 * away * away))
