"""The person of a whole photo without the background: straight colours and a matte, for pictures that are laid over others."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

import cv2
import numpy as np

from talkinghead.constants import SIZE_PX
from talkinghead.portrait.crop import Crop
from talkinghead.portrait.portrait import Portrait
from talkinghead.render.body import body_matte
from talkinghead.render.layout import OVAL
from talkinghead.render.paste import Paster
from talkinghead.render.person import found_matte, trusted
from talkinghead.render.plate import background_plate, foreground_colours, push_pull
from talkinghead.render.surround import smoothstep
from talkinghead.runtime.engine import Engine

UNSURE = (
    "person and background of this photo cannot be told apart surely, so the cut-out may have parts of the wall or lack hair: "
    "look at its edge, or use a photo before a plain wall that shows all of the hair"
)
_WHOLE = 0.97  # more of the person is nothing else
_OWN_COLOUR = (0.05, 0.4)
"""Share of the person from which, and where wholly, a pixel's own colour can be told; below it that of what is near."""
_SOLID = 0.6
_HULL_INSET_FH = 0.02  # face heights: the outline itself may lie on hair or wall
_CHIN, _FOREHEAD = 152, 10


@dataclass(frozen=True)
class Cutout:
    """A photo's person.

    picture (H, W, 3) uint8 RGB: straight (unpremultiplied) colours, those of the person's edge going on where the background was;
    alpha (H, W) uint8, 255 = the person's; trusted: whether the picture's colours bear the matte out.
    """

    picture: np.ndarray
    alpha: np.ndarray
    trusted: bool

    def face_alpha(self, crop: Crop) -> np.ndarray:
        """The matte (512, 512) uint8 of the face's square; beyond the photo there is nobody."""
        return np.ascontiguousarray(
            Crop(crop.x + 1, crop.y + 1, crop.side).cut(np.dstack([np.pad(self.alpha, 1)] * 3))[..., 0]
        )

    def portrait(self, portrait: Portrait) -> Portrait:
        """``portrait``, from which this was cut out, in its colours; with a note where it is not trusted."""
        notes = portrait.notes if self.trusted else (*portrait.notes, UNSURE)
        return replace(portrait, image=self.picture, face=portrait.crop.extract(self.picture), notes=notes)


def cut_out(portrait: Portrait, network: Engine | None = None) -> Cutout:
    """The person in a portrait's whole photo, with the matting ``network`` or by colours alone.

    The head's matte is that of the face's square. Shoulders and body are found by a second graph cut over the whole photo, which
    learns their colours from below the chin and the wall's from beside the head; in the square the network tells them too. The
    same portrait gives the same cut-out.
    """
    photo, crop = portrait.image, portrait.crop
    matte = found_matte(portrait.face, portrait.points, network)
    alpha = _alpha(portrait, matte.alpha)
    # Colours of the edge are smooth: found where the face's square has 512 px at most, as everything tuned to that.
    zoom = min(1.0, SIZE_PX / crop.side)
    size = (round(photo.shape[1] * zoom), round(photo.shape[0] * zoom))
    small, share = (cv2.resize(picture, size, interpolation=cv2.INTER_AREA) for picture in (photo, alpha))
    colours = foreground_colours(small, share, background_plate(small, share)).astype(np.float32)
    solid = (share > _SOLID).astype(np.float32)
    beyond = push_pull(np.ascontiguousarray(colours * solid[..., None]), solid)
    near = smoothstep(*_OWN_COLOUR, share)[..., None]
    edge = np.clip(np.round(beyond + near * (colours - beyond)), 0, 255).astype(np.uint8)
    edge = np.asarray(cv2.resize(edge, photo.shape[1::-1], interpolation=cv2.INTER_LINEAR))
    picture = np.where((alpha > _WHOLE)[..., None], photo, edge)
    return Cutout(picture, np.round(255 * alpha).astype(np.uint8), trusted(portrait.face, portrait.points, matte))


def _alpha(portrait: Portrait, head: np.ndarray) -> np.ndarray:
    """The matte (H, W) float32 0..1 of the whole photo; ``head`` is that of the face's square."""
    photo, crop = portrait.image, portrait.crop
    points = crop.to_photo(portrait.points[:, :2])
    alpha = np.maximum(body_matte(photo, head, crop, points), _hull(points, photo.shape))
    left, top, right, bottom = crop.within(photo.shape)
    picture = np.zeros_like(alpha)
    picture[top:bottom, left:right] = alpha[top:bottom, left:right]
    return picture


def _hull(points: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """1 inside the face's outline (H, W), float32, a little inside it: whatever its colours, it is the person's."""
    oval = cv2.convexHull(points[list(OVAL)].astype(np.float32))[:, 0]
    height = float(np.linalg.norm(points[_CHIN] - points[_FOREHEAD]))
    middle = oval.mean(axis=0)
    away = np.linalg.norm(oval - middle, axis=1, keepdims=True)
    inner = middle + (oval - middle) * (1 - _HULL_INSET_FH * height / np.maximum(away, 1.0))
    mask = np.zeros(shape[:2], np.uint8)
    cv2.fillConvexPoly(mask, np.round(inner * 16).astype(np.int32), 255, cv2.LINE_AA, 4)
    return mask.astype(np.float32) / 255


class CutoutPaster:
    """As `Paster`, for faces (512, 512, 4) uint8 RGBA and a cut-out photo: pictures (H, W, 4), straight colours."""

    def __init__(self, cutout: Cutout, crop: Crop) -> None:
        self._colours = Paster(cutout.picture, crop)
        self._alpha = Paster(cv2.merge([cutout.alpha] * 3), crop)

    def twin(self) -> CutoutPaster:
        """Another one for the same photo, for another thread."""
        other = copy.copy(self)
        other._colours, other._alpha = self._colours.twin(), self._alpha.twin()
        return other

    def paste(self, face: np.ndarray) -> np.ndarray:
        """``face`` in its place: a new picture."""
        alpha = self._alpha.paste(cv2.merge([cv2.extractChannel(face, 3)] * 3))
        return np.dstack((self._colours.paste(cv2.cvtColor(face, cv2.COLOR_RGBA2RGB)), alpha[..., 0]))
