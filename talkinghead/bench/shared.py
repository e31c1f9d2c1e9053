"""Many sessions at once, as a server has them: frames a second, what each waits for its frames, whether they fare alike.

A session is a thread that goes through the networks of a hop as a call does: speech features, motion with its past, mouth and
eyes of each frame, as fast as it gets answers. Warp, composite and encoding are not in it. On a GPU sessions share batches.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from time import monotonic, perf_counter

import numpy as np

from talkinghead.bench.energy import GpuEnergy, ProcessorEnergy
from talkinghead.bench.networks import random_inputs
from talkinghead.bench.report import Figure, figure
from talkinghead.constants import FRAME_RATE_HZ
from talkinghead.motion.denoiser import CONDITIONS, HOP_FRAMES, STATE, Denoiser, MotionScales
from talkinghead.networks import batcher
from talkinghead.runtime.batching import Batcher, SessionEngine, seat
from talkinghead.runtime.engine import GPUS, Engine, Tensor
from talkinghead.runtime.weights import model_path

_PAINTERS = ("decoder/mouth", "decoder/eye")
_WARM_UP_HOPS = 2


def shared(engines: Mapping[str, Engine], device: str, sessions: int, seconds: float = 2.0, seed: int = 0) -> tuple[Figure, ...]:
    """So many sessions for so many seconds."""
    shown = {name: batcher(name, engine) for name, engine in engines.items()} if device in GPUS else engines
    batchers = [engine for engine in shown.values() if isinstance(engine, Batcher)]
    try:
        hop, leave = _hops(shown, seed)
        hop(), leave()
        for each in batchers:
            each.prepare()
        shares, elapsed_s, joules = _run(shown, device, sessions, seconds, seed)
    finally:
        for each in batchers:
            each.close()
    frames = [HOP_FRAMES * len(times) for times in shares]
    label = f"{sessions} session{'s' * (sessions > 1)} at once"
    rate = sum(frames) / elapsed_s
    made = [
        Figure(f"{label}: all frames", "frames/s", round(rate, 1), better="more"),
        Figure(f"{label}: realtime factor of each", "×", round(rate / FRAME_RATE_HZ / sessions, 3), better="more"),
        figure(f"{label}: a session's hop of {HOP_FRAMES} frames", [ms for times in shares for ms in times]),
        Figure(f"{label}: most frames of a session against fewest", "×", round(max(frames) / max(1, min(frames)), 3)),
    ]
    if joules is not None:
        made.append(Figure(f"{label}: energy of a frame", "J", round(joules / max(1, sum(frames)), 4)))
    return tuple(made)


def _run(
    engines: Mapping[str, Engine], device: str, sessions: int, seconds: float, seed: int
) -> tuple[list[list[float]], float, float | None]:
    ready, ended = threading.Barrier(sessions + 1), threading.Event()

    def session(k: int) -> list[float]:
        hop, leave = _hops(engines, seed + k)
        try:
            for _ in range(_WARM_UP_HOPS):
                hop()
            ready.wait()
            times: list[float] = []
            while not ended.is_set() or not times:
                start = perf_counter()
                hop()
                times.append(1000 * (perf_counter() - start))
            return times
        except BaseException:
            ready.abort()
            raise
        finally:
            leave()

    with ThreadPoolExecutor(sessions) as pool:
        waiting = [pool.submit(session, k) for k in range(sessions)]
        try:
            ready.wait()
        except threading.BrokenBarrierError:
            for share in waiting:
                share.result()
        meter = GpuEnergy() if device in GPUS else ProcessorEnergy()
        start_s = monotonic()
        ended.wait(seconds)
        ended.set()
        shares = [share.result() for share in waiting]
    return shares, monotonic() - start_s, meter.joules()


def _hops(engines: Mapping[str, Engine], seed: int) -> tuple[Callable[[], None], Callable[[], None]]:
    """What makes a session's next hop, and what ends the session."""
    random = np.random.default_rng(seed)
    seats = {name: seat(engine) for name, engine in engines.items()}
    speech, scales = seats["speech/speech"], MotionScales.load(model_path("motion", "motion.npz"))
    denoiser = Denoiser(seats["motion/motion"], scales)
    heard = random_inputs("speech/speech", seed=seed)
    past: list[Tensor] = [speech.to_device(heard["past"])]
    conditions, noise = random.random((2, CONDITIONS), np.float32), random.standard_normal((HOP_FRAMES, STATE))
    drawn: dict[str, dict[str, Tensor]] = {}
    for name in _PAINTERS:  # the portrait's appearance lies on the device
        given = random_inputs(name, seed=seed)
        drawn[name] = {key: seats[name].to_device(value) if key.startswith("v") else value for key, value in given.items()}

    def hop() -> None:
        for _ in range(HOP_FRAMES):
            past[0] = speech.run_on_device(rows=heard["rows"], past=past[0])["later"]
        denoiser.step(conditions[0], conditions[1], noise)
        for _ in range(HOP_FRAMES):
            for name, inputs in drawn.items():
                seats[name].run(**inputs)

    def leave() -> None:
        for each in seats.values():
            if isinstance(each, SessionEngine):
                each.close()

    return hop, leave
