"""Many sessions on one engine: how long each waits for its answer, and whether they fare alike."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from talkinghead.bench.material import shipped
from talkinghead.bench.networks import random_inputs
from talkinghead.bench.report import Figure, clocked_ms, figure
from talkinghead.runtime.batching import Batcher, SessionEngine

_NETWORK = "motion/motion"
_SIZES = tuple(2**k for k in range(1, 9))


def shared(device: str, sessions: int, rounds: int = 20, seed: int = 0) -> tuple[Figure, ...]:
    """So many sessions call the motion network at once, each from a thread, through `runtime.batching`."""
    batcher = Batcher(shipped(_NETWORK, device), sizes=() if device == "cpu" else _SIZES)
    start = Barrier(sessions)

    def session(k: int, engine: SessionEngine) -> list[float]:
        given = random_inputs(_NETWORK, seed=seed + k)
        start.wait()
        try:
            return clocked_ms(lambda: engine.run(**given), rounds)
        finally:
            engine.close()

    seats = [batcher.join() for _ in range(sessions)]
    try:
        with ThreadPoolExecutor(sessions) as pool:
            times = list(pool.map(session, range(sessions), seats))
    finally:
        batcher.close()
    waits = [figure("", own).p50 for own in times]
    label = f"{sessions} sessions share the motion network"
    return (
        figure(f"{label}: a call of a session", [ms for own in times for ms in own]),
        Figure(f"{label}: worst session's median against the best's", "×", round(max(waits) / min(waits), 3)),
    )
