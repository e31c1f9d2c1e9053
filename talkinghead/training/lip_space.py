"""The lips as a few curves: principal directions of lip motion within z_dyn, and distances between lips in point space."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from talkinghead.motion.latent import BROWS, EYES, LIPS, LatentModel
from talkinghead.motion.rest import LIP_PAIRS
from talkinghead.speech.encoder import CURVES

_LIP_WEIGHT, _FACE_WEIGHT, _EYE_WEIGHT = 1.0, 0.15, 0.03
UNIT_FH = 0.01
"""All distances are in hundredths of a face height."""
SHUT_FH = 0.006
WIDE = 0.85
"""Share of what is usual at which vowels of voices without a face are open enough."""
_FEWEST_VOWELS = 8
"""Frames of them by which a stretch can be judged."""


def lip_metric(latent: LatentModel, eyes: float = _EYE_WEIGHT) -> np.ndarray:
    """(D, D) so that |z @ metric|^2 is a weighted mean squared distance of points, lips above all."""
    weight = np.full(len(latent.mean), _FACE_WEIGHT / 478)
    weight[[*EYES, *BROWS]] = eyes / 100
    weight[list(LIPS)] = _LIP_WEIGHT / len(LIPS)
    basis = latent.basis_dyn.astype(np.float64)
    square = np.einsum("apc,bpc,p->ab", basis, basis, weight) / UNIT_FH**2
    return np.linalg.cholesky(square + 1e-6 * np.eye(len(square)))


def lip_modes(latent: LatentModel, z_dyn: np.ndarray) -> np.ndarray:
    """Modes (CURVES, D), the principal directions of codes (n, D) as the lips see them: z_dyn ~ curves @ modes."""
    metric = lip_metric(latent, eyes=1e-4)
    seen = z_dyn.astype(np.float64) @ metric
    values, vectors = np.linalg.eigh(seen.T @ seen / len(seen))
    top = vectors[:, ::-1][:, :CURVES].T * np.sqrt(values[::-1][:CURVES, None])
    return np.linalg.solve(metric.T, top.T).T.astype(np.float32)


def rest_gaps(latent: LatentModel, z_id: np.ndarray) -> np.ndarray:
    """Vectors (15,) between the lips of a person at rest, face heights."""
    neutral = latent.mean + np.tensordot(z_id, latent.basis_id, 1)
    return np.concatenate([neutral[a] - neutral[b] for a, b in LIP_PAIRS])


class LipLoss(nn.Module):
    """How far codes are from real ones, in points, speed and opening."""

    metric: Tensor
    gap: Tensor
    typical: Tensor

    def __init__(self, latent: LatentModel, typical_gaps: np.ndarray) -> None:
        super().__init__()
        basis = latent.basis_dyn.astype(np.float64)
        gap = np.concatenate([basis[:, a] - basis[:, b] for a, b in LIP_PAIRS], 1)
        self.register_buffer("metric", torch.tensor(lip_metric(latent), dtype=torch.float32))
        self.register_buffer("gap", torch.tensor(gap, dtype=torch.float32))
        self.register_buffer("typical", torch.tensor(typical_gaps, dtype=torch.float32))

    def opening(self, z: Tensor, rest: Tensor) -> Tensor:
        """Inner-lip opening (b, n)."""
        apart = (rest + z @ self.gap).unflatten(-1, (5, 3))
        return (apart.square().sum(-1) + 1e-8).sqrt().mean(-1) / UNIT_FH

    def gaps(self, z: Tensor) -> Tensor:
        """The same of codes (..., D) on a typical face: (...,)."""
        return self.opening(z, self.typical)

    def forward(self, made: Tensor, real: Tensor, rest: Tensor) -> Tensor:
        """made, real (b, n, D), rest lips' gaps (b, n, 15)."""
        off = (made - real) @ self.metric
        point = off.square().sum(-1).add(0.05).sqrt()
        speed = (off[:, 1:] - off[:, :-1]).square().sum(-1).add(0.01).sqrt()
        a, b = self.opening(made, rest), self.opening(real, rest)
        shut = 1 + 2 * (b < 0.25 * b.amax(1, keepdim=True))
        aperture = ((a - b).abs() * shut).mean()
        return point.mean() + 1.0 * speed.mean() + 0.3 * aperture + 1.0 * (1 - concordance(a, b)).mean()

    def unshut(self, made: Tensor, closed: Tensor) -> Tensor:
        """How far lips stand open where they must shut: made (b, n, D), closed (b, n) bool, one run of frames a closure.
        A closure counts by its least open frame, and by the frames in the middle of long ones."""
        over = F.relu(self.gaps(made) - SHUT_FH / UNIT_FH)
        begins = closed & ~F.pad(closed, (1, 0))[:, :-1]
        number = torch.cumsum(begins.flatten().long(), 0)
        least = torch.full((int(number[-1]) + 1,), 1e3, device=made.device).scatter_reduce(
            0, torch.where(closed.flatten(), number, 0), over.flatten(), "amin", include_self=False
        )[1:]
        middle = closed & torch.roll(closed, 1, 1) & torch.roll(closed, -1, 1)
        return least.sum() / (len(least) + 1) + (over * middle).sum() / (middle.sum() + 1)

    def apart(self, made: Tensor, quiet: Tensor) -> Tensor:
        """How far lips stand open in stretches in which nobody speaks: made (b, n, D), quiet (b,) bool."""
        return (F.relu(self.gaps(made) - SHUT_FH / UNIT_FH).mean(1) * quiet).sum() / quiet.sum().clamp(min=1)

    def narrow(self, made: Tensor, vowels: Tensor, usual: Tensor) -> Tensor:
        """How much less open than ``usual`` (a scalar, as `gaps`) the vowels of voices without a face are: made (b, n, D), vowels
        (b, n) bool. A stretch counts by its mean; one that opens by WIDE of what is usual is wide enough."""
        frames = vowels.sum(1)
        mean = (self.gaps(made) * vowels).sum(1) / frames.clamp(min=1)
        short = F.relu(1 - mean / (WIDE * usual).clamp(min=1e-3))
        return (short * (frames >= _FEWEST_VOWELS)).mean()


def concordance(a: Tensor, b: Tensor) -> Tensor:
    """Lin's concordance (b,) of curves (b, n): 1 when equal in shape, gain and mean. Unlike a squared error it does not let an
    opening shrink when the sound leaves doubt."""
    da, db = a - a.mean(1, keepdim=True), b - b.mean(1, keepdim=True)
    spread = da.square().mean(1) + db.square().mean(1) + (a.mean(1) - b.mean(1)).square()
    return 2 * (da * db).mean(1) / (spread + 0.05)
