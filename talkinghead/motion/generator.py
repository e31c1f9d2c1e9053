"""Speech to motion, hop by hop: lips from the network; head, eyes, brows and breath sampled; controls on top.

Frames and features stay in step: frame k of the motion belongs to row k of the features and comes when the look-ahead has been
heard. However the rows are cut into pushes, the same seed gives the same bits.
"""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np

from talkinghead.motion.controls import EMOTIONS, Controls
from talkinghead.motion.eyes import EYE_LIMIT_DEG, Accents, Blinks, Brows, Gaze
from talkinghead.motion.head import Head, Ramp
from talkinghead.motion.latent import LIDS_LEFT, LIDS_RIGHT, POSE_SIZE, LatentModel, Latents
from talkinghead.motion.lips import HOP_FRAMES, LOOKAHEAD_FRAMES, Lips, LipsEngine
from talkinghead.motion.style import Style
from talkinghead.speech.features import silent_rows

HEAD_SHARE = 0.3
"""Of a turn of the gaze, what the head takes."""
_STEADY = 0.9  # of the head's own turning that the eyes make up for
_CONTROL_RAMP_S = 0.11
_LIMIT = 6.0  # standard deviations of a component
SETTLE_FRAMES = 6
"""After an interruption the lips are shut and the head near rest in so many frames (150 ms)."""
_BLINK_DEPTH = 1.12
"""Lids press on each other a little; the decoder lets them meet, not cross."""
_CALM = 0.7
_CALM_HOLD_FRAMES, _CALM_FALL_FRAMES = 18, 60
_LID_PAIRS = ((LIDS_RIGHT, 4, 12), (LIDS_LEFT, 4, 12))


class _Process(Protocol):
    def reset(self, seed: np.random.SeedSequence) -> None: ...


