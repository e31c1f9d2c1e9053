"""Speech encoder: log-mel rows to speaker-independent features by causal convolutions that carry their own past.

A stack of dilated causal blocks (WaveNet, van den Oord et al. 2016, without gates) hears speech; a narrow neck, from which
phones are read by one linear layer, tells *what* is said; a branch beside it tells the mean course of the lips, in the
coordinates of `talkinghead.training.lip_space`. Neck and lip curves together are the features that the motion network sees.
The network is causal in its rows; the answer for frame k is taken when row k + LOOKAHEAD_FRAMES has been heard.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from talkinghead.speech.encoder import CURVES, LOOKAHEAD_FRAMES, NECK, PAST_SHAPE, STEP_FRAMES
from talkinghead.speech.features import FEATURES

PHONES = 40
FACE_PULL = 0.3
"""Share of the faces' gradient that reaches the trunk: a hundred voices shape it, not the few that come with a face."""
_KERNEL = 3


@dataclass(frozen=True)
class SpeechSize:
    """Width and depth: dilations of the shared trunk's blocks, and of the lips' own blocks after it."""

    width: int = PAST_SHAPE[0]
    trunk: tuple[int, ...] = (1, 2, 4, 8, 1, 2, 4)
    lips: tuple[int, ...] = (2, 4, 8)

    @property
    def past(self) -> int:
        """Rows of hidden state that the blocks carry together."""
        return sum((_KERNEL - 1) * d for d in (*self.trunk, *self.lips))


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


class SpeechNet(nn.Module):
    """Rows (b, n, FEATURES) to features (b, n, NECK + CURVES) and phone scores (b, n, PHONES), both for LOOKAHEAD_FRAMES ago."""

    def __init__(self, size: SpeechSize | None = None, dropout: float = 0.15) -> None:
        super().__init__()
        self.size = size = size or SpeechSize()
        self.enter = nn.Conv1d(FEATURES, size.width, 1)
        self.trunk = nn.ModuleList(CausalBlock(size.width, d, dropout) for d in size.trunk)
        self.neck = nn.Conv1d(size.width, NECK, 1)
        self.phones = nn.Conv1d(NECK, PHONES, 1)
        self.lips = nn.ModuleList(CausalBlock(size.width, d, dropout) for d in size.lips)
        self.curves = nn.Conv1d(size.width, CURVES, 1)
        nn.init.normal_(self.curves.weight, std=0.02)

    def forward(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        features, phones, _ = self.run(rows, None)
        return features, phones

    def run(self, rows: Tensor, past: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Features, phone scores and the next past (b, width, size.past)."""
        x = self.enter(rows.transpose(1, 2) - 1.0)
        kept, at = [], 0
        neck = x
        for i, block in enumerate([*self.trunk, *self.lips]):
            x, later = block(x, None if past is None else past[:, :, at : at + block.past])
            at += block.past
            kept.append(later)
            if i + 1 == len(self.trunk):
                neck = torch.tanh(self.neck(x))
                if self.training:
                    x = x.detach() + FACE_PULL * (x - x.detach())
        features = torch.cat([neck, self.curves(x)], 1)
        return features.transpose(1, 2), self.phones(2.0 * neck).transpose(1, 2), torch.cat(kept, 2)


class StreamingSpeech(nn.Module):
    """What is shipped: rows (b, STEP_FRAMES, FEATURES) and past (b, width, n) to features (b, STEP_FRAMES, NECK + CURVES) and the
    next past."""

    def __init__(self, net: SpeechNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, rows: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        features, _, later = self.net.run(rows, past)
        return features, later

    def example(self) -> tuple[Tensor, Tensor]:
        """Inputs of one step, for export."""
        size = self.net.size
        return torch.zeros(1, STEP_FRAMES, FEATURES), torch.zeros(1, size.width, size.past)


def delayed(values: Tensor) -> Tensor:
    """Targets (b, n, ...) of frames as the network gives them: LOOKAHEAD_FRAMES rows later; the first rows repeat frame 0."""
    head = values[:, :1].expand(-1, LOOKAHEAD_FRAMES, *values.shape[2:])
    return torch.cat([head, values[:, : values.shape[1] - LOOKAHEAD_FRAMES]], 1)
