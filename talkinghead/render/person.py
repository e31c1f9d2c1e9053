"""The person as a layer of its own, that moves before a background which stays still."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from talkinghead.render.body import with_body
from talkinghead.render.matte import Matte, cut_head
from talkinghead.render.matting import person_matte
from talkinghead.render.patch import Window
from talkinghead.render.plate import Layers, separate, with_strays
from talkinghead.render.resample import FinePhoto
from talkinghead.render.surround import smoothstep
from talkinghead.runtime.engine import Engine

_TRUSTED = 0.92
"""Of a matte's confidence: below it hair or wall may have been taken for the other, and would tear."""
_LEFT_OVER = 1.5
"""Grey levels of fine structure near the person beyond the background's own: with more, hair was left on the wall. Both chosen by
looking at stills of `train`."""
_CALM = 80.0
"""Variance of fine structure, squared grey levels of three colours, of walls on which stray hair can be told: nine in ten of
those of `train` that colours alone are sure of have less, two in three of the others more."""
_BUSY = 0.4
"""How unsure the sides of a person are before a busy wall, at least."""
_UNSURE = 0.06
"""Share of the picture: where more of a matte is unsure above the chin, it is not to be trusted."""
_STRIP_PX, _WIDE_STRIP_PX = (3.0, 30.0), (6.0, 44.0)
_BORDER_PX = (8.0, 14.0)
_NEAR_PX, _EDGE_PX = 48, 4
_COARSE_PX = 16
_OWN = 4.0  # times the background's own variance
_LEAST_VARIANCE = 12.0  # squared grey levels, three colours
_LEAST_KNOWN = 500  # pixels of half size
_CHIN = 152


def person_layers(face: np.ndarray, points: np.ndarray, network: Engine | None = None) -> Layers | None:
    """Person and background of a portrait (s, s, 3) uint8 RGB with its points (478, 3) px; None where no background is seen.

    Where they cannot be told apart surely, more of the background goes along with the head, and fades out farther off. With the
    matting ``network`` that is told place by place, without it of the whole picture.
    """
    matte = found_matte(face, points, network)
    if matte.confidence <= 0:
        return None
    if matte.unsure is not None:
        return separate(face, _with_sides(face, points, matte.alpha, matte.unsure))
    matte = Matte(with_body(face, matte.alpha, points[:, :2]), matte.confidence)
    alpha = _sure(face, points, matte)
    return separate(face, with_strip(matte.alpha, _WIDE_STRIP_PX) if alpha is None else alpha)


def found_matte(face: np.ndarray, points: np.ndarray, network: Engine | None) -> Matte:
    """The matte of a portrait: with a network of the whole person, by colours alone of the head."""
    return cut_head(face, points) if network is None else person_matte(network, face, points)


def trusted(face: np.ndarray, points: np.ndarray, matte: Matte) -> bool:
    """Whether person and background of a portrait, as for `person_layers`, can be told apart surely by its `found_matte`."""
    if matte.unsure is not None:
        head = matte.unsure[: max(round(float(points[_CHIN, 1])), 0)]
        return matte.confidence > 0 and float(head.sum()) <= _UNSURE * matte.unsure.size
    return _sure(face, points, matte) is not None


def _sure(face: np.ndarray, points: np.ndarray, matte: Matte) -> np.ndarray | None:
    """The person (s, s) float32 0..1 with a little of what is beside; None where hair or wall may be taken for the other."""
    if matte.confidence < _TRUSTED:
        return None
    alpha = with_strays(face, with_strip(matte.alpha, _STRIP_PX))
    return alpha if left_over(face, alpha, float(points[_CHIN, 1])) <= _LEFT_OVER else None


def _with_sides(face: np.ndarray, points: np.ndarray, alpha: np.ndarray, unsure: np.ndarray) -> np.ndarray:
    """The person (s, s) float32 0..1 with what is beside: little of the wall where the matte is sure, and stray hair, or where a
    busy wall cannot be told from that, a little more of it."""

    def strip(unsure: np.ndarray) -> np.ndarray:
        near, far = (one + (wide - one) * unsure for one, wide in zip(_STRIP_PX, _WIDE_STRIP_PX, strict=True))
        return with_strip(alpha, (near, far))

    strayed = with_strays(face, strip(unsure))
    fine = _fine(face, strayed, float(points[_CHIN, 1]))
    calm = fine.own is not None and fine.own <= _CALM and fine.left_over <= _LEFT_OVER
    return strayed if calm else strip(np.maximum(unsure, _BUSY))


