"""Made-up sounds in which nobody speaks: music, drums, noise, machines. Under them lips are to stay shut.

Nothing is recorded: chords and tunes of additive timbres, filtered sweeps, drums, hiss whose colour and strength wander, hums and
signals. They are labelled as silence, and a share of them lies under voices, so that music is not the sign that nobody speaks.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from talkinghead.constants import SAMPLE_RATE_HZ
from talkinghead.training.sound_bank import Spoken

_PIECE_S = (12.0, 30.0)
_NOTES = (0, 2, 3, 4, 5, 7, 8, 9, 11, 12)
_TRIADS = ((0, 4, 7), (0, 3, 7), (0, 5, 7), (0, 4, 7, 11), (0, 3, 7, 10), (0, 7), (0, 12))


def _times(seconds: float) -> np.ndarray:
    return np.arange(round(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ


def _wander(count: int, every_s: float, low: float, high: float, rng: np.random.Generator) -> np.ndarray:
    """A value (count,) that moves between new ones every so often."""
    knots = np.arange(0, count + SAMPLE_RATE_HZ * every_s, SAMPLE_RATE_HZ * every_s)
    return np.interp(np.arange(count), knots, rng.uniform(low, high, len(knots)))


def _tone(hz: float, seconds: float, timbre: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One note of harmonics (k,), struck or swelling, perhaps with vibrato."""
    t = _times(seconds)
    vibrato = 1 + rng.choice([0.0, 0.006]) * np.sin(2 * np.pi * rng.uniform(4, 7) * t)
    phase = 2 * np.pi * np.cumsum(hz * vibrato) / SAMPLE_RATE_HZ
    heard = [(k, size) for k, size in enumerate(timbre, 1) if k * hz < SAMPLE_RATE_HZ / 2.2]
    note = np.sum([size * np.sin(k * phase) for k, size in heard], 0) if heard else np.sin(phase)
    rise_s, fall_s = (rng.uniform(0.003, 0.02), rng.uniform(0.08, 0.6)) if rng.uniform() < 0.6 else (rng.uniform(0.05, 0.3), 9.0)
    return note * np.minimum(t / rise_s, 1) * np.exp(-t / fall_s) * np.minimum((seconds - t) / 0.02, 1)


def _music(seconds: float, rng: np.random.Generator) -> np.ndarray:
    """Chords, arpeggios or one line of notes, on one instrument, in time."""
    beat_s = rng.uniform(0.12, 0.7)
    key_hz = 55 * 2 ** rng.uniform(0, 3)
    harmonics = np.arange(1, int(rng.integers(2, 17)))
    timbre = rng.uniform(0.3, 1, len(harmonics)) / harmonics ** rng.uniform(0.3, 2)
    kind = rng.choice(["chords", "line", "arpeggio"])
    played = np.zeros(len(_times(seconds)) + SAMPLE_RATE_HZ * 3)
    at, k, root = 0.0, 0, key_hz
    chord: tuple[int, ...] = (0,)
    while at < seconds:
        if kind != "arpeggio" or k % 4 == 0:
            chord = _TRIADS[int(rng.integers(len(_TRIADS)))] if kind != "line" else (0,)
            root = key_hz * 2 ** (_NOTES[int(rng.integers(len(_NOTES)))] / 12)
        steps = chord if kind == "chords" else (chord[k % len(chord)],)
        length_s = beat_s * rng.choice([1, 1, 2]) if rng.uniform() < 0.85 else beat_s / 2
        if rng.uniform() > 0.1:  # or a rest
            note = np.sum([_tone(root * 2 ** (step / 12), min(2.5, length_s * 1.2), timbre, rng) for step in steps], 0)
            start = round(at * SAMPLE_RATE_HZ)
            played[start : start + len(note)] += note * rng.uniform(0.5, 1)
        at, k = at + length_s, k + 1
    return played[: len(_times(seconds))]


