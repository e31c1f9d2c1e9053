"""All shipped networks compiled ahead for this machine's GPU."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from talkinghead.errors import EngineError
from talkinghead.runtime.weights import models_folder

_ON_PROCESSORS = ("matte",)
"""Networks that never run on a GPU."""
CompileProgress = Callable[[str, str, int, int], None]
"""Told of a network, the phase of its building, steps done and in all."""


@dataclass(frozen=True)
class Compiled:
    """A network whose plan is ready; built: not found in the cache; seconds: what that took."""

    network: str
    built: bool
    seconds: float


def float_networks(folder: Path | None = None) -> list[Path]:
    """The shipped ONNX files for GPUs, by name: all but those for processors."""
    found = sorted((folder or models_folder()).glob("*/*.onnx"))
    return [path for path in found if not path.stem.endswith(".int8") and path.stem not in _ON_PROCESSORS]


def compile_networks(
    device: str = "tensorrt", force: bool = False, progress: CompileProgress | None = None
) -> Iterator[Compiled]:
    """Make sure of a plan of every network, one after another; ``force``: build those anew that are there.

    EngineError when the device needs no plans, or TensorRT or a GPU is missing, or a network is refused.
    """
    if device != "tensorrt":
        raise EngineError(f"only tensorrt is compiled ahead, '{device}' needs no plans: use --device tensorrt")
    from talkinghead.runtime.tensorrt import PlanBuilder

    builder = PlanBuilder()
    for path in float_networks():
        name, start = f"{path.parent.name}/{path.stem}", time.perf_counter()
        there = not force and builder.cached(path) is not None
        if not there:
            builder.build(path, None if progress is None else _of(name, progress))
        yield Compiled(name, not there, time.perf_counter() - start)


def _of(name: str, progress: CompileProgress) -> Callable[[str, int, int], None]:
    return lambda phase, done, total: progress(name, phase, done, total)
