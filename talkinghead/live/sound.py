"""Sound that waits to be spoken: pushed in any pieces from any thread, taken frame by frame by the worker."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from talkinghead.constants import SAMPLE_RATE_HZ, SAMPLES_PER_FRAME
from talkinghead.errors import SpeechError
from talkinghead.live.clock import FRAME_S
from talkinghead.live.pace import Pace, lead_in_s
from talkinghead.live.resample import Converter
from talkinghead.live.times import Accounts
from talkinghead.speech.pcm import as_float

MAX_QUEUED_S = 120.0
"""What may wait; a push beyond it is dropped whole."""
LIVE_BACKLOG_S = 0.25
"""What may wait of a live source beyond what is due; with more (the machine or the network stood still) the oldest is dropped."""
PATIENCE_S = 0.020
"""So long past the deadline sound of a running source is waited for; then silence fills its place."""
SOUND_RATE_HZ = Converter.EAR_HZ
SOUND_PER_FRAME = SOUND_RATE_HZ * SAMPLES_PER_FRAME // SAMPLE_RATE_HZ
RATES_HZ = (4_000, 192_000)

_EAR_STEP = SOUND_RATE_HZ // SAMPLE_RATE_HZ
_PIECE_S = 0.1
_RUNNING_S = 0.1
_AT_ONCE_S = 0.1
"""With so much there already no lead-in is needed."""
_KEPT_BACKLOG_S = 0.05
_SHORTEST_S = 0.005
"""Shorter pushes are joined, so that the queue's items are few."""
_AHEAD_S = 0.1
_FADE = 80  # samples at 16 kHz: 5 ms
_QUIET = 0.006  # root mean square, -44 dBFS
_CUT_LOUD_FROM_S, _CUT_LOUD_S = 0.06, 0.01


@dataclass(frozen=True)
class Heard:
    """The sound of one frame: audio (400,) at 16 kHz, sound (1200,) the same at 48 kHz, both float32; heard_s: when its last
    sample was pushed, 0.0 for silence; generation: which it belongs to."""

    audio: np.ndarray
    sound: np.ndarray
    heard_s: float
    generation: int


@dataclass
class _Piece:
    samples: np.ndarray
    rate: int
    pushed_s: float


