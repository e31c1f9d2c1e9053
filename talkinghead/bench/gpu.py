"""The decoder that draws whole frames on a GPU: milliseconds a frame, and frames a second of many sessions with their motion."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from talkinghead.bench.material import Material, shipped
from talkinghead.bench.networks import random_inputs
from talkinghead.bench.report import Figure, clocked_ms, figure
from talkinghead.constants import FRAME_RATE_HZ
from talkinghead.motion.denoiser import HOP_FRAMES, LEVELS
from talkinghead.networks import load_device_decoder

SESSIONS = (1, 8, 32, 100)
NOT_HERE = "whole frames on a GPU were not measured: torch finds no CUDA GPU here (check nvidia-smi, install torch with CUDA)"
_CALLS = {"speech/speech": 1.0, "motion/motion": (len(LEVELS) + 1) / HOP_FRAMES}
"""Of each network a frame."""


def frame_times(material: Material, rounds: int, device: str = "cuda") -> Iterator[Figure]:
    """One session: from latents to the picture in this machine's memory. ``device``: of torch."""
    drawn = _Drawn(material, device)
    draw = drawn.call(1)
    for form in ("rgb", "nv12"):
        yield figure(f"frame on the GPU, {form.upper()} fetched, kernels as they are", clocked_ms(partial(draw, form), rounds))
    for form in ("rgb", "nv12"):
        drawn.prepare(1, form)
        yield figure(f"frame on the GPU, {form.upper()} fetched, kernels fused", clocked_ms(partial(draw, form), rounds))


def sessions_held(
    material: Material, rounds: int, seed: int, sessions: tuple[int, ...] = SESSIONS, device: str = "cuda"
) -> Iterator[Figure]:
    """Speech, motion and decoder of so many sessions a batch; frames are fetched as NV12."""
    engines, drawn = {name: shipped(name, device) for name in _CALLS}, _Drawn(material, device)
    drawn.call(1)("nv12")
    drawn.prepare(max(sessions), "nv12")
    for count in sessions:
        times = [clocked_ms(partial(drawn.call(count), "nv12"), rounds)]
        for name, engine in engines.items():
            given = {key: engine.to_device(value) for key, value in random_inputs(name, count, seed).items()}
            times.append([_CALLS[name] * ms for ms in clocked_ms(partial(engine.run, **given), rounds)])
        rates = [1000 * count / sum(parts) for parts in zip(*times, strict=True)]
        label = f"motion and whole frames, {count} session{'s' * (count > 1)} a batch"
        yield figure(f"{label}: all frames", rates, "frames/s", "more")
        yield figure(f"{label}: sessions of {FRAME_RATE_HZ} FPS", [rate / FRAME_RATE_HZ for rate in rates], "", "more")


class _Drawn:
    """The portrait, ready to be drawn; the work is the same for any latents."""

    def __init__(self, material: Material, device: str) -> None:
        portrait, self._size = material.portrait, material.latent.size_dyn
        self._decoder = load_device_decoder(material.latent, device).decoder
        self._slot = self._decoder.add(portrait.face, portrait.points, portrait.code)

    def prepare(self, most: int, form: str) -> None:
        """Fuse the kernels of batches of up to so many: a minute or so a size."""
        self._decoder.prepare(most, form)

    def call(self, sessions: int) -> Callable[[str], None]:
        """Draws a frame of every session, in a form that is told."""
        z_pose, z_dyn = (np.full((sessions, size), 0.1, np.float32) for size in (6, self._size))
        slots = np.full(sessions, self._slot)
        return partial(self._draw, slots, z_pose, z_dyn)

    def _draw(self, slots: np.ndarray, z_pose: np.ndarray, z_dyn: np.ndarray, form: str) -> None:
        self._decoder.run(slot=slots, z_pose=z_pose, z_dyn=z_dyn, form=form)
