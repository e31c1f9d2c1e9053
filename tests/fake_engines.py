"""Stand-ins for the networks, in a few lines of numpy, and the numbers that go with them."""

from __future__ import annotations

import numpy as np

from talkinghead.motion.denoiser import CACHE_SHAPE, DYNAMICS, FRAME_CONDITIONS, HOP_FRAMES, HOP_SIZE, STATE, MotionScales
from talkinghead.motion.latent import POSE_SIZE, LatentModel
from talkinghead.motion.rest import LIP_PAIRS, gap_rows
from talkinghead.runtime.engine import Tensor, host
from talkinghead.runtime.memory import MemoryEngine
from talkinghead.speech.encoder import CURVES, NECK, PAST_SHAPE, SPEECH_FEATURES, EncodedSpeech
from talkinghead.speech.features import BANDS, SUB_FRAMES

POSE_STEP, DYNAMICS_STEP = 0.01, 0.1
"""Units of change of `scales`."""


class FakeSpeech(MemoryEngine):
    """Feature 0 is the loudness of the row, feature 1 leaks over the rows before, the others tell which row it is."""

    def __init__(self) -> None:
        self.calls = 0

    def run(self, **inputs: Tensor) -> dict[str, np.ndarray]:
        rows, past = host(inputs["rows"]), host(inputs["past"]).copy()
        assert rows.dtype == past.dtype == np.float32
        assert past.shape == (len(rows), *PAST_SHAPE)
        self.calls += 1
        features = np.zeros((*rows.shape[:2], SPEECH_FEATURES), np.float32)
        for k in range(rows.shape[1]):
            loud = rows[:, k, BANDS * SUB_FRAMES]
            past[:, 0, 0] = 0.5 * past[:, 0, 0] + loud
            past[:, 0, 1] += 1
            features[:, k, 0], features[:, k, 1], features[:, k, 2:] = loud, past[:, 0, 0], past[:, 0, 1:2]
            features[:, k, NECK:] = 0
            features[:, k, NECK] = loud
        return {"features": features, "later": past}


class FakeMotion(MemoryEngine):
    """Opens the lips by feature 0 of each frame; everything else leaks to rest, and carries its share of the noise."""

    def __init__(self, latent: LatentModel, wild: float = 0.5) -> None:
        """wild: share of the noise that it takes for motion."""
        self.open, self._wild = opener(latent), wild

    def run(self, **inputs: Tensor) -> dict[str, np.ndarray]:
        change, last = host(inputs["change"]).reshape(-1, HOP_FRAMES, STATE), host(inputs["last"])
        told = host(inputs["conditions"])[:, : HOP_FRAMES * FRAME_CONDITIONS].reshape(len(change), HOP_FRAMES, -1)
        wanted = np.zeros((len(change), HOP_FRAMES, STATE))
        for k in range(HOP_FRAMES):  # lips at once, the rest slowly
            wanted[:, k, :POSE_SIZE] = -0.02 * (k + 1) * last[:, :POSE_SIZE]
            wanted[:, k, POSE_SIZE:] = told[:, k, :1] * self.open - last[:, POSE_SIZE:]
        wanted = wanted / UNIT
        noise = change - (1 - host(inputs["t"])[..., None]) * wanted
        made = wanted + self._wild * noise
        own = np.zeros((len(change), *CACHE_SHAPE[:2], CACHE_SHAPE[3]), np.float32)
        return {"made": made.reshape(-1, HOP_SIZE).astype(np.float32), "new_keys": own, "new_values": own}


UNIT = np.concatenate([np.full(POSE_SIZE, POSE_STEP), np.full(DYNAMICS, DYNAMICS_STEP)]).astype(np.float32)


def opener(latent: LatentModel) -> np.ndarray:
    """The smallest z_dyn (D,) that opens all inner lips by 0.03 face heights."""
    rows = gap_rows(latent, LIP_PAIRS).astype(np.float64)
    return np.linalg.lstsq(rows, np.full(len(rows), 0.03), rcond=1e-3)[0]


def scales(latent: LatentModel, face_noise: float = 0.0) -> MotionScales:
    """States count as they are, and steps in `UNIT`; ``lips`` takes all that parts the inner lips."""
    rows = gap_rows(latent, LIP_PAIRS).astype(np.float64)
    noise = np.diag(np.concatenate([np.ones(POSE_SIZE), np.full(DYNAMICS, face_noise)]))
    arrays = (np.ones(STATE), np.tile(UNIT, (HOP_FRAMES, 1)), noise, np.linalg.pinv(rows, rcond=1e-6) @ rows)
    state, change, turned, lips = (a.astype(np.float32) for a in arrays)
    modes, shut = np.zeros((CURVES, DYNAMICS), np.float32), np.zeros(DYNAMICS, np.float32)
    modes[0] = opener(latent)  # what is heard of the lips is what `FakeMotion` makes of them
    return MotionScales(state, change, turned, lips, modes, shut, liveliness=0.0, articulation=0.0, guidance=0.0)


def talk(count: int, first: int = 40, last: int = 40) -> EncodedSpeech:
    """Syllables in feature 0 of count frames; the first and last frames are silent."""
    beat = np.clip(np.sin(np.arange(count) * 0.7), 0, 1).astype(np.float32)
    gate = np.zeros(count, np.float32)
    gate[first : count - last] = 1
    features = np.zeros((count, SPEECH_FEATURES), np.float32)
    features[:, 0] = features[:, NECK] = beat * gate
    return EncodedSpeech(features, gate, 2 * gate)
