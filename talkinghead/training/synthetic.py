"""Synthetic speech whose phone times are exact to the sample: many voices of espeak-ng read the transcripts of data/speech.

    talkinghead train synthetic --shared SHARED --cache CACHE --minutes 120 [--diphones]

Voices of diphones (MBROLA, Dutoit et al. 1996) are cut from recordings of people, whose timbre they have; espeak-ng tells them
what to say. Each language is read by its own people and by some of its neighbours.

The library's event of a phone is its onset; of a stop it is the burst, before which lie 25 to 60 ms of near-silence in the span
of the phone before. A stop here starts with that closure, as in the aligned recordings. Symbols become the 39 phones by the rules
of data/speech, lips first. The engine has one state a process: use it from one thread. Needs `apt-get install espeak-ng`; the
diphones also `mbrola` and its voices (Debian: contrib and non-free; free to synthesise speech with).
"""

from __future__ import annotations

import argparse
import ctypes
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
import soxr

from talkinghead.constants import SAMPLE_RATE_HZ
from talkinghead.errors import TalkingHeadError
from talkinghead.training.espeak_phones import STOPS, Marks, phones_of
from talkinghead.training.sound_bank import PHONE_NAMES, UNKNOWN, Spoken
from talkinghead.training.track import read_tsv

VOICES = {
    "en": ("en-us", "en-us", "en", "en-gb-x-rp", "en-gb-scotland"),
    "de": ("de",),
    "fr": ("fr", "fr-be", "fr-ch"),
    "es": ("es", "es-419"),
    "it": ("it",),
    "ru": ("ru",),
}
DIPHONES = {
    "en": "us1 us2 us3 en1 de1-en de3-en de5-en de6-en fr1-en fr4-en nl2-en ro1-en pl1-en af1-en hu1-en sw1-en sw2-en gr2-en",
    "de": "de1 de2 de3 de5 de6 de7 nl2 sw1 sw2 af1",
    "fr": "fr1 fr2 fr3 fr4 fr5 fr6 fr7",
    "es": "br1 br2 br3 br4 ca1 ca2",
    "it": "it3 it4 ro1 pl1 la1 cr1 cz2 ee1",
}
"""MBROLA's voices that have nearly all pairs of phones that the language's front end asks for."""
VARIANTS = ("", *(f"+m{k}" for k in range(1, 9)), *(f"+f{k}" for k in range(1, 6)))
_SHARES = {"en": 0.25, "de": 0.15, "fr": 0.15, "es": 0.15, "it": 0.15, "ru": 0.15}
_VERSION = 1
_LEAD = 1000
"""Samples by which the engine's marks are late with diphones."""
_DIPHONES = "mb-"
_ECHOES = {"+f2": (140, 10), "+f3": (120, 10), "+f4": (130, 15), "+f5": (140, 10), "+m2": (130, 15)}
"""Delay in ms and strength in 256ths of the variants' own echo, which would fill every closure."""
_QUIET = 200
"""Below this, of 32768, sound counts as the closure of a stop. A voiced closure is in the stop's own span already."""
_LONGEST_CLOSURE_S = 0.12
_CLOSURE_AFTER_SILENCE_S = 0.07
_TAIL_S = 0.03
_SHORTEST_PHONE_S = 0.015
_SHORTEST_PAUSE_S = 0.05
_LONGEST_SENTENCE = 250
_RATE, _PITCH, _RANGE = 1, 3, 4
_SYNCHRONOUS, _PHONE_EVENTS, _DONT_EXIT, _UTF8 = 2, 1, 0x8000, 1
_END, _PHONE = 0, 7


