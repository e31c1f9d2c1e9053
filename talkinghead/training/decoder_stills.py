"""Pairs of stills: smiles beside neutral faces, hidden teeth, and portraits that are warped to another look and back."""

from __future__ import annotations

import itertools
import zlib
from pathlib import Path

import cv2
import numpy as np

from talkinghead.constants import SIZE_PX
from talkinghead.motion.latent import RIGID, FaceCode, LatentModel, similarity
from talkinghead.portrait.crop import Crop
from talkinghead.render.refine import SMILE
from talkinghead.training.decoder_pairs import Shard, cropped, pair, posed, posed_crop
from talkinghead.training.latent import opening
from talkinghead.training.track import frames_of, load_track

_RETURNS = 4
_LARGEST_RETURN = np.radians([6.0, 9.0, 5.0])
_TEETH_GAP_FH = 0.03
_SMILING = np.array(SMILE[1], np.float32)
"""How wide a mouth counts whose interior is to be drawn, though in its own photo it is no wider than at rest."""
_SMALLEST_FACE_PX = 150
_LARGEST_TURN, _LARGEST_RETURNED_TURN = 0.5, 0.35
_MOST_PADDING = 0.3
"""For pairs of photos. One whose mouth alone is looked at may have more: it is far from the border."""


def still_of(shared: Path, cache: Path, row: dict[str, str], kind: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Picture and points (478, 3) px of a still fit to learn from: found, large, in colour, and for pairs little padded."""
    if int(row["face_height_px"] or 0) < _SMALLEST_FACE_PX:
        return None
    if kind == "london" and float(row["padding"] or 0) > _MOST_PADDING:
        return None
    track = load_track((cache / "track" / "stills" / row["file"]).with_suffix(".npz"))
    image = next(frames_of(shared / "data" / "stills" / row["file"]))[0]
    if not track["found"][0] or np.ptp(image.astype(np.int16), axis=2).mean() < 8:
        return None
    return image, track["points"][0] * np.float32(image.shape[1])


def smile_shard(latent: LatentModel, stills: list[tuple[np.ndarray, np.ndarray]], name: str) -> Shard:
    """Pairs of a person's photos, each brought onto the other by the points that move with the skull."""
    shard, rng, keep = Shard(), np.random.default_rng(zlib.crc32(name.encode())), list(RIGID)
    for (image, points), (other, there) in itertools.permutations(stills, 2):
        at = posed(latent, image, points, rng)
        onto = similarity(there[keep] * [1, 1, 0], points[keep] * [1, 1, 0])
        flat = np.concatenate([onto.scale_px * onto.rotation[:2, :2], np.array(onto.translation_px)[:, None]], 1)
        moved = cv2.warpAffine(other, flat, image.shape[1::-1], flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        seen = np.concatenate([there[:, :2] @ flat[:, :2].T + flat[:, 2], there[:, 2:] * onto.scale_px], 1)
        shard.portrait(at)
        shard.add(pair(latent, at, at.crop.extract(moved), cropped(at.crop, seen)))
    return shard


def teeth_shard(latent: LatentModel, image: np.ndarray, points: np.ndarray, name: str) -> Shard:
    """A photo with an open mouth that is to be drawn again; empty when the mouth is closed or the head turned away."""
    shard, code = Shard(), latent.encode(points)
    gap = opening(points[None] / np.float32(code.pose.scale_px))[0]
    if gap < _TEETH_GAP_FH or _turned(code) > _LARGEST_TURN:
        return shard
    at = posed(latent, image, points, np.random.default_rng(zlib.crc32(name.encode())), hidden=True)
    shard.portrait(at)
    shard.add(pair(latent, at, at.crop.extract(image), cropped(at.crop, points)) | {"width": _SMILING})
    return shard


def returned_shard(latent: LatentModel, image: np.ndarray, points: np.ndarray, looks: np.ndarray, name: str) -> Shard:
    """A photo that is warped to other looks and from there back: many people, and what a warp loses is known exactly.

    ``looks`` (n, D): z_dyn from rest that people really show. Two resamplings make a picture soft, so the target is as soft.
    """
    shard, rng = Shard(), np.random.default_rng(zlib.crc32(name.encode()))
    first = posed(latent, image, points, rng)
    if _turned(first.code) > _LARGEST_RETURNED_TURN:
        return shard
    inside = cropped(first.crop, points)
    true = _half_a_pixel(_half_a_pixel(first.crop.extract(image), 1), -1)
    for _ in range(_RETURNS):
        turn = np.concatenate([rng.uniform(-1, 1, 3) * _LARGEST_RETURN, rng.normal(0, 0.02, 3)])
        seen, pose = latent.draw(first.code, turn, first.rest + looks[rng.integers(len(looks))])
        driven = first.warp.driven(seen, pose)
        at = posed_crop(latent, Crop(0.0, 0.0, float(SIZE_PX)), first.warp.paint(driven), driven.points.astype(np.float32), rng)
        shard.portrait(at)
        shard.add(pair(latent, at, true, inside))
    return shard


def _turned(code: FaceCode) -> float:
    """How far a head looks past the camera, radians."""
    return float(np.arccos(np.clip(code.pose.rotation[2, 2], -1, 1)))


def _half_a_pixel(picture: np.ndarray, way: int) -> np.ndarray:
    """A picture (h, w, 3) moved by half a pixel each way: as much is lost as in a warp."""
    shift = np.array([[1, 0, way / 2], [0, 1, way / 2]], np.float64)
    return cv2.warpAffine(picture, shift, picture.shape[1::-1], flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
