"""The loaded networks, for those who open many avatars: a batch worker loads them once."""

from __future__ import annotations

from dataclasses import dataclass

from talkinghead.motion.denoiser import MotionScales
from talkinghead.motion.latent import LatentModel
from talkinghead.motion.style import Style
from talkinghead.portrait.portrait import FaceReader
from talkinghead.render.decoder import DecoderEngines
from talkinghead.runtime.engine import Engine, load_engine
from talkinghead.runtime.weights import model_path


@dataclass(frozen=True)
class Networks:
    """Everything that is the same for every portrait. Avatars that share it are used one after the other."""

    latent: LatentModel
    face: FaceReader
    speech: Engine
    motion: Engine
    scales: MotionScales
    style: Style
    decoder: DecoderEngines | None

    @classmethod
    def load(cls, device: str = "cpu", *, refine: bool = True, latent: LatentModel | None = None) -> Networks:
        """The shipped weights on a device; without ``refine`` not those of the decoder. EngineError when they cannot be run."""
        latent = latent or LatentModel.load(model_path("latent", "latent.npz"))
        return cls(
            latent,
            FaceReader(latent, device),
            load_engine(model_path("speech", "speech.onnx"), device),
            load_engine(model_path("motion", "motion.onnx"), device),
            MotionScales.load(model_path("motion", "motion.npz")),
            Style.load(model_path("motion", "style.npz")),
            DecoderEngines.load(device) if refine else None,
        )
