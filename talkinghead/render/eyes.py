"""One eye: the eyeball is a layer of its own beneath the lids, so that the iris turns and the lids close over it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from talkinghead.motion.pose import HeadPose
from talkinghead.render import layout
from talkinghead.render.patch import Look, RigidMap, Window, cover, mix, plane_warp, smooth_fill
from talkinghead.render.surround import smoothstep

_LASH_DEPTH = 0.010  # face heights: the strip along the margin that keeps its width when the lid stretches
_LASH_DARKNESS = 0.85
_LASH_THICKNESS = 0.009  # face heights
_LID_SKIN = 0.96  # of a shut lid, how much is smooth skin
_GLASS_DARKNESS = 0.185
_PAST_FOLD = 0.3  # of the lid's height: how far above its fold a shut lid is smooth (the crease flattens)
_LASHES = 0.03  # face heights: twice as far from the opening as lashes are dark
_FRAME_HEIGHT, _FRAME_WIDTH = 0.06, 1.35  # a frame is thinner (face heights) and wider (eyes' widths)
_FRAME_DEPTH = 0.22  # of the skin's brightness: so much darker is a frame
_IRIS_SCALE = 1.06
_LUMA = np.array((0.30, 0.59, 0.11), np.float32)


@dataclass(frozen=True)
class EyeIndex:
    """Which points make an eye."""

    upper: tuple[int, ...]
    lower: tuple[int, ...]
    upper_fold: tuple[int, ...]
    lower_fold: tuple[int, ...]
    iris: tuple[int, ...]


LEFT_EYE = EyeIndex(
    layout.LEFT_UPPER_LID,
    layout.LEFT_LOWER_LID,
    layout.LEFT_UPPER_FOLD,
    layout.LEFT_LOWER_FOLD,
    layout.LEFT_IRIS,
)
RIGHT_EYE = EyeIndex(
    layout.RIGHT_UPPER_LID,
    layout.RIGHT_LOWER_LID,
    layout.RIGHT_UPPER_FOLD,
    layout.RIGHT_LOWER_FOLD,
    layout.RIGHT_IRIS,
)


def lash_points(points: np.ndarray, eye: EyeIndex, scale_px: float) -> np.ndarray:
    """Points (14, d) just outside both margins: they move with the margin, so that lashes keep their thickness."""
    margin = points[list(eye.upper[1:-1] + eye.lower[1:-1])]
    fold = points[list(eye.upper_fold + eye.lower_fold)]
    way = fold - margin
    length = np.linalg.norm(way[:, :2], axis=1, keepdims=True)
    share = np.minimum(_LASH_DEPTH * scale_px / np.maximum(length, 1e-6), 0.6)
    return margin + way * share


def _at(face: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Colours (n, 3) float32 of a picture at points (n, 2)."""
    x, y = np.clip(np.round(places), 0, face.shape[0] - 1).astype(int).T
    return face[y, x].astype(np.float32)


def _past_fold(points: np.ndarray, eye: EyeIndex) -> np.ndarray:
    """Points (7, 2) a little above the upper lid's fold."""
    fold, margin = points[list(eye.upper_fold)], points[list(eye.upper[1:-1])]
    return fold + _PAST_FOLD * (fold - margin)


def uncross(points: np.ndarray, upper: tuple[int, ...], lower: tuple[int, ...]) -> np.ndarray:
    """Let two facing edges that crossed meet half-way, in place; returns the gaps (n,) px, 0 where they meet."""
    top, bottom = points[list(upper)], points[list(lower)]
    gap = _gaps(top, bottom)
    crossed = gap < 0
    if crossed.any():
        middle = (top + bottom) / 2
        points[np.array(upper)[crossed]] = middle[crossed]
        points[np.array(lower)[crossed]] = middle[crossed]
    return np.maximum(gap, 0.0)