class SoundQueue:
    """Sound with a generation number: an interruption makes a new one and drops what waits of the old.

    Drop rules: a push beyond MAX_QUEUED_S, of another generation, or of a live source while other speech waits, is refused. Of a
    live source (see `Pace`) surplus is cut out where it is quiet, by at most 10 ms at a time where it is not, and what goes
    beyond LIVE_BACKLOG_S is dropped. All of it is counted as "drop_sound", seconds. Everything in here is done under one lock;
    nothing in here waits.
    """

    def __init__(self, now: Callable[[], float], accounts: Accounts) -> None:
        self._now, self._accounts = now, accounts
        self._lock = threading.Lock()
        self._generation = 0
        self._clear()

    def _clear(self) -> None:
        self._pieces: deque[_Piece] = deque()
        self._raw_s = 0.0
        self._model = self._ear = np.zeros(0, np.float32)
        self._converter: Converter | None = None
        self._pace = Pace()
        self._dry, self._ended = True, False
        self._marks: list[tuple[int, float]] = []
        """(end, pushed_s): samples up to this end were pushed then, at the latest."""

    @property
    def generation(self) -> int:
        return self._generation

    @property
    def queued_s(self) -> float:
        """Sound that waits, seconds."""
        with self._lock:
            return self._waiting_s()

    @property
    def talking(self) -> bool:
        """Speech that was pushed ahead of time waits; a live source's few ms do not count."""
        with self._lock:
            return self._talking()

    def push(self, pcm: np.ndarray, rate: int, generation: int | None = None, live: bool | None = None) -> bool:
        """As `LiveSession.push_audio`. SpeechError, one line, for sound of a wrong kind."""
        samples = mono_samples(pcm, rate)
        length_s = len(samples) / rate
        with self._lock:
            if self._takes(length_s, generation, live):
                if bool(self._pace.told) != bool(live):  # another source
                    self._pace = Pace()
                if len(samples):
                    now_s = self._now()
                    self._pace.pushed(now_s, length_s, live)
                    self._append(samples, rate, now_s)
                    self._raw_s += length_s
                    self._ended = False
                return True
        self._accounts.count("drop_sound", length_s)
        return False

    def end(self) -> None:
        """No more comes for now: what waits is spoken without waiting for more."""
        with self._lock:
            self._ended = True

    def interrupt(self) -> int:
        """Drop what waits; returns the new generation."""
        with self._lock:
            dropped_s = self._waiting_s()
            self._clear()
            self._generation += 1
            generation = self._generation
        self._accounts.count("drop_sound", dropped_s)
        return generation

    def ready(self, deadline_s: float, frames: int) -> bool:
        """Whether the next frame's sound is all there. The next one to come out needs so many
        frames' more, all of it by deadline_s."""
        with self._lock:
            if self._dry and self._pieces:
                first_s = self._pieces[0].pushed_s
                lead_s = 0.0 if self._raw_s >= _AT_ONCE_S else lead_in_s(first_s, deadline_s, frames * FRAME_S)
                self._put(np.zeros(round(lead_s * SAMPLE_RATE_HZ), np.float32))
                self._dry = False
            late_s = max(0.0, self._now() - deadline_s)
            dropped_s = self._cut(self._waiting_s() - late_s - frames * FRAME_S)
            ready = self._fill(SAMPLES_PER_FRAME)
            if ready and frames == 1:
                self._pace.fed(deadline_s - self._heard_s())
        self._accounts.count("drop_sound", dropped_s)
        return ready

    def patience_s(self) -> float:
        """How long past the deadline to wait for the rest: a while if its source is running, not at all in silence."""
        with self._lock:
            running = not self._ended and self._now() - self._pace.last_s < _RUNNING_S
            return PATIENCE_S if running else 0.0

    def take(self) -> Heard:
        """The next frame's sound; what is not there is silence."""
        with self._lock:
            if not self._fill(SAMPLES_PER_FRAME):
                self._run_dry()
            heard_s = self._heard_s()
            audio, sound = self._model[:SAMPLES_PER_FRAME], self._ear[:SOUND_PER_FRAME]
            self._model, self._ear = self._model[SAMPLES_PER_FRAME:], self._ear[SOUND_PER_FRAME:]
            self._move_marks(SAMPLES_PER_FRAME)
            return Heard(audio, sound, heard_s if audio.any() else 0.0, self._generation)

    def _waiting_s(self) -> float:
        return self._raw_s + len(self._model) / SAMPLE_RATE_HZ

    def _talking(self) -> bool:
        return not self._pace.live and self._waiting_s() > _AHEAD_S

    def _takes(self, length_s: float, generation: int | None, live: bool | None) -> bool:
        stale = generation is not None and generation != self._generation
        return not (stale or (live and self._talking()) or self._waiting_s() + length_s > MAX_QUEUED_S)

    def _append(self, samples: np.ndarray, rate: int, now_s: float) -> None:
        last = self._pieces[-1] if self._pieces else None
        if last is not None and last.rate == rate and len(last.samples) + len(samples) <= _SHORTEST_S * rate:
            last.samples, last.pushed_s = np.concatenate([last.samples, samples]), now_s
        else:
            self._pieces.append(_Piece(samples, rate, now_s))

    def _put(self, silence: np.ndarray) -> None:
        self._model = np.concatenate([self._model, silence])
        self._ear = np.concatenate([self._ear, np.repeat(silence, _EAR_STEP)])

    def _fill(self, samples: int) -> bool:
        """Convert as much as it takes to have so many samples at 16 kHz; False when there is not enough."""
        while min(len(self._model), len(self._ear) // _EAR_STEP) < samples:
            if not self._pieces:
                return False
            self._convert(self._next_piece())
        return True

    def _next_piece(self) -> _Piece:
        """The oldest piece, or the first tenth of a second of it."""
        piece = self._pieces[0]
        cut = round(_PIECE_S * piece.rate)
        if len(piece.samples) > cut:
            head, piece.samples = piece.samples[:cut], piece.samples[cut:]
            piece = _Piece(head, piece.rate, piece.pushed_s)
        else:
            self._pieces.popleft()
        self._raw_s = self._raw_s - len(piece.samples) / piece.rate if self._pieces else 0.0
        return piece

    def _convert(self, piece: _Piece) -> None:
        if self._converter is not None and self._converter.rate != piece.rate:
            self._finish()
        if self._converter is None:
            self._converter = Converter(piece.rate)
        self._join(*self._converter.push(piece.samples))
        self._marks.append((len(self._model), piece.pushed_s))

    def _join(self, model: np.ndarray, ear: np.ndarray) -> None:
        self._model, self._ear = np.concatenate([self._model, model]), np.concatenate([self._ear, ear])

    def _heard_s(self) -> float:
        """When the last sample of the next frame was pushed, or what there is of it."""
        latest_s = self._marks[-1][1] if self._marks else 0.0
        return next((pushed_s for end, pushed_s in self._marks if end >= SAMPLES_PER_FRAME), latest_s)

    def _move_marks(self, taken: int) -> None:
        self._marks = [(end - taken, pushed_s) for end, pushed_s in self._marks if end > taken]

    def _finish(self) -> None:
        """What the converter holds back; then both sounds end together."""
        if self._converter is not None:
            self._join(*self._converter.flush())
            self._converter = None
        whole = min(len(self._model), len(self._ear) // _EAR_STEP)
        self._model, self._ear = self._model[:whole], self._ear[: whole * _EAR_STEP]

    def _run_dry(self) -> None:
        """Silence to the end of the frame. What comes next begins anew."""
        self._finish()
        self._put(np.zeros(max(0, SAMPLES_PER_FRAME - len(self._model)), np.float32))
        self._dry = True
        self._pace.moved()

    def _cut(self, backlog_s: float) -> float:
        """Shorten what a live source has too much of; backlog_s: what waits beyond what is due. Returns how much was dropped,
        seconds."""
        dropped_s = 0.0
        if self._pace.live and backlog_s > LIVE_BACKLOG_S:
            while self._pieces and backlog_s - dropped_s > _KEPT_BACKLOG_S:
                piece = self._next_piece()
                dropped_s += len(piece.samples) / piece.rate
            self._pace.moved()
        elif surplus_s := self._pace.surplus_s():
            dropped_s = self._shift(round(surplus_s * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
        return max(0.0, dropped_s)

    def _shift(self, cut: int) -> int:
        """Take up to ``cut`` samples (at 16 kHz) out, faded over, or, below 0, put silence in; returns how many really."""
        if not self._fill(max(0, cut) + _FADE):
            there = min(len(self._model), len(self._ear) // _EAR_STEP) - _FADE
            if there <= 0:
                return 0
            cut = min(cut, there)
        if float(np.sqrt(np.mean(self._model[: max(0, cut) + _FADE] ** 2))) > _QUIET:
            if cut < _CUT_LOUD_FROM_S * SAMPLE_RATE_HZ:
                return 0
            cut = min(cut, round(_CUT_LOUD_S * SAMPLE_RATE_HZ))
        if cut:
            self._pace.moved(cut / SAMPLE_RATE_HZ)
            self._move_marks(cut)
            self._model = _shifted(self._model, cut, _FADE)
            self._ear = _shifted(self._ear, cut * _EAR_STEP, _FADE * _EAR_STEP)
        return cut


def mono_samples(pcm: np.ndarray, rate: int) -> np.ndarray:
    """A copy in float32 (n,), broken samples silent. SpeechError for sound of a wrong kind."""
    samples = np.asarray(pcm)
    if samples.ndim != 1:
        raise SpeechError(f"sound must be mono of shape (n,), not {samples.shape}: mix the channels first")
    if not RATES_HZ[0] <= rate <= RATES_HZ[1]:
        raise SpeechError(f"sound at {rate} Hz is not supported: give {RATES_HZ[0]} to {RATES_HZ[1]} Hz")
    return np.nan_to_num(as_float(samples), posinf=1.0, neginf=-1.0)


def _shifted(samples: np.ndarray, cut: int, fade: int) -> np.ndarray:
    """The samples without the first ``cut``, entered by a fade from where they began; below 0: after so much silence."""
    if cut < 0:
        return np.concatenate([np.zeros(-cut, np.float32), samples])
    rise = np.linspace(0, 1, fade, dtype=np.float32)
    mixed = samples[:fade] * (1 - rise) + samples[cut : cut + fade] * rise
    return np.concatenate([mixed, samples[cut + fade :]])
