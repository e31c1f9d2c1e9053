"""Motion v1: features of speech to facial dynamics by a causal convolution network that carries its own past.

The network is causal in its rows; the answer for frame k is taken when row k + LOOKAHEAD_FRAMES has been heard.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from talkinghead.motion.lips import HOP_FRAMES, LOOKAHEAD_FRAMES, PAST_SHAPE
from talkinghead.speech.features import FEATURES

PHONES = 40
FACE_PULL = 0.3
"""Share of the faces' gradient that reaches the trunk."""
_KERNEL = 3


@dataclass(frozen=True)
class MotionSize:
    """Width and depth: dilations of the shared trunk's blocks, and of the face's own blocks after it."""

    dyn: int = 48
    width: int = PAST_SHAPE[0]
    trunk: tuple[int, ...] = (1, 2, 4, 8, 1)
    face: tuple[int, ...] = (2, 4, 8)

    @property
    def past(self) -> int:
        """Rows of hidden state that the blocks carry together."""
        return sum((_KERNEL - 1) * d for d in (*self.trunk, *self.face))


class CausalBlock(nn.Module):
    """Norm, causal dilated convolution, GELU, 1x1, residual: (b, width, n) to the same."""

    def __init__(self, width: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.past = (_KERNEL - 1) * dilation
        self.gain = nn.Parameter(torch.ones(width, 1))
        self.wide = nn.Conv1d(width, width, _KERNEL, dilation=dilation)
        self.mix = nn.Conv1d(width, width, 1)
        self.drop = nn.Dropout1d(dropout)
        nn.init.normal_(self.mix.weight, std=0.5 * width**-0.5)

    def forward(self, x: Tensor, past: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Output and the next ``past`` (b, width, self.past); None is silence before the beginning."""
        normal = x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-4) * self.gain
        before = F.pad(normal, (self.past, 0)) if past is None else torch.cat([past.to(normal.dtype), normal], 2)
        return x + self.mix(self.drop(F.gelu(self.wide(before)))), before[:, :, -self.past :]


class SpeechToFace(nn.Module):
    """Rows (b, n, FEATURES) to z_dyn (b, n, dyn) and phone scores (b, n, PHONES), both for LOOKAHEAD_FRAMES rows ago."""

    def __init__(self, size: MotionSize | None = None, dropout: float = 0.2) -> None:
        super().__init__()
        self.size = size = size or MotionSize()
        self.enter = nn.Conv1d(FEATURES, size.width, 1)
        self.trunk = nn.ModuleList(CausalBlock(size.width, d, dropout) for d in size.trunk)
        self.phones = nn.Conv1d(size.width, PHONES, 1)
        self.face = nn.ModuleList(CausalBlock(size.width, d, dropout) for d in size.face)
        self.leave = nn.Conv1d(size.width, size.dyn, 1)
        nn.init.normal_(self.leave.weight, std=0.02)

    def forward(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        z_dyn, phones, _ = self._run(rows, None)
        return z_dyn, phones

    def _run(self, rows: Tensor, past: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        x = self.enter(rows.transpose(1, 2) - 1.0)
        kept, at = [], 0
        phones = x
        for i, block in enumerate([*self.trunk, *self.face]):
            x, later = block(x, None if past is None else past[:, :, at : at + block.past])
            at += block.past
            kept.append(later)
            if i + 1 == len(self.trunk):
                phones = self.phones(x)
                if self.training:  # a hundred voices shape the trunk, not the few that come with a face
                    x = x.detach() + FACE_PULL * (x - x.detach())
        return self.leave(x).transpose(1, 2), phones.transpose(1, 2), torch.cat(kept, 2)


class StreamingFace(nn.Module):
    """What is shipped: rows (b, HOP_FRAMES, FEATURES) and past (b, width, n) to z_dyn (b, HOP_FRAMES, dyn) and the next past."""

    def __init__(self, net: SpeechToFace) -> None:
        super().__init__()
        self.net = net

    def forward(self, rows: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        z_dyn, _, later = self.net._run(rows, past)
        return z_dyn, later

    def example(self) -> tuple[Tensor, Tensor]:
        """Inputs of one hop, for export."""
        size = self.net.size
        return torch.zeros(1, HOP_FRAMES, FEATURES), torch.zeros(1, size.width, size.past)


def delayed(values: Tensor) -> Tensor:
    """Targets (b, n, ...) of frames as the network gives them: LOOKAHEAD_FRAMES rows later; the first rows repeat frame 0."""
    head = values[:, :1].expand(-1, LOOKAHEAD_FRAMES, *values.shape[2:])
    return torch.cat([head, values[:, : values.shape[1] - LOOKAHEAD_FRAMES]], 1)
