"""The mouth opening: what shows between the lips, drawn over the warped lips."""

from __future__ import annotations

import cv2
import numpy as np

from talkinghead.motion.pose import HeadPose
from talkinghead.render.eyes import uncross
from talkinghead.render.layout import CHIN, LOWER_LIP, OPENING, OUTER_LIPS, UPPER_LIP
from talkinghead.render.patch import Look, RigidMap, Window, cover, mix, plane_warp, smooth_fill
from talkinghead.render.surround import smoothstep
from talkinghead.render.teeth import MouthTextures, paint_mouth, sharpened

_CLOSED_GAP = 0.012  # face heights: below this the photo's lips count as closed
_TALL_GAP = 0.085  # above this the lower part of a photographed interior goes with the jaw
_SOFTNESS_PX = 0.45
LIP_SHARE = 0.7  # of the lower teeth's motion; the rest is the chin's
STRETCH = 1.7  # photographed teeth grow at most so much when the upper lip uncovers more of them
_HIDDEN_FH = 0.014  # of photographed teeth go on below the lip that covers their edges
_ROW_SHARE = 0.5  # of the mouth's width: where less shows teeth, how they go on is not known
_HIDDEN_BLUR_PX = 2.0  # what goes on there is softened across: gaps between teeth would become streaks
DARKEST = 0.6  # shade of a painted interior near the lips
OWN_LIGHT = 0.45  # share of a photographed one that is shaded already
LIT = (0.2, 0.85)  # how much of its surroundings is open where the shade begins to lift, and where it has


def lip_outline(points: np.ndarray, gaps: np.ndarray) -> np.ndarray:
    """The opening (20, 2) px of points (478, 3): the facing edges, drawn together to ``gaps`` (11,) px where lips only touch."""
    top, bottom = points[list(UPPER_LIP), :2], points[list(LOWER_LIP), :2]
    full = np.linalg.norm(bottom - top, axis=1)
    share = np.minimum(gaps / np.maximum(full, 1e-6), 1.0)[:, None]
    middle = (top + bottom) / 2
    top, bottom = middle + (top - middle) * share, middle + (bottom - middle) * share
    return np.concatenate((top, bottom[-2:0:-1]))