def _drums(seconds: float, rng: np.random.Generator) -> np.ndarray:
    """Kicks, snares and cymbals on a grid."""
    beat_s = rng.uniform(0.11, 0.35)
    t = _times(0.4)
    kick = np.sin(2 * np.pi * (50 * t + 25 * (1 - np.exp(-t / 0.03)))) * np.exp(-t / 0.12)
    played = np.zeros(len(_times(seconds)) + len(t))
    pattern = rng.uniform(size=(3, 16)) < np.array([[0.3], [0.2], [0.5]])
    for k in range(int(seconds / beat_s)):
        start = round(k * beat_s * SAMPLE_RATE_HZ)
        hiss = rng.standard_normal(len(t))
        hits = (kick, 0.5 * hiss * np.exp(-t / 0.08), 0.3 * np.diff(hiss, prepend=0) * np.exp(-t / 0.03))
        for on, hit in zip(pattern[:, k % 16], hits, strict=True):
            played[start : start + len(t)] += on * rng.uniform(0.5, 1) * hit
    return played[: len(_times(seconds))]


def _band(seconds: float, rng: np.random.Generator) -> np.ndarray:
    """Music over drums."""
    a, b = _music(seconds, rng), _drums(seconds, rng)
    return a / (a.std() + 1e-9) + rng.uniform(0.3, 1.5) * b / (b.std() + 1e-9)


def _hiss(seconds: float, rng: np.random.Generator) -> np.ndarray:
    """Noise of some colour whose strength wanders or comes in strokes: wind, traffic, rustling, typing."""
    count = len(_times(seconds))
    hz = np.fft.rfftfreq(count, 1 / SAMPLE_RATE_HZ)
    shape = (hz + 30) ** -rng.uniform(0, 1.2)
    if rng.uniform() < 0.5:
        middle, wide = np.exp(rng.uniform(np.log(150), np.log(6000))), rng.uniform(0.15, 1)
        shape = shape * np.exp(-0.5 * (np.log((hz + 1) / middle) / wide) ** 2)
    noise = np.fft.irfft(shape * np.fft.rfft(rng.standard_normal(count)), count)
    if rng.uniform() < 0.4:
        strokes = np.zeros(count)
        strokes[rng.integers(0, count, int(seconds * rng.uniform(1, 8)))] = 1
        decay = np.exp(-_times(0.3) / rng.uniform(0.005, 0.1))
        return noise * np.convolve(strokes, decay)[:count]
    return noise * _wander(count, rng.uniform(0.05, 2), rng.uniform(0, 1), 1, rng)


def _signals(seconds: float, rng: np.random.Generator) -> np.ndarray:
    """Hums, sirens, rings and beeps: one or two gliding tones, switched on and off or not."""
    count, made = len(_times(seconds)), np.zeros(len(_times(seconds)))
    for _ in range(int(rng.integers(1, 3))):
        low = np.exp(rng.uniform(np.log(60), np.log(2500)))
        course = _wander(count, rng.uniform(0.1, 3), low, low * rng.uniform(1, 1.8), rng)
        phase = 2 * np.pi * np.cumsum(course) / SAMPLE_RATE_HZ
        made += np.sum([np.sin(k * phase) / k for k in range(1, int(rng.integers(2, 12)))], 0)
    switched = rng.uniform() < 0.6
    return made * (np.sin(2 * np.pi * rng.uniform(0.3, 6) * _times(seconds)) > rng.uniform(-0.5, 0.5)) if switched else made


_KINDS: dict[str, tuple[float, Callable[[float, np.random.Generator], np.ndarray]]] = {
    "music": (0.4, _music), "band": (0.2, _band), "drums": (0.1, _drums), "hiss": (0.15, _hiss), "signals": (0.15, _signals),
}  # fmt: skip
"""Share, and what makes so many seconds of it."""


def made_up(minutes: float, seed: int = 0) -> list[Spoken]:
    """About so many minutes of sound in pieces of 12 to 30 s, labelled as silence; the same for the same seed."""
    rng, left, made = np.random.default_rng(seed), 60 * minutes, list[Spoken]()
    names, odds = list(_KINDS), np.array([share for share, _ in _KINDS.values()])
    while left > 0:
        name, seconds = names[rng.choice(len(names), p=odds)], rng.uniform(*_PIECE_S)
        sound = _KINDS[name][1](seconds, rng)
        sound = (0.1 * sound / (sound.std() + 1e-9)).clip(-1, 1).astype(np.float16)
        made.append(Spoken(f"sounds/{name}", sound, np.array([0.0, seconds]), np.zeros(2, np.int8)))
        left -= seconds
    return made
