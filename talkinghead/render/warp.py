"""The photo carried by a triangle mesh, with eyes and mouth interior as layers of their own."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from talkinghead.motion.pose import HeadPose
from talkinghead.render.eyes import LEFT_EYE, RIGHT_EYE, EyeLayer, lash_points, uncross
from talkinghead.render.layout import LOWER_LIP, OVAL, SKIN_POINTS, UPPER_LIP
from talkinghead.render.mesh import Displacement, Mesh, delaunay, signed_areas
from talkinghead.render.mouth import MouthLayer
from talkinghead.render.patch import Look, Window
from talkinghead.render.person import Person
from talkinghead.render.plate import Layers
from talkinghead.render.resample import FINE, FinePhoto
from talkinghead.render.surround import Borders, Surround, skin_inset

_EYES = (LEFT_EYE, RIGHT_EYE)
_LID_OPEN = 0.035  # face heights: openings in the layout that is triangulated
_LIPS_OPEN = 0.09
_AROUND, _FACE = 0, 1
_BAND_PX = 48
_STEPS = (4, 2)  # px between drawn displacements, by layer


def face_triangles(canonical: np.ndarray) -> np.ndarray:
    """Triangles (t, 3) over the 468 skin points and 28 lash points of the mean face (478, 3), mouth and eyes open."""
    shape = canonical.astype(np.float64).copy()
    for eye in _EYES:
        _part(shape, eye.upper, eye.lower, _LID_OPEN, 0.06)
    _part(shape, UPPER_LIP, LOWER_LIP, _LIPS_OPEN, 0.25)
    flat = np.concatenate((shape[:SKIN_POINTS], *(lash_points(shape, eye, 1.0) for eye in _EYES)))[:, :2]
    triangles = delaunay(flat)
    outline = flat[list(OVAL)].astype(np.float32)
    middle = flat[triangles].mean(axis=1).astype(np.float32)
    inside = [cv2.pointPolygonTest(outline, (float(x), float(y)), False) >= 0 for x, y in middle]
    triangles = triangles[np.array(inside)]
    return triangles[np.abs(signed_areas(flat, triangles)) > 1e-7]


def _part(shape: np.ndarray, upper: tuple[int, ...], lower: tuple[int, ...], height: float, reach: float) -> None:
    """Widen an opening of ``shape`` (478, 3) by ``height``, in place; all above and below it gives way."""
    middle = (shape[list(upper), :2] + shape[list(lower), :2]) / 2
    across = np.interp(shape[:, 0], middle[:, 0], np.linspace(0, np.pi, len(upper)), left=0, right=np.pi)
    below = shape[:, 1] - np.interp(shape[:, 0], middle[:, 0], middle[:, 1])
    side = np.sign(below)
    side[list(upper)], side[list(lower)] = -1.0, 1.0
    shape[:, 1] += side * height / 2 * np.sin(across) ** 0.7 * np.exp(-np.abs(below) / reach)


@dataclass(frozen=True)
class Driven:
    """Points (478, 3) px whose lips and lids do not cross, the head's pose, and the gaps (11,) px between the lips."""

    points: np.ndarray
    pose: HeadPose
    gaps: np.ndarray


