"""What is measured with: a photo and a voice, and the parts of the pipeline by themselves."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from talkinghead.avatar import Avatar
from talkinghead.constants import SAMPLE_RATE_HZ
from talkinghead.errors import TalkingHeadError
from talkinghead.motion.denoiser import MotionScales
from talkinghead.motion.generator import MotionGenerator
from talkinghead.motion.latent import LatentModel, Latents
from talkinghead.motion.style import Style
from talkinghead.networks import Networks
from talkinghead.portrait.portrait import FaceReader, Portrait
from talkinghead.runtime.engine import Engine, load_engine
from talkinghead.runtime.weights import model_path, network_path
from talkinghead.speech.encoder import SpeechEncoder
from talkinghead.speech.source import SpeechFile

_LONGEST_S = 8
_EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "data"


@dataclass(frozen=True)
class Material:
    """A photo that was read, some seconds of sound (n,) at 16 kHz, and the latent model."""

    portrait: Portrait
    sound: np.ndarray
    latent: LatentModel

    @classmethod
    def open(cls, photo: Path | None, audio: Path | None) -> Material:
        """Files, or the examples of a checkout; TalkingHeadError where there are none."""
        photo, audio = photo or _EXAMPLES / "portrait.jpg", audio or _EXAMPLES / "speech.ogg"
        if not (photo.exists() and audio.exists()):
            raise TalkingHeadError("what to measure with? give --photo FILE and --audio FILE")
        latent = LatentModel.load(model_path("latent", "latent.npz"))
        sound = np.concatenate(list(itertools.islice(SpeechFile(audio).blocks(), 10 * _LONGEST_S + 1)))
        return cls(FaceReader(latent).read(photo), sound[: _LONGEST_S * SAMPLE_RATE_HZ], latent)

    @property
    def digest(self) -> str:
        """A short hash over the photo's face and the sound."""
        return hashlib.sha256(self.portrait.face.tobytes() + self.sound.tobytes()).hexdigest()[:12]

    def avatar(self, device: str) -> Avatar:
        """The portrait with its networks on a device."""
        return Avatar(self.portrait, Networks.load(device))

    def motion(self, speech: Engine, motion: Engine, seed: int = 0) -> Latents:
        """What the face does under the sound, by given networks."""
        encoder, generator = SpeechEncoder(speech), self.generator(motion, seed)
        parts = [generator.push(encoder.push(self.sound)), generator.push(encoder.flush())]
        return Latents.join([*parts, generator.flush()])

    def generator(self, motion: Engine, seed: int = 0) -> MotionGenerator:
        """A generator on the mean face."""
        scales, style = MotionScales.load(model_path("motion", "motion.npz")), Style.load(model_path("motion", "style.npz"))
        return MotionGenerator(motion, scales, style, self.latent, seed=seed)

    def pieces(self, samples: int) -> Iterator[np.ndarray]:
        """The sound in pieces of one size, again and again."""
        whole = len(self.sound) // samples
        if not whole:
            raise TalkingHeadError("the sound is too short to measure with: give an --audio of a second or more")
        return itertools.cycle(self.sound[: whole * samples].reshape(whole, samples))


def shipped(network: str, device: str, threads: int = 1) -> Engine:
    """A network, e.g. decoder/mouth, as the pipeline loads it."""
    room, name = network.split("/")
    return load_engine(network_path(room, f"{name}.onnx", device=device), device, threads)


def say_nothing(line: str) -> None:
    """For who does not watch."""


Say = Callable[[str], None]
