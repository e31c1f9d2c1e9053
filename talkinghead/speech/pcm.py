"""Samples of sound as the networks count them."""

from __future__ import annotations

import numpy as np


def as_float(samples: np.ndarray) -> np.ndarray:
    """A copy in float32: int16 becomes -1..1, what is float already stays as loud as it is."""
    scale = np.float32(1 / 32768) if samples.dtype == np.int16 else np.float32(1)
    return np.asarray(samples.astype(np.float32) * scale)
