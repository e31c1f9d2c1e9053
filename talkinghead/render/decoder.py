"""The decoder: the warped photo, and over it what small networks draw round mouth and eyes."""

from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from talkinghead.cores import usable_cores
from talkinghead.motion.latent import FaceCode, LatentModel
from talkinghead.motion.pose import HeadPose
from talkinghead.motion.rest import resting_dynamics
from talkinghead.render.detail import TRIED, detailed, energy, looks, matching_gain
from talkinghead.render.matting import load_matting
from talkinghead.render.patch import Window
from talkinghead.render.person import person_layers
from talkinghead.render.refine import (
    Refiner,
    Spot,
    code_mirror,
    eye_spots,
    interior_kept,
    motion_code,
    mouth_spots,
    mouth_width,
    patch_input,
    within_face,
)
from talkinghead.render.shade import Light, Surface, shade
from talkinghead.render.softness import soften, softness_px
from talkinghead.render.surround import Borders
from talkinghead.render.tone import one_tone, toned
from talkinghead.render.warp import Driven, WarpDecoder
from talkinghead.runtime.engine import Engine, load_engine
from talkinghead.runtime.weights import model_path

_EYES_SOFTER = 0.5
"""Of the photo's softness: open eyes are mostly the photo's own, and as soft as it is (chosen on people of `train`)."""
_EYE_DETAIL = _MOUTH_DETAIL = 0.92
"""Of the photo's, for looks as different from it as those that are tried: chosen on people of `train`."""
_TONED_PX = 8.0


@dataclass(frozen=True)
class DecoderEngines:
    """The decoder's networks: of each part its appearance (once a portrait) and its painter (every frame); and that of the matte
    (once a portrait), without which person and wall are told apart by colours alone."""

    mouth_appearance: Engine
    mouth: Engine
    eye_appearance: Engine
    eye: Engine
    matte: Engine | None = None

    @classmethod
    def load(cls, device: str = "cpu") -> DecoderEngines:
        """The shipped ones; EngineError when they cannot be run."""
        names = ("mouth_appearance", "mouth", "eye_appearance", "eye")
        painters = {name: load_engine(model_path("decoder", f"{name}.onnx"), device) for name in names}
        return cls(**painters, matte=load_matting())


@dataclass(frozen=True)
class Detail:
    """Gains of `render.detail` of one portrait."""

    eyes: float = 0.0
    mouth: float = 0.0


