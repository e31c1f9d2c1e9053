"""Speech to motion, hop by hop: face and head from the diffusion network, eyes from their own clock, controls on top.

Frames and features stay in step: frame k of the motion belongs to frame k of the speech. However the frames are cut into pushes,
the same seed gives the same bits.

The network makes a hop of frames at once. A recording waits until a hop's speech is whole; in a call the generator is *eager*:
the first evaluations of a hop are made at once, the speech of its last frame taken to go on as it is, and its first frame is
given as it then appears; the others are made with the whole speech. That saves 25 ms and costs no evaluation.

What a user must be able to rely on is not left to the network: where the eyes look, when they blink, how strong an emotion is,
how far the head is away, and that lips are still in silence.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from talkinghead.constants import FRAME_RATE_HZ
from talkinghead.motion.brows import Brows, raised_brows
from talkinghead.motion.controls import EMOTIONS, Controls
from talkinghead.motion.denoiser import FLAGS, HOP_FRAMES, STATE, Denoiser, MotionScales, frame_conditions, hop_conditions
from talkinghead.motion.eyes import EYE_LIMIT_DEG, Blinks, Gaze, looks_of
from talkinghead.motion.latent import LIDS_LEFT, LIDS_RIGHT, POSE_SIZE, LatentModel, Latents
from talkinghead.motion.lips import LipMix
from talkinghead.motion.listening import Listening
from talkinghead.motion.ramp import Ramp, smooth
from talkinghead.motion.rest import LID_PAIRS, gap_rows
from talkinghead.motion.style import Style
from talkinghead.runtime.engine import Engine
from talkinghead.speech.encoder import EncodedSpeech, nothing, silence

HEAD_SHARE = 0.3
"""Of a turn of the gaze, what the head takes."""
SETTLE_FRAMES, LIPS_SETTLE_FRAMES = 6, 4
"""After an interruption the head is near rest in so many frames (150 ms), and the lips are shut (100 ms: what the way to the
screen takes comes on top)."""
HEAD_LIMIT = np.array([0.26, 0.38, 0.24, 0.18, 0.15, 0.12])
"""What generated motion never passes: radians, face heights, log scale."""
_STEADY = 0.9  # of the head's own turning that the eyes make up for
_SOFTNESS = 5.0
_CONTROL_RAMP_S = 0.11
_LIMIT = 6.0  # standard deviations of a component
_BLINK_DEPTH = 1.12
"""Lids press on each other a little; the decoder lets them meet, not cross."""
_CALM = 0.7
_CALM_HOLD_FRAMES, _CALM_FALL_FRAMES = 18, 60
_LID_PAIRS = ((LIDS_RIGHT, 4, 12), (LIDS_LEFT, 4, 12))
_STATE_S = 0.25
_FELT = 0.2
"""Strength of an emotion beyond which the network is not told more: people in its training were hardly more moved."""
_QUIET_LIVELINESS = math.log(0.20 / 0.45)
"""A silent head moves less than a talking one."""
_HEAD_SMOOTHING_S = 0.012
_BREATH_HZ = 0.26
_BREATH = np.array([0.0022, 0.0, 0.0, 0.0, -0.0018, 0.0012])


class MotionGenerator:
    """Push speech, get latents.

    Attributes:
        controls: may be changed, or replaced, at any time; the motion ramps toward it.
        other: how surely the other party speaks, 0 to 1, at any time: the face listens.
    """

    def __init__(
        self,
        engine: Engine,
        scales: MotionScales,
        style: Style,
        latent: LatentModel,
        *,
        face: np.ndarray | None = None,
        controls: Controls | None = None,
        seed: int = 0,
        eager: bool = False,
    ) -> None:
        """engine runs ``motion.onnx``. face: the portrait's neutral face (478, 3) in face heights, so that its lids shut just so;
        the mean face without it. eager: do not wait until a hop is whole."""
        self.controls, self.eager, self.other = controls or Controls(), eager, 0.0
        self._denoiser, self._scales, self._mix = Denoiser(engine, scales), scales, LipMix(scales, latent)
        codes = style.codes(latent)
        moves = [codes[k] for k in ("blink", "gaze_right", "gaze_up", *EMOTIONS)]
        self._moves = np.stack([*moves, raised_brows(latent)]).astype(np.float64)
        self._moves[0] *= _BLINK_DEPTH * (1.0 if face is None else _lid_gap(face) / _lid_gap(latent.mean))
        looks = looks_of(latent)
        self._moves[1:3] = np.linalg.solve(self._moves[1:3] @ looks, self._moves[1:3])  # a degree is a degree
        self._unlooking = np.eye(len(looks)) - looks @ self._moves[1:3]
        """Takes from z_dyn (as a row) what turns the eyes, by the codes that turn them."""
        self._lid_gap = gap_rows(latent, LID_PAIRS).mean(0).astype(np.float64)
        self._blinks, self._gaze = Blinks(style.blink_curve, style.blinks_per_min), Gaze()
        self._listening, self._brows = Listening(), Brows()
        self._ramp, self._mood = Ramp(_CONTROL_RAMP_S), Ramp(2 * _CONTROL_RAMP_S)
        self._state, self._steadied = Ramp(_STATE_S), Ramp(_HEAD_SMOOTHING_S)
        self.reset(seed)

    def reset(self, seed: int) -> None:
        """Begin anew: as before the first sound, with the controls as they are now, and another performance for another seed."""
        blinks, gaze, own, listening, brows = np.random.SeedSequence(seed).spawn(5)
        self._denoiser.reset()
        self._mix.reset()
        self._blinks.reset(blinks)
        self._gaze.reset(gaze)
        self._listening.reset(listening)
        self._brows.reset(brows)
        self._rng = np.random.default_rng(own)
        for ramp in (self._ramp, self._mood, self._state):
            ramp.reset()
        self._steadied.reset([0.0] * POSE_SIZE)
        self._phase = float(self._rng.uniform(0, 2 * math.pi))
        self._since_interrupt = _CALM_HOLD_FRAMES + _CALM_FALL_FRAMES
        self._waiting = nothing()
        self._begun: _Begun | None = None
        self._own_turn = np.zeros(2)
        self._last = self._from = (np.zeros(POSE_SIZE), np.zeros(self._moves.shape[1]))

    @property
    def pending(self) -> int:
        """Frames pushed and not yet given: a hop must be whole. None where the generator is eager."""
        return len(self._waiting)

    def push(self, speech: EncodedSpeech) -> Latents:
        """Speech frames (n,) to the frames that are now due: HOP_FRAMES at a time, or all where the generator is eager."""
        speech = EncodedSpeech.join([self._waiting, speech])
        at_once = 1 if self.eager else HOP_FRAMES
        whole = len(speech) // at_once * at_once
        self._waiting = speech.cut(whole)
        made = [self._next(speech.cut(k, k + at_once)) for k in range(0, whole, at_once)]
        empty = Latents(np.zeros((0, POSE_SIZE), np.float32), np.zeros((0, self._moves.shape[1]), np.float32))
        return Latents.join([empty, *made])

    def flush(self) -> Latents:
        """The frames still due, as if silence followed."""
        due = self.pending
        rest = self.push(silence(HOP_FRAMES - due)) if due else self.push(nothing())
        return Latents(rest.z_pose[:due], rest.z_dyn[:due])

    def interrupt(self, shown: Latents | None = None) -> int:
        """Stop speaking: lips shut and the head settles within 150 ms.

        shown: what is on the screen now, its last frame (the last frame given, without it): the motion goes on from there without
        a jump though frames were thrown away. Returns how many frames are pending: they still come, at rest, so that frames and
        sound stay in step; their sound is to be silence.
        """
        self._waiting = silence(self.pending)
        if self._begun is not None:
            self._begun.speech = silence(len(self._begun.speech))
        self._since_interrupt = 0
        self._from = self._last if shown is None or not len(shown) else (shown.z_pose[-1], shown.z_dyn[-1])
        return self.pending

    def _next(self, speech: EncodedSpeech) -> Latents:
        """The frames (n,) of the next n of speech, of one hop: all of it, or, where the generator is eager, one of it."""
        hop = self._begun or _Begun(nothing(), [], self._rng.standard_normal((HOP_FRAMES, STATE)), np.degrees(self._own_turn))
        given = len(hop.speech)
        hop.speech = EncodedSpeech.join([hop.speech, speech])
        hop.asked += [self._ask(gate) for gate in speech.gate.tolist()]
        whole = len(hop.speech) == HOP_FRAMES
        states = self._denoised(hop)[given : len(hop.speech)]
        self._begun = None if whole else hop
        done = []
        told = zip(states.astype(np.float64), speech.features, speech.gate.tolist(), hop.asked[given:], strict=True)
        for (state, heard, gate, ask), loud in zip(told, speech.loud.tolist(), strict=True):
            raised = self._brows.step(gate, loud)
            self._last = self._settled(*self._finished(state, heard, gate, ask, raised))
            done.append(self._last)
        return Latents(np.stack([d[0] for d in done]).astype(np.float32), np.stack([d[1] for d in done]).astype(np.float32))

    def _denoised(self, hop: _Begun) -> np.ndarray:
        """The network's states (HOP_FRAMES, STATE) of a hop; what is not known of it yet is taken to be like the last that is."""
        asked, known = hop.asked, len(hop.speech)
        make = self._denoiser.step if known == HOP_FRAMES else self._denoiser.look
        told = np.concatenate([hop.speech.features, hop.speech.gate[:, None], hop.speech.loud[:, None]], 1)
        gaze = np.array([self._eyes(ask, hop.turned_deg) for ask in asked])
        seen = np.minimum(np.arange(HOP_FRAMES), known - 1)
        frames = frame_conditions(told[seen], gaze[seen], np.array([[ask.lids] for ask in asked])[seen])
        felt = [min(_FELT, strength) for strength in asked[0].mood[1:]]
        lasting = np.array([*felt, asked[0].liveliness, self._scales.articulation])
        given = np.ones(len(FLAGS))
        conditions = hop_conditions(frames, lasting, given)
        without = hop_conditions(frames, lasting, given - np.eye(len(FLAGS))[0])
        return make(conditions, without, hop.noise)

    def _ask(self, gate: float) -> _Ask:
        """What controls and clocks ask of a frame."""
        now = self.controls
        ramped = self._ramp.step([*now.gaze, math.log(now.distance), now.pose_scale])
        mood = self._mood.step([now.emotion_strength * (name == now.emotion) for name in EMOTIONS])
        liveliness = self._scales.liveliness + (1 - self._state.step([gate])[0]) * _QUIET_LIVELINESS
        nod, attention = self._listening.step(self.other, gate)
        return _Ask(ramped, mood, self._gaze.step(gate, attention), self._blinks.step(now.blink_rate), liveliness, nod)

    def _eyes(self, ask: _Ask, turned_deg: np.ndarray) -> tuple[float, float]:
        """Where the eyes look in the head, degrees right and up, given how far the head itself has nodded and turned."""
        (right, up, _, _), (look_right, look_up) = ask.ramped, ask.look
        return (
            _bounded((1 - HEAD_SHARE) * right + look_right + _STEADY * float(turned_deg[1]), EYE_LIMIT_DEG[0]),
            _bounded((1 - HEAD_SHARE) * up + look_up + _STEADY * float(turned_deg[0]), EYE_LIMIT_DEG[1]),
        )

    def _finished(
        self, state: np.ndarray, features: np.ndarray, gate: float, ask: _Ask, raised_fh: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """A frame from the network's state: controls, breath, eyes and emotions put on, lips held still in silence."""
        right, up, log_distance, pose_scale = ask.ramped
        pose = HEAD_LIMIT * np.tanh(state[:POSE_SIZE] * (1 - self._calm()) / HEAD_LIMIT)
        self._phase = (self._phase + 2 * math.pi * _BREATH_HZ / FRAME_RATE_HZ) % (2 * math.pi)
        pose = np.array(self._steadied.step(pose.tolist())) * pose_scale + _BREATH * math.sin(self._phase)
        pose[0] += pose_scale * ask.nod_rad
        self._own_turn = pose[:2].copy()
        eyes = self._eyes(ask, np.degrees(self._own_turn))
        pose[0] -= math.radians(HEAD_SHARE * up)  # a positive turn about x nods down
        pose[1] -= math.radians(HEAD_SHARE * right)  # and about y, down, to the left
        pose[5] -= log_distance
        rest = self._mix(state[POSE_SIZE:], features, gate) @ self._unlooking
        # Lids that blink obey the blink alone: what else moves them gives way as they shut.
        rest = rest - ask.lids * (self._lid_gap @ rest) / (self._lid_gap @ self._moves[0]) * self._moves[0]
        amounts = np.array([ask.lids, *eyes, *ask.mood, raised_fh])
        return pose, np.clip(rest, -_LIMIT, _LIMIT) + amounts @ self._moves

    def _settled(self, z_pose: np.ndarray, z_dyn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """A frame, on its way from what was shown at an interruption to the motion that goes on."""
        self._since_interrupt += 1
        if self._since_interrupt >= SETTLE_FRAMES:
            return z_pose, z_dyn
        head, lips = (smooth(self._since_interrupt / frames) for frames in (SETTLE_FRAMES, LIPS_SETTLE_FRAMES))
        return self._from[0] + head * (z_pose - self._from[0]), self._from[1] + lips * (z_dyn - self._from[1])

    def _calm(self) -> float:
        """How far the head is held at rest after an interruption: for a while, and slowly let go."""
        return _CALM * (1 - smooth((self._since_interrupt - _CALM_HOLD_FRAMES) / _CALM_FALL_FRAMES))


@dataclass(frozen=True)
class _Ask:
    """ramped: gaze right and up (degrees), log distance, pose scale; mood (5,) by `EMOTIONS`; look (2,) degrees beside the gaze;
    lids, 0 open to 1 shut; liveliness; nod_rad, down."""

    ramped: list[float]
    mood: list[float]
    look: list[float]
    lids: float
    liveliness: float
    nod_rad: float


@dataclass
class _Begun:
    """A hop that is not whole yet: its speech and what was asked so far, its noise, and the head's turn before it."""

    speech: EncodedSpeech
    asked: list[_Ask]
    noise: np.ndarray
    turned_deg: np.ndarray


def _lid_gap(face: np.ndarray) -> float:
    return float(np.mean([np.linalg.norm(face[lids[a]] - face[lids[b]]) for lids, a, b in _LID_PAIRS]))


def _bounded(value: float, limit: float) -> float:
    """Softly: nearly the value itself to half the limit, never beyond it."""
    return value / (1 + (abs(value) / limit) ** _SOFTNESS) ** (1 / _SOFTNESS)
