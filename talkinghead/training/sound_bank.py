"""Training material: long streams of sound in many disguises, with the faces or the phones that belong to it.

Clips of one person are strung together to streams of some ten seconds, so that the features' slow trackers are met both cold and
warm; a stream is disguised as a whole. Several disguised copies of everything are made once and kept in memory and in the cache.
"""

from __future__ import annotations

import gzip
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr

from talkinghead.constants import FRAME_RATE_HZ, SAMPLE_RATE_HZ, SAMPLES_PER_FRAME
from talkinghead.speech.features import FeatureStream
from talkinghead.training.motion_data import Clip, load_sound
from talkinghead.training.sound_augment import Behind, augment
from talkinghead.training.track import read_tsv

_PHONES = "SIL AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH K L M N NG OW OY P R S SH T TH UH UW V W Y Z ZH"
PHONE_NAMES = tuple(_PHONES.split())
CLOSED = tuple(PHONE_NAMES.index(p) for p in ("P", "B", "M"))
SILENCE = PHONE_NAMES.index("SIL")
UNKNOWN = -1
HELD_FILE = 25
"""Every such file of phone-aligned speech is held out of training, for choosing."""
_STREAM_S = 9.0
_SPEED = 0.12


@dataclass(frozen=True)
class Stream:
    """n frames: rows (n, FEATURES) float16, and z_dyn (n, D), z_pose (n, 6), the rest lips' gaps (n, 15) and the first frames of
    clips (k,) of faces, or phones (n,) int8."""

    source: str
    rows: np.ndarray
    z_dyn: np.ndarray | None = None
    z_pose: np.ndarray | None = None
    gaps: np.ndarray | None = None
    cuts: np.ndarray | None = None
    phones: np.ndarray | None = None


def _faster(values: np.ndarray, speed: float) -> np.ndarray:
    """Rows (n, ...) at 40 Hz, played ``speed`` times as fast, linearly."""
    at = np.arange(int((len(values) - 1) / speed) + 1) * speed
    low = np.minimum(at.astype(int), len(values) - 2)
    share = (at - low).reshape(-1, *[1] * (values.ndim - 1))
    return values[low] * (1 - share) + values[low + 1] * share


def _disguised(sound: np.ndarray, speed: float, rng: np.random.Generator, behind: Behind, plain: bool) -> np.ndarray:
    if speed != 1.0:
        sound = soxr.resample(sound, SAMPLE_RATE_HZ * speed, SAMPLE_RATE_HZ, "MQ")
    return sound if plain else augment(sound, rng, behind)


def face_streams(
    clips: list[Clip], gaps_of: dict[str, np.ndarray], rng: np.random.Generator, behind: Behind
) -> Iterator[Stream]:
    """One disguised copy of audible clips; ``gaps_of`` gives a clip's inner-lip gap vectors at rest (15,)."""
    people: dict[tuple[str, str], list[Clip]] = defaultdict(list)
    for i in rng.permutation(len(clips)):
        people[clips[i].source, clips[i].identity].append(clips[i])
    for (source, _), theirs in people.items():
        batch: list[Clip] = []
        for clip in theirs:
            batch.append(clip)
            if sum(len(c.z_dyn) for c in batch) > _STREAM_S * FRAME_RATE_HZ or clip is theirs[-1]:
                yield _face_stream(source, batch, gaps_of, rng, behind)
                batch = []


