"""The loaded networks, for those who open many avatars: a batch worker loads them once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from talkinghead.motion.denoiser import MotionScales
from talkinghead.motion.latent import LatentModel
from talkinghead.motion.style import Style
from talkinghead.portrait.portrait import FaceReader
from talkinghead.render.decoder import DecoderEngines
from talkinghead.runtime.engine import Engine, choose_device, load_engine
from talkinghead.runtime.torch import torch_has_cuda
from talkinghead.runtime.weights import model_path, network_path

if TYPE_CHECKING:
    from talkinghead.render.device.seat import SharedDecoder


@dataclass(frozen=True)
class Networks:
    """Everything that is the same for every portrait. Avatars may share it, also at the same time: engines keep no state between
    runs."""

    latent: LatentModel
    face: FaceReader
    speech: Engine
    motion: Engine
    scales: MotionScales
    style: Style
    decoder: DecoderEngines | None
    device_decoder: SharedDecoder | None = None
    """Draws whole frames on a GPU, for all avatars; then ``decoder`` is not used."""

    @classmethod
    def load(cls, device: str = "cpu", *, refine: bool = True) -> Networks:
        """The shipped weights on a device; without ``refine`` not those of the decoder. EngineError when they cannot be run."""
        device = choose_device(device)
        latent = LatentModel.load(model_path("latent", "latent.npz"))
        on_gpu = load_device_decoder(latent, refine=refine) if device == "cuda" and torch_has_cuda() else None
        return cls(
            latent,
            FaceReader(latent, device),
            load_engine(network_path("speech", "speech.onnx", device=device), device),
            load_engine(network_path("motion", "motion.onnx", device=device), device),
            MotionScales.load(model_path("motion", "motion.npz")),
            Style.load(model_path("motion", "style.npz")),
            DecoderEngines.load(device) if refine and on_gpu is None else None,
            on_gpu,
        )


def load_device_decoder(latent: LatentModel, device: str = "cuda", *, refine: bool = True) -> SharedDecoder:
    """The decoder that draws whole frames through torch on cuda, or on cpu for comparison; EngineError without its weights."""
    from talkinghead.render.device.decoder import DeviceDecoder
    from talkinghead.render.device.seat import SharedDecoder

    return SharedDecoder(DeviceDecoder(latent, device=device, refine=refine))
