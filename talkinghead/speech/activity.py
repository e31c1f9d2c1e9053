"""When somebody speaks, by the level trackers of `speech.features`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import soxr

from talkinghead.constants import SAMPLE_RATE_HZ
from talkinghead.speech.features import FeatureStream
from talkinghead.speech.pcm import as_float


def voices(blocks: Iterable[np.ndarray], rate: int = SAMPLE_RATE_HZ) -> Iterator[float]:
    """How surely there is a voice, 0 to 1, in each 25 ms of mono sound: float (n,) in -1..1 or int16, in blocks of any size."""
    stream = FeatureStream()
    resampler = None if rate == SAMPLE_RATE_HZ else soxr.ResampleStream(rate, SAMPLE_RATE_HZ, 1, dtype="float32")
    for block in blocks:
        samples = as_float(block)
        yield from stream.push(samples if resampler is None else resampler.resample_chunk(samples)).voice.tolist()
    if resampler is not None:
        yield from stream.push(resampler.resample_chunk(np.zeros(0, np.float32), last=True)).voice.tolist()
    yield from stream.flush().voice.tolist()