def _gaps(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    """How far (n,) px the lower of two facing edges (n, d) lies below the upper."""
    across = top[-1, :2] - top[0, :2]
    down = np.array((-across[1], across[0])) / max(math.hypot(*across), 1e-6)
    return np.asarray((bottom[:, :2] - top[:, :2]) @ down)


def _sclera(patch: np.ndarray, white: np.ndarray, skin: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The eyeball without its iris (h, w, 3), and its colour (3,), from the pixels that are ``white`` (h, w)."""
    luma = patch @ _LUMA
    floor = 0.8 * float(skin @ _LUMA)
    guess = np.clip(0.35 * skin + 0.65 * float(skin @ _LUMA), 0, 255) * 0.95
    if int(white.sum()) >= 6:
        level = float(np.quantile(luma[white], 0.8))
        # Lashes, the corner's pink and shadows are no part of the white.
        clean = white & (luma > max(0.55 * level, 0.6 * floor))
        bright = clean & (luma > max(0.72 * level, 0.85 * floor))
        if int(bright.sum()) >= 6:
            return smooth_fill(patch, clean.astype(np.float32)), np.median(patch[bright], axis=0)
    return np.broadcast_to(guess, patch.shape).astype(np.float32), guess


class EyeLayer:
    """Draws one eye over the warped picture."""

    def __init__(self, face: np.ndarray, points: np.ndarray, pose: HeadPose, eye: EyeIndex) -> None:
        """``face`` (s, s, 3) uint8 RGB with its points (478, 3) px and pose."""
        self._eye, self._pose, self._size_px = eye, pose, face.shape[0]
        self._points = points[:, :2].astype(np.float64)
        self._solid = points[list(eye.upper + eye.lower[-2:0:-1] + eye.upper_fold + eye.lower_fold)].astype(np.float64)
        self._ring = self._points[list(eye.upper + eye.lower[-2:0:-1])]
        self._iris = self._points[eye.iris[0]]
        rim = self._points[list(eye.iris[1:])]
        self._radius = float(np.linalg.norm(rim - self._iris, axis=1).mean()) * _IRIS_SCALE
        self._open_px = self._gap(self._points)
        self._head, self._still = RigidMap(pose, self._solid), pose.inverse(self._solid[: len(self._ring)])
        self._window = Window.around(np.concatenate((self._ring, rim)), 0.06 * pose.scale_px, self._size_px)
        self._textures(face[self._window.slices].astype(np.float32))
        self._covered = self._behind_glass(face)

    def _behind_glass(self, face: np.ndarray) -> bool:
        """Dark glasses hide the eye: the whole eye, lids included, is far darker than the cheeks."""
        lids = self._points[list(self._eye.upper_fold + self._eye.lower_fold)]
        cheeks = self._points[list(layout.CHEEKS)]
        lid, cheek = (float(np.median(_at(face, places) @ _LUMA)) for places in (lids, cheeks))
        return lid < _GLASS_DARKNESS * cheek

    def _gap(self, points: np.ndarray) -> float:
        return float(_gaps(points[list(self._eye.upper)], points[list(self._eye.lower)])[1:-1].clip(min=0).mean())

    def fill_opening(self, base: np.ndarray) -> None:
        """Replace the eye within the opening of ``base`` (s, s, 3) uint8 by lid skin, in place."""
        patch = base[self._window.slices].astype(np.float32)
        opening = cover(self._ring, self._window)
        size = max(3, int(0.02 * self._pose.scale_px) | 1)
        wide = cv2.dilate(opening, np.ones((size, size), np.uint8))
        skin = smooth_fill(patch, (wide < 0.05).astype(np.float32))
        # A little more than the opening: the wet rim of the lower lid would show as a bright line in a closed eye.
        full = cv2.GaussianBlur(cv2.dilate(opening, np.ones((3, 3), np.uint8)), (0, 0), 0.6)
        base[self._window.slices] = np.round(mix(patch, skin, full))

    def fill_lid(self, shut: np.ndarray) -> None:
        """Replace eye, lashes and the lid up to its fold in ``shut`` (s, s, 3) uint8 by smooth skin, in place.

        This is what a lid that comes down shows; stretched lashes would be a dark band.
        """
        eye = self._eye
        window = Window.around(self._points[list(eye.upper_fold + eye.lower)], 0.09 * self._pose.scale_px, self._size_px)
        fold = _past_fold(self._points, eye)
        strip = np.concatenate((self._ring[:1], fold, self._ring[len(eye.upper) - 1 :]))
        size = max(3, int(0.014 * self._pose.scale_px) | 1)
        patch = shut[window.slices].astype(np.float32)
        lid = cover(strip, window)
        wide = cv2.dilate(lid, np.ones((size, size), np.uint8))
        known = wide < 0.05
        # Brows and shadows are no skin: what is much darker than the rest does not spread.
        luma = patch @ _LUMA
        known &= luma > 0.75 * float(np.median(luma[known])) if known.any() else known
        skin = smooth_fill(patch, known.astype(np.float32))
        whole = cv2.GaussianBlur(lid, (0, 0), 0.01 * self._pose.scale_px) * (1 - self._frames(luma, window, known))
        shut[window.slices] = np.round(mix(patch, skin, whole))

    def _frames(self, luma: np.ndarray, window: Window, known: np.ndarray) -> np.ndarray:
        """How much of each pixel (h, w) of ``window`` the frame of glasses covers: a thin line, darker than the ``known`` skin
        beside it, wider than an eye. It stays where it is when the lid comes down."""
        if not known.any():
            return np.zeros_like(luma)
        lashes, high = (max(3, int(size * self._pose.scale_px) | 1) for size in (_LASHES, _FRAME_HEIGHT))
        deep = cv2.morphologyEx(luma, cv2.MORPH_BLACKHAT, np.ones((high, 1), np.uint8)) > _FRAME_DEPTH * float(
            np.median(luma[known])
        )
        line = deep & (cv2.dilate(cover(self._ring, window), np.ones((lashes, lashes), np.uint8)) < 0.05)
        _, part, stats, _ = cv2.connectedComponentsWithStats(line.astype(np.uint8), connectivity=8)
        wide = np.flatnonzero(stats[:, cv2.CC_STAT_WIDTH] > _FRAME_WIDTH * float(np.ptp(self._ring[:, 0])))
        frame = (np.isin(part, wide) & line).astype(np.float32)
        return cv2.GaussianBlur(cv2.dilate(frame, np.ones((3, 3), np.uint8)), (0, 0), 0.7)

    def _textures(self, patch: np.ndarray) -> None:
        x, y = self._window.grid()
        far = np.hypot(x - self._iris[0], y - self._iris[1])
        opening = cover(self._ring, self._window)
        seen = cv2.erode(opening, np.ones((3, 3), np.uint8)) > 0.99
        white = seen & (far > self._radius * 1.1 + 0.8)
        self._lash_colour = np.quantile(patch.reshape(-1, 3), 0.03, axis=0).astype(np.float32)
        around = patch[opening < 0.01]
        light = np.median(around, axis=0) if len(around) else np.full(3, 160.0)
        sclera, self.white_level = _sclera(patch, white, light)
        # What the photo does not show of the ball lies in the lids' shade; it is round.
        shade = np.clip((cv2.GaussianBlur(opening, (0, 0), max(1.0, 0.012 * self._pose.scale_px)) - 0.3) / 0.6, 0, 1)
        hidden = cv2.GaussianBlur(1.0 - white.astype(np.float32), (0, 0), 0.8) * (1.0 - white)
        sclera = sclera * (1.0 - 0.35 * hidden * (1.0 - shade) - 0.05 * hidden)[..., None].astype(np.float32)
        shown = seen & (far < self._radius)
        if int(shown.sum()) < 10:
            iris = np.where(far[..., None] < self._radius * 0.42, 12.0, (46.0, 34.0, 28.0)).astype(np.float32)
        else:
            # What the lid hid of the iris is mirrored from its other half.
            mirror_y = (2 * self._iris[1] - y - self._window.y0).astype(np.float32)
            mirror_x = (x - self._window.x0).astype(np.float32)
            mirrored = cv2.remap(patch, mirror_x, mirror_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            usable = cv2.remap(shown.astype(np.float32), mirror_x, mirror_y, cv2.INTER_LINEAR)
            known = np.maximum(shown, usable > 0.99)
            iris = smooth_fill(np.where(shown[..., None], patch, mirrored), known.astype(np.float32))
        disc = np.clip((self._radius - far) / 1.6 + 0.5, 0.0, 1.0).astype(np.float32)
        self._sclera = sclera
        self._disc = np.dstack((iris, disc))
        self._texture_origin = np.array([[1, 0, self._window.x0], [0, 1, self._window.y0], [0, 0, 1]], np.float64)

    def window(self, points: np.ndarray) -> Window:
        """The part of the picture that ``draw`` changes for driven points (478, 3)."""
        ring = points[list(self._eye.upper + self._eye.lower), :2]
        return Window.around(np.concatenate((ring, _past_fold(points[:, :2], self._eye))), 4.0, self._size_px)

    def draw(self, lids: np.ndarray, plain: Look, shut: Look, window: Window, points: np.ndarray, pose: HeadPose) -> np.ndarray:
        """The finished eye (h, w, 3), 0 to 255, in ``window`` for driven points (478, 3) whose lids do not cross.

        ``lids`` is the warped picture with the opening filled with skin, ``plain`` that with the photographed eye,
        ``shut`` that with smooth lids, all (h, w, 3). Close to the photo's own state the photographed eye is kept as it is.
        """
        if self._covered:
            return plain()
        eye = self._eye
        places = points[:, :2].astype(np.float64)
        ring = places[list(eye.upper + eye.lower[-2:0:-1])]
        corner = places[[eye.upper[0], eye.upper[-1]]].mean(axis=0)
        plane = self._head.to(pose)
        expected = pose.apply(self._still)[:, :2]
        aside = corner - (expected[0] + expected[len(eye.upper) - 1]) / 2
        expected += aside
        plane[:, 2] += aside
        turned = places[eye.iris[0]] - (plane[:, :2] @ self._iris + plane[:, 2])
        change = max(float(np.abs(ring - expected).max()), float(np.hypot(*turned)))
        blend = float(smoothstep(0.15, 1.2, np.array(change)))
        if blend <= 0:
            return plain()
        opening = cv2.GaussianBlur(cover(ring, window), (0, 0), 0.55)
        ball = self._ball(plane, turned, window)
        gap = self._gap(places)
        closed = 1.0 - min(1.0, gap / max(self._open_px * 0.7, 1.0))
        skin = lids.astype(np.float32)
        if closed > 0:
            skin += (shut() - skin) * np.float32(_LID_SKIN * closed)
        opening = opening * np.float32(1.0 - smoothstep(0.8, 1.0, np.array(closed)))  # no glint of the ball between shut lids
        drawn = mix(skin, self._shaded(ball, opening, gap), opening)
        if closed > 0:
            line = self._lash(places[list(eye.upper)], window)
            drawn = mix(drawn, self._lash_colour, _LASH_DARKNESS * min(1.0, 2.5 * closed) * line)
        return drawn if blend >= 1 else cv2.addWeighted(plain().astype(np.float32), 1 - blend, drawn, blend, 0)

    def _ball(self, plane: np.ndarray, turned: np.ndarray, window: Window) -> np.ndarray:
        rest = plane @ self._texture_origin
        sclera = plane_warp(self._sclera, rest, window)
        rest[:, 2] += turned
        disc = plane_warp(self._disc, rest, window)
        return mix(sclera, disc[..., :3], disc[..., 3])

    def _shaded(self, ball: np.ndarray, opening: np.ndarray, gap: float) -> np.ndarray:
        """The ball with the upper lid's shadow on what it uncovers when the eye is opened wider than in the photo."""
        wider = gap / max(self._open_px, 1.0) - 1.0
        strength = 0.3 * min(max(wider, 0.0) * 2.0, 1.0)
        if strength <= 0:
            return ball
        sigma = max(1.0, 0.012 * self._pose.scale_px)
        soft = cv2.GaussianBlur(opening, (0, 0), sigma)
        soft = cv2.warpAffine(soft, np.array([[1, 0, 0], [0, 1, sigma * 0.6]], np.float32), soft.shape[::-1])
        return np.asarray(ball * (1.0 - strength * (1.0 - np.clip((soft - 0.3) / 0.5, 0, 1)))[..., None])

    def _lash(self, margin: np.ndarray, window: Window) -> np.ndarray:
        h, w = window.shape
        line = np.zeros((h * 4, w * 4), np.uint8)
        fixed = np.round(((margin - window.origin + 0.5) * 4 - 0.5) * 64).astype(np.int32)
        thick = max(2, round(_LASH_THICKNESS * self._pose.scale_px * 4))
        taper = np.sin(np.linspace(0.06, 0.94, len(fixed) - 1) * np.pi) ** 0.6 * 255
        for k, level in enumerate(taper):
            cv2.polylines(line, [fixed[k : k + 2]], False, int(level), thick, cv2.LINE_8, 6)
        soft = cv2.resize(line, (w, h), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
        return cv2.GaussianBlur(soft, (0, 0), 0.6)
