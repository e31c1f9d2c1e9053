"""The motion network at run time: one hop of motion from noise, past and conditions.

State (STATE): z_pose, then z_dyn without what the eyes' and the emotions' codes tell (`motion.generator` adds those back, so that
they obey the controls exactly). The network counts in changes from the last frame, in units of typical changes.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from talkinghead.constants import FRAME_RATE_HZ
from talkinghead.errors import EngineError
from talkinghead.motion.controls import EMOTIONS
from talkinghead.motion.latent import POSE_SIZE
from talkinghead.runtime.engine import DeviceArray, Engine
from talkinghead.speech.encoder import SPEECH_FEATURES

HOP_FRAMES = 2
HOP_MS = 1000 * HOP_FRAMES / FRAME_RATE_HZ
WINDOW = 40
"""Past hops that the network sees in a layer: two seconds; through its layers, more."""
DYNAMICS = 48
STATE = POSE_SIZE + DYNAMICS
HOP_SIZE = HOP_FRAMES * STATE
FRAME_CONDITIONS = SPEECH_FEATURES + 2 + 2 + 1
"""Of each frame: speech features, gate, loudness; gaze (2); lids."""
LASTING = ("emotion", "liveliness", "articulation")
LASTING_SIZES = (len(EMOTIONS) - 1, 1, 1)
"""Distance is none: motion counts in face heights, so that it is the same at any distance."""
FLAGS = ("speech", "gaze", "lids", *LASTING)
CONDITIONS = HOP_FRAMES * FRAME_CONDITIONS + sum(LASTING_SIZES) + len(FLAGS)
LEVELS = (1.0, 0.6, 0.25)
"""Noise levels of the evaluations; with the one that remembers the finished hop they are four a hop."""
LOOKS = 2
"""Of these evaluations, those after which a hop can be looked at: then its first frame is shown before its last is known."""
CACHE_SHAPE = (5, 8, WINDOW, 32)
"""Keys, or values, that a row carries: blocks, heads, hops, width of a head."""
_GAZE_UNIT_DEG = 10.0
_HOME_S = 4.0
"""Time constant of a pull toward the portrait's pose: too slow to be seen, and the head cannot stray in hours."""
_KEPT = np.ones((HOP_FRAMES, STATE), np.float32)
_KEPT[:, :POSE_SIZE] = np.exp(-np.arange(1, HOP_FRAMES + 1) / (_HOME_S * FRAME_RATE_HZ))[:, None]
_FARTHEST = 8.0  # standard deviations, of what is remembered


@dataclass(frozen=True)
class MotionScales:
    """Numbers of ``models/motion/motion.npz``.

    state (STATE,): standard deviations of the state. change (HOP_FRAMES, STATE): those of its change since the last frame before
    a hop. noise (STATE, STATE): turns unit noise into the starting noise of a frame (its temperature, by direction). lips (D, D):
    takes from z_dyn what moves the lips. modes (CURVES, D): z_dyn of the speech encoder's lip curves. shut (D,): the least change
    of lips that widens their gap by a face height. liveliness, articulation: these conditions by default (logs, 0 is
    typical). guidance: how far the face follows speech past its own prediction (classifier-free guidance, Ho and Salimans 2022);
    the head is not guided, since what speech tells of it on average would become a habit.
    """

    state: np.ndarray
    change: np.ndarray
    noise: np.ndarray
    lips: np.ndarray
    modes: np.ndarray
    shut: np.ndarray
    liveliness: float
    articulation: float
    guidance: float

    @classmethod
    def load(cls, path: Path) -> MotionScales:
        """Read a ``motion.npz``; EngineError when it is missing or damaged."""
        try:
            with np.load(path) as data:
                arrays = {f.name: data[f.name].astype(np.float32) for f in fields(cls)}
        except (OSError, KeyError, ValueError) as error:
            raise EngineError(f"cannot read the motion scales {path.name}: reinstall talkinghead ({error})") from error
        if arrays["noise"].shape != (STATE, STATE) or arrays["change"].shape != (HOP_FRAMES, STATE):
            raise EngineError(f"the motion scales {path.name} are damaged: reinstall talkinghead")
        matrices = (arrays[name] for name in ("state", "change", "noise", "lips", "modes", "shut"))
        return cls(*matrices, *(float(arrays[name]) for name in ("liveliness", "articulation", "guidance")))

    def save(self, path: Path) -> None:
        """Write ``motion.npz``."""
        path.parent.mkdir(parents=True, exist_ok=True)
        arrays: dict[str, Any] = {f.name: np.float32(getattr(self, f.name)) for f in fields(self)}
        np.savez_compressed(path, **arrays)


def frame_conditions(speech: np.ndarray, gaze_deg: np.ndarray, lids: np.ndarray) -> np.ndarray:
    """Conditions (..., FRAME_CONDITIONS) of frames from speech (..., SPEECH_FEATURES + 2), gaze (..., 2), lids (..., 1) shut."""
    return np.concatenate([speech, gaze_deg / _GAZE_UNIT_DEG, lids], -1)


