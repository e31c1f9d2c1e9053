"""The same words through another microphone, room, line and noise: what makes a network hear speech and not a recording."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from talkinghead.constants import SAMPLE_RATE_HZ


@dataclass(frozen=True)
class Behind:
    """What may be heard behind a voice: long stretches (n,) float32 of other voices and of music, longer than any sound."""

    voices: np.ndarray
    music: np.ndarray


def augment(sound: np.ndarray, rng: np.random.Generator, behind: Behind) -> np.ndarray:
    """Sound (n,) float32 at 16 kHz, changed at random: colour, band limits, room, noise, coarse codec, gain, clipping.
    No delay."""
    x = sound.astype(np.float32)
    x = _filtered(x, rng)
    x = x / (np.sqrt(np.mean(x**2)) + 1e-5) * 0.05
    if rng.uniform() < 0.65:
        x = x + _noise(len(x), rng, behind) * 0.05 * 10 ** (-rng.uniform(4, 35) / 20)
    if rng.uniform() < 0.1:
        x = mu_law(x / (np.abs(x).max() + 1e-6)) * np.float32(0.05 / 0.2)
    x = x * 10 ** (rng.uniform(-28, 16) / 20)
    return np.clip(x, -1, 1).astype(np.float32)


def _filtered(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Microphone colour, band limits and room, in one go in the frequency domain."""
    size = 1 << int(np.ceil(np.log2(len(x) + SAMPLE_RATE_HZ // 2)))
    hz = np.fft.rfftfreq(size, 1 / SAMPLE_RATE_HZ)
    gain_db = np.zeros(len(hz))
    if rng.uniform() < 0.8:
        knots_hz = np.geomspace(60, 8000, 8)
        gain_db += np.interp(np.log(hz + 1), np.log(knots_hz), rng.normal(0, 5, 8))
    chance = rng.uniform()
    low_hz, high_hz = (300.0, 3400.0) if chance < 0.15 else (rng.uniform(20, 200), rng.uniform(3800, 12000))
    if chance < 0.5:
        gain_db -= 40 * np.clip(np.log2(low_hz / (hz + 1)), 0, 1.5) + 60 * np.clip(np.log2((hz + 1) / high_hz), 0, 1)
    spectrum = np.fft.rfft(x, size) * 10 ** (gain_db / 20)
    if rng.uniform() < 0.4:
        spectrum = spectrum * np.fft.rfft(_room(rng), size)
    return np.fft.irfft(spectrum, size)[: len(x)].astype(np.float32)


def _room(rng: np.random.Generator) -> np.ndarray:
    """Impulse response: the direct sound, then dying noise."""
    decay_s = rng.uniform(0.08, 0.6)
    t = np.arange(int(0.45 * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    tail = rng.standard_normal(len(t)) * np.exp(-6.9 * t / decay_s) * (t > rng.uniform(0.002, 0.02))
    tail *= 10 ** (-rng.uniform(0, 14) / 20) / np.sqrt((tail**2).sum())
    tail[0] = 1.0
    return tail


def _noise(count: int, rng: np.random.Generator, behind: Behind) -> np.ndarray:
    """Unit-power noise (count,): coloured hiss, hum, many voices, or music."""
    chance = rng.uniform()
    if chance < 0.45:
        source, many = (behind.voices, 5) if chance < 0.25 else (behind.music, 1)
        starts = rng.integers(0, max(1, len(source) - count), many)
        noise = np.sum([source[s : s + count] for s in starts], 0)
        noise = np.pad(noise, (0, count - len(noise)))
    else:
        hz = np.fft.rfftfreq(count, 1 / SAMPLE_RATE_HZ)
        shape = (hz + 30) ** -rng.uniform(0, 1.2)
        noise = np.fft.irfft(shape * np.fft.rfft(rng.standard_normal(count)), count)
        if rng.uniform() < 0.2:
            t = np.arange(count) / SAMPLE_RATE_HZ
            hum = np.sum([np.sin(2 * np.pi * k * rng.choice([50, 60]) * t) / k for k in (1, 2, 3)], 0)
            noise = noise / noise.std() + rng.uniform(0, 2) * hum
    return (noise / (noise.std() + 1e-9)).astype(np.float32)


def mu_law(x: np.ndarray) -> np.ndarray:
    """Sound (n,) within -1..1 in eight bits a sample, as on a telephone line."""
    coded = np.round(np.sign(x) * np.log1p(255 * np.abs(x)) / np.log(256) * 127) / 127
    return (np.sign(coded) * (256 ** np.abs(coded) - 1) / 255).astype(np.float32)
