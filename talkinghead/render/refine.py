"""Patches round mouth and eyes that small networks draw once more over the warped picture.

The warp moves what the photo shows; what it cannot show (teeth, tongue, lip corners, lids that close) is learned. A patch lies
at whole pixels, so that nothing is resampled, and the change to it fades out before its border. Both eyes go through one network:
that on the picture's right is mirrored.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from talkinghead.motion.latent import LatentModel, mirror_dynamics
from talkinghead.render.eyes import LEFT_EYE, RIGHT_EYE, EyeIndex
from talkinghead.render.layout import OUTER_LIPS
from talkinghead.render.mouth import lip_outline
from talkinghead.render.patch import Window, cover
from talkinghead.render.warp import Driven
from talkinghead.runtime.engine import Engine

MOUTH_PX = (128, 128)
"""Width, height."""
EYE_PX = (80, 64)
CHANNELS = 5
"""RGB and how much of each pixel two outlines cover: lip opening and lips, or lid opening and iris."""
_TURN_GAIN = 5.0
_TURN = 3
_DISC = np.stack([f(np.linspace(0, 2 * np.pi, 24, endpoint=False)) for f in (np.cos, np.sin)], 1)


@dataclass(frozen=True)
class Spot:
    """Where a patch lies: ``window`` may reach past the picture; ``mirrored`` left to right; two outlines (n, 2) px."""

    window: Window
    mirrored: bool
    outlines: tuple[np.ndarray, np.ndarray]

    def cut(self, frame: np.ndarray) -> np.ndarray:
        """The patch (h, w, 3) of a frame (s, s, 3), the frame's border repeated outside."""
        w, size = self.window, frame.shape[0]
        if w.x0 >= 0 and w.y0 >= 0 and w.x1 <= size and w.y1 <= size:
            patch = frame[w.slices]
        else:
            rows, columns = (np.clip(np.arange(a, b), 0, size - 1) for a, b in ((w.y0, w.y1), (w.x0, w.x1)))
            patch = frame[rows[:, None], columns[None]]
        return patch[:, ::-1] if self.mirrored else patch

    def covers(self) -> np.ndarray:
        """How much of each pixel the outlines cover (2, h, w) float32 in 0..1."""
        out = np.stack([cover(outline, self.window) for outline in self.outlines])
        return out[:, :, ::-1] if self.mirrored else out

    def add(self, frame: np.ndarray, change: np.ndarray) -> None:
        """Add a change (h, w, 3), 1 being white, to the frame (s, s, 3) uint8 in place, as far as it lies in it."""
        w, size = self.window, frame.shape[0]
        x0, y0, x1, y1 = max(w.x0, 0), max(w.y0, 0), min(w.x1, size), min(w.y1, size)
        if x1 <= x0 or y1 <= y0:
            return
        part = (change[:, ::-1] if self.mirrored else change)[y0 - w.y0 : y1 - w.y0, x0 - w.x0 : x1 - w.x0]
        frame[y0:y1, x0:x1] = np.clip(np.rint(frame[y0:y1, x0:x1] + 255 * part), 0, 255).astype(np.uint8)


def _window(middle: np.ndarray, size_px: tuple[int, int]) -> Window:
    # Far outside the picture it does not matter where.
    x, y = np.round(np.clip(middle, -4096, 4096) - np.array(size_px) / 2).astype(int)
    return Window(int(x), int(y), int(x) + size_px[0], int(y) + size_px[1])


def mouth_spots(driven: Driven) -> list[Spot]:
    """The one patch round the mouth of a driven face."""
    lips = driven.points[list(OUTER_LIPS), :2]
    return [Spot(_window(lips.mean(axis=0), MOUTH_PX), False, (lip_outline(driven.points, driven.gaps), lips))]


def eye_spots(driven: Driven) -> list[Spot]:
    """The patches round the eye on the picture's left and that on its right."""
    return [_eye_spot(driven.points[:, :2], eye, eye is RIGHT_EYE) for eye in (LEFT_EYE, RIGHT_EYE)]


def _eye_spot(points: np.ndarray, eye: EyeIndex, mirrored: bool) -> Spot:
    lids = points[list(eye.upper + eye.lower[-2:0:-1])]
    iris, rim = points[eye.iris[0]], points[list(eye.iris[1:])]
    disc = iris + _DISC * float(np.linalg.norm(rim - iris, axis=1).mean())
    corners = points[[eye.upper[0], eye.upper[-1]]].mean(axis=0)  # they stay when the lids move
    return Spot(_window(corners, EYE_PX), mirrored, (lids, disc))


def patch_input(frame: np.ndarray, spots: list[Spot]) -> np.ndarray:
    """A network's input (n, CHANNELS, h, w) float32 in 0..1 of a frame's (s, s, 3) uint8 patches."""
    height, width = spots[0].window.shape
    out = np.empty((len(spots), CHANNELS, height, width), np.float32)
    for row, spot in zip(out, spots, strict=True):
        np.multiply(spot.cut(frame).transpose(2, 0, 1), np.float32(1 / 255), out=row[:3], casting="unsafe")
        row[3:] = spot.covers()
    return out


def motion_code(z_pose: np.ndarray, z_dyn: np.ndarray) -> np.ndarray:
    """What a network is told of the motion, (D + 3,) float32: ``z_dyn`` (D,) from the portrait's rest and the head's turn."""
    return np.concatenate([z_dyn, _TURN_GAIN * np.asarray(z_pose)[:_TURN]]).astype(np.float32)


def code_mirror(latent: LatentModel) -> np.ndarray:
    """Matrix (D + 3, D + 3) float32: ``code @ matrix`` is the code of the mirror image."""
    size = latent.size_dyn
    matrix = np.diag([1.0] * size + [1.0, -1.0, -1.0])
    matrix[:size, :size] = mirror_dynamics(latent).T
    return matrix.astype(np.float32)


class Refiner:
    """One network with the appearance of one photo.

    ``appearance`` is run once: photo (n, CHANNELS, h, w) -> features; ``network`` is run for every frame: patch (n, CHANNELS,
    h, w), code (n, c) and the features -> change (n, 3, h, w), 1 being white.
    """

    def __init__(self, appearance: Engine, network: Engine, photo: np.ndarray) -> None:
        self._network = network
        self._features = appearance.run(photo=photo)

    def change(self, patch: np.ndarray, code: np.ndarray) -> np.ndarray:
        """What is to be added to each patch: (n, h, w, 3) float32."""
        return self._network.run(patch=patch, code=code, **self._features)["change"].transpose(0, 2, 3, 1)
