"""Random inputs of the networks that run in every frame, at any batch."""

from __future__ import annotations

import numpy as np

from talkinghead.motion.denoiser import CACHE_SHAPE, CONDITIONS, HOP_SIZE, STATE, WINDOW
from talkinghead.render.refine import CHANNELS, EYE_PX, MOUTH_PX
from talkinghead.speech.encoder import PAST_SHAPE
from talkinghead.speech.features import FEATURES

ROWS = {"speech/speech": 1, "motion/motion": 2, "decoder/mouth": 1, "decoder/eye": 2}
"""Rows of a batch that one session takes: motion with speech and without; two eyes."""
NETWORKS = tuple(ROWS)
_CODE = 51
_WIDTHS = {"decoder/mouth": (MOUTH_PX, (32, 80)), "decoder/eye": (EYE_PX, (32, 64))}
"""Of a patch, and how wide the features of its photo are at 1/4 and 1/8."""


def random_inputs(name: str, sessions: int = 1, seed: int = 0) -> dict[str, np.ndarray]:
    """float32 by name; the same for a seed."""
    random = np.random.default_rng(seed)
    batch = sessions * ROWS[name]
    return {key: random.random((batch, *shape), np.float32) for key, shape in _shapes(name).items()}


def _shapes(name: str) -> dict[str, tuple[int, ...]]:
    if name == "speech/speech":
        return {"rows": (1, FEATURES), "past": PAST_SHAPE}
    if name == "motion/motion":
        vectors = {"change": HOP_SIZE, "t": 1, "last": STATE, "conditions": CONDITIONS, "unseen": WINDOW}
        return {**{key: (size,) for key, size in vectors.items()}, "keys": CACHE_SHAPE, "values": CACHE_SHAPE}
    (width_px, height_px), widths = _WIDTHS[name]
    pyramid = {f"v{2**k}": (wide, height_px >> k, width_px >> k) for k, wide in zip((2, 3), widths, strict=True)}
    return {"patch": (CHANNELS, height_px, width_px), "code": (_CODE,), **pyramid}
