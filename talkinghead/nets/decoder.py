"""The decoder's networks: patches round mouth and eyes that are drawn once more over the warped photo.

A small U-Net (Ronneberger et al. 2015) that works at half the patch's resolution and below: its first convolution goes in steps
of two pixels, its output is unfolded by a pixel shuffle (Shi et al. 2016), so that no convolution runs at full size. It sees the
warped patch, how much of each pixel the driven openings cover, the motion's code (which scales and shifts the deepest features:
FiLM, Perez et al. 2018) and `V_app`, the appearance pyramid of the photo's own patch, computed once a portrait.

What runs for every frame is narrow where the picture is large, what runs once a portrait is not.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CHANNELS = 5
"""RGB and two coverages."""
CODE = 51
"""z_dyn (48) and the head's turn (3)."""
Widths = tuple[int, int, int, int]
"""Of the appearance at 1/2 of the patch (twice and thrice as wide at 1/4 and 1/8); of the painter at 1/2, 1/4 and 1/8."""
PARTS: dict[str, tuple[int, int, Widths]] = {"mouth": (144, 112, (32, 16, 32, 80)), "eye": (80, 64, (24, 16, 32, 64))}
"""Width px, height px and default widths of each part's patch; its sides are multiples of 8."""
_FADE_PX = 10
_SMOOTH, _RIM_PX = 3, 3
"""Sides of the squares over which changes of skin are averaged, in steps of two pixels, and over which lips go over into it."""


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


class Appearance(nn.Module):
    """The photo's patch (n, CHANNELS, h, w) -> V_app of the painter's widths: (n, ., h/4, w/4) and (n, ., h/8, w/8)."""

    def __init__(self, widths: Widths) -> None:
        super().__init__()
        w, _, quarter, eighth = widths
        self.stem = nn.Sequential(nn.Conv2d(4 * CHANNELS, w, 3, 1, 1), nn.ReLU(), nn.Conv2d(w, w, 3, 1, 1))
        self.down_4 = nn.Conv2d(w, 2 * w, 3, 2, 1)
        self.block_4 = _Block(2 * w)
        self.down_8 = nn.Conv2d(2 * w, 3 * w, 3, 2, 1)
        self.block_8 = _Block(3 * w)
        self.to_4, self.to_8 = nn.Conv2d(2 * w, quarter, 1), nn.Conv2d(3 * w, eighth, 1)

    def forward(self, photo: Tensor) -> tuple[Tensor, Tensor]:
        x2 = self.stem(folded(photo - 0.5))
        x4 = self.block_4(F.relu(self.down_4(F.relu(x2))))
        x8 = self.block_8(F.relu(self.down_8(x4)))
        return self.to_4(x4), self.to_8(x8)


class PatchPainter(nn.Module):
    """Warped patch (n, CHANNELS, h, w), code (n, CODE) and V_app -> change (n, 3, h, w) to be added, 1 being white.

    Untrained it changes nothing; the patch's border is never changed. ``keeps_grain``: outside the outlines only what is coarse
    is changed. The warp carries pores and stubble as they are; a network that is not sure of their places washes them out.
    """

    fade: Tensor

    def __init__(self, widths: Widths, height_px: int, width_px: int, keeps_grain: bool) -> None:
        super().__init__()
        _, half, quarter, eighth = widths
        self._keeps_grain, self._deep = keeps_grain, eighth
        self.stem = nn.Conv2d(CHANNELS, half, 4, 2, 1)
        self.down_4 = nn.Conv2d(half, quarter, 3, 2, 1)
        self.block_4 = _Block(quarter)
        self.down_8 = nn.Conv2d(quarter, eighth, 3, 2, 1)
        self.before, self.after = _Block(eighth), _Block(eighth)
        self.film = nn.Sequential(nn.Linear(CODE, 96), nn.ReLU(), nn.Linear(96, 2 * eighth))
        self.up_4 = nn.Conv2d(eighth, quarter, 1)
        self.join_4 = _Block(quarter)
        self.up_2 = nn.Conv2d(quarter, half, 1)
        self.join_2 = nn.Conv2d(half, half, 3, 1, 1)
        self.out = nn.Conv2d(half, 15 if keeps_grain else 12, 3, 1, 1)
        for last in (self.out, self.film[2]):
            nn.init.zeros_(last.weight)  # type: ignore[arg-type]
            nn.init.zeros_(last.bias)  # type: ignore[arg-type]
        self.register_buffer("fade", border_fade(height_px, width_px), persistent=False)

    def forward(self, patch: Tensor, code: Tensor, v4: Tensor, v8: Tensor) -> Tensor:
        x2 = F.relu(self.stem(patch))
        x4 = self.block_4(F.relu(self.down_4(x2) + v4))
        x8 = self.before(F.relu(self.down_8(x4) + v8))
        scale, shift = self.film(code)[..., None, None].split(self._deep, 1)
        x8 = self.after(F.relu(x8 * (1 + scale) + shift))
        x4 = self.join_4(F.relu(x4 + F.interpolate(self.up_4(x8), scale_factor=2.0, mode="nearest")))
        x2 = F.relu(x2 + F.interpolate(self.up_2(x4), scale_factor=2.0, mode="nearest"))
        out = self.out(F.relu(self.join_2(x2)))
        if not self._keeps_grain:
            return F.pixel_shuffle(out, 2) * self.fade
        fine, coarse = out.split((12, 3), 1)
        inside = mean(patch[:, 3:4] + patch[:, 4:5] * (1 - patch[:, 3:4]), _RIM_PX)
        smooth = F.interpolate(mean(coarse, _SMOOTH), scale_factor=2.0, mode="bilinear", align_corners=False)
        return (smooth + F.pixel_shuffle(fine, 2) * inside) * self.fade


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

    def __init__(self, part: str, widths: Widths | None = None) -> None:
        """part: "mouth" or "eye"."""
        super().__init__()
        width_px, height_px, usual = PARTS[part]
        self.part, self.widths = part, widths or usual
        self.appearance = Appearance(self.widths)
        self.painter = PatchPainter(self.widths, height_px, width_px, keeps_grain=part == "mouth")

    def forward(self, photo: Tensor, patch: Tensor, code: Tensor) -> Tensor:
        return self.painter(patch, code, *self.appearance(photo))

    def examples(self) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Inputs of the two networks for an export: one mouth, or two eyes."""
        width_px, height_px, _ = PARTS[self.part]
        count = 2 if self.part == "eye" else 1
        patch = torch.zeros(count, CHANNELS, height_px, width_px)
        pyramid = [torch.zeros(count, self.widths[k], height_px >> k, width_px >> k) for k in (2, 3)]
        return patch, (patch, torch.zeros(count, CODE), *pyramid)
