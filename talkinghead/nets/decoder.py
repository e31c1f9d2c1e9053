"""The decoder's networks: patches round mouth and eyes that are drawn once more over the warped photo.

A small U-Net (Ronneberger et al. 2015) works at half the patch's resolution and below: its input is folded space-to-depth, its
output unfolded by a pixel shuffle (Shi et al. 2016), so that no convolution runs at full size. It sees the warped patch, how
much of each pixel the driven openings cover, the motion's code (which scales and shifts the deepest features: FiLM, Perez et
al. 2018) and `V_app`, the appearance pyramid of the photo's own patch, computed once a portrait.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CHANNELS = 5
"""RGB and two coverages."""
CODE = 51
"""z_dyn (48) and the head's turn (3)."""
PARTS = {"mouth": (144, 112, 32), "eye": (80, 64, 24)}
"""Width px, height px and default network width of each part's patch; sides are multiples of 8."""
_FADE_PX = 10
_GRAIN_PX, _RIM_PX = 5, 3
"""Sides of the squares over which changes of skin are averaged, twice, and over which lips go over into it."""


class _Block(nn.Module):
    """Two 3x3 convolutions with a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, 1, 1)
        self.second = nn.Conv2d(width, width, 3, 1, 1)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.second(F.relu(self.first(x))))


def folded(x: Tensor) -> Tensor:
    """Space to depth: (n, c, h, w) -> (n, 4c, h/2, w/2)."""
    return F.pixel_unshuffle(x, 2)


def folded_convolution(x: Tensor, layer: nn.Conv2d) -> Tensor:
    """``layer(folded(x))`` of a 3x3 convolution, as one of 6x6 with stride 2: nothing is moved about in memory."""
    out, deep = layer.weight.shape[:2]
    kernel = layer.weight.reshape(out, deep // 4, 2, 2, 3, 3).permute(0, 1, 4, 2, 5, 3).reshape(out, deep // 4, 6, 6)
    return F.conv2d(x, kernel, layer.bias, stride=2, padding=2)


class Appearance(nn.Module):
    """The photo's patch (n, CHANNELS, h, w) -> V_app: (n, w, h/2, w/2), (n, 2w, h/4, w/4), (n, 3w, h/8, w/8)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        w = width
        self.stem = nn.Sequential(nn.Conv2d(4 * CHANNELS, w, 3, 1, 1), nn.ReLU(), nn.Conv2d(w, w, 3, 1, 1))
        self.down_4 = nn.Conv2d(w, 2 * w, 3, 2, 1)
        self.block_4 = _Block(2 * w)
        self.down_8 = nn.Conv2d(2 * w, 3 * w, 3, 2, 1)
        self.block_8 = _Block(3 * w)

    def forward(self, photo: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x2 = self.stem(folded(photo - 0.5))
        x4 = self.block_4(F.relu(self.down_4(F.relu(x2))))
        x8 = self.block_8(F.relu(self.down_8(x4)))
        return x2, x4, x8


class PatchPainter(nn.Module):
    """Warped patch (n, CHANNELS, h, w), code (n, CODE) and V_app -> change (n, 3, h, w) to be added, 1 being white.

    Untrained it changes nothing; the patch's border is never changed. ``keeps_grain``: outside the outlines only what is coarse
    is changed. The warp carries pores and stubble as they are; a network that is not sure of their places washes them out.
    """

    fade: Tensor

    def __init__(self, width: int, height_px: int, width_px: int, keeps_grain: bool) -> None:
        super().__init__()
        w, self._keeps_grain = width, keeps_grain
        self.stem = nn.Conv2d(4 * CHANNELS, w, 3, 1, 1)
        self.block_2 = nn.Conv2d(w, w, 3, 1, 1)
        self.down_4 = nn.Conv2d(w, 2 * w, 3, 2, 1)
        self.block_4 = _Block(2 * w)
        self.down_8 = nn.Conv2d(2 * w, 3 * w, 3, 2, 1)
        self.before, self.after = _Block(3 * w), _Block(3 * w)
        self.film = nn.Sequential(nn.Linear(CODE, 96), nn.ReLU(), nn.Linear(96, 6 * w))
        self.up_4 = nn.Conv2d(3 * w, 2 * w, 1)
        self.join_4 = _Block(2 * w)
        self.up_2 = nn.Conv2d(2 * w, w, 1)
        self.join_2 = nn.Conv2d(w, w, 3, 1, 1)
        self.out = nn.Conv2d(w, 12, 3, 1, 1)
        for last in (self.out, self.film[2]):
            nn.init.zeros_(last.weight)  # type: ignore[arg-type]
            nn.init.zeros_(last.bias)  # type: ignore[arg-type]
        self.register_buffer("fade", border_fade(height_px, width_px), persistent=False)

    def forward(self, patch: Tensor, code: Tensor, v2: Tensor, v4: Tensor, v8: Tensor) -> Tensor:
        x2 = F.relu(self.block_2(F.relu(folded_convolution(patch - 0.5, self.stem) + v2)))
        x4 = self.block_4(F.relu(self.down_4(x2) + v4))
        x8 = self.before(F.relu(self.down_8(x4) + v8))
        scale, shift = self.film(code)[..., None, None].chunk(2, 1)
        x8 = self.after(F.relu(x8 * (1 + scale) + shift))
        x4 = self.join_4(F.relu(x4 + F.interpolate(self.up_4(x8), scale_factor=2.0, mode="nearest")))
        x2 = F.relu(x2 + F.interpolate(self.up_2(x4), scale_factor=2.0, mode="nearest"))
        change = F.pixel_shuffle(self.out(F.relu(self.join_2(x2))), 2)
        if self._keeps_grain:
            inside = mean(patch[:, 3:4] + patch[:, 4:5] * (1 - patch[:, 3:4]), _RIM_PX)
            coarse = mean(mean(change, _GRAIN_PX), _GRAIN_PX)
            change = coarse + (change - coarse) * inside
        return change * self.fade


def mean(x: Tensor, side_px: int) -> Tensor:
    """Of the square round each pixel of (n, c, h, w); what lies outside does not count."""
    return F.avg_pool2d(x, side_px, 1, side_px // 2, count_include_pad=False)


def border_fade(height_px: int, width_px: int) -> Tensor:
    """(1, 1, h, w): 1 inside, falling smoothly to 0 at the border."""
    rise = [
        torch.clamp(torch.minimum(at, n - 1 - at) / _FADE_PX, 0, 1) for n in (height_px, width_px) for at in (torch.arange(n),)
    ]
    soft = [r * r * (3 - 2 * r) for r in rise]
    return (soft[0][:, None] * soft[1][None])[None, None]


class PatchDecoder(nn.Module):
    """Both networks of a part, as they are trained."""

    def __init__(self, part: str, width: int | None = None) -> None:
        """part: "mouth" or "eye"."""
        super().__init__()
        width_px, height_px, usual = PARTS[part]
        self.part, self.width = part, width or usual
        self.appearance = Appearance(self.width)
        self.painter = PatchPainter(self.width, height_px, width_px, keeps_grain=part == "mouth")

    def forward(self, photo: Tensor, patch: Tensor, code: Tensor) -> Tensor:
        return self.painter(patch, code, *self.appearance(photo))

    def examples(self) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Inputs of the two networks for an export: one mouth, or two eyes."""
        width_px, height_px, _ = PARTS[self.part]
        count, w = (2 if self.part == "eye" else 1), self.width
        patch = torch.zeros(count, CHANNELS, height_px, width_px)
        pyramid = [torch.zeros(count, k * w, height_px >> k, width_px >> k) for k in (1, 2, 3)]
        return patch, (patch, torch.zeros(count, CODE), *pyramid)
