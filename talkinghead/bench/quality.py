"""What a device's networks cost in quality, against torch in float32: pictures of the same motion, and motion of the same sound.

How lifelike the result is beside real people is another question: `benchmarks/quality.py`, which tracks finished videos.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

import numpy as np

from talkinghead.bench.material import Material, Say, say_nothing, shipped
from talkinghead.bench.report import Figure, figure
from talkinghead.errors import EngineError
from talkinghead.motion.latent import Latents
from talkinghead.motion.rest import resting_dynamics
from talkinghead.render.decoder import Decoder, DecoderEngines
from talkinghead.runtime.engine import Engine
from talkinghead.runtime.weights import model_path

LEAST_PSNR_DB = 40.0
"""What pictures of int8 or half precision must keep against those of float32."""
_SAME_DB = 99.0
_DECODER = ("mouth_appearance", "mouth", "eye_appearance", "eye")
_FIRST_S = 1.0

Draw = Callable[[np.ndarray, np.ndarray], np.ndarray]


def quality(material: Material, device: str, frames: int = 60, seed: int = 0, say: Say = say_nothing) -> tuple[Figure, ...]:
    """PSNR of so many frames, and how far motion goes apart; EngineError without torch."""
    if find_spec("torch") is None or find_spec("safetensors") is None:
        raise EngineError('quality is told against torch in float32: pip install "talkinghead[train]"')
    say("motion")
    exact = material.motion(_torch("speech", "speech"), _torch("motion", "motion"), seed)
    speech, motion = shipped("speech/speech", device), shipped("motion/motion", device)
    own = material.motion(speech, motion, seed)
    say("pictures")
    ours = material.avatar(device).draw
    theirs = _painter(material, DecoderEngines(*(_torch("decoder", name) for name in _DECODER)))
    picked = np.linspace(0, len(exact.z_pose) - 1, min(frames, len(exact.z_pose))).astype(int)
    whole, moved = [], []
    for k in picked:
        a, b = (draw(exact.z_pose[k], exact.z_dyn[k]) for draw in (ours, theirs))
        whole.append(psnr_db(a, b))
        moved.append(float(np.abs(a.astype(np.int16) - b).max()))
    return (
        figure("pictures against float32, PSNR", whole, "dB", "more"),
        Figure("the same, worst picture", "dB", round(min(whole), 2), better="more"),
        figure("the same, largest step of a pixel (of 255)", moved, ""),
        *(Figure(f"motion against float32, {name}", "%", round(100 * gap, 2)) for name, gap in _gaps(exact, own).items()),
    )


def psnr_db(a: np.ndarray, b: np.ndarray) -> float:
    """Of two uint8 pictures; 99 where they do not differ."""
    error = float(np.mean((a.astype(np.float64) - b) ** 2))
    return _SAME_DB if not error else min(_SAME_DB, 10 * float(np.log10(255**2 / error)))


def _gaps(exact: Latents, own: Latents) -> dict[str, float]:
    """Root mean square of the difference as a share of the course's own, in the first second and over all."""
    made = {}
    for part in ("z_pose", "z_dyn"):
        a, b = getattr(exact, part), getattr(own, part)
        for label, end in (("first second", round(_FIRST_S * 40)), ("all", None)):
            size = float(np.sqrt(np.mean(a[:end] ** 2))) or 1.0
            made[f"{part}, {label}"] = float(np.sqrt(np.mean((a[:end] - b[:end]) ** 2))) / size
    return made


def _painter(material: Material, engines: DecoderEngines) -> Draw:
    portrait, latent = material.portrait, material.latent
    decoder = Decoder(portrait.face, portrait.points, portrait.code.pose, latent, engines)
    rest = resting_dynamics(latent, portrait.code)

    def draw(z_pose: np.ndarray, z_dyn: np.ndarray) -> np.ndarray:
        points, pose = latent.draw(portrait.code, z_pose, rest + z_dyn)
        return decoder.draw(points, pose, z_pose, z_dyn)

    return draw


def _torch(room: str, name: str) -> Engine:
    from talkinghead.runtime.torch import TorchEngine

    return TorchEngine(model_path(room, f"{name}.onnx"), "cpu")
