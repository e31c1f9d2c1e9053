"""Filters of pictures as matrices: ``down @ picture @ across.mT``. One product of a batch does what a row's own filter size would
need a loop for."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def gaussian(size: int, sigma: float, shift: float = 0.0) -> np.ndarray:
    """Matrix (size, size) float32 of a Gaussian blur as `cv2.GaussianBlur` of float pictures makes it, border mirrored, and of a
    shift by ``shift`` px toward the end after it, empty where nothing comes from; the identity for no ``sigma``."""
    blur = np.eye(size)
    if sigma > 0:
        reach = (round(8 * sigma + 1) | 1) // 2
        at = np.arange(-reach, reach + 1)
        taps = np.exp(-0.5 * (at / sigma) ** 2)
        blur = np.zeros((size, size))
        period = 2 * (size - 1)
        for k, tap in zip(at, taps / taps.sum(), strict=True):
            source = np.abs(np.arange(size) + k) % period
            np.add.at(blur, (np.arange(size), np.minimum(source, period - source)), tap)
    if shift:
        from_ = np.arange(size)[:, None] - shift - np.arange(size)[None]
        blur = np.clip(1 - np.abs(from_), 0, None) @ blur
    return blur.astype(np.float32)


def filtered(picture: Tensor, down: Tensor, across: Tensor) -> Tensor:
    """Pictures (..., h, w) under matrices (..., h', h) and (..., w', w)."""
    return down @ picture @ across.mT


def cubic(shift: Tensor, size: int, margin: int) -> Tensor:
    """Matrix (..., size, size + 2 margin) that samples a row ``shift`` (...) px on, by cubic convolution (Keys 1981, a = -0.5);
    the row has ``margin`` places more at each end."""
    at = torch.arange(size + 2 * margin, device=shift.device) - margin - torch.arange(size, device=shift.device)[:, None]
    t = (at - shift[..., None, None]).abs()
    near = (1.5 * t - 2.5) * t * t + 1
    far = ((-0.5 * t + 2.5) * t - 4) * t + 2
    taps = torch.where(t < 1, near, torch.where(t < 2, far, 0.0))
    return taps / taps.sum(-1, keepdim=True)