def hop_conditions(frames: np.ndarray, lasting: np.ndarray, given: np.ndarray) -> np.ndarray:
    """Conditions (..., CONDITIONS) of hops: frames (..., HOP_FRAMES, FRAME_CONDITIONS), lasting ones (..., 6) and given
    (..., len(FLAGS)) 0 or 1. What is not given is zero."""
    spans = [(0, SPEECH_FEATURES + 2), (SPEECH_FEATURES + 2, SPEECH_FEATURES + 4), (SPEECH_FEATURES + 4, FRAME_CONDITIONS)]
    shown = np.concatenate([np.repeat(given[..., i : i + 1], b - a, -1) for i, (a, b) in enumerate(spans)], -1)
    lasts = np.concatenate([np.repeat(given[..., 3 + i : 4 + i], n, -1) for i, n in enumerate(LASTING_SIZES)], -1)
    flat = (frames * shown[..., None, :]).reshape(*frames.shape[:-2], -1)
    return np.concatenate([flat, lasting * lasts, given], -1).astype(np.float32)


def guided(scales: MotionScales) -> np.ndarray:
    """Guidance of each component of a hop's change (HOP_SIZE,)."""
    return np.tile(np.repeat(np.array([0.0, scales.guidance], np.float32), (POSE_SIZE, DYNAMICS)), HOP_FRAMES)


def homeward(frames: np.ndarray, scales: MotionScales) -> tuple[np.ndarray, np.ndarray]:
    """Frames of a hop (..., HOP_FRAMES, STATE) with the head drawn a little toward rest, and the last one (..., STATE) as it is
    remembered, within bounds."""
    frames = frames * _KEPT
    bound = _FARTHEST * scales.state
    return frames, np.clip(frames[..., -1, :], -bound, bound)


class Denoiser:
    """Motion hop by hop; all state in the fields. The network's past stays where the network runs."""

    def __init__(self, engine: Engine, scales: MotionScales) -> None:
        """engine runs ``motion.onnx``: `nets.motion.MotionNet.step`."""
        self._engine, self._scales = engine, scales
        self._unit = scales.change.ravel()
        self._rows = 2 if scales.guidance else 1
        self._guidance = guided(scales)
        self.reset()

    def reset(self) -> None:
        """As before the first frame: the face at rest, no past."""
        empty = self._engine.to_device(np.zeros((self._rows, *CACHE_SHAPE), np.float32))
        self._past: dict[str, DeviceArray] = {"keys": empty, "values": empty}
        self._unseen = np.ones(WINDOW, np.float32)
        self._change: np.ndarray | None = None
        self.last = np.zeros(STATE, np.float32)

    def look(self, conditions: np.ndarray, without: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """The next frames (HOP_FRAMES, STATE) as they appear after the first `LOOKS` evaluations, by what is known so far. The
        `step` that follows goes on from there by what is known then. Arguments are those of `step`."""
        self._change, clean = self._denoised(self._noise(noise), range(LOOKS), self._both(conditions, without))
        return self._frames(clean)[0]

    def step(self, conditions: np.ndarray, without: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """The next frames (HOP_FRAMES, STATE) from conditions (CONDITIONS,), the same without speech, and unit noise
        (HOP_FRAMES, STATE), which does not count after a `look`."""
        both = self._both(conditions, without)
        begun, self._change = self._change, None
        left = range(0 if begun is None else LOOKS, len(LEVELS))
        change, _ = self._denoised(self._noise(noise) if begun is None else begun, left, both)
        own = self._run(change, 0.0, both)
        self._past = self._engine.append(self._past, {"keys": own["new_keys"], "values": own["new_values"]})
        self._unseen = np.append(self._unseen[1:], np.float32(0))
        frames, self.last = self._frames(change)
        return frames

    def _both(self, conditions: np.ndarray, without: np.ndarray) -> np.ndarray:
        return np.stack([conditions, without][: self._rows])

    def _noise(self, noise: np.ndarray) -> np.ndarray:
        return (noise @ self._scales.noise.T).astype(np.float32).ravel()

    def _denoised(self, change: np.ndarray, evaluations: range, both: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """A hop's change after these of the `LEVELS`, and what the last of them took to be the clean one."""
        clean = change
        for k in evaluations:
            level, lower = LEVELS[k], (*LEVELS[1:], 0.0)[k]
            made = self._run(change, level, both)["made"].numpy()
            clean = made[0] + self._guidance * (made[0] - made[1]) if len(made) > 1 else made[0]
            change = clean + lower / level * (change - clean)
        return change, clean

    def _frames(self, change: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The frames of a hop, and the last one as it is remembered."""
        return homeward(self.last + (change * self._unit).reshape(HOP_FRAMES, STATE), self._scales)

    def _run(self, change: np.ndarray, level: float, conditions: np.ndarray) -> dict[str, DeviceArray]:
        count = len(conditions)
        return self._engine.run_on_device(
            change=np.repeat(change[None], count, 0),
            t=np.full((count, 1), level, np.float32),
            last=np.repeat((self.last / self._scales.state)[None], count, 0),
            conditions=conditions,
            **self._past,
            unseen=np.repeat(self._unseen[None], count, 0),
        )
