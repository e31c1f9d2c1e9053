"""Training sequences of the motion network: performances with the features of their disguised sounds, cut into hops."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from talkinghead.motion.denoiser import (
    FLAGS,
    HOP_FRAMES,
    LASTING,
    STATE,
    frame_conditions,
    hop_conditions,
)
from talkinghead.motion.latent import POSE_SIZE, LatentModel
from talkinghead.speech.encoder import SPEECH_FEATURES, gate_course
from talkinghead.speech.features import BANDS, SUB_FRAMES
from talkinghead.training.motion_data import Clip
from talkinghead.training.motion_state import Eyes, Performance, mirror, perform
from talkinghead.training.sound_bank import Stream
from talkinghead.training.speech import features_of

BUCKETS = ({"hops": 56, "count": 8}, {"hops": 20, "count": 20})
"""Sequences of a batch by length: whole GRID clips, and the anchors' short ones."""
SHARES = (
    {"grid_s1": 0.40, "hq": 0.35, "silent": 0.25},
    {"anchors": 0.70, "hq": 0.20, "grid_s1": 0.10},
)
DROPPED = {"speech": 0.12, "gaze": 0.3, "lids": 0.15, "emotion": 0.3, "liveliness": 0.15, "articulation": 0.15}
"""Chances that a condition is missing."""
_FORGET = 0.08
_STILL = -1.3
"""Articulation below which a clip without speech shows a silent person."""
_LOUD_COLUMN = BANDS * SUB_FRAMES


@dataclass(frozen=True)
class Act:
    """A performance with its sound: speech (n, SPEECH_FEATURES + 2) float16, or None when nothing is known of it."""

    source: str
    made: Performance
    speech: np.ndarray | None


def encoded(net: nn.Module, rows: np.ndarray) -> np.ndarray:
    """What `EncodedSpeech` holds, of a whole sound's rows (n, FEATURES): (n - LOOKAHEAD_FRAMES, SPEECH_FEATURES + 2) float32."""
    features, _ = features_of(net, rows)
    rows = np.asarray(rows, np.float32)
    gate = gate_course(rows[:, -1], len(features))
    return np.concatenate([gate[:, None] * features, gate[:, None], rows[: len(features), _LOUD_COLUMN, None]], 1)


def acts_of(streams: list[Stream], net: nn.Module, latent: LatentModel, eyes: Eyes, usual: np.ndarray) -> Iterator[Act]:
    """The clips of face streams."""
    for stream in streams:
        assert stream.z_dyn is not None and stream.z_pose is not None and stream.cuts is not None
        speech = encoded(net, stream.rows)
        for start, end in zip(stream.cuts, [*stream.cuts[1:], len(speech)], strict=True):
            end = min(int(end) - 1, len(speech))  # played faster, the last frame may be half of the next clip
            if end - start > HOP_FRAMES * BUCKETS[1]["hops"]:
                z_dyn, z_pose = (z[start:end].astype(np.float32) for z in (stream.z_dyn, stream.z_pose))
                made = perform(latent, eyes, usual, z_dyn, z_pose)
                yield Act(stream.source, made, speech[start:end].astype(np.float16))


def silent_acts(clips: list[Clip], latent: LatentModel, eyes: Eyes, usual: np.ndarray) -> Iterator[Act]:
    """Clips whose sound is none or music: of still lips with perfect silence, of moving ones with speech unknown."""
    for clip in clips:
        if clip.audible or len(clip.z_dyn) <= HOP_FRAMES * BUCKETS[0]["hops"]:
            continue
        made = perform(latent, eyes, usual, clip.z_dyn, clip.z_pose)
        still = made.articulation < _STILL
        yield Act("silent", made, np.zeros((len(clip.z_dyn), SPEECH_FEATURES + 2), np.float16) if still else None)


@dataclass(frozen=True)
class Scales:
    """state (STATE,) and change (HOP_FRAMES, STATE): standard deviations."""

    state: np.ndarray
    change: np.ndarray

    @classmethod
    def of(cls, acts: list[Act]) -> Scales:
        """From acts, each source counting alike."""
        groups: dict[str, list[np.ndarray]] = defaultdict(list)
        for act in acts:
            groups[act.source].append(act.made.state)
        places, moves = [], []
        for states in groups.values():
            places.append(np.mean([s.var(0) for s in states], 0))
            moves.append([np.mean([(s[k:] - s[:-k]).var(0) for s in states], 0) for k in range(1, HOP_FRAMES + 1)])
        place, move = np.sqrt(np.mean(places, 0)), np.sqrt(np.mean(moves, 0))
        return cls(place.astype(np.float32), move.astype(np.float32))


