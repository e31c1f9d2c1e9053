"""Patches round mouth and eyes that small networks draw once more over the warped picture.

The warp moves what the photo shows; what it cannot show (teeth, tongue, lip corners, lids that close) is learned. A patch
goes with the face in fractions of a pixel, so that nothing jumps, and the change to it fades out before its border. Both eyes go
through one network: that on the picture's right is mirrored.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from talkinghead.motion.latent import LatentModel
from talkinghead.motion.pose import HeadPose
from talkinghead.render.eyes import LEFT_EYE, RIGHT_EYE, EyeIndex
from talkinghead.render.layout import MOUTH_CORNERS, OUTER_LIPS, OVAL
from talkinghead.render.mouth import lip_outline
from talkinghead.render.patch import Window, cover
from talkinghead.render.resample import cubic_taps
from talkinghead.render.surround import smoothstep
from talkinghead.render.warp import Driven
from talkinghead.runtime.engine import Engine

MOUTH_PX = (144, 112)
"""Width, height."""
EYE_PX = (80, 64)
CHANNELS = 5
"""RGB and how much of each pixel two outlines cover: lip opening and lips, or lid opening and iris."""
KEPT = 0.5
"""Share of the mouth's interior that stays as the warp shows it, photographed or painted, in a mouth no wider than at rest."""
SMILE = (1.05, 1.2)
"""Widths over that at rest, between which the network comes to draw all of the interior: the teeth of a smile."""
RIM_PX = 5
"""Side of the square by which the opening is made wider for that: the network's teeth reach its edge."""
EDGE_PX = 7
"""Over so much a mouth's change ends at the face's outline."""
_SHIFT = 4
_RIM = np.ones((RIM_PX, RIM_PX), np.uint8)
_TAPS_REACH_PX = 2
_TURN_GAIN = 5.0
_TURN = 3
_DISC = np.stack([f(np.linspace(0, 2 * np.pi, 24, endpoint=False)) for f in (np.cos, np.sin)], 1)


@dataclass(frozen=True)
class Spot:
    """Where a patch lies: ``window`` may reach past the picture; ``mirrored`` left to right; two outlines (n, 2) px; ``shift``:
    how much farther right and down the patch lies than the window, within half a pixel."""

    window: Window
    mirrored: bool
    outlines: tuple[np.ndarray, np.ndarray]
    shift: tuple[float, float] = (0.0, 0.0)

    def cut(self, frame: np.ndarray) -> np.ndarray:
        """The patch (h, w, 3) of a frame (s, s, 3), the frame's border repeated outside."""
        w, size, more = self.window, frame.shape[0], _TAPS_REACH_PX if any(self.shift) else 0
        x0, y0, x1, y1 = w.x0 - more, w.y0 - more, w.x1 + more, w.y1 + more
        if x0 >= 0 and y0 >= 0 and x1 <= size and y1 <= size:
            patch = frame[y0:y1, x0:x1]
        else:
            rows, columns = (np.clip(np.arange(a, b), 0, size - 1) for a, b in ((y0, y1), (x0, x1)))
            patch = frame[rows[:, None], columns[None]]
        if more:
            patch = _shifted(patch, self.shift)[more:-more, more:-more]
        return patch[:, ::-1] if self.mirrored else patch

    def covers(self) -> np.ndarray:
        """How much of each pixel the outlines cover (2, h, w) float32 in 0..1."""
        out = np.stack([cover(outline - self.shift, self.window) for outline in self.outlines])
        return out[:, :, ::-1] if self.mirrored else out

    def add(self, frame: np.ndarray, change: np.ndarray) -> None:
        """Add a change (h, w, 3), 1 being white, to the frame (s, s, 3) uint8 in place, as far as it lies in it."""
        w, size = self.window, frame.shape[0]
        x0, y0, x1, y1 = max(w.x0, 0), max(w.y0, 0), min(w.x1, size), min(w.y1, size)
        if x1 <= x0 or y1 <= y0:
            return
        part = np.multiply(change[:, ::-1] if self.mirrored else change, np.float32(255), order="C")
        if any(self.shift):
            part = _shifted(part, (-self.shift[0], -self.shift[1]))
        part = part[y0 - w.y0 : y1 - w.y0, x0 - w.x0 : x1 - w.x0]
        below = frame[y0:y1, x0:x1]
        below[:] = cv2.add(below, part, dtype=cv2.CV_8U)


def _shifted(picture: np.ndarray, shift: tuple[float, float]) -> np.ndarray:
    """What lies so many pixels right and down in a picture (h, w, 3); its border is repeated."""
    across, down = (cubic_taps(part) for part in shift)
    return np.asarray(cv2.sepFilter2D(picture, -1, across, down, borderType=cv2.BORDER_REPLICATE))


def _spot(middle: np.ndarray, size_px: tuple[int, int], mirrored: bool, outlines: tuple[np.ndarray, np.ndarray]) -> Spot:
    # Far outside the picture it does not matter where.
    corner = np.clip(middle, -4096, 4096) - (np.array(size_px) - 1) / 2  # the same mirrored
    x, y = np.round(corner).astype(int).tolist()
    window = Window(x, y, x + size_px[0], y + size_px[1])
    return Spot(window, mirrored, outlines, (float(corner[0] - x), float(corner[1] - y)))


