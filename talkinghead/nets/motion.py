"""Motion network: a causal diffusion transformer that denoises one hop of motion at a time.

A token is a hop of HOP_FRAMES frames: the change of motion since the last frame, noised to a level t, with that last frame and
the conditions. A *clean* token (t = 0) is what the past is made of: its keys and values are cached, so that a hop costs the same
after an hour as at the start. In training each sequence stands twice, clean and noised; a noised hop sees the clean hops before
it and itself (block diffusion, Arriola et al. 2025), so that all hops of a clip are learned at once. Blocks are those of DiT
(Peebles and Xie 2023) with one shared modulation (PixArt-alpha, Chen et al. 2023). Noising is rectified flow's straight line
(Liu et al. 2022), y_t = (1 - t) y + t e; the network tells y itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from talkinghead.motion.denoiser import CACHE_SHAPE, CONDITIONS, HOP_SIZE, STATE, WINDOW

_HIDDEN = 4
_WAVES = 32
_FAR = -1e4


@dataclass(frozen=True)
class MotionSize:
    """Width, blocks and heads."""

    width: int = CACHE_SHAPE[1] * CACHE_SHAPE[3]
    blocks: int = CACHE_SHAPE[0]
    heads: int = CACHE_SHAPE[1]


class Block(nn.Module):
    """Attention over past and self, then a perceptron, both modulated: (b, n, width) to the same."""

    def __init__(self, size: MotionSize) -> None:
        super().__init__()
        self.heads, self.width = size.heads, size.width
        width = size.width
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.widen = nn.Linear(width, _HIDDEN * width)
        self.narrow = nn.Linear(_HIDDEN * width, width)
        self.shift = nn.Parameter(torch.zeros(6, width))
        self.lag_bias = nn.Parameter(torch.zeros(size.heads, WINDOW + 1))
        nn.init.normal_(self.out.weight, std=0.3 * width**-0.5)
        nn.init.normal_(self.narrow.weight, std=0.3 * (_HIDDEN * width) ** -0.5)

    def forward(self, x: Tensor, modulation: Tensor, attend: TwiceOver) -> Tensor:
        """x and modulation (b, n, 6, width) to the new x."""
        a, b, c, d, e, f = (modulation + self.shift).unbind(2)
        q, k, v = self.qkv(_norm(x, self.width) * (1 + a) + b).chunk(3, 2)
        x = x + (1 + c) * self.out(attend(self, q, k, v))
        return x + (1 + f) * self.narrow(F.gelu(self.widen(_norm(x, self.width) * (1 + d) + e)))

    def step(
        self, x: Tensor, modulation: Tensor, keys: Tensor, values: Tensor, hidden: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One token a row: x (b, width) and modulation (b, 6 * width) to the new x, and the token's key and value (b, heads, 1,
        width / heads); keys, values (b, heads, WINDOW, width / heads) of the past, hidden (b, 1, WINDOW + 1) added to scores.

        As few operations as it takes: at this size each costs as much as its arithmetic."""
        heads, width = self.heads, self.width // self.heads  # numbers, so that no shape is asked for in the export
        a, b, c, d, e, f = (modulation + (self.shift + self._ones()).flatten()).split(self.width, 1)
        q, k, v = self.qkv(_norm(x, self.width) * a + b).split(self.width, 1)
        q, k, v = q.reshape(-1, heads, width, 1), k.reshape(-1, heads, 1, width), v.reshape(-1, heads, 1, width)
        past, itself = (keys @ q).reshape(-1, heads, WINDOW), (k @ q).reshape(-1, heads, 1)
        scores = torch.cat([past, itself], 2) * width**-0.5 + self.lag_bias.flip(1) + hidden
        share = torch.softmax(scores, 2).reshape(-1, heads, 1, WINDOW + 1)
        seen = share[..., :WINDOW] @ values + share[..., WINDOW:] * v
        x = x + c * self.out(seen.reshape(-1, self.width))
        return x + f * self.narrow(F.gelu(self.widen(_norm(x, self.width) * d + e))), k, v

    @staticmethod
    def _ones() -> Tensor:
        """What is added to a modulation (6, 1): factors are told by how much they differ from one."""
        return torch.tensor([1.0, 0.0, 1.0, 1.0, 0.0, 1.0])[:, None]

    def split(self, x: Tensor) -> Tensor:
        """(b, n, width) to heads (b, heads, n, width / heads)."""
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)