class _Event(ctypes.Structure):
    """``espeak_EVENT`` of speak_lib.h."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("string", ctypes.c_char * 8),
    )


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


class Espeak:
    """The engine: text in, sound and phone events out. One a process: get it from ``engine``."""

    def __init__(self) -> None:
        for name in ("libespeak-ng.so.1", "libespeak-ng.dylib", "libespeak-ng.dll"):
            try:
                self._library = ctypes.CDLL(name)
                break
            except OSError:
                continue
        else:
            raise TalkingHeadError("synthetic speech needs espeak-ng, which is not installed: apt-get install espeak-ng")
        self.rate_hz: int = self._library.espeak_Initialize(_SYNCHRONOUS, 0, None, _PHONE_EVENTS | _DONT_EXIT)
        if self.rate_hz <= 0:
            raise TalkingHeadError("espeak-ng does not find its voices: apt-get install espeak-ng-data")
        self._sound: list[np.ndarray] = []
        self._marks: Marks = []
        self._callback = _Callback(self._collect)
        self._library.espeak_SetSynthCallback(self._callback)

    def _collect(self, wave: ctypes._Pointer[ctypes.c_short], count: int, events: ctypes._Pointer[_Event]) -> int:
        if wave and count > 0:
            self._sound.append(np.ctypeslib.as_array(wave, (count,)).copy())
        k = 0
        while events[k].type != _END:
            if events[k].type == _PHONE:
                self._marks.append((events[k].sample, events[k].string.decode("utf-8", "replace")))
            k += 1
        return 0

    def say(self, voice: str, text: str, rate: int = 175, pitch: int = 50, spread: int = 50) -> tuple[np.ndarray, Marks]:
        """Sound (n,) int16 at ``rate_hz``, which is the voice's, and its marks (sample, mnemonic) in time order.

        voice: "de+f2", "mb-de2"; rate: words a minute; pitch and spread (of pitch) 0..100. Raises TalkingHeadError for an unknown
        voice.
        """
        if self._library.espeak_SetVoiceByName(voice.encode()):
            name = voice.removeprefix(_DIPHONES).removesuffix("-en")
            fix = "see `espeak-ng --voices`" if name == voice else f"apt-get install mbrola mbrola-{name} (contrib, non-free)"
            raise TalkingHeadError(f"espeak-ng has no voice {voice!r}: {fix}")
        for parameter, value in ((_RATE, rate), (_PITCH, pitch), (_RANGE, spread)):
            self._library.espeak_SetParameter(parameter, value, 0)
        self._sound, self._marks = [], []
        data = text.encode()
        self._library.espeak_Synth(data, ctypes.c_size_t(len(data) + 1), 0, 1, 0, _UTF8, None, None)
        self._library.espeak_Synchronize()
        self.rate_hz = self._library.espeak_ng_GetSampleRate()
        late = _LEAD if voice.startswith(_DIPHONES) else 0
        return np.concatenate([np.zeros(0, np.int16), *self._sound]), [(max(0, at - late), name) for at, name in self._marks]


@lru_cache(maxsize=1)
def engine() -> Espeak:
    """The engine of this process. Raises TalkingHeadError where espeak-ng is not installed."""
    return Espeak()


def without_echo(sound: np.ndarray, variant: str, rate_hz: int) -> np.ndarray:
    """Sound (n,) int16 before a variant such as "+f2" added its echo to it; exact up to rounding."""
    delay_ms, strength = _ECHOES.get(variant, (0, 0))
    delay = delay_ms * rate_hz // 1000
    dry = sound.astype(float)
    dry[delay:] -= strength / 256 * sound[: len(sound) - delay]
    return np.clip(np.round(dry), -32768, 32767).astype(np.int16)


def labelled(sound: np.ndarray, marks: Marks, language: str, rate_hz: int) -> tuple[np.ndarray, np.ndarray, Counter[str]]:
    """Phones of one sentence: starts (k,) in samples, ids (k,) int8, the first SIL at 0; and the symbols without a phone.

    sound (n,) int16. Stops start with their closure; pauses too short to be seen belong to the phone before them.
    """
    names, unmapped = phones_of(marks, language, len(sound), rate_hz)
    starts, ids = [0], [0]
    for k, (at, name) in enumerate(names):
        end = names[k + 1][0] if k + 1 < len(names) else len(sound)
        number = PHONE_NAMES.index(name) if name in PHONE_NAMES else UNKNOWN
        short = number == 0 and end - at < _SHORTEST_PAUSE_S * rate_hz and len(starts) > 1 and k + 1 < len(names)
        if end <= at or short or number == ids[-1] == 0:
            continue
        if name in STOPS:
            longest_s = _CLOSURE_AFTER_SILENCE_S if ids[-1] == 0 else _LONGEST_CLOSURE_S
            low = max(at - int(longest_s * rate_hz), starts[-1] + int(_SHORTEST_PHONE_S * rate_hz))
            loud = np.flatnonzero(np.abs(sound[low:at].astype(int)) >= _QUIET)
            at = min(at, low + (int(loud[-1]) + 1 if len(loud) else 0))
        starts.append(at)
        ids.append(number)
    return np.array(starts), np.array(ids, np.int8), unmapped


def sentences(shared: Path) -> dict[str, list[str]]:
    """Sentences of the train rows of data/speech by language of VOICES, each once, without what cannot be spoken."""
    found: dict[str, set[str]] = defaultdict(set)
    for row in read_tsv(shared / "data" / "speech" / "clips.tsv"):
        language = row["language"][:2]
        if row["split"] != "train" or language not in VOICES:
            continue
        text = row["transcript"].lower() if row["transcript"].isupper() else row["transcript"]
        text = re.sub(r"[^\w\s.,;:!?'’-]|\.{2,}|_", " ", text.replace("’", "'"))
        for part in re.split(r"(?<=[.!?;:])\s+", text):
            part = " ".join(part.split()).lstrip(".,;:!?'- ")
            if sum(c.isalpha() for c in part) >= 3 and len(part) <= _LONGEST_SENTENCE:
                found[language].add(part)
    return {language: sorted(found[language]) for language in VOICES if found[language]}


class Cast:
    """Who reads aloud: espeak-ng's own voices. ``name`` is that of what is kept."""

    name = "espeak"
    languages = tuple(VOICES)

    def drawn(self, language: str, rng: np.random.Generator) -> tuple[str, str, str]:
        """A voice of a language, whose table of phones it speaks by, and its variant."""
        accent, variant = str(rng.choice(VOICES[language])), str(rng.choice(VARIANTS))
        return accent + variant, accent, variant


