"""How well generated lips follow real ones, straight from latents (no picture is drawn).

    talkinghead train motion_report --shared SHARED --cache CACHE [--split test]

For each clip: Pearson r of inner-lip opening at the best lag within 200 ms, that lag (> 0: late), and the ratio of standard
deviations (gain), against the tracked face. The definition of opening is that of the scoring script.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np

from talkinghead.constants import FRAME_RATE_HZ
from talkinghead.motion.denoiser import HOP_FRAMES, MotionScales
from talkinghead.motion.generator import MotionGenerator
from talkinghead.motion.latent import EYE_OUTER_CORNERS, LatentModel
from talkinghead.motion.style import Style
from talkinghead.runtime.weights import int8_path
from talkinghead.speech.encoder import LOOKAHEAD_FRAMES, SpeechEncoder
from talkinghead.speech.features import FeatureStream, SpeechFrames, silent_rows
from talkinghead.training.latent import opening
from talkinghead.training.motion_data import SOURCES, Clip, hold_out, load_clips
from talkinghead.training.sound_bank import CLOSED, HELD_FILE, PHONE_NAMES, Spoken, load_spoken

VOWELS = tuple(i for i, name in enumerate(PHONE_NAMES) if name[0] in "AEIOU")
_GRID_HZ = 100
_LONGEST_LAG = 20


def openings(latent: LatentModel, z_id: np.ndarray, z_dyn: np.ndarray) -> np.ndarray:
    """Inner-lip opening (n,) in inter-ocular distances of a person's codes (n, D)."""
    neutral = latent.mean + np.tensordot(z_id, latent.basis_id, 1)
    right, left = (neutral[i, :2] for i in EYE_OUTER_CORNERS)
    return opening(neutral + np.tensordot(z_dyn, latent.basis_dyn, 1)) / np.linalg.norm(right - left)


