"""Sounds that the tests make themselves: beeps at known times, and something like speech."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

CLICKS_S = (0.5, 1.0, 1.75)

Sound = Callable[..., Path]


def clicks(rate_hz: int, channels: int = 1, length_s: float = 2.0) -> np.ndarray:
    """float32 (channels, n): short beeps at CLICKS_S, silence between."""
    time_s = np.arange(int(length_s * rate_hz)) / rate_hz
    beeps = [np.sin(2 * np.pi * 1000 * (time_s - at)) * np.exp(-(((time_s - at) / 0.002) ** 2) / 2) for at in CLICKS_S]
    return np.tile(0.8 * np.sum(beeps, axis=0, dtype=np.float32), (channels, 1)).astype(np.float32)


def babble(length_s: float, rate_hz: int = 16_000) -> np.ndarray:
    """float32 (n,): vowels with moving formants, hissing and stopped consonants between them, a pause now and then."""
    rng = np.random.default_rng(7)
    time_s = np.arange(int(length_s * rate_hz)) / rate_hz
    knots_s = np.arange(0, length_s + 0.25, 0.125)  # eight targets a second: vowel, consonant, vowel, ...

    def course(low: float, high: float) -> np.ndarray:
        return np.interp(time_s, knots_s, rng.uniform(low, high, len(knots_s)))

    pitch_hz, first_hz, second_hz = course(100, 150), course(300, 800), course(900, 2200)
    phase = 2 * np.pi * np.cumsum(pitch_hz) / rate_hz
    voice = np.zeros(len(time_s))
    for k in range(1, 30):
        hz = k * pitch_hz
        gain = 1 / (1 + ((hz - first_hz) / 90) ** 2) + 0.4 / (1 + ((hz - second_hz) / 130) ** 2)
        voice += (gain + 0.01) * np.cos(k * phase)
    kind = rng.integers(0, 3, len(knots_s))  # of the consonant: a stop, a hiss, a nasal
    beat = np.interp(time_s, knots_s, np.where(np.arange(len(knots_s)) % 2 == 0, 1.0, np.where(kind == 2, 0.25, 0.0)))
    hiss = np.interp(time_s, knots_s, (np.arange(len(knots_s)) % 2 == 1) * (kind == 1) * 0.3)
    pause = np.interp(time_s, knots_s, np.arange(len(knots_s)) % 24 < 20)
    sound = pause * (0.1 * voice * beat + 0.1 * hiss * rng.standard_normal(len(time_s)))
    return (sound + 1e-4 * rng.standard_normal(len(time_s))).astype(np.float32)


def click_times(pcm: np.ndarray, rate_hz: int) -> list[float]:
    """Where the beeps of mono `pcm` are, seconds: centres of energy round the places where they should be."""
    time_s = np.arange(len(pcm)) / rate_hz
    near = [np.abs(time_s - at) < 0.2 for at in CLICKS_S]
    return [float((time_s[w] * pcm[w] ** 2).sum() / (pcm[w] ** 2).sum()) for w in near]


def decoded(path: Path, rate_hz: int) -> np.ndarray:
    """The first channel of a file's sound at `rate_hz`, by FFmpeg alone."""
    resampler = av.AudioResampler("fltp", "mono", rate_hz)
    with av.open(str(path)) as container:
        frames = [*container.decode(audio=0)]
    return np.concatenate([done.to_ndarray()[0] for frame in [*frames, None] for done in resampler.resample(frame)])


def make_sound_file(
    folder: Path,
    name: str,
    pcm: np.ndarray,
    rate_hz: int = 48_000,
    codec: str = "pcm_s16le",
    *,
    start_s: float = 0.0,
    pause: tuple[float, float] | None = None,
    with_video: bool = False,
) -> Path:
    """Write (channels, n) `pcm`; `start_s` and `pause` = (from, length), seconds, move its time stamps."""
    path = folder / name
    layout = "mono" if len(pcm) == 1 else "stereo"
    with av.open(str(path), "w") as container:
        if with_video:
            video = container.add_stream("mpeg4", rate=25)
            video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
        stream = container.add_stream(codec, rate=rate_hz, layout=layout)
        if with_video:
            picture = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
            container.mux([*video.encode(picture), *video.encode(None)])
        for at in range(0, pcm.shape[1], 960):
            block = np.ascontiguousarray(pcm[:, at : at + 960])
            frame = av.AudioFrame.from_ndarray(block, format="fltp", layout=layout)
            late_s = start_s + (pause[1] if pause and at >= pause[0] * rate_hz else 0.0)
            frame.sample_rate, frame.time_base = rate_hz, Fraction(1, rate_hz)
            frame.pts = at + round(late_s * rate_hz)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path
