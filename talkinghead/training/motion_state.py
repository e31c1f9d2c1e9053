"""Clips as the motion network sees them: state, eyes, and what lasts through a clip."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from talkinghead.constants import FRAME_RATE_HZ
from talkinghead.motion.controls import EMOTIONS
from talkinghead.motion.denoiser import STATE
from talkinghead.motion.eyes import looks_of
from talkinghead.motion.latent import POSE_SIZE, LatentModel, mirror_dynamics
from talkinghead.motion.style import Style
from talkinghead.training.latent import lid_gap, opening

TALKING_STEP_DEG = 0.45
"""Head step a frame at 25 FPS that liveliness 0 stands for (DESIGN: real talkers 0.4 to 0.5)."""
TYPICAL_OPENING_SD_FH = 0.022
"""Standard deviation of the inner lips' opening that articulation 0 stands for."""
_EMOTION_RIDGE = 0.5
_GAZE_LIMIT_DEG = 30.0


@dataclass(frozen=True)
class Eyes:
    """Directions of z_dyn that the controls own: gaze (2, D) a degree right and up, blink (D,) shut, emotions (4, D)."""

    gaze: np.ndarray
    blink: np.ndarray
    emotions: np.ndarray

    @classmethod
    def of(cls, style: Style, latent: LatentModel) -> Eyes:
        """From the style's shapes."""
        codes = style.codes(latent)
        emotions = np.stack([codes[name] for name in EMOTIONS[1:]])
        return cls(np.stack([codes["gaze_right"], codes["gaze_up"]]), codes["blink"], emotions)


@dataclass(frozen=True)
class Performance:
    """A clip of n frames: state (n, STATE); gaze (n, 2) degrees right and up of its middle; lids (n,) shut, 0 to 1; emotion (4,),
    liveliness and articulation (logarithms, 0 typical)."""

    state: np.ndarray
    gaze: np.ndarray
    lids: np.ndarray
    emotion: np.ndarray
    liveliness: float
    articulation: float

    @property
    def lasting(self) -> np.ndarray:
        """Emotion, liveliness, articulation (6,)."""
        return np.array([*self.emotion, self.liveliness, self.articulation], np.float32)


def perform(latent: LatentModel, eyes: Eyes, usual: np.ndarray, z_dyn: np.ndarray, z_pose: np.ndarray) -> Performance:
    """Take a clip apart: z_dyn (n, D), z_pose (n, 6); ``usual`` (D,) is the mean code of all clips, from which emotion counts."""
    gaze, lids = eyes_of(latent, z_dyn)
    offset = z_dyn.mean(0) - usual
    e = eyes.emotions.astype(np.float64)
    emotion = np.linalg.solve(e @ e.T + _EMOTION_RIDGE * np.eye(len(e)), e @ offset)
    rest = z_dyn - gaze @ eyes.gaze - lids[:, None] * eyes.blink - emotion @ eyes.emotions
    turns_deg = np.degrees(np.linalg.norm(np.diff(z_pose[:, :3], axis=0), axis=1)) * FRAME_RATE_HZ / 25
    liveliness = np.log(np.clip(turns_deg.mean() / TALKING_STEP_DEG, 0.1, 8))
    articulation = np.log(np.clip(lip_opening(latent, z_dyn).std() / TYPICAL_OPENING_SD_FH, 0.1, 4))
    state = np.concatenate([z_pose, rest], 1).astype(np.float32)
    return Performance(state, gaze.astype(np.float32), lids.astype(np.float32), emotion, float(liveliness), float(articulation))


def eyes_of(latent: LatentModel, z_dyn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gaze (n, 2), degrees right and up of the clip's median, and lids (n,), 0 open to 1 shut, of codes (n, D)."""
    gap = lid_gap(_faces(latent, z_dyn))
    lids = np.clip(1 - gap / np.quantile(gap, 0.7), 0, 1)
    gaze = z_dyn @ looks_of(latent)
    gaze = np.clip(gaze - np.median(gaze[lids < 0.3], 0), -_GAZE_LIMIT_DEG, _GAZE_LIMIT_DEG)
    return _held(gaze, lids < 0.4), lids


def _held(values: np.ndarray, sure: np.ndarray) -> np.ndarray:
    """Values (n, k) with those not sure replaced by straight lines between their neighbours: an iris behind a lid is not seen."""
    at = np.arange(len(values))
    if not sure.any():
        return np.zeros_like(values)
    return np.stack([np.interp(at, at[sure], column[sure]) for column in values.T], 1)


def lip_opening(latent: LatentModel, z_dyn: np.ndarray) -> np.ndarray:
    """Inner-lip opening (n,) of the mean face, face heights."""
    return opening(_faces(latent, z_dyn))


def _faces(latent: LatentModel, z_dyn: np.ndarray) -> np.ndarray:
    """Mean faces (n, 478, 3) under codes (n, D)."""
    return latent.mean + np.tensordot(z_dyn, latent.basis_dyn, 1)


def mirror(latent: LatentModel) -> np.ndarray:
    """Matrix (STATE, STATE) that mirrors a state."""
    matrix = np.zeros((STATE, STATE), np.float32)
    matrix[:POSE_SIZE, :POSE_SIZE] = np.diag([1, -1, -1, -1, 1, 1])
    matrix[POSE_SIZE:, POSE_SIZE:] = mirror_dynamics(latent)
    return matrix
