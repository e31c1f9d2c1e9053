"""The matting network: which part of a portrait is the person.

A U-Net (Ronneberger et al. 2015) that looks at the face's square once a portrait. Besides the picture it is given where the face
lies, so that it knows whose hair and shoulders are meant. The last convolution runs at half the size and is unfolded by a pixel
shuffle (Shi et al. 2016).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from talkinghead.constants import MATTE_PX
from talkinghead.nets.face import ConvUnit, Residual

CHANNELS = 4
"""RGB and the face."""
_WIDTHS = (1, 2, 4, 6, 8)


class MatteNet(nn.Module):
    """(b, CHANNELS, s, s) in 0..1 -> (b, 1, s, s): logit of how much of each pixel is the person's; s a multiple of 32."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        w = [width * k for k in _WIDTHS]
        self.stem = ConvUnit(CHANNELS, w[0], 5, 2)
        self.down = nn.ModuleList(nn.Sequential(ConvUnit(a, b, 3, 2), Residual(b)) for a, b in zip(w, w[1:], strict=False))
        self.deep = nn.Sequential(Residual(w[-1]), Residual(w[-1]))
        self.up = nn.ModuleList(ConvUnit(b, a, 1) for a, b in zip(w, w[1:], strict=False))
        self.join = nn.ModuleList(Residual(a) if a > width else ConvUnit(a, a) for a in w[:-1])
        self.out = nn.Conv2d(w[0], 4, 3, 1, 1)

    def forward(self, picture: Tensor) -> Tensor:
        levels = [self.stem(picture - 0.5)]
        for down in self.down:
            levels.append(down(levels[-1]))
        x = self.deep(levels.pop())
        for up, join in zip(reversed(self.up), reversed(self.join), strict=True):
            x = join(levels.pop() + F.interpolate(up(x), scale_factor=2.0, mode="nearest"))
        return F.pixel_shuffle(self.out(x), 2)

    @staticmethod
    def example() -> tuple[Tensor, ...]:
        """Inputs for an export."""
        return (torch.zeros(1, CHANNELS, MATTE_PX, MATTE_PX),)
