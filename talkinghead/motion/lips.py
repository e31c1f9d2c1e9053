"""Lips from speech: the network run hop by hop, and a gate that holds the lips still in silence."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np

from talkinghead.constants import FRAME_RATE_HZ
from talkinghead.speech.features import BANDS, FEATURES, SUB_FRAMES

HOP_FRAMES = 2
"""Frames that the network answers at once."""
LOOKAHEAD_FRAMES = 3
LOOKAHEAD_MS = 1000 * LOOKAHEAD_FRAMES / FRAME_RATE_HZ
"""Sound after the end of a frame's own 25 ms that must be heard before the frame is made. The features add none."""
PAST_SHAPE = (192, 60)
"""Hidden rows that the network carries from hop to hop."""

_LOUD_COLUMN = BANDS * SUB_FRAMES
_OPEN = 0.45
_CLOSE = 0.14
"""Share of the way that the gate goes in a frame, toward voice and toward silence."""


class LipsEngine(Protocol):
    """Runs lips.onnx: inputs ``rows`` (1, HOP_FRAMES, FEATURES) and ``past``; outputs ``z_dyn`` and ``later``."""

    def run(self, **inputs: np.ndarray) -> dict[str, np.ndarray]: ...


class LipFrames(NamedTuple):
    """Frames given: ``z_dyn`` (n, D); ``gate`` (n,) voice, smoothed, 0 silence to 1 speech; ``loud`` (n,) as in the rows."""

    z_dyn: np.ndarray
    gate: np.ndarray
    loud: np.ndarray


class Lips:
    """Speech rows in, lip dynamics out, HOP_FRAMES at a time and LOOKAHEAD_FRAMES late.

    ``size`` is D, the length of z_dyn.
    """

    def __init__(self, engine: LipsEngine, size: int) -> None:
        self._engine = engine
        self._size = size
        self.reset()

    def reset(self) -> None:
        """As before the first sound."""
        self._past = np.zeros((1, *PAST_SHAPE), np.float32)
        self._rows = np.zeros((0, FEATURES), np.float32)
        self._voice = np.zeros(0, np.float32)
        self._loud = np.zeros(0, np.float32)
        self._skip = LOOKAHEAD_FRAMES
        self._muted = 0
        self._gate = 0.0

    @property
    def pending(self) -> int:
        """Frames heard and not yet given."""
        return len(self._voice)

    def hush(self) -> None:
        """Forget speech heard and not yet given: its frames come out at rest, so that frames and sound stay in step."""
        self._past = np.zeros_like(self._past)
        self._rows = np.zeros_like(self._rows)
        self._muted = self.pending
        self._voice = np.zeros_like(self._voice)
        self._loud = np.zeros_like(self._loud)

    def push(self, rows: np.ndarray, voice: np.ndarray) -> LipFrames:
        """Rows (n, FEATURES) and their voice (n,) in; the frames that are now due out."""
        rows = np.asarray(rows, np.float32).reshape(-1, FEATURES)
        self._rows = np.concatenate([self._rows, rows])
        self._voice = np.concatenate([self._voice, np.asarray(voice, np.float32).ravel()])
        self._loud = np.concatenate([self._loud, rows[:, _LOUD_COLUMN]])
        due, at, given = [np.zeros((0, self._size), np.float32)], 0, 0
        while len(self._rows) - at >= HOP_FRAMES:
            answer = self._engine.run(rows=self._rows[None, at : at + HOP_FRAMES], past=self._past)
            at, self._past = at + HOP_FRAMES, answer["later"]
            due.append(answer["z_dyn"][0, self._skip :])
            given += len(due[-1])
            self._skip = max(0, self._skip - HOP_FRAMES)
        gate = np.array(self._gates(given), np.float32)
        loud, self._loud = self._loud[:given], self._loud[given:]
        self._rows, self._voice = self._rows[at:], self._voice[given:]
        return LipFrames(gate[:, None] * np.concatenate(due), gate, loud)

    def _gates(self, count: int) -> list[float]:
        """Of the oldest pending frames. A gate opens early, on the voice that the look-ahead hears, and closes slowly."""
        gates: list[float] = []
        voice = self._voice.tolist()
        for k in range(count):
            if self._muted:  # spoken before an interruption
                self._muted -= 1
                self._gate = 0.0
            else:
                toward = max(voice[k : k + LOOKAHEAD_FRAMES + 1])
                self._gate += (_OPEN if toward > self._gate else _CLOSE) * (toward - self._gate)
            gates.append(self._gate)
        return gates
