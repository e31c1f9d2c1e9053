"""Sound to motion without pictures, and sounds to try it with: what `benchmarks/motion.py` measures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from talkinghead.constants import SAMPLE_RATE_HZ
from talkinghead.motion.controls import Controls
from talkinghead.motion.denoiser import MotionScales
from talkinghead.motion.generator import MotionGenerator
from talkinghead.motion.latent import LatentModel, Latents
from talkinghead.motion.style import Style
from talkinghead.runtime.engine import load_engine
from talkinghead.runtime.weights import model_path, network_path
from talkinghead.speech.encoder import EncodedSpeech, SpeechEncoder

_LEVEL = 0.1
"""Loudness of made sounds: -20 dBFS."""
_ENVELOPE_QUEFRENCIES = 26
_WINDOW, _STEP = 512, 128


@dataclass(frozen=True)
class Take:
    """n frames at 40 Hz: gate (n,) 0 silence to 1 speech, z_pose (n, 6), z_dyn (n, D)."""

    gate: np.ndarray
    z_pose: np.ndarray
    z_dyn: np.ndarray

    def cut(self, start: int, end: int | None = None) -> Take:
        """Frames from start to end."""
        return Take(self.gate[start:end], self.z_pose[start:end], self.z_dyn[start:end])


class Player:
    """The shipped pipeline from sound to latents, on the mean face.

    Attributes: latent, scales, encoder, generator: as loaded from the weights.
    """

    def __init__(self) -> None:
        self.latent = LatentModel.load(model_path("latent", "latent.npz"))
        self.scales = MotionScales.load(model_path("motion", "motion.npz"))
        style = Style.load(model_path("motion", "style.npz"))
        self.encoder = SpeechEncoder(load_engine(network_path("speech", "speech.onnx")))
        self.generator = MotionGenerator(load_engine(network_path("motion", "motion.onnx")), self.scales, style, self.latent)

    def __call__(self, sound: np.ndarray | Iterable[np.ndarray], seed: int = 0, controls: Controls | None = None) -> Take:
        """Mono sound (m,) at 16 kHz, or pieces of it, to the motion of its ceil(m / 400) frames, begun anew."""
        self.encoder.reset()
        self.generator.controls = controls or Controls()
        self.generator.reset(seed)
        gates: list[np.ndarray] = []
        parts: list[Latents] = []
        for speech in self._heard([sound] if isinstance(sound, np.ndarray) else sound):
            gates.append(speech.gate)
            parts.append(self.generator.push(speech))
        latents = Latents.join([*parts, self.generator.flush()])
        return Take(np.concatenate(gates), latents.z_pose, latents.z_dyn)

    def _heard(self, pieces: Iterable[np.ndarray]) -> Iterator[EncodedSpeech]:
        for piece in pieces:
            yield self.encoder.push(piece)
        yield self.encoder.flush()


def strung(sounds: list[np.ndarray], seconds: float, pause_s: tuple[float, float], seed: int = 0) -> Iterator[np.ndarray]:
    """Sounds in random order, each followed by a pause of random length in a range, until so many seconds are full."""
    rng = np.random.default_rng(seed)
    left = round(seconds * SAMPLE_RATE_HZ)
    while left > 0:
        for i in rng.permutation(len(sounds)).tolist():
            pause = np.zeros(int(rng.uniform(*pause_s) * SAMPLE_RATE_HZ), np.float32)
            piece = np.concatenate([sounds[i], pause])[:left]
            left -= len(piece)
            yield piece
            if not left:
                return


def silence(seconds: float, noise_dbfs: float | None = None, seed: int = 0) -> np.ndarray:
    """Perfect silence, or the hiss of a room."""
    count = round(seconds * SAMPLE_RATE_HZ)
    if noise_dbfs is None:
        return np.zeros(count, np.float32)
    return (10 ** (noise_dbfs / 20) * np.random.default_rng(seed).standard_normal(count)).astype(np.float32)


def chords(seconds: float, seed: int = 0) -> np.ndarray:
    """Plucked triads of five harmonics, two a second, at -20 dBFS."""
    rng = np.random.default_rng(seed)
    t = np.arange(SAMPLE_RATE_HZ // 2) / SAMPLE_RATE_HZ
    played = []
    for _ in range(int(np.ceil(seconds * 2))):
        root = 110 * 2 ** (rng.choice([0, 2, 4, 5, 7, 9, 11, 12]) / 12)
        notes = [root * 2 ** (k / 12) for k in (0, rng.choice([3, 4]), 7)]
        tone = np.sum([np.sin(2 * np.pi * h * hz * t) / h for hz in notes for h in range(1, 6)], 0)
        played.append(tone * np.minimum(t / 0.01, 1) * np.exp(-t / 0.25))
    return _levelled(np.concatenate(played)[: round(seconds * SAMPLE_RATE_HZ)])


def clipped(sound: np.ndarray) -> np.ndarray:
    """Overdriven: all above the sound's own root mean square is cut off."""
    bound = float(np.sqrt(np.mean(sound**2)))
    return np.clip(sound / bound, -1, 1).astype(np.float32)


def whispered(sound: np.ndarray, seed: int = 0) -> np.ndarray:
    """The same spectral envelopes, excited by noise: no voice, the words remain."""
    noise = np.random.default_rng(seed).standard_normal(len(sound))
    window = np.hanning(_WINDOW + 1)[:-1]
    starts = range(0, len(sound) - _WINDOW, _STEP)
    made = np.zeros(len(sound))
    for at in starts:
        log_size = np.log(np.abs(np.fft.rfft(window * sound[at : at + _WINDOW])) + 1e-6)
        cepstrum = np.fft.irfft(log_size)
        cepstrum[_ENVELOPE_QUEFRENCIES : _WINDOW - _ENVELOPE_QUEFRENCIES + 1] = 0
        envelope = np.exp(np.fft.rfft(cepstrum).real)
        made[at : at + _WINDOW] += window * np.fft.irfft(envelope * np.fft.rfft(window * noise[at : at + _WINDOW]))
    return _levelled(made)


def _levelled(sound: np.ndarray) -> np.ndarray:
    return (sound * (_LEVEL / np.sqrt(np.mean(sound**2)))).astype(np.float32)