class DiphoneCast(Cast):
    """Voices of MBROLA."""

    name = "mbrola"
    languages = tuple(DIPHONES)

    def drawn(self, language: str, rng: np.random.Generator) -> tuple[str, str, str]:
        """See `Cast`; there are no variants."""
        name = str(rng.choice(DIPHONES[language].split()))
        return _DIPHONES + name, "en-us" if name.startswith("us") else language, ""


OWN, MBROLA = Cast(), DiphoneCast()


def _read_aloud(cast: Cast, language: str, texts: Iterator[str], rng: np.random.Generator, unmapped: Counter[str]) -> Spoken:
    """20 to 60 s of one voice, with 0.1 to 0.6 s of silence between sentences."""
    espeak = engine()
    voice, accent, variant = cast.drawn(language, rng)
    rate, pitch, spread = int(rng.integers(120, 231)), int(rng.integers(20, 81)), int(rng.integers(20, 81))
    length_s = rng.uniform(20, 50)
    pieces: list[np.ndarray] = []
    starts: list[np.ndarray] = []
    ids: list[np.ndarray] = []
    at = 0
    while at < length_s * espeak.rate_hz:
        said, marks = espeak.say(voice, next(texts), int(rate * rng.uniform(0.92, 1.08)), pitch, spread)
        quiet = np.zeros(int(rng.uniform(0.1, 0.6) * espeak.rate_hz), np.int16)  # before it is labelled: a first stop shuts in it
        sound = np.concatenate([quiet, without_echo(said, variant, espeak.rate_hz)])
        marks = [(start + len(quiet), symbol) for start, symbol in marks]
        begin, number, missing = labelled(sound, marks, accent, espeak.rate_hz)
        unmapped.update(missing)
        if number[-1] == 0 and len(number) > 1:  # the engine's own last pause is always as long
            sound = sound[: begin[-1] + int(_TAIL_S * espeak.rate_hz)]
        pieces.append(sound)
        starts.append(begin + at)
        ids.append(number)
        at += len(sound)
    wave = soxr.resample(np.concatenate(pieces).astype(np.float32) / 32768, espeak.rate_hz, SAMPLE_RATE_HZ)
    start, phone = np.concatenate(starts), np.concatenate(ids)
    keep = np.concatenate([[True], (phone[1:] != phone[:-1])])
    start_s = np.append(start[keep], at) / espeak.rate_hz
    return Spoken(f"espeak/{voice}", wave.astype(np.float16), start_s, np.append(phone[keep], 0).astype(np.int8))


