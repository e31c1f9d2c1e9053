"""How far apart sound and picture of training clips are, so that they can be brought together.

    talkinghead train sync --shared SHARED --cache CACHE [--speech models/speech/speech.safetensors]

Clips from the web show lips up to a third of a second before their sound. A linear reader of the lips' opening from phones as
they are heard (a short stretch of the encoder's phonetic neck, which is taught when phones begin by aligned speech, not by
faces) is fitted on GRID, whose sound and picture are in step; where it agrees best with a clip's own opening is that clip's
offset. News anchors are measured by person, since a clip of theirs is only a second long. Writes CACHE/sync.json.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path

import numpy as np
from torch import nn

from talkinghead.constants import FRAME_RATE_HZ
from talkinghead.motion.latent import LatentModel
from talkinghead.speech.encoder import NECK
from talkinghead.speech.features import BANDS, SUB_FRAMES
from talkinghead.training.motion_data import Clip, load_clips
from talkinghead.training.motion_report import openings, rows_of
from talkinghead.training.offsets import FILE
from talkinghead.training.speech import features_of, load_weights

_REFERENCE = "grid_s1"
_CONTEXT_FRAMES = 8
_EVERY = 3
_RIDGE = 300.0
_LONGEST_FRAMES = 16
_FEWEST_FRAMES = 20
_DOUBT_CLIPS = 20
_LEAST_R = 0.2


class Reader:
    """The lips' opening, up to its mean and width, by a person's sound."""

    def __init__(self, hearing: nn.Module, latent: LatentModel, clips: list[Clip]) -> None:
        """Fitted on clips that are in step."""
        self._hearing, self._latent = hearing, latent
        pairs = [self._seen(clip) for clip in clips]
        x = np.concatenate([a for a, _ in pairs])
        y = np.concatenate([(b - b.mean()) / max(float(b.std()), 1e-6) for _, b in pairs])
        self._mean, self._spread = x.mean(0), x.std(0) + 1e-3
        x = (x - self._mean) / self._spread
        self._weights = np.linalg.solve(x.T @ x + _RIDGE * np.eye(x.shape[1]), x.T @ y)

    def _seen(self, clip: Clip) -> tuple[np.ndarray, np.ndarray]:
        """Features (n, k) of each frame and its neighbours, and the real opening (n,)."""
        speech = rows_of(clip)
        features = features_of(self._hearing, speech.rows)[0]
        count, loud = min(len(features), len(clip.z_dyn)), BANDS * SUB_FRAMES
        told = np.concatenate([features[:count, :NECK], speech.rows[:count, loud : loud + 2]], 1)
        wide = np.pad(told, ((_CONTEXT_FRAMES, _CONTEXT_FRAMES), (0, 0)), mode="edge")
        near = [wide[k : k + count] for k in range(2 * _CONTEXT_FRAMES + 1)]
        return np.concatenate(near, 1), openings(self._latent, clip.z_id, clip.z_dyn[:count])

    def curves(self, clip: Clip) -> tuple[np.ndarray, np.ndarray]:
        """Opening as heard and as seen, (n,) each."""
        x, real = self._seen(clip)
        return (x - self._mean) / self._spread @ self._weights, real


def offset_ms(curves: list[tuple[np.ndarray, np.ndarray]]) -> tuple[float, float]:
    """(offset, r there) of curves as heard and as seen at 40 Hz, pooled: > 0 when what is heard is late."""
    found = []
    for k in range(-_LONGEST_FRAMES, _LONGEST_FRAMES + 1):
        pairs = []
        for heard, seen in curves:
            if len(heard) - abs(k) >= _FEWEST_FRAMES:
                a, b = (heard[k:], seen[: len(seen) - k]) if k >= 0 else (heard[:k], seen[-k:])
                pairs.append((a - a.mean(), b - b.mean()))
        if pairs:
            heard_all, seen_all = (np.concatenate(side) for side in zip(*pairs, strict=True))
            found.append((float(np.corrcoef(heard_all, seen_all)[0, 1]), k))
    best = int(np.argmax([r for r, _ in found]))
    at = float(found[best][1])
    if 0 < best < len(found) - 1:  # the top of the parabola through three values
        before, here, after = (found[best + k][0] for k in (-1, 0, 1))
        at += 0.5 * (before - after) / min(before - 2 * here + after, -1e-9)
    return 1000 * at / FRAME_RATE_HZ, found[best][0]


def offsets_ms(reader: Reader, clips: list[Clip]) -> dict[str, float]:
    """By clip's name. Anchors by person, few clips drawn toward what is usual; 0 where heard and seen hardly agree."""
    people: dict[str, list[Clip]] = defaultdict(list)
    for clip in clips:
        people[clip.identity if clip.source == "anchors" else clip.name].append(clip)
    measured = {who: offset_ms([reader.curves(c) for c in theirs]) for who, theirs in people.items()}
    shared = [who for who, theirs in people.items() if theirs[0].source == "anchors"]
    usual = float(np.median([measured[who][0] for who in shared])) if shared else 0.0
    out: dict[str, float] = {}
    for who, theirs in people.items():
        (at, r), sure = measured[who], len(theirs) / (len(theirs) + _DOUBT_CLIPS)
        if theirs[0].source == "anchors":
            at = sure * at + (1 - sure) * usual if r >= _LEAST_R / 2 else usual
        elif r < _LEAST_R:
            at = 0.0
        print(f"{theirs[0].source} {who}: {len(theirs)} clips, {measured[who][0]:+.0f} ms, r {r:.2f} -> {at:+.0f} ms", flush=True)
        out |= {clip.name: at for clip in theirs}
    return out


def main(argv: list[str]) -> None:
    """Entry point of ``talkinghead train sync``."""
    parser = argparse.ArgumentParser(prog="talkinghead train sync", description=__doc__)
    parser.add_argument("--shared", type=Path, required=True, help="folder with data/")
    parser.add_argument("--cache", type=Path, required=True, help="folder of `talkinghead train track`")
    parser.add_argument("--latent", type=Path, default=Path("models/latent/latent.npz"))
    parser.add_argument("--speech", type=Path, default=Path("models/speech/speech.safetensors"), help="whose phones are heard")
    parser.add_argument("--split", choices=("train", "test"), default="train", help="test: only told, nothing is written")
    args = parser.parse_args(argv)
    latent, hearing = LatentModel.load(args.latent), load_weights(args.speech)[0].eval()
    reference = load_clips(args.shared, args.cache, latent, "train", (_REFERENCE,), audible=True)
    reader = Reader(hearing, latent, reference[::_EVERY])
    found = offsets_ms(reader, load_clips(args.shared, args.cache, latent, args.split, ("anchors", "hq"), audible=True))
    if args.split == "test":
        return
    path = args.cache / FILE
    path.write_text(json.dumps(found, indent=0))
    print(f"wrote {path}")