class MotionGenerator:
    """Push features, get latents.

    Attributes:
        controls: may be changed, or replaced, at any time; the motion ramps toward it.
    """

    def __init__(
        self,
        lips_engine: LipsEngine,
        style: Style,
        latent: LatentModel,
        *,
        face: np.ndarray | None = None,
        controls: Controls | None = None,
        seed: int = 0,
    ) -> None:
        """lips_engine runs ``lips.onnx``. face: the portrait's neutral face (478, 3) in face heights, so that its lids shut just
        so; the mean face without it."""
        self.controls = controls or Controls()
        self._lips = Lips(lips_engine, latent.size_dyn)
        codes = style.codes(latent)
        self._moves = np.stack([codes[k] for k in ("blink", "gaze_right", "gaze_up", "brows", *EMOTIONS)]).astype(np.float64)
        self._moves[0] *= _BLINK_DEPTH * (1.0 if face is None else _lid_gap(face) / _lid_gap(latent.mean))
        self._head = Head(style.head_talking, style.head_silent, style.head_time_s)
        self._blinks = Blinks(style.blink_curve, style.blinks_per_min)
        self._gaze, self._brows, self._accents = Gaze(), Brows(), Accents()
        self._ramp = Ramp(_CONTROL_RAMP_S)
        self._mood = Ramp(2 * _CONTROL_RAMP_S)
        self.reset(seed)

    def reset(self, seed: int) -> None:
        """Begin anew: as before the first sound, with the controls as they are now, and another performance for another seed."""
        self._lips.reset()
        parts: tuple[_Process, ...] = (self._head, self._blinks, self._gaze, self._brows, self._accents)
        for part, own in zip(parts, np.random.SeedSequence(seed).spawn(len(parts)), strict=True):
            part.reset(own)
        self._ramp.reset()
        self._mood.reset()
        self._since_interrupt = _CALM_HOLD_FRAMES + _CALM_FALL_FRAMES
        self._last = self._from = (np.zeros(POSE_SIZE), np.zeros(self._moves.shape[1]))

    def push(self, rows: np.ndarray, voice: np.ndarray) -> Latents:
        """Speech rows (n, FEATURES) and voice (n,), as `FeatureStream` gives them, to the frames that are now due: any number
        from none, LOOKAHEAD_FRAMES behind, HOP_FRAMES at a time."""
        lips = self._lips.push(rows, voice)
        z_pose = np.zeros((len(lips.z_dyn), POSE_SIZE), np.float32)
        z_dyn = np.zeros_like(lips.z_dyn)
        for i, (z, gate, loud) in enumerate(zip(lips.z_dyn, lips.gate.tolist(), lips.loud.tolist(), strict=True)):
            z_pose[i], z_dyn[i] = self._last = self._settled(*self._frame(z, gate, loud))
        return Latents(z_pose, z_dyn)

    def flush(self) -> Latents:
        """The frames still due, as if silence followed: all frames together are then as many as all rows."""
        due = self._lips.pending
        rest = self.push(*silent_rows(LOOKAHEAD_FRAMES + HOP_FRAMES - 1))
        return Latents(rest.z_pose[:due], rest.z_dyn[:due])

    def interrupt(self, shown: Latents | None = None) -> int:
        """Stop speaking: lips shut and the head settles within 150 ms.

        shown: what is on the screen now, its last frame (the last frame given, without it): the motion goes on from there without
        a jump though frames were thrown away. Returns how many frames are heard and not yet given: they still come, at rest, so
        that frames and rows stay in step; their sound is to be silence.
        """
        self._lips.hush()
        self._since_interrupt = 0
        self._from = self._last if shown is None or not len(shown) else (shown.z_pose[-1], shown.z_dyn[-1])
        return self._lips.pending

    def _settled(self, z_pose: np.ndarray, z_dyn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """A frame, on its way from what was shown at an interruption to the motion that goes on."""
        self._since_interrupt += 1
        if self._since_interrupt >= SETTLE_FRAMES:
            return z_pose, z_dyn
        share = _smooth(self._since_interrupt / SETTLE_FRAMES)
        return self._from[0] + share * (z_pose - self._from[0]), self._from[1] + share * (z_dyn - self._from[1])

    def _frame(self, lips: np.ndarray, voice: float, loud: float) -> tuple[np.ndarray, np.ndarray]:
        now = self.controls
        right, up, log_distance, pose_scale = self._ramp.step([*now.gaze, math.log(now.distance), now.pose_scale])
        mood = self._mood.step([now.emotion_strength * (name == now.emotion) for name in EMOTIONS])
        accent = self._accents.step(loud, voice)
        pose = self._head.step(voice, accent, self._calm()) * pose_scale
        nod, turn = (math.degrees(v) for v in pose[:2].tolist())
        pose[0] -= math.radians(HEAD_SHARE * up)  # a positive turn about x nods down
        pose[1] += math.radians(HEAD_SHARE * right)
        pose[5] -= log_distance
        look_right, look_up = self._gaze.step(voice)
        eyes = (
            _bounded((1 - HEAD_SHARE) * right + look_right - _STEADY * turn, EYE_LIMIT_DEG[0]),
            _bounded((1 - HEAD_SHARE) * up + look_up + _STEADY * nod, EYE_LIMIT_DEG[1]),
        )
        amounts = np.array([self._blinks.step(now.blink_rate), *eyes, self._brows.step(voice, accent), *mood])
        return pose, np.clip(lips + amounts @ self._moves, -_LIMIT, _LIMIT)

    def _calm(self) -> float:
        """How far the head is held at rest after an interruption: for a while, and slowly let go."""
        return _CALM * (1 - _smooth((self._since_interrupt - _CALM_HOLD_FRAMES) / _CALM_FALL_FRAMES))


def _lid_gap(face: np.ndarray) -> float:
    return float(np.mean([np.linalg.norm(face[lids[a]] - face[lids[b]]) for lids, a, b in _LID_PAIRS]))


def _bounded(value: float, limit: float) -> float:
    return limit * math.tanh(value / limit)


def _smooth(share: float) -> float:
    share = min(1.0, max(0.0, share))
    return share * share * (3 - 2 * share)