class MouthLayer:
    """Draws the mouth's interior over the warped picture."""

    def __init__(
        self, face: np.ndarray, points: np.ndarray, pose: HeadPose, white: np.ndarray, *, photographed: bool = True
    ) -> None:
        """``face`` (s, s, 3) uint8 RGB, its points (478, 3) px, its pose and the colour (3,) of the eye whites.

        Without ``photographed`` the interior of an open mouth is painted, as if the photo did not show it.
        """
        self._pose, self._size_px = pose, face.shape[0]
        self._points = points.astype(np.float64)
        self._ring = self._points[list(OPENING), :2]
        self._skull = RigidMap(pose, self._points[list(UPPER_LIP + LOWER_LIP + OUTER_LIPS)])
        self._still = pose.inverse(self._points[list(OPENING)])
        self._chin = pose.inverse(self._points[list(CHIN)])
        gaps = uncross(self._points.copy(), UPPER_LIP, LOWER_LIP)
        outer = self._points[list(OUTER_LIPS), :2]
        self._window = Window.around(outer, 0.06 * pose.scale_px, self._size_px)
        self._opening = cover(self._ring, self._window)
        patch = face[self._window.slices].astype(np.float32)
        self._textures = self._paint(face, patch, outer, white)
        self._photo = self._photographed(patch, white) if float(gaps.max()) > _CLOSED_GAP * pose.scale_px else None
        self._open = self._photo is not None
        self._toothy = self._open and self._shows_teeth(patch, white)
        if not photographed:
            self._photo = None
        self.rest_gap: np.ndarray | float = 0.0 if self._open else gaps

    def fill_opening(self, base: np.ndarray) -> None:
        """Replace an open mouth's interior in ``base`` (s, s, 3) uint8 by lip colour, in place."""
        if not self._open:
            return
        patch = base[self._window.slices].astype(np.float32)
        wide = cv2.dilate(self._opening, np.ones((5, 5), np.uint8))
        lips = smooth_fill(patch, (wide < 0.05).astype(np.float32))
        full = cv2.GaussianBlur(cv2.dilate(self._opening, np.ones((3, 3), np.uint8)), (0, 0), 0.6)
        base[self._window.slices] = np.round(mix(patch, lips, full))

    def _paint(self, face: np.ndarray, patch: np.ndarray, outer: np.ndarray, white: np.ndarray) -> MouthTextures:
        lips = cover(outer, self._window) * (1 - cv2.dilate(self._opening, np.ones((5, 5), np.uint8)))
        chosen = patch[lips > 0.9]
        flesh = np.median(chosen, axis=0) if len(chosen) else np.array((150.0, 90.0, 85.0))
        cheek = self._points[[50, 280, 205, 425], :2].round().astype(int).clip(2, self._size_px - 3)
        skin = np.median([face[y - 2 : y + 3, x - 2 : x + 3].mean(axis=(0, 1)) for x, y in cheek], axis=0)
        grey = np.array((0.30, 0.59, 0.11))
        level = float(skin @ grey)
        light = float(np.clip(1.40 * float(white @ grey), 0.95 * level, max(1.85 * level, 125.0)))
        tint = white / max(float(white @ grey), 1.0)
        tooth = np.clip(light * (0.65 + 0.35 * tint), 30.0, 232.0)
        # Warm flesh even under pale lips; black and white photos stay so.
        chroma = float(np.ptp(flesh)) / max(float(flesh.max()), 1.0)
        flesh = flesh * np.array((1.08, 0.92, 0.92)) if chroma > 0.06 else flesh
        return sharpened(paint_mouth(self._pose.scale_px, tooth, flesh), _SOFTNESS_PX)

    def _teeth(self, patch: np.ndarray, white: np.ndarray) -> np.ndarray:
        """Which pixels of the photo's opening are bright and pale: (h, w) bool."""
        bright = patch.mean(axis=2) > 0.45 * float(white.mean())
        return np.asarray((self._opening > 0.9) & bright & (np.ptp(patch, axis=2) < 0.42 * patch.max(axis=2)))

    def _shows_teeth(self, patch: np.ndarray, white: np.ndarray) -> bool:
        return float(self._teeth(patch, white).sum()) > 0.2 * float((self._opening > 0.9).sum())

    def _shows_row(self, patch: np.ndarray, white: np.ndarray) -> bool:
        """Whether teeth are seen across most of the mouth, as in a smile, down to the lip that covers their edges."""
        seen = self._teeth(patch, white).sum(axis=0) > 0.5 * np.maximum((self._opening > 0.9).sum(axis=0), 1)
        return float(seen.sum()) > _ROW_SHARE * float(np.linalg.norm(self._ring[10] - self._ring[0]))

    def _photographed(self, patch: np.ndarray, white: np.ndarray) -> list[np.ndarray] | None:
        """The photo's own interior (h, w, 4) as parts that go with the skull and, when tall, with the jaw.

        None when there is too little of it.
        """
        inner = cv2.erode(self._opening, np.ones((3, 3), np.uint8))
        if int((inner > 0.9).sum()) < 12:
            return None
        color = smooth_fill(patch, (inner > 0.9).astype(np.float32))
        x, y = self._window.grid()
        top = np.interp(x[0], self._ring[:11, 0], self._ring[:11, 1]).astype(np.float32)
        lower = self._points[list(LOWER_LIP), :2]
        bottom = np.interp(x[0], lower[:, 0], lower[:, 1]).astype(np.float32)
        # Above the lip's edge the teeth go on: the top row of what was seen is repeated upward.
        rows = np.maximum(y, np.minimum(top + 1.5, (top + bottom) / 2)[None, :])
        share = self._dark_band(patch)
        hidden = _HIDDEN_FH * self._pose.scale_px if share is None and self._shows_row(patch, white) else 0.0
        if hidden:  # and below the other lip, which covers their edges
            rows = np.minimum(rows, np.maximum(bottom - 1.5, (top + bottom) / 2)[None, :])
        color = cv2.remap(color, x - self._window.x0, (rows - self._window.y0).astype(np.float32), cv2.INTER_LINEAR)
        if hidden:
            below = np.clip((y - bottom[None, :] + 1.0) / 2.0, 0, 1)[..., None]
            color += (cv2.GaussianBlur(color, (0, 0), _HIDDEN_BLUR_PX, sigmaY=0.01) - color) * below
        side = cv2.GaussianBlur((self._opening.max(axis=0) > 0.5).astype(np.float32)[None, :], (0, 0), 1.5)
        upper = np.clip((bottom[None, :] + hidden * side - 0.5 - y) / 1.5, 0, 1) * side
        if share is None:
            return [np.dstack((color, upper.astype(np.float32)))]
        middle = (top + share * (bottom - top))[None, :]
        split = np.clip((middle - y) / 3.0 + 0.5, 0, 1)
        below = np.clip((bottom[None, :] + 1.5 - y) / 1.5, 0, 1) * side
        return [np.dstack((color, (upper * split).astype(np.float32))),
                np.dstack((color, (below * (1 - split)).astype(np.float32)))]  # fmt: skip

    def _dark_band(self, patch: np.ndarray) -> float | None:
        """How far down (0..1) a photographed mouth is open between the teeth; None when one row fills it."""
        top, bottom = self._points[13, :2], self._points[14, :2]
        reach = float(np.linalg.norm(bottom - top))
        share = np.linspace(0.12, 0.88, 24)
        line = top + share[:, None] * (bottom - top) - self._window.origin
        luma = cv2.GaussianBlur(patch.mean(axis=2), (0, 0), 1.2)
        profile = cv2.remap(luma, line[:, 0].astype(np.float32), line[:, 1].astype(np.float32), cv2.INTER_LINEAR).ravel()
        darkest = int(np.argmin(profile))
        if darkest < len(share) // 3 and profile[darkest] < 0.6 * profile.max():
            return float(share[darkest])  # dark above, lower teeth or tongue below
        tall = reach > _TALL_GAP * self._pose.scale_px
        return float(share[darkest]) if tall and profile[darkest] < 0.55 * profile[: darkest + 1].max() else None

    def window(self, points: np.ndarray) -> Window:
        """The part of the picture that ``draw`` changes for driven points (478, 3)."""
        return Window.around(points[list(UPPER_LIP + LOWER_LIP), :2], 4.0, self._size_px)

    def draw(
        self, lips: np.ndarray, plain: Look, window: Window, points: np.ndarray, gaps: np.ndarray, pose: HeadPose
    ) -> np.ndarray:
        """The finished mouth (h, w, 3), 0 to 255, in ``window``.

        ``lips`` is the warped picture without an interior, ``plain`` that with the photographed one, both (h, w, 3).
        ``points`` (478, 3) are driven and do not cross; ``gaps`` (11,) px say how far the lips are apart.
        """
        lips = lips.astype(np.float32)
        skull, jaw = self._planes(points, pose)
        blend = 1.0
        if self._photo is not None:
            expected = pose.apply(self._still)[:, :2]
            ring = points[list(OPENING), :2]
            blend = float(smoothstep(0.3, 2.5, np.abs(ring - expected).max()))
            if blend <= 0:
                return plain()
        elif float(gaps.max()) < 0.05:
            return lips
        opening = cv2.GaussianBlur(cover(lip_outline(points, gaps), window), (0, 0), 0.5)
        drawn = mix(lips, self._interior(skull, jaw, window, self._lift(points, skull)) * self._shade(opening), opening)
        if self._open:
            drawn *= self._seam(points, gaps, window)
        return drawn if blend >= 1 else cv2.addWeighted(plain().astype(np.float32), 1 - blend, drawn, blend, 0)

    def _planes(self, points: np.ndarray, pose: HeadPose) -> tuple[np.ndarray, np.ndarray]:
        """Plane maps (2, 3) photo to picture for what is fixed to the skull and to the jaw."""
        skull = self._skull.to(pose)
        chin_drop = (points[list(CHIN)] - pose.apply(self._chin))[:, :2].mean(axis=0)
        lip = points[list(LOWER_LIP[4:7]), :2].mean(axis=0)
        lip_rest = self._points[list(LOWER_LIP[4:7]), :2].mean(axis=0)
        lip_drop = lip - (skull[:, :2] @ lip_rest + skull[:, 2])
        # The lower lip hides the lower teeth but for their edges: they go mostly with it.
        jaw = skull.copy()
        jaw[:, 2] += LIP_SHARE * lip_drop + (1 - LIP_SHARE) * chin_drop
        return skull, jaw

    def _interior(self, skull: np.ndarray, jaw: np.ndarray, window: Window, lift: float) -> np.ndarray:
        t = self._textures
        canvas = self._canvas(self._points[14, :2])
        inside = plane_warp(t.cavity, jaw @ canvas, window)
        lower = plane_warp(t.lower, jaw @ canvas, window)
        inside = mix(inside, lower[..., :3], lower[..., 3])
        if self._photo is None:
            upper = plane_warp(t.upper, skull @ self._canvas(self._points[13, :2]), window)
            return mix(inside, upper[..., :3], upper[..., 3])
        origin = np.array([[1, 0, self._window.x0], [0, 1, self._window.y0], [0, 0, 1]], np.float64)
        planes = (jaw, skull @ self._stretch(lift))[-len(self._photo) :]
        for part, plane in zip(reversed(self._photo), planes, strict=True):
            layer = plane_warp(part, plane @ origin, window)
            inside = mix(inside, layer[..., :3], layer[..., 3])
        return inside

    def _lift(self, points: np.ndarray, skull: np.ndarray) -> float:
        """How far the upper lip is above its place in the photo, photo px."""
        ids = list(UPPER_LIP[3:8])
        expected = self._points[ids, :2] @ skull[:, :2].T + skull[:, 2]
        shift = np.linalg.solve(skull[:, :2], (points[ids, :2] - expected).mean(axis=0))
        across = self._ring[10] - self._ring[0]
        down = np.array((-across[1], across[0])) / max(float(np.hypot(*across)), 1e-6)
        return -float(shift @ down)

    def _stretch(self, lift: float) -> np.ndarray:
        """Photo to photo (3, 3): teeth grow up from their edges as the lip uncovers them."""
        top, bottom = self._points[13, :2], self._points[14, :2]
        height = max(float(np.linalg.norm(bottom - top)), 2.0)
        factor = min(1.0 + max(lift, 0.0) / height, STRETCH) if self._toothy else 1.0
        across = self._ring[10] - self._ring[0]
        down = np.array((-across[1], across[0])) / max(float(np.hypot(*across)), 1e-6)
        out = np.eye(3)
        out[:2, :2] += (factor - 1) * np.outer(down, down)
        out[:2, 2] = bottom - out[:2, :2] @ bottom
        return out

    def _canvas(self, middle: np.ndarray) -> np.ndarray:
        """Textures to photo (3, 3): painted for an upright frontal mouth, turned as the portrait's head is turned."""
        t = self._textures
        linear = self._pose.rotation[:2, :2] / t.step
        out = np.eye(3)
        out[:2, :2] = linear
        out[:2, 2] = middle - linear @ np.array(t.middle)
        return out

    def _shade(self, opening: np.ndarray) -> np.ndarray:
        """Light falls off from the lips inward: narrow openings are dark, the upper lip throws a shadow."""
        sigma = max(1.0, 0.014 * self._pose.scale_px)
        soft = cv2.GaussianBlur(opening, (0, 0), sigma)
        below = cv2.warpAffine(soft, np.array([[1, 0, 0], [0, 1, sigma * 0.7]], np.float32), soft.shape[::-1])
        shade = DARKEST + (1 - DARKEST) * np.clip((below - LIT[0]) / (LIT[1] - LIT[0]), 0, 1)
        if self._photo is not None:
            shade = OWN_LIGHT + (1 - OWN_LIGHT) * shade
        return shade[..., None].astype(np.float32)

    def _seam(self, points: np.ndarray, gaps: np.ndarray, window: Window) -> np.ndarray:
        """Where lips that were open in the photo meet, their warm shadow line (h, w, 3) as a factor."""
        middle = (points[list(UPPER_LIP), :2] + points[list(LOWER_LIP), :2]) / 2
        h, w = window.shape
        line = np.zeros((h * 4, w * 4), np.uint8)
        fixed = np.round(((middle - window.origin + 0.5) * 4 - 0.5) * 64).astype(np.int32)
        strength = 1 - smoothstep(0.0, 2.0, gaps)
        for k in range(len(fixed) - 1):
            level = int(255 * min(strength[k], strength[k + 1]))
            if level:
                cv2.polylines(line, [fixed[k : k + 2]], False, level, 5, cv2.LINE_8, 6)
        soft = cv2.resize(line, (w, h), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
        return 1.0 - cv2.GaussianBlur(soft, (0, 0), 0.85)[..., None] * np.array((0.42, 0.60, 0.58), np.float32)
