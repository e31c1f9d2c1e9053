"""One benchmark from its name to its report."""

from __future__ import annotations

from pathlib import Path

import cv2

from talkinghead.bench.gpu import NOT_HERE, frame_times, sessions_held
from talkinghead.bench.latency import Rounds, latency
from talkinghead.bench.machine import machine, versions, weights_hash
from talkinghead.bench.material import Material, Say, say_nothing
from talkinghead.bench.quality import quality
from talkinghead.bench.report import Report
from talkinghead.bench.throughput import throughput
from talkinghead.runtime.engine import choose_device
from talkinghead.runtime.torch import torch_has_cuda

BENCHES = ("latency", "throughput", "quality")
_QUICK = 5


def run_bench(
    name: str,
    device: str = "cpu",
    *,
    photo: Path | None = None,
    audio: Path | None = None,
    seed: int = 0,
    quick: bool = False,
    say: Say = say_nothing,
) -> Report:
    """Measure one of `BENCHES`, OpenCV and networks on one thread. quick: few rounds, to see that it runs."""
    device = choose_device(device)
    cv2.setNumThreads(1)
    material, on_gpu = Material.open(photo, audio), torch_has_cuda()
    if name == "latency":
        rounds = Rounds(3, _QUICK) if quick else Rounds()
        figures = latency(material, device, rounds, seed, say)
        figures += tuple(frame_times(material, rounds.stage)) if on_gpu else ()
    elif name == "throughput":
        few = {"sessions": (1, 2), "rounds": _QUICK, "seconds": 0.2, "whole": 1} if quick else {}
        figures = throughput(device, material, seed=seed, say=say, **few)  # type: ignore[arg-type]
        figures += tuple(sessions_held(material, _QUICK if quick else 20, seed)) if on_gpu else ()
    else:
        figures = quality(material, device, _QUICK if quick else 60, seed, say)
    notes = (NOT_HERE,) if name != "quality" and not on_gpu else ()
    return Report(name, device, seed, machine(), versions(), weights_hash(), figures, material.digest, notes)
