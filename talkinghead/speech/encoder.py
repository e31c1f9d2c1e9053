"""Sound to speech features at 40 Hz, streamed: what is said, whoever says it through whatever microphone.

Push samples, get frames. Frame k (samples 400 k to 400 k + 400) comes when LOOKAHEAD_FRAMES more have been heard. However the
sound is cut, the frames are the same; all state is in the fields, so that a stream can be copied or thrown away at any time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from talkinghead.constants import FRAME_RATE_HZ
from talkinghead.runtime.engine import DeviceArray, Engine
from talkinghead.speech.features import BANDS, FEATURES, SUB_FRAMES, FeatureStream, SpeechFrames, silent_rows

LOOKAHEAD_FRAMES = 3
LOOKAHEAD_MS = 1000 * LOOKAHEAD_FRAMES / FRAME_RATE_HZ
"""Sound after the end of a frame's own 25 ms that must be heard before the frame comes. The log-mel rows add none."""
STEP_FRAMES = 1
"""Rows that the network takes at once."""
NECK = 48
CURVES = 16
SPEECH_FEATURES = NECK + CURVES
"""Length of a frame's features: the phonetic neck (-1..1), then lip curves (units of `training.lip_space`)."""
PAST_SHAPE = (72, 256)
"""Hidden rows that the network carries from step to step."""

_LOUD_COLUMN = BANDS * SUB_FRAMES
_OPEN = 0.45
_CLOSE = 0.14
"""Share of the way that the gate goes in a frame, toward voice and toward silence."""


@dataclass(frozen=True)
class EncodedSpeech:
    """n frames: ``features`` (n, SPEECH_FEATURES), zero in silence; ``gate`` (n,) voice, smoothed, 0 silence to 1 speech, opening
    early on what the look-ahead hears; ``loud`` (n,) 0 to about 2.5, relative to the voice's own level."""

    features: np.ndarray
    gate: np.ndarray
    loud: np.ndarray

    def __len__(self) -> int:
        return len(self.gate)

    def cut(self, start: int, end: int | None = None) -> EncodedSpeech:
        """Frames from start to end."""
        return EncodedSpeech(self.features[start:end], self.gate[start:end], self.loud[start:end])

    @staticmethod
    def join(parts: list[EncodedSpeech]) -> EncodedSpeech:
        """The stretches one after another."""
        if not parts:
            return nothing()
        return EncodedSpeech(*(np.concatenate(p) for p in zip(*((x.features, x.gate, x.loud) for x in parts), strict=True)))


def silence(count: int) -> EncodedSpeech:
    """Frames of perfect silence."""
    return EncodedSpeech(np.zeros((count, SPEECH_FEATURES), np.float32), np.zeros(count, np.float32), np.zeros(count, np.float32))


def nothing() -> EncodedSpeech:
    """No frame."""
    return silence(0)


class SpeechEncoder:
    """Push sound, get features LOOKAHEAD_FRAMES later."""

    def __init__(self, engine: Engine) -> None:
        """engine runs ``speech.onnx``: ``rows`` (1, STEP_FRAMES, FEATURES), ``past`` -> ``features``, ``later``."""
        self._engine = engine
        self.reset()

    def reset(self) -> None:
        """As before the first sound."""
        self._stream = FeatureStream()
        self._past = self._silence()
        self._voice = np.zeros(0, np.float32)
        self._loud = np.zeros(0, np.float32)
        self._skip = LOOKAHEAD_FRAMES
        self._muted = 0
        self._gate = 0.0

    @property
    def pending(self) -> int:
        """Whole frames heard and not yet given."""
        return len(self._voice)

    def push(self, samples: np.ndarray) -> EncodedSpeech:
        """Float32 mono samples (n,) at 16 kHz, any n, to the frames that are now due."""
        return self.push_rows(self._stream.push(samples))

    def flush(self) -> EncodedSpeech:
        """The frames still due, an incomplete one filled up, as if silence followed; then as new, levels kept."""
        last = self.push_rows(self._stream.flush())
        due = self.pending
        rest = self.push_rows(silent_rows(LOOKAHEAD_FRAMES)).cut(0, due)
        self.hush()
        self._skip, self._muted, self._gate = LOOKAHEAD_FRAMES, 0, 0.0
        self._voice = self._loud = np.zeros(0, np.float32)
        return EncodedSpeech.join([last, rest])

    def hush(self) -> int:
        """Forget speech heard and not yet given: its frames come out as silence, so that frames and sound stay in step. Returns
        how many these are."""
        self._stream.drop()
        self._past = self._silence()
        self._muted = self.pending
        self._voice = np.zeros_like(self._voice)
        self._loud = np.zeros_like(self._loud)
        return self._muted

    def push_rows(self, speech: SpeechFrames) -> EncodedSpeech:
        """The same from log-mel rows."""
        rows = np.asarray(speech.rows, np.float32).reshape(-1, FEATURES)
        self._voice = np.concatenate([self._voice, np.asarray(speech.voice, np.float32).ravel()])
        self._loud = np.concatenate([self._loud, rows[:, _LOUD_COLUMN]])
        made = []
        for row in rows:
            answer = self._engine.run_on_device(rows=row[None, None], past=self._past)
            self._past = answer["later"]
            if self._skip:
                self._skip -= 1
            else:
                made.append(answer["features"].numpy()[0])
        if not made:
            return nothing()
        count = len(made)
        gate = self._gates(count)
        loud, self._loud, self._voice = self._loud[:count], self._loud[count:], self._voice[count:]
        return EncodedSpeech(gate[:, None] * np.concatenate(made), gate, loud)

    def _silence(self) -> DeviceArray:
        """What the network carries before the first sound, where the network runs."""
        return self._engine.to_device(np.zeros((1, *PAST_SHAPE), np.float32))

    def _gates(self, count: int) -> np.ndarray:
        """Of the oldest pending frames."""
        self._muted, muted = max(0, self._muted - count), min(count, self._muted)
        voice = self._voice.copy()
        gates = np.zeros(count, np.float32)
        if muted:  # spoken before an interruption
            self._gate = 0.0
        gates[muted:] = gate_course(voice[muted:], count - muted, self._gate)
        self._gate = float(gates[-1])
        return gates


def gate_course(voice: np.ndarray, count: int, start: float = 0.0) -> np.ndarray:
    """Gate (count,) of frames whose voice (n,) is known LOOKAHEAD_FRAMES further, where it is: n >= count."""
    gates, gate, heard = np.zeros(count, np.float32), start, voice.tolist()
    for k in range(count):
        toward = max(heard[k : k + LOOKAHEAD_FRAMES + 1])
        gates[k] = gate + (_OPEN if toward > gate else _CLOSE) * (toward - gate)
        gate = float(gates[k])  # as it is carried from push to push
    return gates
