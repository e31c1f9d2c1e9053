"""Frames as encoders and sockets take them, and their one way to this machine's memory."""

from __future__ import annotations

import torch
from torch import Tensor

_Y = (269484, 528482, 102760)
_U = (-155188, -305135, 460324)
_V = (460324, -385875, -74448)
_BITS = 20
"""BT.601, limited range, as whole numbers of 2**-20: `cv2.COLOR_RGB2YUV_I420`."""


def nv12(frames: Tensor) -> Tensor:
    """RGB (n, h, w, 3) uint8 of even sides -> NV12 (n, 3 h / 2, w) uint8: luma, then U and V in turn.

    BT.601, limited range; chroma is that of every second pixel, as in `cv2.COLOR_RGB2YUV_I420`, which the CPU's way uses.
    """
    n, height, width, _ = frames.shape
    luma = _mixed(frames, _Y, 16)
    few = frames[:, ::2, ::2]
    chroma = torch.stack((_mixed(few, _U, 128), _mixed(few, _V, 128)), -1)
    return torch.cat((luma, chroma.view(n, height // 2, width)), 1)


def _mixed(frames: Tensor, weights: tuple[int, int, int], offset: int) -> Tensor:
    red, green, blue = frames.int().unbind(-1)
    total = weights[0] * red + weights[1] * green + weights[2] * blue + (1 << _BITS - 1) + (offset << _BITS)
    return (total >> _BITS).clamp(0, 255).to(torch.uint8)


def fetched(frames: Tensor) -> Tensor:
    """A copy in this machine's memory; from a GPU through memory that it writes to itself."""
    if frames.device.type == "cpu":
        return frames.clone()
    made = torch.empty(frames.shape, dtype=frames.dtype, pin_memory=True)
    made.copy_(frames, non_blocking=True)
    torch.cuda.current_stream().synchronize()
    return made
