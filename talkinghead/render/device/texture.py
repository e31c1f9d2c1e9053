"""Pictures of four bytes a pixel: sampled between their pixels, cut out and put back, without a loop over the batch."""

from __future__ import annotations

import torch
from torch import Tensor

from talkinghead.constants import SIZE_PX

_PIXELS = SIZE_PX * SIZE_PX


def unpacked(texels: Tensor) -> Tensor:
    """(...) int32 -> (..., 4) float32, 0 to 255."""
    return texels.unsqueeze(-1).view(torch.uint8).float()


def packed(colours: Tensor) -> Tensor:
    """(..., 4) float, rounded and saturated -> (...) int32."""
    return colours.round().clamp(0, 255).to(torch.uint8).view(torch.int32).squeeze(-1)


def sample(texels: Tensor, slots: Tensor, table: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Colours (n, k, h, w, 4) float32 of k pictures a row, linear between pixels; outside a picture its border goes on.

    ``texels`` (slots, m) int32; ``slots`` (n,) int64; ``table`` (n, k, 3) int32 as in `PreparedPortrait`; ``x``, ``y`` (n, k, h,
    w) float32 px of each picture.
    """
    start, width, height = (table[..., column, None, None].long() for column in range(3))
    start = start + (slots * texels.shape[1])[:, None, None, None]
    x, y = x.clamp(min=0).minimum(width - 1), y.clamp(min=0).minimum(height - 1)
    left, top = x.floor(), y.floor()
    across, down = (x - left).unsqueeze(-1), (y - top).unsqueeze(-1)
    left, top = left.long(), top.long()
    right, upper = (left + 1).minimum(width - 1), start + top * width
    lower = start + (top + 1).minimum(height - 1) * width
    flat = texels.view(-1)
    above, below = (torch.lerp(unpacked(flat[row + left]), unpacked(flat[row + right]), across) for row in (upper, lower))
    return torch.lerp(above, below, down)


class Patches:
    """Rectangles of one size in the frames of a batch, k a frame; they may reach past it."""

    def __init__(self, origin: Tensor, width: int, height: int) -> None:
        """``origin`` (n, k, 2) whole px: the upper left pixel."""
        self.origin, self.width, self.height = origin, width, height
        x = origin[..., 0, None, None] + torch.arange(width, device=origin.device)
        y = origin[..., 1, None, None] + torch.arange(height, device=origin.device)[:, None]
        self.x, self.y = torch.broadcast_tensors(x, y)
        """Pixel coordinates (n, k, h, w) float32."""
        inner = self.x.clamp(0, SIZE_PX - 1), self.y.clamp(0, SIZE_PX - 1)
        self.number = (inner[1] * SIZE_PX + inner[0]).long()
        """Of each place the nearest pixel of the frame (n, k, h, w) int64."""
        self._inside = (inner[0] == self.x) & (inner[1] == self.y)

    def local(self, points: Tensor) -> Tensor:
        """Points (n, k, ..., 2) px of the frame in px of the patches."""
        return points - self.origin.view(*self.origin.shape[:2], *(1,) * (points.ndim - 3), 2)

    def cut(self, picture: Tensor) -> Tensor:
        """What lies there (n, k, h, w) of pictures (n, pixels or more) of any type; the picture's border is repeated outside."""
        return picture.gather(1, self.number.flatten(1)).view(self.number.shape)

    def paste(self, frames: Tensor, colours: Tensor, mask: Tensor | None = None) -> None:
        """Write colours (n, k, h, w, 4) into frames (n, pixels + 1) int32 in place, where ``mask`` (n, k, h, w) bool is set; the
        last place of a frame takes what belongs nowhere."""
        where = self._inside if mask is None else self._inside & mask
        number = torch.where(where, self.number, _PIXELS)
        frames.scatter_(1, number.flatten(1), packed(colours).flatten(1))