class TwiceOver:
    """How tokens see each other in training: clean ones (b, n) and behind them the noised ones (b, n)."""

    def __init__(self, count: int, forget: Tensor) -> None:
        """forget (b,) bool: sequences whose noised hops see no past."""
        hop = torch.arange(count, device=forget.device)
        lag = hop[:, None] - hop[None]
        self.lag = torch.where((lag < 0) | (lag > WINDOW), torch.zeros_like(lag), lag)
        never = (lag < 0) | (lag > WINDOW)
        itself = torch.eye(count, dtype=torch.bool, device=forget.device)
        blank = torch.ones_like(never)
        clean, noised = torch.cat([never, blank], 1), torch.cat([never | itself, ~itself], 1)
        past = torch.cat([torch.ones_like(never), torch.zeros_like(never)], 1)
        hidden = torch.cat([clean, noised]).expand(len(forget), -1, -1).clone()
        hidden[:, count:] |= past & forget[:, None, None]
        self.hidden = hidden[:, None]

    def __call__(self, block: Block, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        bias = block.lag_bias[:, self.lag].repeat(1, 2, 2)[None].masked_fill(self.hidden, _FAR)
        q, k, v = (block.split(x) for x in (q, k, v))
        return F.scaled_dot_product_attention(q, k, v, bias.to(q.dtype)).transpose(1, 2).flatten(2)


def _norm(x: Tensor, width: int) -> Tensor:
    return F.layer_norm(x, (width,))


class MotionNet(nn.Module):
    """Tokens to denoised changes (b, n, HOP_SIZE)."""

    waves: Tensor

    def __init__(self, size: MotionSize | None = None) -> None:
        super().__init__()
        self.size = size = size or MotionSize()
        self.enter = nn.Linear(HOP_SIZE + STATE + CONDITIONS, size.width)
        self.hear = nn.Sequential(nn.Linear(CONDITIONS, size.width), nn.GELU(), nn.Linear(size.width, size.width))
        modulate = nn.Linear(size.width, 6 * size.width)
        self.level = nn.Sequential(nn.Linear(2 * _WAVES, size.width), nn.SiLU(), modulate)
        self.blocks = nn.ModuleList(Block(size) for _ in range(size.blocks))
        self.leave = nn.Linear(size.width, HOP_SIZE)
        self.register_buffer("waves", torch.pi * 2.0 ** torch.linspace(-1, 7, _WAVES))
        nn.init.normal_(self.leave.weight, std=0.02)
        nn.init.zeros_(modulate.weight)
        nn.init.zeros_(modulate.bias)

    def forward(self, change: Tensor, noised: Tensor, t: Tensor, last: Tensor, conditions: Tensor, forget: Tensor) -> Tensor:
        """Whole sequences: clean and noised changes (b, n, HOP_SIZE), t (b, n, 1), last frames before each hop (b, n, STATE),
        conditions (b, n, CONDITIONS); forget (b,) bool, no past. Denoised changes (b, n, HOP_SIZE)."""
        count = change.shape[1]
        clean, noisy = (self._tokens(y, last, conditions) for y in (change, noised))
        x, levels = torch.cat([clean, noisy], 1), self._levels(torch.cat([torch.zeros_like(t), t], 1)).unflatten(2, (6, -1))
        attend = TwiceOver(count, forget)
        for block in self.blocks:
            x = block(x, levels, attend)
        return self.leave(_norm(x[:, count:], self.size.width))

    def step(
        self, change: Tensor, t: Tensor, last: Tensor, conditions: Tensor, keys: Tensor, values: Tensor, unseen: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One token a row: change (b, HOP_SIZE), t (b, 1), last (b, STATE), conditions (b, CONDITIONS), keys, values (b, blocks,
        heads, WINDOW, width / heads), oldest first, unseen (b, WINDOW): 1 where they are still empty. The denoised change, and
        the token's keys and values (b, blocks, heads, width / heads)."""
        x, levels, own = self._tokens(change, last, conditions), self._levels(t), []
        hidden = F.pad(unseen, (0, 1))[:, None] * _FAR
        for i, block in enumerate(self.blocks):
            assert isinstance(block, Block)
            x, k, v = block.step(x, levels, keys[:, i], values[:, i], hidden)
            own.append((k, v))
        new_keys, new_values = (torch.cat(parts, 2).transpose(1, 2) for parts in zip(*own, strict=True))
        return self.leave(_norm(x, self.size.width)), new_keys, new_values

    def _tokens(self, change: Tensor, last: Tensor, conditions: Tensor) -> Tensor:
        return self.enter(torch.cat([change, last, conditions], -1)) + self.hear(conditions)

    def _levels(self, t: Tensor) -> Tensor:
        angles = t * self.waves
        return self.level(torch.cat([angles.sin(), angles.cos()], -1))


INPUTS = ("change", "t", "last", "conditions", "keys", "values", "unseen")
OUTPUTS = ("made", "new_keys", "new_values")
"""Of `MotionStep`, by name."""


class MotionStep(nn.Module):
    """What is shipped: `MotionNet.step`."""

    def __init__(self, net: MotionNet) -> None:
        super().__init__()
        self.net = net

    def forward(
        self, change: Tensor, t: Tensor, last: Tensor, conditions: Tensor, keys: Tensor, values: Tensor, unseen: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        return self.net.step(change, t, last, conditions, keys, values, unseen)

    def example(self) -> tuple[Tensor, ...]:
        """Inputs of one step, for export."""
        size = self.net.size
        cache = torch.zeros(2, size.blocks, size.heads, WINDOW, size.width // size.heads)
        return (
            torch.zeros(2, HOP_SIZE), torch.zeros(2, 1), torch.zeros(2, STATE), torch.zeros(2, CONDITIONS), cache, cache,
            torch.ones(2, WINDOW),
        )  # fmt: skip