def _shuffled(texts: list[str], rng: np.random.Generator) -> Iterator[str]:
    while True:
        for k in rng.permutation(len(texts)):
            yield texts[k]


def _make(shared: Path, minutes: float, seed: int, cast: Cast) -> list[Spoken]:
    rng = np.random.default_rng(seed)
    texts = {language: said for language, said in sentences(shared).items() if language in cast.languages}
    total = sum(_SHARES[language] for language in texts)
    spoken: list[Spoken] = []
    unmapped: Counter[str] = Counter()
    for language, theirs in texts.items():
        wanted = minutes * 60 * SAMPLE_RATE_HZ * _SHARES[language] / total
        stream = _shuffled(theirs, rng)
        while wanted > 0:
            spoken.append(_read_aloud(cast, language, stream, rng, unmapped))
            wanted -= len(spoken[-1].sound)
    if unmapped:
        print(f"synthetic: {sum(unmapped.values())} symbols have no phone: {dict(unmapped.most_common())}", flush=True)
    return [spoken[k] for k in rng.permutation(len(spoken))]


def synthesise(shared: Path, cache: Path, minutes: float = 120.0, seed: int = 0, cast: Cast = OWN) -> list[Spoken]:
    """About ``minutes`` of phone-labelled speech in the languages and voices of a ``cast``, kept under cache/synthetic.

    Speakers are named like "espeak/de+f2", "espeak/mb-de2". Texts and voices follow ``seed``; the engine's own breath noise does
    not. Raises TalkingHeadError where the speech has to be made and espeak-ng, or a voice, is not installed.
    """
    path = cache / "synthetic" / f"{cast.name}_v{_VERSION}_{minutes:g}min_seed{seed}.npz"
    if not path.exists():
        spoken = _make(shared, minutes, seed, cast)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part.npz")
        flat = {f"{k:05}.{name}": getattr(one, name) for k, one in enumerate(spoken) for name in ("sound", "start_s", "phone")}
        np.savez(part, speakers=np.array([one.speaker for one in spoken]), **flat)
        part.replace(path)
    with np.load(path) as data:
        return [
            Spoken(str(speaker), *(data[f"{k:05}.{name}"] for name in ("sound", "start_s", "phone")))
            for k, speaker in enumerate(data["speakers"])
        ]


def main(argv: list[str]) -> None:
    """Entry point of ``talkinghead train synthetic``."""
    parser = argparse.ArgumentParser(prog="talkinghead train synthetic", description=__doc__)
    parser.add_argument("--shared", type=Path, required=True, help="folder with data/speech")
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=120.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--diphones", action="store_true", help="voices of MBROLA, not espeak-ng's own")
    args = parser.parse_args(argv)
    spoken = synthesise(args.shared, args.cache, args.minutes, args.seed, MBROLA if args.diphones else OWN)
    minutes: dict[str, float] = defaultdict(float)
    counts: Counter[str] = Counter()
    for one in spoken:
        minutes[one.speaker.split("/")[1].removeprefix(_DIPHONES)[:2]] += len(one.sound) / SAMPLE_RATE_HZ / 60
        counts.update(PHONE_NAMES[k] if k != UNKNOWN else "?" for k in one.phone[:-1])
    print("minutes:", " ".join(f"{k} {v:.1f}" for k, v in sorted(minutes.items())))
    print("phones:", " ".join(f"{k} {v}" for k, v in counts.most_common()))
