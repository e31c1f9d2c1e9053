"""The decoder: the warped photo, and over it what small networks draw round mouth and eyes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from talkinghead.motion.latent import LatentModel
from talkinghead.motion.pose import HeadPose
from talkinghead.render.person import trusted_layers
from talkinghead.render.refine import Refiner, Spot, code_mirror, eye_spots, motion_code, mouth_spots, patch_input
from talkinghead.render.softness import soften, softness_px
from talkinghead.render.warp import WarpDecoder
from talkinghead.runtime.engine import Engine, load_engine
from talkinghead.runtime.weights import model_path

_EYES_SOFTER = 0.5
"""Of the photo's softness: open eyes are mostly the photo's own, and as soft as it is (chosen on people of `train`)."""


@dataclass(frozen=True)
class DecoderEngines:
    """The decoder's networks: of each part its appearance (once a portrait) and its painter (every frame)."""

    mouth_appearance: Engine
    mouth: Engine
    eye_appearance: Engine
    eye: Engine

    @classmethod
    def load(cls, device: str = "cpu") -> DecoderEngines:
        """The shipped ones; EngineError when they cannot be run."""
        names = ("mouth_appearance", "mouth", "eye_appearance", "eye")
        return cls(*(load_engine(model_path("decoder", f"{name}.onnx"), device) for name in names))


class Decoder:
    """Draws frames of one portrait."""

    def __init__(
        self, face: np.ndarray, points: np.ndarray, pose: HeadPose, latent: LatentModel, engines: DecoderEngines | None = None
    ) -> None:
        """``face`` (512, 512, 3) uint8 RGB with its ``points`` (478, 3) px and ``pose``. Without ``engines``: the warp alone."""
        layers = trusted_layers(face, points)
        self._warp, self._mirror = WarpDecoder(face, points, pose, latent.mean, layers=layers), code_mirror(latent)
        rest = self._warp.driven(points, pose)
        self._soft_px = softness_px(face, points)
        self._mouth = self._eyes = None
        if engines is not None:
            self._mouth = Refiner(engines.mouth_appearance, engines.mouth, patch_input(face, mouth_spots(rest)))
            self._eyes = Refiner(engines.eye_appearance, engines.eye, patch_input(face, eye_spots(rest)))

    def draw(self, points: np.ndarray, pose: HeadPose, z_pose: np.ndarray, z_dyn: np.ndarray) -> np.ndarray:
        """The frame (512, 512, 3) uint8 RGB for driven points (478, 3) px and pose, which are those of ``z_pose`` (6,) from the
        portrait's pose and ``z_dyn`` (D,) from its rest."""
        driven = self._warp.driven(points, pose)
        frame, code = self._warp.paint(driven), motion_code(z_pose, z_dyn)
        if self._eyes is not None:  # that on the picture's right is drawn mirrored, with the mirror image's motion
            codes = np.stack([code, code @ self._mirror])
            self._redraw(frame, eye_spots(driven), self._eyes, codes, _EYES_SOFTER * self._soft_px)
        if self._mouth is not None:
            self._redraw(frame, mouth_spots(driven), self._mouth, code[None], self._soft_px)
        return frame

    @staticmethod
    def _redraw(frame: np.ndarray, spots: list[Spot], refiner: Refiner, codes: np.ndarray, soft_px: float) -> None:
        given = patch_input(frame, spots)
        for spot, seen, change in zip(spots, given, refiner.change(given, codes), strict=True):
            spot.add(frame, change)
            if soft_px > 0:
                opening = seen[3, :, ::-1] if spot.mirrored else seen[3]
                soften(frame, spot.window, np.ascontiguousarray(opening), soft_px)