def with_strip(alpha: np.ndarray, reach_px: tuple[float | np.ndarray, float | np.ndarray]) -> np.ndarray:
    """``alpha`` (s, s) float32 0..1 with a strip of the background round the person, which is carried along and fades out between
    two distances, which may differ from place to place: stray hair lies in it, and a matte that is a little off is not seen.
    Nothing of it touches the picture's border, except at the bottom."""
    away = cv2.distanceTransform((alpha < 0.5).astype(np.uint8), cv2.DIST_L2, 5)
    strip = 1 - smoothstep(*reach_px, away)
    inside = smoothstep(*_BORDER_PX, np.arange(len(alpha), dtype=np.float64))
    strip *= inside[:, None] * np.minimum(inside, inside[::-1])[None]
    return np.maximum(alpha, strip.astype(np.float32))


@dataclass(frozen=True)
class _Fine:
    """Fine structure: variances (n,) close beside the person, and the wall's own farther off, None where there is none."""

    near: np.ndarray
    own: float | None

    @property
    def left_over(self) -> float:
        """See `left_over`."""
        if self.own is None or not len(self.near):
            return float("inf")
        return float(np.sqrt(np.maximum(self.near - _OWN * self.own, 0)).mean())


def left_over(face: np.ndarray, alpha: np.ndarray, chin_px: float) -> float:
    """How much fine structure (mean, grey levels) a picture (s, s, 3) uint8 shows close beside the person, ``alpha`` (s, s) 0..1,
    and above the chin's row that it does not show farther off: strands that the matte missed. Infinite where nothing is
    farther off."""
    return _fine(face, alpha, chin_px).left_over


def _fine(face: np.ndarray, alpha: np.ndarray, chin_px: float) -> _Fine:
    half = (face.shape[1] // 2, face.shape[0] // 2)
    small = cv2.resize(face, half, interpolation=cv2.INTER_AREA).astype(np.float32)
    person = (cv2.resize(alpha, half, interpolation=cv2.INTER_AREA) > 0.03).astype(np.uint8)
    head = np.arange(half[1])[:, None] < chin_px / 2
    near = _grown(person, _NEAR_PX // 2)
    far, ring = ~near & head, near & ~_grown(person, _EDGE_PX // 2) & head
    coarse = (half[0] * 2 // _COARSE_PX, half[1] * 2 // _COARSE_PX)
    smooth = cv2.resize(cv2.resize(small, coarse, interpolation=cv2.INTER_AREA), half, interpolation=cv2.INTER_LINEAR)
    fine = ((small - smooth) ** 2).sum(axis=2)
    return _Fine(fine[ring], float(fine[far].mean()) + _LEAST_VARIANCE if far.sum() >= _LEAST_KNOWN else None)


def _grown(mask: np.ndarray, radius_px: int) -> np.ndarray:
    return np.asarray(cv2.distanceTransform(1 - mask, cv2.DIST_L2, 5) <= radius_px)


class Person:
    """The moved person over the still background."""

    def __init__(self, base: np.ndarray, layers: Layers) -> None:
        """``base`` (s, s, 3) uint8 RGB is the photo as it is to be moved; ``layers`` are those of the photo itself."""
        whole = (layers.alpha == 255)[..., None]
        self._fine = FinePhoto(np.dstack((np.where(whole, base, layers.head), layers.alpha)))
        self._plate = layers.plate

    def sample(self, places: np.ndarray, window: Window, out: np.ndarray) -> None:
        """Draw ``window`` into ``out`` (h, w, 3) uint8; ``places`` as for `FinePhoto.sample`."""
        moved = self._fine.sample(places)
        rest = cv2.bitwise_not(cv2.extractChannel(moved, 3))
        behind = cv2.multiply(self._plate[window.slices], cv2.merge([rest] * 3), scale=1 / 255)
        cv2.add(cv2.cvtColor(moved, cv2.COLOR_RGBA2RGB), behind, dst=out)
