"""Lips out of two hands: the diffusion network's performance, and the mean course that the speech encoder hears.

Generated lips have the life, the mean course has the surer timing, and it alone was taught to shut at every p, b and m: so the
lips are a mixture of both, and the mean course's wholly where it says shut. A slow gain brings a timid mixture to usual width.
"""

from __future__ import annotations

import numpy as np

from talkinghead.motion.articulation import Articulation
from talkinghead.motion.denoiser import MotionScales
from talkinghead.motion.latent import LatentModel
from talkinghead.motion.rest import LIP_PAIRS, gap_rows
from talkinghead.speech.encoder import NECK

HEARD_SHARE = 0.6
"""Of the lips, the mean course's share where they are open."""
_SHUT_FH, _PARTED_FH = 0.006, 0.014
"""Gaps of a mean face's lips between which the mean course goes from shut to open, face heights."""
_PRESS = 0.7
_TOUCH_FH = 0.002


class LipMix:
    """z_dyn with the lips mixed. The shares were chosen on people and voices held out of training."""

    def __init__(self, scales: MotionScales, latent: LatentModel) -> None:
        self._modes, self._lips, self._shut = (a.astype(np.float64) for a in (scales.modes, scales.lips, scales.shut))
        self._gap_row = gap_rows(latent, LIP_PAIRS).mean(0).astype(np.float64)
        above, below = (list(side) for side in zip(*LIP_PAIRS, strict=True))
        self._rest_gap_fh = float((latent.mean[below, 1] - latent.mean[above, 1]).mean())
        self._articulation = Articulation()

    def reset(self) -> None:
        """Before another voice."""
        self._articulation.reset()

    def __call__(self, z_dyn: np.ndarray, features: np.ndarray, gate: float) -> np.ndarray:
        """Generated z_dyn (D,), and speech features (SPEECH_FEATURES,) with their gate; the lips at rest where the gate is 0."""
        heard = features[NECK:] @ self._modes
        gap_fh = self._rest_gap_fh + self._gap_row @ heard
        shut = min(1.0, max(0.0, (_PARTED_FH - gap_fh) / (_PARTED_FH - _SHUT_FH)))
        share = HEARD_SHARE + (1 - HEARD_SHARE) * shut
        # The features are gated already; the generated lips are gated here.
        mixed = z_dyn + self._lips @ (share * (heard - z_dyn) - (1 - share) * (1 - gate) * z_dyn)
        gain = self._articulation.gain(float(self._gap_row @ mixed), gate)
        mixed = mixed + (1 - shut) * (gain - 1) * (self._lips @ mixed)
        gap_fh = self._rest_gap_fh + self._gap_row @ mixed
        # Lips that are heard shut are pressed together; lips meet, and do not cross.
        pressed_fh = max(0.0, gap_fh - _PRESS * shut * max(0.0, gap_fh - _TOUCH_FH))
        return mixed + (pressed_fh - gap_fh) * self._shut
