"""How well the speech encoder hears unseen sentences and speakers: phones, and closures of p, b and m.

    talkinghead train speech_report --shared SHARED [--split test]

For each set of data/speech, as recorded, with noise at 10 dB, and at telephone bandwidth: the share of frames whose phone is told
right (40 classes, silence among them; within brackets speech frames only), and closure recall: the share of p, b and m during
which one of them is the likeliest phone at some frame.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
from torch import nn

from talkinghead.constants import SAMPLE_RATE_HZ
from talkinghead.speech.encoder import LOOKAHEAD_FRAMES
from talkinghead.speech.features import FeatureStream, silent_rows
from talkinghead.training.sound_augment import mu_law
from talkinghead.training.sound_bank import CLOSED, HELD_FILE, UNKNOWN, Spoken, load_spoken
from talkinghead.training.speech import features_of, load_weights

_NOISE_DB = 10.0
_TELEPHONE_HZ = (300.0, 3400.0)


def noisy(sound: np.ndarray) -> np.ndarray:
    """Sound (n,) with pink-like noise 10 dB under its speech."""
    rng = np.random.default_rng(len(sound))
    hz = np.fft.rfftfreq(len(sound), 1 / SAMPLE_RATE_HZ)
    noise = np.fft.irfft(np.fft.rfft(rng.standard_normal(len(sound))) * (hz + 50) ** -0.5, len(sound))
    loud = np.abs(sound) > 0.1 * np.abs(sound).max()
    power = np.mean(sound[loud] ** 2) / np.mean(noise**2) * 10 ** (-_NOISE_DB / 10)
    return (sound + np.sqrt(power) * noise).astype(np.float32)


def telephone(sound: np.ndarray) -> np.ndarray:
    """Sound (n,) between 300 and 3,400 Hz, eight bits mu-law a sample."""
    hz = np.fft.rfftfreq(len(sound), 1 / SAMPLE_RATE_HZ)
    band = (hz > _TELEPHONE_HZ[0]) & (hz < _TELEPHONE_HZ[1])
    x = np.fft.irfft(np.fft.rfft(sound) * band, len(sound))
    return 0.3 * mu_law(x / (np.abs(x).max() + 1e-9))


CONDITIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "as recorded": lambda sound: sound,
    "noise 10 dB": noisy,
    "telephone": telephone,
}


def heard(net: nn.Module, one: Spoken, change: Callable[[np.ndarray], np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Likeliest and true phone (n,) of every frame of a file."""
    stream = FeatureStream()
    parts = [stream.push(change(one.sound.astype(np.float32))).rows, silent_rows(LOOKAHEAD_FRAMES).rows]
    told = features_of(net, np.concatenate(parts))[1].argmax(1)
    return told, one.labels(1.0, len(told))


def counts(told: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Frames right and known, speech frames right and known, closures heard and all (6,)."""
    known, speech = true != UNKNOWN, true > 0
    right = told == true
    starts = np.flatnonzero(np.diff(true, prepend=-2) != 0)
    spans = [(a, b) for a, b in zip(starts, [*starts[1:], len(true)], strict=True) if true[a] in CLOSED]
    shut = sum(bool(np.isin(told[a:b], CLOSED).any()) for a, b in spans)
    return np.array([(right & known).sum(), known.sum(), (right & speech).sum(), speech.sum(), shut, len(spans)], float)


def main(argv: list[str]) -> None:
    """Entry point of ``talkinghead train speech_report``: prints a table, and JSON with ``--json``."""
    parser = argparse.ArgumentParser(prog="talkinghead train speech_report", description=__doc__)
    parser.add_argument("--shared", type=Path, required=True, help="folder with data/")
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--split", choices=("train", "test"), default="test", help="train: the files held out for choosing")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args(argv)
    net = load_weights(args.models / "speech" / "speech.safetensors")[0]
    spoken = load_spoken(args.shared, args.split)
    if args.split == "train":
        spoken = spoken[::HELD_FILE]
    table: dict[str, dict[str, list[float]]] = defaultdict(dict)
    for name in sorted({one.speaker.split("/")[0] for one in spoken}):
        for label, change in CONDITIONS.items():
            files = [one for one in spoken if one.speaker.startswith(f"{name}/")]
            total = np.sum([counts(*heard(net, one, change)) for one in files], 0)
            table[name][label] = [round(float(v), 3) for v in total[::2] / np.maximum(total[1::2], 1)]
    print("| set | " + " | ".join(f"{label}: phones (speech only), closures" for label in CONDITIONS) + " |")
    print("|---" * (len(CONDITIONS) + 1) + "|")
    for name, row in table.items():
        print(f"| {name} | " + " | ".join(f"{a:.2f} ({b:.2f}), {c:.2f}" for a, b, c in row.values()) + " |")
    if args.json:
        print(json.dumps(table))
