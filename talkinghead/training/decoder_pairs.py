"""One of the decoder's pairs: a portrait, driven to a target's look by its latents as at run time, beside the target; and files
of pairs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from talkinghead.constants import SIZE_PX
from talkinghead.motion.latent import FaceCode, LatentModel, latent_from_pose
from talkinghead.motion.rest import resting_dynamics
from talkinghead.portrait.bars import picture_area
from talkinghead.portrait.crop import Crop
from talkinghead.portrait.portrait import frame_face
from talkinghead.render.refine import Spot, eye_spots, motion_code, mouth_spots, mouth_width
from talkinghead.render.warp import Driven, WarpDecoder
from talkinghead.training.motion_data import encode_frames

ARRAYS = ("mouth_drawn", "mouth_cover", "mouth_true", "eye_drawn", "eye_cover", "eye_true", "code", "width", "portrait")
PHOTOS = ("mouth_photo", "mouth_photo_cover", "eye_photo", "eye_photo_cover")
_JITTER_PX = 0.4


@dataclass(frozen=True)
class Posed:
    """A portrait ready to be driven: crop (of its picture), code, resting z_dyn (D,), the warp, the mouth's width at rest (face
    heights) and what the warp shows of the photo."""

    crop: Crop
    code: FaceCode
    rest: np.ndarray
    warp: WarpDecoder
    width: float
    photo: dict[str, np.ndarray]


def posed(latent: LatentModel, image: np.ndarray, points: np.ndarray, rng: np.random.Generator, *, hidden: bool = False) -> Posed:
    """A portrait from its picture (h, w, 3) and the teacher's points (478, 3) px, a little wrong as a detector's are.
    ``hidden``: an open mouth's interior is not shown."""
    crop = frame_face(points, latent.encode(points).pose.scale_px, picture_area(image))
    return posed_crop(latent, crop, crop.extract(image), cropped(crop, points), rng, hidden=hidden)


def posed_crop(
    latent: LatentModel, crop: Crop, face: np.ndarray, inside: np.ndarray, rng: np.random.Generator, *, hidden: bool = False
) -> Posed:
    """The same of a crop's face (512, 512, 3) and the points inside it."""
    noisy = inside + smooth_error(latent, rng)
    code = latent.encode(noisy)
    warp = WarpDecoder(face, noisy, code.pose, latent.mean, photographed=not hidden)
    driven = warp.driven(noisy, code.pose)
    shown = warp.lipped if hidden else face
    photo = {}
    for part, spots in spots_of(driven).items():
        photo[f"{part}_photo"], photo[f"{part}_photo_cover"] = patches(shown, spots), covers(spots)
    return Posed(crop, code, resting_dynamics(latent, code), warp, mouth_width(noisy, code.pose), photo)


def smooth_error(latent: LatentModel, rng: np.random.Generator) -> np.ndarray:
    """Errors (478, 3) px of points, alike where points are near each other."""
    knots = rng.standard_normal((24, 3)) * [1, 1, 0] * _JITTER_PX
    near = latent.mean[rng.integers(0, len(latent.mean), len(knots)), :2]
    weight = np.exp(-((latent.mean[:, None, :2] - near) ** 2).sum(2) / (2 * 0.12**2))
    return (weight @ knots / np.maximum(np.linalg.norm(weight, axis=1, keepdims=True), 0.3)).astype(np.float32)


def cropped(crop: Crop, points: np.ndarray) -> np.ndarray:
    """Points (..., 3) px of a picture in its crop, float32."""
    flat = crop.from_photo(points[..., :2].reshape(-1, 2)).reshape(*points.shape[:-1], 2)
    return np.concatenate([flat, points[..., 2:] * (SIZE_PX / crop.side)], -1).astype(np.float32)


def spots_of(driven: Driven) -> dict[str, list[Spot]]:
    """Patches by part."""
    return {"mouth": mouth_spots(driven), "eye": eye_spots(driven)}


def patches(frame: np.ndarray, spots: list[Spot]) -> np.ndarray:
    """(n, h, w, 3) uint8."""
    return np.stack([spot.cut(frame) for spot in spots])


def covers(spots: list[Spot]) -> np.ndarray:
    """(n, 2, h, w) uint8, 255 covered."""
    return np.round(255 * np.stack([spot.covers() for spot in spots])).astype(np.uint8)


def pair(latent: LatentModel, at: Posed, true: np.ndarray, points: np.ndarray) -> dict[str, np.ndarray]:
    """One target: its picture (512, 512, 3) and the teacher's points (478, 3) px, both in the portrait's crop."""
    z_dyn, poses = encode_frames(latent, points[None], at.code.z_id)
    z_pose = latent_from_pose(at.code.pose, poses[0])
    driven = at.warp.driven(*latent.draw(at.code, z_pose, z_dyn[0]))
    frame = at.warp.paint(driven)
    width = mouth_width(driven.points, driven.pose) / max(at.width, 1e-6)
    row: dict[str, np.ndarray] = {"code": motion_code(z_pose, z_dyn[0] - at.rest), "width": np.array(width, np.float32)}
    for part, spots in spots_of(driven).items():
        row[f"{part}_drawn"], row[f"{part}_cover"], row[f"{part}_true"] = (
            patches(frame, spots),
            covers(spots),
            patches(true, spots),
        )
    return row


class Shard:
    """Pairs of one source on their way to a file."""

    def __init__(self) -> None:
        self._rows: dict[str, list[np.ndarray]] = {name: [] for name in ARRAYS}
        self._photos: dict[str, list[np.ndarray]] = {name: [] for name in PHOTOS}

    def portrait(self, at: Posed) -> None:
        """The pairs that follow are of this one."""
        for name, values in self._photos.items():
            values.append(at.photo[name])

    def add(self, row: dict[str, np.ndarray]) -> None:
        """One pair."""
        row["portrait"] = np.int32(len(self._photos["mouth_photo"]) - 1)  # type: ignore[assignment]
        for name, values in self._rows.items():
            values.append(row[name])

    def save(self, path: Path, kind: str, held: bool) -> int:
        """Write the file; gives the number of pairs."""
        path.parent.mkdir(parents=True, exist_ok=True)
        arrays: dict[str, Any] = {name: np.stack(v) for name, v in (*self._rows.items(), *self._photos.items()) if v}
        beside = path.with_suffix(".part.npz")
        np.savez(beside, kind=kind, held=held, **arrays)
        beside.replace(path)
        return len(self._rows["code"])
