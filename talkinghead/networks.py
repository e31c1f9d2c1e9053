"""The loaded networks, for those who open many avatars: a batch worker loads them once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from talkinghead.motion.denoiser import MotionScales
from talkinghead.motion.latent import LatentModel
from talkinghead.motion.style import Style
from talkinghead.portrait.portrait import FaceReader
from talkinghead.render.decoder import DecoderEngines
from talkinghead.runtime.batching import Batcher
from talkinghead.runtime.engine import Engine, choose_device, load_engine
from talkinghead.runtime.settings import load_settings
from talkinghead.runtime.torch import torch_has_cuda
from talkinghead.runtime.weights import model_path, network_path

if TYPE_CHECKING:
    from talkinghead.render.device.seat import SharedDecoder

BatchObserver: TypeAlias = Callable[[str, str, float], None]
"""Told (network, name, value) in any thread: see `runtime.batching.Observer`."""
BATCHED = {"speech/speech": ("later",), "motion/motion": ("new_keys", "new_values"), "decoder/mouth": (), "decoder/eye": ()}
"""Networks that run in every frame, and which of their outputs stay where they run."""


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
    """Draws whole frames on a GPU, for all avatars; then ``decoder`` is for cut-outs and photos of one tone."""

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
            DecoderEngines.load(device) if refine else None,
            on_gpu,
        )

    def batched(self, observer: BatchObserver | None = None) -> Networks:
        """The same, run in batches of all who ask at a time (`runtime.batching`). For a GPU: float files only."""
        mouth_eye = self.decoder and replace(
            self.decoder,
            mouth=batcher("decoder/mouth", self.decoder.mouth, observer),
            eye=batcher("decoder/eye", self.decoder.eye, observer),
        )
        speech, motion = batcher("speech/speech", self.speech, observer), batcher("motion/motion", self.motion, observer)
        return replace(self, speech=speech, motion=motion, decoder=mouth_eye)

    @property
    def batchers(self) -> tuple[Batcher, ...]:
        """Those of `batched`."""
        engines = (self.speech, self.motion, *((self.decoder.mouth, self.decoder.eye) if self.decoder else ()))
        return tuple(engine for engine in engines if isinstance(engine, Batcher))

    def prepare(self) -> bool:
        """Run batches of every size, when something has run already (on a GPU seconds, or minutes where whole frames are drawn
        there and their kernels were never fused before). Whether there was anything to run."""
        for each in self.batchers:
            each.prepare()
        if self.device_decoder is not None:
            self.device_decoder.prepare()
        return bool(self.batchers) or self.device_decoder is not None

    def close(self) -> None:
        """End what `batched` began."""
        for each in self.batchers:
            each.close()


def batcher(network: str, engine: Engine, observer: BatchObserver | None = None) -> Batcher:
    """One network of `BATCHED`, e.g. motion/motion, for many sessions: batches up to the largest of its plans, filled up to
    powers of two."""
    room, name = network.split("/")
    largest = load_settings(Path(room, f"{name}.onnx")).batch[2]
    sizes = tuple(2**k for k in range(largest.bit_length()))
    told = None if observer is None else partial(observer, name)
    return Batcher(engine, stays=BATCHED[network], most_rows=largest, sizes=sizes, observer=told)

def load_device_decoder(latent: LatentModel, device: str = "cuda", *, refine: bool = True) -> SharedDecoder:
    """The decoder that draws whole frames through torch on cuda, or on cpu for comparison; EngineError without its weights."""
    from talkinghead.render.device.decoder import DeviceDecoder
    from talkinghead.render.device.seat import SharedDecoder

    return SharedDecoder(DeviceDecoder(latent, device=device, refine=refine))