def mouth_spots(driven: Driven) -> list[Spot]:
    """The one patch round the mouth of a driven face."""
    lips = driven.points[list(OUTER_LIPS), :2]
    return [_spot(lips.mean(axis=0), MOUTH_PX, False, (lip_outline(driven.points, driven.gaps), lips))]


def mouth_width(points: np.ndarray, pose: HeadPose) -> float:
    """Between the mouth's corners, face heights."""
    left, right = (points[number] for number in MOUTH_CORNERS)
    return float(np.linalg.norm(left - right)) / pose.scale_px


def share_kept(width: np.ndarray) -> np.ndarray:
    """Share of the interior that stays as the warp shows it, of mouths so many times as wide as at rest."""
    return KEPT * (1.0 - smoothstep(*SMILE, width))


def interior_kept(change: np.ndarray, given: np.ndarray, width: float) -> np.ndarray:
    """A mouth's change (n, h, w, 3) with part of the interior left alone, for patches (n, CHANNELS, h, w) whose mouths are so
    many times as wide as at rest.

    Open mouths of photos mostly smile: from them, it seems, the network has learned to fill an opening with teeth, and where a
    jaw drops in speech it means teeth, tongue and dark at once, a whitish patch. The warp shows one of them, sharp.
    """
    share = float(share_kept(np.array(width)))
    if share == 0:
        return change
    left = np.stack([1 - share * cv2.dilate(each, _RIM) for each in given[:, 3]])
    return np.asarray(change.transpose(0, 3, 1, 2) * left[:, None], np.float32).transpose(0, 2, 3, 1)


def within_face(spot: Spot, points: np.ndarray) -> np.ndarray:
    """How much (h, w) of each pixel of a patch is the face's, of driven points (478, 3) px. Beside it nothing is drawn: there a
    network would put what it has seen beside other cheeks, a glint on a bright wall."""
    # Under the blur no supersampling (`cover`) is needed.
    outline = np.clip(points[list(OVAL), :2] - spot.shift - spot.window.origin, -1e4, 1e4)
    face = np.zeros(spot.window.shape, np.float32)
    cv2.fillPoly(face, [np.rint(outline * (1 << _SHIFT)).astype(np.int32)], 1.0, cv2.LINE_8, _SHIFT)
    return np.asarray(cv2.blur(face, (EDGE_PX, EDGE_PX), borderType=cv2.BORDER_REPLICATE))


def eye_spots(driven: Driven) -> list[Spot]:
    """The patches round the eye on the picture's left and that on its right."""
    return [_eye_spot(driven.points[:, :2], eye, eye is RIGHT_EYE) for eye in (LEFT_EYE, RIGHT_EYE)]


def _eye_spot(points: np.ndarray, eye: EyeIndex, mirrored: bool) -> Spot:
    lids = points[list(eye.upper + eye.lower[-2:0:-1])]
    iris, rim = points[eye.iris[0]], points[list(eye.iris[1:])]
    disc = iris + _DISC * float(np.linalg.norm(rim - iris, axis=1).mean())
    corners = points[[eye.upper[0], eye.upper[-1]]].mean(axis=0)  # they stay when the lids move
    return _spot(corners, EYE_PX, mirrored, (lids, disc))


def patch_input(frame: np.ndarray, spots: list[Spot]) -> np.ndarray:
    """A network's input (n, CHANNELS, h, w) float32 in 0..1 of a frame's (s, s, 3) uint8 patches."""
    height, width = spots[0].window.shape
    out = np.empty((len(spots), CHANNELS, height, width), np.float32)
    for row, spot in zip(out, spots, strict=True):
        for plane, colour in zip(row, cv2.split(spot.cut(frame)), strict=False):
            np.multiply(colour, np.float32(1 / 255), out=plane)
        row[3:] = spot.covers()
    return out


def motion_code(z_pose: np.ndarray, z_dyn: np.ndarray) -> np.ndarray:
    """What a network is told of the motion, (D + 3,) float32: ``z_dyn`` (D,) from the portrait's rest and the head's turn."""
    return np.concatenate([z_dyn, _TURN_GAIN * np.asarray(z_pose)[:_TURN]]).astype(np.float32)


def code_mirror(latent: LatentModel) -> np.ndarray:
    """Matrix (D + 3, D + 3) float32: ``code @ matrix`` is the code of the mirror image."""
    size = latent.size_dyn
    matrix = np.diag([1.0] * size + [1.0, -1.0, -1.0])
    matrix[:size, :size] = latent.mirror.T
    return matrix.astype(np.float32)


class Refiner:
    """One network with the appearance of one photo.

    ``appearance`` is run once: photo (n, CHANNELS, h, w) -> features; ``network`` is run for every frame: patch (n, CHANNELS,
    h, w), code (n, c) and the features, which lie where it runs -> change (n, 3, h, w), 1 being white.
    """

    def __init__(self, appearance: Engine, network: Engine, photo: np.ndarray) -> None:
        self._network = network
        self.features = {name: network.to_device(array) for name, array in appearance.run(photo=photo).items()}
        """V_app of the photo, where the network runs."""

    def change(self, patch: np.ndarray, code: np.ndarray) -> np.ndarray:
        """What is to be added to each patch: (n, h, w, 3) float32."""
        return self._network.run(patch=patch, code=code, **self.features)["change"].transpose(0, 2, 3, 1)
