"""How well a photo suits, and what to change: pose, size, light, blur, mouth, what covers the face, how many faces.

Everything is measured on the crop of `Portrait`, where a face is always about as large: so a limit means the same in every photo.
The limits were chosen on pictures of `train`: none of 74 studio photos gets a remark, and of wild ones those found wanting.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from talkinghead.constants import SIZE_PX

if TYPE_CHECKING:
    from talkinghead.portrait.portrait import Portrait

_OUTLINE = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
    *(152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
)
_SKIN = ((50, 101, 36, 205, 187), (280, 330, 266, 425, 411), (6, 197, 195, 5, 4, 45, 275))
"""Cheeks and nose: bare in nearly every photo."""
_PARTS = {
    "forehead": (67, 109, 10, 338, 297, 333, 299, 9, 69, 104),
    "chin": (32, 194, 201, 200, 421, 418, 262, 369, 396, 175, 171, 140),
    "left cheek": (116, 117, 118, 101, 205, 207, 192, 213, 147),
    "right cheek": (345, 346, 347, 330, 425, 427, 416, 433, 376),
}
"""Areas of the face (MediaPipe's topology) that should be skin; left and right in the picture."""
_SMALLER = 4
_FOREIGN = 4.0
"""Robust deviations from the skin's colour."""
_EYES = {"right": (33, 160, 158, 133, 153, 144), "left": (362, 385, 387, 263, 373, 380)}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    score: 1 is ideal, 0.5 is where advice begins, 0 the worst; value: what was measured, in `unit`; advice: what to change, or
    nothing.
    """

    name: str
    score: float
    value: float
    unit: str
    advice: str


@dataclass(frozen=True)
class CheckUp:
    """Everything that was looked at in a photo."""

    findings: tuple[Finding, ...]

    @property
    def score(self) -> float:
        """0 to 1: of the worst thing."""
        return min(finding.score for finding in self.findings)

    @property
    def advice(self) -> tuple[str, ...]:
        """What to change, the worst first."""
        return tuple(finding.advice for finding in sorted(self.findings, key=lambda found: found.score) if finding.advice)

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {"score": round(self.score, 2), "findings": [asdict(finding) for finding in self.findings]}


@dataclass(frozen=True)
class _Limit:
    """A value is ideal up to `good`, gets advice past `limit`, and is at its worst at `worst`. Falling limits: less is worse."""

    good: float
    limit: float
    worst: float

    def score(self, value: float) -> float:
        rising = self.worst > self.good
        knots = [self.good, self.limit, self.worst]
        shares = [1.0, 0.5, 0.0]
        return float(np.interp(value, knots if rising else knots[::-1], shares if rising else shares[::-1]))


def check_up(portrait: Portrait, faces: int = 1) -> CheckUp:
    """Look a portrait over; ``faces``: how many were found in the photo."""
    grey = cv2.cvtColor(portrait.face, cv2.COLOR_RGB2GRAY).astype(np.float32)
    view = _View(portrait, faces, grey, _area(grey.shape, portrait.points[list(_OUTLINE), :2]), _foreign(portrait))
    return CheckUp(tuple(_finding(name, *look(view)) for name, look in _LOOKS.items()))


@dataclass(frozen=True)
class _View:
    """A portrait as the looks need it: grey (512, 512) float32; inside (512, 512) bool, the face; foreign: see `_foreign`."""

    portrait: Portrait
    faces: int
    grey: np.ndarray
    inside: np.ndarray
    foreign: dict[str, float]


def _finding(name: str, value: float, unit: str, limit: _Limit, advice: str) -> Finding:
    score = round(limit.score(value), 2)
    return Finding(name, score, round(float(value), 3), unit, advice if score < 0.5 else "")


_Look = tuple[float, str, _Limit, str]


def _faces(view: _View) -> _Look:
    advice = f"{view.faces} faces found: took the largest; crop the photo to choose another"
    return view.faces, "faces", _Limit(1, 1.9, 8), advice


def _size(view: _View) -> _Look:
    height = view.portrait.code.pose.scale_px * view.portrait.crop.side / SIZE_PX
    return height, "px", _Limit(233, 100, 60), f"the face is only {height:.0f} px high: from 230 px on the video is sharp"


def _turn(view: _View) -> _Look:
    ahead = view.portrait.code.pose.rotation @ (0.0, 0.0, -1.0)
    degrees = np.degrees(np.arctan2(abs(ahead[0]), -ahead[2]))
    return degrees, "degrees", _Limit(10, 25, 60), f"the head is turned {degrees:.0f} degrees aside: look into the camera"


def _nod(view: _View) -> _Look:
    ahead = view.portrait.code.pose.rotation @ (0.0, 0.0, -1.0)
    degrees = np.degrees(np.arctan2(abs(ahead[1]), np.hypot(ahead[0], ahead[2])))
    where = "lowered" if ahead[1] > 0 else "raised"
    return degrees, "degrees", _Limit(12, 25, 50), f"the head is {where} {degrees:.0f} degrees: hold the camera at eye level"


def _tilt(view: _View) -> _Look:
    eyes = view.portrait.points[263] - view.portrait.points[33]
    degrees = np.degrees(np.arctan2(abs(eyes[1]), max(eyes[0], 1e-6)))
    return degrees, "degrees", _Limit(8, 20, 60), f"the head is tilted {degrees:.0f} degrees: hold it upright"


def _darkness(view: _View) -> _Look:
    level = float(np.median(view.grey[view.inside]))
    return level, "grey levels", _Limit(90, 50, 15), "the face is dark: more light from the front helps"


def _glare(view: _View) -> _Look:
    share = float((view.grey[view.inside] > 250).mean())
    return share, "of the face", _Limit(0.02, 0.12, 0.4), "parts of the face are overexposed: use softer light"


def _shadow(view: _View) -> _Look:
    left, right = (float(np.median(_pixels(view, points))) for points in _SKIN[:2])
    ratio = max(left, right, 1.0) / max(min(left, right), 1.0)
    return ratio, "times", _Limit(1.3, 2.0, 4.0), "one side of the face lies in the shadow: light it from the front"


def _blur(view: _View) -> _Look:
    """Share of the face's finest contrast in its fine contrast; a blurred picture has lost the former first."""
    fine, finer = (view.grey - cv2.GaussianBlur(view.grey, (0, 0), sigma) for sigma in (4.0, 1.0))
    share = float(finer[view.inside].std() / max(fine[view.inside].std(), 1e-6))
    return share, "of the contrast", _Limit(0.25, 0.15, 0.06), "the photo is blurred or much enlarged: use a sharper one"


def _mouth(view: _View) -> _Look:
    points = view.portrait.points
    gap = float(np.linalg.norm(points[14, :2] - points[13, :2]) / view.portrait.code.pose.scale_px)
    return gap, "face heights", _Limit(0.03, 0.09, 0.25), "the mouth is open: a closed mouth or a small smile works best"


def _lids(view: _View) -> _Look:
    points = view.portrait.points
    openings = []
    for outer, up1, up2, inner, low2, low1 in _EYES.values():
        height = np.linalg.norm(points[up1] - points[low1]) + np.linalg.norm(points[up2] - points[low2])
        openings.append(height / max(2 * float(np.linalg.norm(points[outer] - points[inner])), 1e-6))
    opening = float(min(openings))
    return opening, "of their width", _Limit(0.25, 0.12, 0.05), "the eyes are closed or nearly so: open eyes are needed"


def _covered(view: _View) -> _Look:
    covered = view.foreign
    part = max((name for name in covered if name != "forehead"), key=covered.__getitem__)
    advice = f"something covers the {part} (hair, a hand, a mask, a beard?): it will not move as skin does"
    return covered[part], "of it", _Limit(0.25, 0.55, 0.9), advice


def _hair(view: _View) -> _Look:
    share = view.foreign["forehead"]
    advice = "hair or a hat covers the forehead: brows and skin there move less well"
    return share, "of the forehead", _Limit(0.5, 0.9, 1.0), advice


def _glasses(view: _View) -> _Look:
    """How much darker the eyes are than the skin, at their brightest: the white of an eye behind dark glass is dark."""
    skin = float(np.median(np.concatenate([_pixels(view, points) for points in _SKIN])))
    white = max(float(np.quantile(_pixels(view, points), 0.95)) for points in _EYES.values())
    ratio = white / max(skin, 1.0)
    return ratio, "of the skin's", _Limit(0.9, 0.6, 0.2), "the eyes are dark or behind dark glasses: they must be seen"


def _framed(view: _View) -> _Look:
    left, top, right, bottom = view.portrait.crop.within(view.portrait.image.shape)
    place = view.portrait.crop.to_photo(view.portrait.points[list(_OUTLINE), :2])
    outside = ((place < (left, top)) | (place > (right - 1, bottom - 1))).any(1)
    advice = "the photo cuts the face off: leave room round the head"
    return float(outside.mean()), "of the outline", _Limit(0.0, 0.05, 0.4), advice


def _room(view: _View) -> _Look:
    crop = view.portrait.crop
    left, top, right, bottom = crop.within(view.portrait.image.shape)
    shown = [min(at + crop.side, end) - max(at, start) for at, start, end in ((crop.x, left, right), (crop.y, top, bottom))]
    beyond = 1 - shown[0] * shown[1] / crop.side**2
    advice = "the photo ends close to the face, so a square picture is made up beyond it: leave room round it, or use --full"
    return beyond, "of the square", _Limit(0.05, 0.2, 0.6), advice


_LOOKS: dict[str, Callable[[_View], _Look]] = {
    "faces": _faces,
    "size": _size,
    "framing": _framed,
    "room": _room,
    "turn": _turn,
    "nod": _nod,
    "tilt": _tilt,
    "darkness": _darkness,
    "glare": _glare,
    "shadow": _shadow,
    "blur": _blur,
    "mouth": _mouth,
    "eyes": _lids,
    "dark eyes": _glasses,
    "covered": _covered,
    "hair": _hair,
}


def _foreign(portrait: Portrait) -> dict[str, float]:
    """Share of each part of the face whose colour is not the skin's; a small picture says as much."""
    side = SIZE_PX // _SMALLER
    small = cv2.resize(portrait.face, (side, side), interpolation=cv2.INTER_AREA)
    lab = cv2.cvtColor(small, cv2.COLOR_RGB2LAB).astype(np.float32)
    places = portrait.points[:, :2] / _SMALLER
    skin = np.concatenate([_within(places, points, lab) for points in _SKIN])
    middle = np.median(skin, 0)
    spread = np.maximum(np.median(np.abs(skin - middle), 0) * 1.4826, (12.0, 4.0, 4.0))
    off = np.abs((lab - middle) / spread).max(2) > _FOREIGN
    return {name: float(_within(places, points, off).mean()) for name, points in _PARTS.items()}


def _pixels(view: _View, points: tuple[int, ...]) -> np.ndarray:
    """Grey levels (n,) within the hull of points."""
    return _within(view.portrait.points[:, :2], points, view.grey)


def _within(places: np.ndarray, points: tuple[int, ...], picture: np.ndarray) -> np.ndarray:
    """The picture's values (n, ...) within the hull of some of the places (478, 2); never none."""
    found = picture[_area(picture.shape[:2], places[list(points)])]
    return found if len(found) else picture.reshape(-1, *picture.shape[2:])[:1]


def _area(shape: tuple[int, ...], outline: np.ndarray) -> np.ndarray:
    mask = np.zeros(shape, np.uint8)
    hull = cv2.convexHull(np.round(np.clip(outline, -4096, 4096)).astype(np.int32))
    cv2.fillConvexPoly(mask, hull, 1)
    return mask > 0