class Sequences:
    """Batches without end of one bucket, from copies of acts."""

    def __init__(self, copies: list[list[Act]], latent: LatentModel, scales: Scales, bucket: int) -> None:
        rng = np.random.default_rng(bucket)
        self.hops, self.count = BUCKETS[bucket]["hops"], BUCKETS[bucket]["count"]
        need = self.hops * HOP_FRAMES + 1
        self._pools: list[dict[str, list[Act]]] = []
        for acts in copies:
            pool: dict[str, list[Act]] = defaultdict(list)
            for act in acts:
                if len(act.made.state) >= need:
                    pool[act.source].append(act)
            self._pools.append(pool)
        shares = {s: p for s, p in SHARES[bucket].items() if self._pools[0].get(s)}
        self._names, self._odds = list(shares), np.array(list(shares.values())) / sum(shares.values())
        self._mirror, self._scales, self._rng, self._need = mirror(latent), scales, rng, need

    def draw(self) -> dict[str, Tensor]:
        """change, y: the past's and the wanted changes (b, n, HOP_SIZE); last (b, n, STATE); conditions; forget (b,)."""
        rng, parts = self._rng, []
        for _ in range(self.count):
            source = self._names[rng.choice(len(self._names), p=self._odds)]
            pool = self._pools[int(rng.integers(len(self._pools)))][source]
            lengths = np.array([len(a.made.state) for a in pool], float)
            parts.append(self._sequence(pool[rng.choice(len(pool), p=lengths / lengths.sum())]))
        batch = {name: torch.from_numpy(np.stack([p[name] for p in parts])) for name in parts[0]}
        batch["forget"] = torch.from_numpy(rng.uniform(size=self.count) < _FORGET)
        return batch

    def _sequence(self, act: Act) -> dict[str, np.ndarray]:
        rng, made = self._rng, act.made
        start = int(rng.integers(0, len(made.state) - self._need + 1))
        at = slice(start, start + self._need)
        state, gaze, lids = made.state[at].astype(np.float32), made.gaze[at], made.lids[at, None]
        if rng.uniform() < 0.5:
            state, gaze = state @ self._mirror.T, gaze * [-1, 1]
        unknown = np.zeros((self._need, SPEECH_FEATURES + 2), np.float32)
        speech = unknown if act.speech is None else act.speech[at].astype(np.float32)
        given = np.array([rng.uniform() >= DROPPED[name] for name in FLAGS], np.float32)
        given[0] *= act.speech is not None
        frames = frame_conditions(speech, gaze, lids)[1:].reshape(self.hops, HOP_FRAMES, -1)
        lasting = np.broadcast_to(made.lasting, (self.hops, len(made.lasting)))
        conditions = hop_conditions(frames, lasting, np.broadcast_to(given, (self.hops, len(given))))
        return {**self._changes(state), "conditions": conditions}

    def _changes(self, state: np.ndarray) -> dict[str, np.ndarray]:
        """A past that is a little wrong, as the network's own will be, and the way back to the true course."""
        wrong = self._wrong(len(state))
        past = state + wrong
        last = past[:-1:HOP_FRAMES]
        hops = past[1:].reshape(self.hops, HOP_FRAMES, STATE)
        back = wrong[:-1:HOP_FRAMES, None] * _BACK
        wanted = state[1:].reshape(self.hops, HOP_FRAMES, STATE) + back
        change, y = ((x - last[:, None]) / self._scales.change for x in (hops, wanted))
        return {
            "change": change.reshape(self.hops, -1).astype(np.float32),
            "y": y.reshape(self.hops, -1).astype(np.float32),
            "last": (last / self._scales.state).astype(np.float32),
        }

    def _wrong(self, count: int) -> np.ndarray:
        """Smooth error (count, STATE), none for a third of the sequences."""
        rng = self._rng
        if rng.uniform() < 1 / 3:
            return np.zeros((count, STATE), np.float32)
        knots = np.linspace(0, count - 1, max(2, count // 12))
        at = np.arange(count)
        size = rng.uniform(0, 1) * _WRONG * self._scales.state
        noise = rng.standard_normal((len(knots), STATE))
        return np.stack([np.interp(at, knots, column) for column in noise.T], 1) * size


_WRONG = np.concatenate([np.full(POSE_SIZE, 0.25), np.full(STATE - POSE_SIZE, 1.0)])
_BACK_FRAMES = np.concatenate([np.full(POSE_SIZE, 24.0), np.full(STATE - POSE_SIZE, 2.5)])
_BACK = np.exp(-np.arange(1, HOP_FRAMES + 1)[:, None] / _BACK_FRAMES)

assert len(FLAGS) == 3 + len(LASTING)
