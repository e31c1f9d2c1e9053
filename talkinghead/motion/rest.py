"""What of the photo's own expression stays while the face speaks."""

from __future__ import annotations

import numpy as np

from talkinghead.motion.latent import FaceCode, LatentModel

LIP_PAIRS = ((13, 14), (82, 87), (312, 317), (81, 178), (311, 402))
"""Inner-lip points above and below each other."""
LID_PAIRS = ((160, 144), (159, 145), (158, 153), (385, 380), (386, 374), (387, 373))
CLOSED_GAP_FH = 0.006
"""Gap between the inner lips that counts as closed, face heights."""
_TOUCH_VARIANCE = 1e-3


def gap_rows(latent: LatentModel, pairs: tuple[tuple[int, int], ...]) -> np.ndarray:
    """How z_dyn widens each pair's vertical gap: (pairs, D), face heights a unit."""
    above, below = (list(side) for side in zip(*pairs, strict=True))
    return (latent.basis_dyn[:, below, 1] - latent.basis_dyn[:, above, 1]).T


def resting_dynamics(latent: LatentModel, code: FaceCode) -> np.ndarray:
    """The photo's z_dyn (D,) with the lips brought together by the likeliest change, lids left as they are.

    Generated motion is added to this: a portrait that smiles goes on smiling, one that was caught with an open mouth closes it.
    """
    shape = latent.shape(code.z_id, code.z_dyn) + code.residual
    above, below = (list(side) for side in zip(*LIP_PAIRS, strict=True))
    excess = np.maximum(shape[below, 1] - shape[above, 1] - CLOSED_GAP_FH, 0)
    rows = np.concatenate([gap_rows(latent, LIP_PAIRS), gap_rows(latent, LID_PAIRS)]).astype(np.float64)
    wanted = np.concatenate([-excess, np.zeros(len(LID_PAIRS))])
    unit = np.abs(rows).max()
    rows, wanted = rows / unit, wanted / unit
    step = rows.T @ np.linalg.solve(rows @ rows.T + _TOUCH_VARIANCE * np.eye(len(rows)), wanted)
    return (code.z_dyn + step).astype(np.float32)
