"""Speech encoder: log-mel rows to speaker-independent features by causal convolutions that carry their own past.

A stack of dilated causal blocks (WaveNet, van den Oord et al. 2016, without gates) hears speech; a narrow neck, from which
phones are read by one linear layer, tells *what* is said; a branch beside it tells the mean course of the lips, in the
coordinates of `talkinghead.training.lip_space`. Neck and lip curves together are the features that the motion network sees.
The network is causal in its rows; the answer for frame k is taken when row k + LOOKAHEAD_FRAMES has been heard.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from talkinghead.speech.encoder import CURVES, LOOKAHEAD_FRAMES, NECK, PAST_SHAPE, STEP_FRAMES
from talkinghead.speech.features import FEATURES

PHONES = 40
FACE_PULL = 0.3
"""Share of the faces' gradient that reaches the trunk: a hundred voices shape it, not the few that come with a face."""
_KERNEL = 3
_LEAST_POWER = 1e-4


@dataclass(frozen=True)
class SpeechSize:
    """Width and depth: dilations of the shared trunk's blocks, and of the lips' own blocks after it."""

    width: int = PAST_SHAPE[1]
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

    def forward(self, x: Tensor) -> Tensor:
        """Silence came before the beginning."""
        normal = x * torch.rsqrt(x.square().mean(1, keepdim=True) + _LEAST_POWER) * self.gain
        return x + self.mix(self.drop(F.gelu(self.wide(F.pad(normal, (self.past, 0))))))


class BlockStep(nn.Module):
    """A `CausalBlock` row by row: (b, width) and its past (b, n, width) to the new row and what is to be remembered of it. As
    few operations as it takes: for a single row each costs as much as its arithmetic."""

    def __init__(self, block: CausalBlock) -> None:
        super().__init__()
        width = block.gain.shape[0]
        self.gain = nn.Parameter(block.gain.detach().flatten())
        self.dilation = block.past // (_KERNEL - 1)
        self.wide, self.mix = nn.Linear(_KERNEL * width, width), nn.Linear(width, width)
        for linear, convolution in ((self.wide, block.wide), (self.mix, block.mix)):
            linear.weight = nn.Parameter(convolution.weight.detach().transpose(1, 2).flatten(1).contiguous())
            assert convolution.bias is not None
            linear.bias = nn.Parameter(convolution.bias.detach())

    def forward(self, x: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        normal = x * torch.rsqrt(x.square().mean(1, keepdim=True) + _LEAST_POWER) * self.gain
        taps = [past[:, k * self.dilation] for k in range(_KERNEL - 1)]
        return x + self.mix(F.gelu(self.wide(torch.cat([*taps, normal], 1)))), normal


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
        x = self.enter(rows.transpose(1, 2) - 1.0)
        for block in self.trunk:
            x = block(x)
        neck = torch.tanh(self.neck(x))
        if self.training:
            x = x.detach() + FACE_PULL * (x - x.detach())
        for block in self.lips:
            x = block(x)
        features = torch.cat([neck, self.curves(x)], 1)
        return features.transpose(1, 2), self.phones(2.0 * neck).transpose(1, 2)


class StreamingSpeech(nn.Module):
    """What is shipped: a row (b, STEP_FRAMES, FEATURES) and past (b, *PAST_SHAPE), a block's after another's, oldest first, to
    features (b, STEP_FRAMES, NECK + CURVES) and the next past. It holds a copy of the network's weights."""

    def __init__(self, net: SpeechNet) -> None:
        super().__init__()
        self.size = net.size
        self.blocks = nn.ModuleList(BlockStep(cast(CausalBlock, block)) for block in (*net.trunk, *net.lips))
        self.enter, self.neck, self.curves = (_linear(layer) for layer in (net.enter, net.neck, net.curves))

    def forward(self, rows: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        x = self.enter(rows.flatten(1) - 1.0)
        neck, later = x, []
        lengths = [(_KERNEL - 1) * d for d in (*self.size.trunk, *self.size.lips)]
        for i, (block, before) in enumerate(zip(self.blocks, past.split(lengths, 1), strict=True)):
            x, normal = block(x, before)
            later += [before[:, 1:], normal[:, None]]
            if i + 1 == len(self.size.trunk):
                neck = torch.tanh(self.neck(x))
        return torch.cat([neck, self.curves(x)], 1)[:, None], torch.cat(later, 1)

    def example(self) -> tuple[Tensor, Tensor]:
        """Inputs of one step, for export."""
        return torch.zeros(1, STEP_FRAMES, FEATURES), torch.zeros(1, self.size.past, self.size.width)


def _linear(convolution: nn.Conv1d) -> nn.Linear:
    """A convolution of kernel 1 as a linear layer."""
    linear = nn.Linear(convolution.in_channels, convolution.out_channels)
    linear.weight = nn.Parameter(convolution.weight.detach()[..., 0].contiguous())
    assert convolution.bias is not None
    linear.bias = nn.Parameter(convolution.bias.detach())
    return linear


def delayed(values: Tensor) -> Tensor:
    """Targets (b, n, ...) of frames as the network gives them: LOOKAHEAD_FRAMES rows later; the first rows repeat frame 0."""
    head = values[:, :1].expand(-1, LOOKAHEAD_FRAMES, *values.shape[2:])
    return torch.cat([head, values[:, : values.shape[1] - LOOKAHEAD_FRAMES]], 1)