class Decoder:
    """Draws frames of one portrait."""

    def __init__(
        self,
        face: np.ndarray,
        points: np.ndarray,
        pose: HeadPose,
        latent: LatentModel,
        engines: DecoderEngines | None = None,
        matte: np.ndarray | None = None,
    ) -> None:
        """``face`` (512, 512, 3) uint8 RGB with its ``points`` (478, 3) px and ``pose``. Without ``engines``: the warp alone.
        With ``matte`` (512, 512) uint8 the face is a cut-out, and frames have the moved matte as a fourth channel."""
        matting = None if engines is None else engines.matte
        layers = person_layers(face, points, matting) if matte is None else None
        self._cut = matte is not None
        self._warp = WarpDecoder(face, points, pose, latent.mean, layers=layers, matte=matte)
        self._mirror = code_mirror(latent)
        rest = self._warp.driven(points, pose)
        self._soft_px, self._tone = softness_px(face, points), one_tone(face, points)
        self.light: Light | None = None
        self._mouth: Refiner | None = None
        self._eyes: Refiner | None = None
        if engines is not None:
            self.light = Light.of(face, rest.points, pose.rotation, Surface(self._warp.inner, latent.mean))
            self._mouth = Refiner(engines.mouth_appearance, engines.mouth, patch_input(face, mouth_spots(rest)))
            self._eyes = Refiner(engines.eye_appearance, engines.eye, patch_input(face, eye_spots(rest)))
        self._beside = _beside() if engines is not None else None
        self.rest_width = max(mouth_width(points, pose), 1e-6)
        self.detail = Detail()

    def twin(self, alone: bool = True) -> Decoder:
        """Another decoder of the same portrait, for another thread: quicker than preparing the photo again. Not ``alone``: no
        second core is free for it."""
        other = copy.copy(self)
        other._warp = copy.deepcopy(self._warp)  # it draws into buffers of its own
        other._beside = _beside() if alone and self._beside is not None else None
        return other

    def __getstate__(self) -> dict[str, Any]:
        # In another process it is drawn beside another one, and no second core is free for parts of its pictures.
        return {**self.__dict__, "_beside": None}

    @property
    def cut_out(self) -> bool:
        """Frames have the moved matte as a fourth channel."""
        return self._cut

    def held(self, borders: Borders) -> Decoder:
        """A `twin` whose shoulders are held at ``borders``."""
        other = self.twin()
        other.hold(borders)
        return other

    def hold(self, borders: Borders) -> None:
        """Hold shoulders at ``borders`` from now on."""
        self._warp.hold(borders)

    def draw(self, points: np.ndarray, pose: HeadPose, z_pose: np.ndarray, z_dyn: np.ndarray) -> np.ndarray:
        """The frame (512, 512, 3) uint8 RGB for driven points (478, 3) px and pose, which are those of ``z_pose`` (6,) from the
        portrait's pose and ``z_dyn`` (D,) from its rest. Of a cut-out: (512, 512, 4), straight alpha."""
        driven = self._warp.driven(points, pose)
        frame = self._lit(driven)
        if self._mouth is not None and self._eyes is not None:
            self._refine(frame, driven, motion_code(z_pose, z_dyn), self._mouth, self._eyes)
        if self._tone is not None:
            part = Window.around(driven.points[:, :2], _TONED_PX, len(frame))
            if not part.empty:
                frame[part.slices] = toned(frame[part.slices], self._tone)
        return np.dstack((frame, self._warp.alpha(driven))) if self._cut else frame

    def _lit(self, driven: Driven) -> np.ndarray:
        """The warped frame, with networks in the photo's light."""
        frame = self._warp.paint(driven)
        if self.light is not None:
            shade(frame, driven.points, driven.pose, self.light)
        return frame

    def _refine(self, frame: np.ndarray, driven: Driven, code: np.ndarray, of_mouth: Refiner, of_eyes: Refiner) -> None:
        eyes, mouth = self._drawings(frame, driven, code, of_mouth, of_eyes)
        eyes.put(frame, self.detail.eyes)
        mouth.put(frame, self.detail.mouth)

    def _drawings(
        self, frame: np.ndarray, driven: Driven, code: np.ndarray, of_mouth: Refiner, of_eyes: Refiner
    ) -> tuple[_Drawing, _Drawing]:
        """Of eyes and mouth, both over the frame as it is. Their networks run side by side where there are two cores."""
        eyes, mouth = eye_spots(driven), mouth_spots(driven)
        eyes_given, mouth_given = patch_input(frame, eyes), patch_input(frame, mouth)
        codes = np.stack([code, code @ self._mirror])  # the eye on the picture's right is drawn mirrored, with such a motion
        waiting = None if self._beside is None else self._beside.submit(of_eyes.change, eyes_given, codes)
        width = mouth_width(driven.points, driven.pose) / self.rest_width
        change = interior_kept(of_mouth.change(mouth_given, code[None]), mouth_given, width)
        change = change * within_face(mouth[0], driven.points)[None, ..., None]
        eyes_change = of_eyes.change(eyes_given, codes) if waiting is None else waiting.result()
        return (
            _Drawing(eyes, eyes_given, eyes_change, _EYES_SOFTER * self._soft_px),
            _Drawing(mouth, mouth_given, change, self._soft_px),
        )

    def match_detail(self, face: np.ndarray, code: FaceCode, latent: LatentModel) -> None:
        """Draw a few looks of the portrait, ``face`` coded as ``code``, and set `detail` so that they have the photo's. Without
        networks nothing is done."""
        if self._mouth is None or self._eyes is None:
            return
        nowhere, rest = np.zeros(6, np.float32), resting_dynamics(latent, code)
        motions, found = looks(latent.size_dyn), np.zeros((2, len(TRIED)))
        for z_dyn in motions:
            driven = self._warp.driven(*latent.draw(code, nowhere, rest + z_dyn))
            frame = self._lit(driven)
            drawings = self._drawings(frame, driven, motion_code(nowhere, z_dyn), self._mouth, self._eyes)
            for row, drawing in zip(found, drawings, strict=True):
                row += [drawing.energy(frame, gain) / len(motions) for gain in TRIED]
        still = self._warp.driven(*latent.draw(code, nowhere, code.z_dyn))
        wanted = (_EYE_DETAIL * energy(face, eye_spots(still)), _MOUTH_DETAIL * energy(face, mouth_spots(still)))
        self.detail = Detail(*(matching_gain(row.tolist(), one) for row, one in zip(found, wanted, strict=True)))


@dataclass(frozen=True)
class _Drawing:
    """What a part's network drew over a frame."""

    spots: list[Spot]
    given: np.ndarray
    changes: np.ndarray
    soft_px: float

    def put(self, frame: np.ndarray, detail: float) -> None:
        """Into the frame, with so much more detail."""
        for spot, seen, change in zip(self.spots, self.given, self.changes, strict=True):
            spot.add(frame, detailed(seen, change, detail))
            if self.soft_px > 0:
                opening = seen[3, :, ::-1] if spot.mirrored else seen[3]
                soften(frame, spot.window, np.ascontiguousarray(opening), self.soft_px)

    def energy(self, frame: np.ndarray, detail: float) -> float:
        """`render.detail.energy` of the parts if it were put into the frame."""
        tried = frame.copy()
        self.put(tried, detail)
        return energy(tried, self.spots)


def _beside() -> ThreadPoolExecutor | None:
    """A thread for what may run beside the drawing, where there is a second core; it ends with the decoder."""
    return ThreadPoolExecutor(1, "talkinghead-eyes") if len(usable_cores()) > 1 else None