class WarpDecoder:
    """Draws frames of one portrait."""

    def __init__(
        self,
        face: np.ndarray,
        points: np.ndarray,
        pose: HeadPose,
        canonical: np.ndarray,
        *,
        photographed: bool = True,
        layers: Layers | None = None,
        matte: np.ndarray | None = None,
    ) -> None:
        """``face`` (512, 512, 3) uint8 RGB; ``points`` (478, 3) px in it; ``pose`` of the head in it.

        ``canonical`` (478, 3) is the mean face in face heights; it says which points are neighbours. Without
        ``photographed`` an open mouth's interior is painted as if the photo did not show it. With ``layers`` the person moves
        before a still background; without them what surrounds the head bends with it. With ``matte`` (512, 512) uint8 ``face`` is
        a cut-out, and `alpha` tells where the moved person is.
        """
        self._face = np.ascontiguousarray(face)
        size_px = face.shape[0]
        points = np.array(points, np.float64)
        self._inset = skin_inset(points, pose)
        self._prepare(points, pose)
        self._rest = points
        self._surround = Surround(points, pose, size_px, alone=matte if layers is None else layers.alpha)
        self.inner = inner = face_triangles(canonical)
        count = SKIN_POINTS + 14 * len(_EYES)
        outer = self._outer_triangles(points, count)
        layer = np.concatenate((np.full(len(outer), _AROUND), np.full(len(inner), _FACE)))
        source, _ = self._vertices(points, pose)
        self._mesh = Mesh(source, np.concatenate((outer, inner)), layer, size_px, _STEPS, open_rim=layers is not None)
        self._eyes = [EyeLayer(face, points, pose, eye) for eye in _EYES]
        white = np.mean([eye.white_level for eye in self._eyes], axis=0)
        self._mouth = MouthLayer(face, points, pose, white, photographed=photographed)
        base, shut = self._face.copy(), self._face.copy()
        for part in self._eyes:
            part.fill_opening(base)
            part.fill_lid(shut)
        self._mouth.fill_opening(base)
        self._plain = FinePhoto(self._face)
        self._base, self._shut = self._plain.changed(base), self._plain.changed(shut)
        self._person = None if layers is None else Person(base, layers)
        self._matte = None if matte is None else (matte, FinePhoto(matte))

    def _outer_triangles(self, points: np.ndarray, offset: int) -> np.ndarray:
        places = np.concatenate((points[list(OVAL), :2], self._surround.source))
        numbers = np.concatenate((OVAL, offset + np.arange(len(self._surround.source))))
        return numbers[delaunay(places)].astype(np.int32)

    def _prepare(self, points: np.ndarray, pose: HeadPose) -> np.ndarray:
        """Uncross lips and lids and draw the hidden edge in, in place; returns the gaps (11,) px between the lips."""
        points[:SKIN_POINTS] += pose.scale_px * self._inset @ pose.rotation.T
        for eye in _EYES:
            uncross(points, eye.upper, eye.lower)
        return uncross(points, UPPER_LIP, LOWER_LIP)

    def _vertices(self, points: np.ndarray, pose: HeadPose) -> tuple[np.ndarray, np.ndarray]:
        around, depth = self._surround.follow(points[list(OVAL)], pose)
        lashes = [lash_points(points, eye, pose.scale_px) for eye in _EYES]
        near = np.concatenate((points[:SKIN_POINTS], *lashes))
        return np.concatenate((near[:, :2], around)), np.concatenate((near[:, 2], depth))

    def hold(self, borders: Borders) -> None:
        """Hold shoulders at ``borders`` from now on."""
        self._surround.hold(borders)

    @property
    def lipped(self) -> np.ndarray:
        """The photo (512, 512, 3) uint8 with lip colour where an open mouth's interior was."""
        out = self._face.copy()
        self._mouth.fill_opening(out)
        return out

    def driven(self, points: np.ndarray, pose: HeadPose) -> Driven:
        """Points (478, 3) px and a pose made ready to be drawn: finite, lips and lids uncrossed."""
        points = np.where(np.isfinite(points), points, self._rest).astype(np.float64)
        gaps = np.maximum(self._prepare(points, pose) - self._mouth.rest_gap, 0.0)
        return Driven(points, pose, gaps)

    def draw(self, points: np.ndarray, pose: HeadPose) -> np.ndarray:
        """The frame (512, 512, 3) uint8 RGB for driven points (478, 3) px and the driven pose."""
        return self.paint(self.driven(points, pose))

    def paint(self, driven: Driven) -> np.ndarray:
        """The frame (512, 512, 3) uint8 RGB."""
        points, pose, gaps = driven.points, driven.pose, driven.gaps
        target, depth = self._vertices(points, pose)
        moved = self._mesh.displacement(target, depth)
        area = Window(0, 0, 0, 0) if moved is None else moved.area
        out = np.empty_like(self._face) if area.shape == self._face.shape[:2] else self._face.copy()
        for y in range(area.y0, area.y1, _BAND_PX):  # a few rows at a time stay in the cache
            band = Window(area.x0, y, area.x1, min(y + _BAND_PX, area.y1))
            if self._person is None:
                self._base.sample(_places(moved, band), out[band.slices])
            else:
                self._person.sample(_places(moved, band), band, out[band.slices])

        def look(photo: FinePhoto, window: Window) -> Look:
            return lambda: photo.sample(_places(moved, window))

        for part in self._eyes:
            window = part.window(points)
            if not window.empty:
                lids = out[window.slices] if window in area else look(self._base, window)()
                drawn = part.draw(lids, look(self._plain, window), look(self._shut, window), window, points, pose)
                out[window.slices] = _to_bytes(drawn)
        window = self._mouth.window(points)
        if not window.empty:
            lips = out[window.slices] if window in area else look(self._base, window)()
            out[window.slices] = _to_bytes(self._mouth.draw(lips, look(self._plain, window), window, points, gaps, pose))
        return out


    def alpha(self, driven: Driven) -> np.ndarray:
        """The matte (512, 512) uint8 as it moves with what `paint` draws."""
        if self._matte is None:
            raise ValueError("this decoder was made without a matte")
        still, fine = self._matte
        moved = self._mesh.displacement(*self._vertices(driven.points, driven.pose))
        out = still.copy()
        if moved is not None:
            out[moved.area.slices] = fine.sample(_places(moved, moved.area))
        return out


def _places(moved: Displacement | None, window: Window) -> np.ndarray:
    """Where each pixel of ``window`` comes from in the photo (h, w, 2), px times `FINE`."""
    if moved is not None and window in moved.area:
        return moved.places(window, FINE)
    where = FINE * np.dstack(window.grid())
    inner = window if moved is None else window.common(moved.area)
    if moved is not None and not inner.empty:
        part = np.s_[inner.y0 - window.y0 : inner.y1 - window.y0, inner.x0 - window.x0 : inner.x1 - window.x0]
        where[part] = moved.places(inner, FINE)
    return where


def _to_bytes(picture: np.ndarray) -> np.ndarray:
    return picture if picture.dtype == np.uint8 else np.asarray(cv2.add(picture, 0.0, dtype=cv2.CV_8U))  # rounds and saturates
