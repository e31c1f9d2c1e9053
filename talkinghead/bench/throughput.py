"""Frames a second of the networks of many sessions, as one batch and from sessions at once, and of the whole pipeline for one.

A frame of a session takes one row of speech, its share of a hop of motion (evaluations of two rows), one mouth and two eyes. What
sessions carry (caches, appearances) lies on the device. Warp, composite and encoding are not in the networks' figures.
"""

from __future__ import annotations

from functools import partial
from itertools import islice
from time import perf_counter

from talkinghead.bench.material import Material, Say, say_nothing, shipped
from talkinghead.bench.networks import NETWORKS, random_inputs
from talkinghead.bench.report import Figure, clocked_ms, figure
from talkinghead.bench.shared import shared
from talkinghead.constants import FRAME_RATE_HZ
from talkinghead.motion.denoiser import HOP_FRAMES, LEVELS
from talkinghead.runtime.engine import Engine, Tensor

SESSIONS = {"cpu": (1, 2, 4, 8), "gpu": (1, 4, 16, 64, 128)}
CALLS = {
    "speech/speech": 1.0,
    "motion/motion": (len(LEVELS) + 1) / HOP_FRAMES,
    "decoder/mouth": 1.0,
    "decoder/eye": 1.0,
}
"""Of each network a frame."""
_WARM_UP = 4
_CARRIED = ("past", "keys", "values", "v4", "v8")


def throughput(
    device: str,
    material: Material | None = None,
    sessions: tuple[int, ...] | None = None,
    rounds: int = 20,
    seconds: float = 2.0,
    whole: int = 5,
    seed: int = 0,
    say: Say = say_nothing,
) -> tuple[Figure, ...]:
    """Figures for each count of sessions, of a batch over so many rounds and of sessions at once for so many seconds; with
    ``material`` those of the whole pipeline too, over so many recordings."""
    engines = {name: shipped(name, device) for name in NETWORKS}
    made: list[Figure] = []
    counts = sessions or SESSIONS["cpu" if device == "cpu" else "gpu"]
    for count in counts:
        say(f"{count} sessions")
        made += _of(engines, count, rounds, seed)
        made += shared(engines, device, count, seconds, seed)
    if material is not None:
        say("whole pipeline")
        rates = [_whole(material, device, seed) for _ in range(whole)]
        made.append(figure("whole pipeline without encoding, 1 session", rates, "frames/s", "more"))
        made.append(figure("realtime factor of it", [rate / FRAME_RATE_HZ for rate in rates], "×", "more"))
    return tuple(made)


def _of(engines: dict[str, Engine], count: int, rounds: int, seed: int) -> list[Figure]:
    times = []
    for name, engine in engines.items():
        given: dict[str, Tensor] = dict(random_inputs(name, count, seed))
        given.update({key: engine.to_device(value) for key, value in random_inputs(name, count, seed).items() if key in _CARRIED})
        times.append([CALLS[name] * ms for ms in clocked_ms(partial(engine.run, **given), rounds)])
    frame_ms = [sum(parts) for parts in zip(*times, strict=True)]
    rates = [1000 * count / ms for ms in frame_ms]
    label = f"networks, {count} session{'s' * (count > 1)} a batch"
    return [
        figure(f"{label}: a frame of each", frame_ms),
        figure(f"{label}: all frames", rates, "frames/s", "more"),
        figure(f"{label}: sessions of {FRAME_RATE_HZ} FPS", [rate / FRAME_RATE_HZ for rate in rates], "", "more"),
    ]


def _whole(material: Material, device: str, seed: int) -> float:
    """Frames a second of one recording."""
    avatar = material.avatar(device)
    frames = avatar.render(material.sound, seed=seed)
    warm = sum(1 for _ in islice(frames, _WARM_UP))
    assert warm == _WARM_UP
    start = perf_counter()
    count = sum(1 for _ in frames)
    return count / (perf_counter() - start)