def lagged(made: np.ndarray, real: np.ndarray) -> tuple[float, int]:
    """Best (r, lag in ms) of two 40 Hz curves; lag > 0 when ``made`` is late."""
    count = min(len(made), len(real))
    fine = np.arange(0, (count - 1) / FRAME_RATE_HZ, 1 / _GRID_HZ)
    a, b = (np.interp(fine, np.arange(count) / FRAME_RATE_HZ, x[:count]) for x in (made, real))
    n, best = len(fine), (-2.0, 0)
    for k in range(-_LONGEST_LAG, _LONGEST_LAG + 1):
        u, v = (a[k:], b[: n - k]) if k >= 0 else (a[: n + k], b[-k:])
        if len(u) > 30 and u.std() > 1e-9 and v.std() > 1e-9:
            best = max(best, (float(np.corrcoef(u, v)[0, 1]), k * 1000 // _GRID_HZ))
    return best


def rows_of(clip: Clip) -> SpeechFrames:
    """Features of a clip's whole sound, then silence to cover the look-ahead."""
    return _with_silence(FeatureStream(), clip.sound)


def _with_silence(stream: FeatureStream, sound: np.ndarray) -> SpeechFrames:
    parts = [stream.push(sound), stream.flush(), silent_rows(LOOKAHEAD_FRAMES + HOP_FRAMES)]
    return SpeechFrames(*(np.concatenate(p) for p in zip(*parts, strict=True)))


def figures(latent: LatentModel, clips: list[Clip], codes_of: Callable[[Clip], np.ndarray]) -> dict[str, dict[str, float]]:
    """Mean r, median lag (ms) and median gain by source; ``codes_of`` gives a clip's generated z_dyn (n, D)."""
    rows: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
    for clip in clips:
        made, real = (openings(latent, clip.z_id, z) for z in (codes_of(clip), clip.z_dyn))
        r, lag_ms = lagged(made, real)
        if r > -2:
            rows[clip.source].append((r, lag_ms, made.std() / real.std()))
    table = {}
    for source, values in rows.items():
        r, lag_ms, gain = np.array(values).T
        table[source] = {
            "clips": len(r),
            "aperture_r": r.mean(),
            "lag_ms": float(np.median(lag_ms)),
            "gain": float(np.median(gain)),
        }
    return table


def closure_recall(
    latent: LatentModel, z_id: np.ndarray, spoken: list[Spoken], speak: Callable[[SpeechFrames], np.ndarray]
) -> float:
    """The recall of `lips_of_voices` alone."""
    return lips_of_voices(latent, z_id, spoken, speak)[0]


def lips_of_voices(
    latent: LatentModel, z_id: np.ndarray, spoken: list[Spoken], speak: Callable[[SpeechFrames], np.ndarray]
) -> tuple[float, float]:
    """Closure recall, and the median over files of the open gap in inter-ocular distances: lips that hardly part shut easily.

    The recall is the share of the p, b and m of phone-aligned speech at which the lips shut: a gap below a fifth of the median
    open gap (that of the frames of vowels) at some frame. ``speak`` gives the z_dyn (n, D) of features; ``z_id`` is whose lips
    they are.
    """
    shut = total = 0
    open_gaps: list[float] = []
    for one in spoken:
        speech = _with_silence(FeatureStream(), one.sound.astype(np.float32))
        gap = openings(latent, z_id, speak(speech))
        phone = one.labels(1.0, len(gap))
        open_gaps.append(float(np.median(gap[np.isin(phone, VOWELS)])))
        starts = np.flatnonzero(np.diff(phone, prepend=-2) != 0)
        for start, end in zip(starts, [*starts[1:], len(phone)], strict=True):
            if phone[start] in CLOSED:
                total += 1
                shut += bool(gap[start:end].min() < open_gaps[-1] / 5)
    return shut / max(1, total), float(np.nanmedian(open_gaps))


def say(table: dict[str, dict[str, float]]) -> str:
    """One line of `figures`."""
    return " ".join(f"{s} r {f['aperture_r']:.3f} lag {f['lag_ms']:+.0f} gain {f['gain']:.2f};" for s, f in table.items())


class Speaker:
    """The shipped pipeline from log-mel rows to z_dyn."""

    def __init__(self, models: Path, latent: LatentModel, seed: int = 0, eager: bool = False) -> None:
        from talkinghead.runtime.onnx import OnnxEngine

        folder = models / "motion"
        self._encoder = SpeechEncoder(OnnxEngine(int8_path(models / "speech" / "speech.onnx")))
        numbers = (MotionScales.load(folder / "motion.npz"), Style.load(folder / "style.npz"), latent)
        engine, self._seed = OnnxEngine(int8_path(folder / "motion.onnx")), seed
        self._generator = MotionGenerator(engine, *numbers, eager=eager)

    def __call__(self, speech: SpeechFrames) -> np.ndarray:
        """z_dyn (n, D) of rows (n + look-ahead, FEATURES)."""
        self._encoder.reset()
        self._generator.reset(self._seed)
        return self._generator.push(self._encoder.push_rows(speech)).z_dyn


def main(argv: list[str]) -> None:
    """Entry point of ``talkinghead train motion_report``: prints a table, and JSON with ``--json``."""
    parser = argparse.ArgumentParser(prog="talkinghead train motion_report", description=__doc__)
    parser.add_argument("--shared", type=Path, required=True, help="folder with data/")
    parser.add_argument("--cache", type=Path, required=True, help="folder of `talkinghead train track`")
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--split", choices=("train", "test"), default="test")
    parser.add_argument("--closures", action="store_true", help="also p, b and m of the phone-aligned speech")
    parser.add_argument("--eager", action="store_true", help="as in a call, where no frame waits for its hop")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args(argv)
    latent = LatentModel.load(args.models / "latent" / "latent.npz")
    speak = Speaker(args.models, latent, eager=args.eager)
    clips = load_clips(args.shared, args.cache, latent, args.split, SOURCES, audible=True)
    if args.split == "train":  # those that chose, not those that taught
        clips = hold_out(clips)[1]
    table = figures(latent, clips, lambda clip: speak(rows_of(clip)))
    for source, f in table.items():
        print(f"{source:8} {f['clips']:4.0f} clips  r {f['aperture_r']:.3f}  lag {f['lag_ms']:+4.0f} ms  gain {f['gain']:.2f}")
    z_id = np.mean([clip.z_id for clip in clips], 0)
    spoken = load_spoken(args.shared, args.split) if args.closures else []
    if args.split == "train":
        spoken = spoken[::HELD_FILE]
    for name in sorted({one.speaker.split("/")[0] for one in spoken}):
        theirs = [one for one in spoken if one.speaker.startswith(f"{name}/")]
        recall, open_gap = lips_of_voices(latent, z_id, theirs, speak)
        print(f"{name:15} closure recall of p b m {recall:.2f}, vowels open by {open_gap:.3f}")
    if args.json:
        print(json.dumps(table))