def _face_stream(
    source: str, clips: list[Clip], gaps_of: dict[str, np.ndarray], rng: np.random.Generator, behind: Behind
) -> Stream:
    counts = [min(len(c.z_dyn), len(c.sound) // SAMPLES_PER_FRAME) for c in clips]
    pairs = list(zip(clips, counts, strict=True))
    sound = np.concatenate([c.sound[: n * SAMPLES_PER_FRAME] for c, n in pairs])
    z_dyn, z_pose = (np.concatenate([getattr(c, name)[:n] for c, n in pairs]) for name in ("z_dyn", "z_pose"))
    gaps = np.concatenate([np.tile(gaps_of[c.name], (n, 1)) for c, n in pairs])
    speed = 1 + rng.uniform(-_SPEED, _SPEED) if rng.uniform() < 0.6 else 1.0
    rows = FeatureStream().push(_disguised(sound, speed, rng, behind, rng.uniform() < 0.15)).rows
    if speed != 1.0:
        z_dyn, z_pose, gaps = (_faster(values, speed) for values in (z_dyn, z_pose, gaps))
    n = min(len(rows), len(z_dyn))
    cuts = np.ceil(np.cumsum([0, *counts[:-1]]) / speed).astype(np.int32)
    rows, z_dyn, z_pose, gaps = (values[:n].astype(np.float16) for values in (rows, z_dyn, z_pose, gaps))
    return Stream(source, rows, z_dyn, z_pose, gaps, cuts[cuts < n])


@dataclass(frozen=True)
class Spoken:
    """A file of phone-aligned speech: its sound as float16, phones' starts (k,) s and ids (k,), who speaks."""

    speaker: str
    sound: np.ndarray
    start_s: np.ndarray
    phone: np.ndarray

    def labels(self, speed: float, count: int) -> np.ndarray:
        """Phone id of each frame (count,) int8 at ``speed``, by the frame's middle; UNKNOWN outside."""
        middle_s = (np.arange(count) + 0.5) / FRAME_RATE_HZ * speed
        return self.phone[np.clip(np.searchsorted(self.start_s, middle_s, "right") - 1, 0, len(self.phone) - 1)]


def load_spoken(shared: Path, split: str = "train") -> list[Spoken]:
    """All files of a split of data/speech that have phones. Between the clips of a file there is silence."""
    folder = shared / "data" / "speech"
    clips = [row for row in read_tsv(folder / "clips.tsv") if row["split"] == split]
    spans: dict[str, list[tuple[float, float, int]]] = defaultdict(list)
    with gzip.open(folder / "phones.tsv.gz", "rt", encoding="utf-8") as handle:
        next(handle)
        for line in handle:
            name, start, end, phone = line.rstrip("\n").split("\t")
            spans[name].append((float(start), float(end), PHONE_NAMES.index(phone)))
    spoken = []
    for name in sorted({row["file"] for row in clips if row["has_phones"] == "1"}):
        for row in clips:
            if row["file"] == name and row["has_phones"] == "0":
                spans[name].append((float(row["start"]), float(row["end"]), UNKNOWN))
        starts, ids, last = [0.0], [0], 0.0
        for start_s, end_s, number in sorted(spans[name]):
            if start_s > last + 0.02:
                starts, ids = [*starts, last], [*ids, 0]
            starts, ids, last = [*starts, start_s], [*ids, number], end_s
        who = next(row["set"] + "/" + row["speaker"] for row in clips if row["file"] == name)
        sound = load_sound(folder / name).astype(np.float16)
        spoken.append(Spoken(who, sound, np.array([*starts, last]), np.array([*ids, 0], np.int8)))
    return spoken


def phone_streams(spoken: list[Spoken], rng: np.random.Generator, behind: Behind) -> Iterator[Stream]:
    """One disguised copy of phone-aligned speech, in streams of about a minute at most."""
    piece = 30 * SAMPLE_RATE_HZ
    for one in spoken:
        shift = int(rng.integers(0, piece // 2)) // SAMPLES_PER_FRAME * SAMPLES_PER_FRAME
        for at in range(shift - piece, len(one.sound), piece):
            sound = one.sound[max(0, at) : at + piece].astype(np.float32)
            if len(sound) < SAMPLE_RATE_HZ * 3:
                continue
            speed = 1 + rng.uniform(-_SPEED, _SPEED) if rng.uniform() < 0.6 else 1.0
            rows = FeatureStream().push(_disguised(sound, speed, rng, behind, rng.uniform() < 0.15)).rows
            ahead = max(0, at) / SAMPLE_RATE_HZ
            moved = Spoken(one.speaker, one.sound[:0], one.start_s - ahead, one.phone)
            yield Stream("speech", rows.astype(np.float16), phones=moved.labels(speed, len(rows)))


def kept(path: Path, make: Iterator[Stream]) -> list[Stream]:
    """The streams, from the cache when they are there."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part.npz")
        flat = {}
        for i, stream in enumerate(make):
            for name in ("rows", "z_dyn", "z_pose", "gaps", "cuts", "phones"):
                if getattr(stream, name) is not None:
                    flat[f"{i:05}.{stream.source}.{name}"] = getattr(stream, name)
        np.savez(part, **flat)
        part.replace(path)
    parts: dict[tuple[str, str], dict[str, np.ndarray]] = defaultdict(dict)
    with np.load(path) as data:
        for key in data.files:
            number, source, name = key.split(".")
            parts[number, source][name] = data[key]
    return [Stream(source, **arrays) for (_, source), arrays in sorted(parts.items())]
