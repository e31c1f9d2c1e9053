"""How many calls a machine holds: what one costs is measured at the start, and the rest is arithmetic.

A call of `TARGET_FPS` takes, in processor seconds a second,

    40 / 2 hops (speech features and motion) + TARGET_FPS pictures (drawn, converted and encoded) + NETWORK_CORES,

and the machine holds  floor(cores * HEADROOM / that)  of them, never less than one. Below the target nobody is let in; with
fewer calls each draws more than the target.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from talkinghead.avatar import Avatar
from talkinghead.constants import FRAME_RATE_HZ, SAMPLE_RATE_HZ, SAMPLES_PER_FRAME, SIZE_PX
from talkinghead.cores import usable_cores
from talkinghead.live.codecs import VideoEncoder
from talkinghead.live.picture import video_frame

TARGET_FPS = 25
"""Pictures a second that every call is to have."""
HEADROOM = 0.9
"""Share of the processors that calls may take; the rest is for the system and for opening portraits."""
NETWORK_CORES = 0.10
"""Of one processor: a call's Opus, encryption and packets (measured: 0.09 for an Opus track)."""
_HOP = 2  # frames
_SPOKEN_S, _DRAWN_EVERY = 1.2, 4
_CGROUP_LIMIT = Path("/sys/fs/cgroup/cpu.max")


@dataclass(frozen=True)
class SessionCost:
    """Processor time of one call, all threads together: a hop of motion with its speech features, a picture drawn, a picture
    encoded."""

    hop_ms: float
    draw_ms: float
    encode_ms: float

    def cores(self, fps: float = TARGET_FPS) -> float:
        """Processors that one call keeps busy."""
        return (FRAME_RATE_HZ / _HOP * self.hop_ms + fps * (self.draw_ms + self.encode_ms)) / 1000 + NETWORK_CORES


def sessions_held(cost: SessionCost, cores: float, fps: float = TARGET_FPS) -> int:
    """How many calls fit, at least one."""
    return max(1, math.floor(cores * HEADROOM / cost.cores(fps)))


def available_cores(limit: Path = _CGROUP_LIMIT) -> float:
    """Processors that this process may use: its affinity, and the quota of its container (cgroup v2) where it has one."""
    cores = float(len(usable_cores()))
    try:
        quota, period = limit.read_text().split()
        return min(cores, int(quota) / int(period))
    except (OSError, ValueError, ZeroDivisionError):  # no cgroup v2, or "max": no quota
        return cores


def measure(avatar: Avatar, encoder: VideoEncoder) -> SessionCost:
    """Run an avatar for about a second of noise, with nothing else going on in this process. This also warms it up."""
    session = avatar.session(eager=True)
    noise = np.random.default_rng(0).normal(0, 0.1, int(_SPOKEN_S * SAMPLE_RATE_HZ)).astype(np.float32)
    hops, drawn, encoded = _Clock(), _Clock(), _Clock()
    step = _HOP * SAMPLES_PER_FRAME
    for count, start in enumerate(range(0, len(noise), step)):
        with hops.lap():
            session.push_audio(noise[start : start + step])
            motions = list(session.motions())
        if motions and count % (_DRAWN_EVERY // _HOP) == 0:
            with drawn.lap():
                image = session.draw(motions[0]).image
            with encoded.lap():
                _encode(encoder, image, count * _HOP)
    session.close()
    return SessionCost(hops.usual_ms, drawn.usual_ms, encoded.usual_ms)


class _Clock:
    """Processor time of this process, lap by lap: other programs on the machine do not count, helper threads do."""

    def __init__(self) -> None:
        self._laps_ms: list[float] = []

    @contextmanager
    def lap(self) -> Iterator[None]:
        begun = time.process_time()
        yield
        self._laps_ms.append(1000 * (time.process_time() - begun))

    @property
    def usual_ms(self) -> float:
        """The lower quartile: what disturbs a lap only adds to it, and the first ones are slow."""
        return float(np.quantile(self._laps_ms, 0.25))


def _encode(encoder: VideoEncoder, image: np.ndarray, index: int) -> None:
    """Convert and encode a picture as a call does, for the time that it takes."""
    frame = video_frame(image, SIZE_PX)
    frame.pts, frame.time_base = index, Fraction(1, FRAME_RATE_HZ)
    encoder.encode(frame)
