"""Where the decoder's time goes: milliseconds a frame by stage, and the arithmetic of its networks."""

from __future__ import annotations

import importlib
import itertools
import os
import platform
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np
from decoder_figures import Figures, network_gflop
from decoder_play import opened

from talkinghead.constants import SAMPLE_RATE_HZ
from talkinghead.motion.latent import LatentModel
from talkinghead.portrait.load import load_photo
from talkinghead.render.eyes import EyeLayer
from talkinghead.render.mouth import MouthLayer
from talkinghead.runtime.onnx import OnnxEngine
from talkinghead.runtime.weights import models_folder
from talkinghead.speech.source import SpeechFile

DATA = Path(__file__).resolve().parent.parent / "examples" / "data"
WHOLE, COLOUR = "whole frame", "RGB to YUV 4:2:0"
PROCESSOR = "whole frame and colour, processor time, mean"
"""Hardly longer on a busy machine, unlike the other figures."""
_STAGES = {
    (LatentModel, "draw"): "points",
    (EyeLayer, "draw"): "eyes",
    (MouthLayer, "draw"): "mouth",
}
_DECODERS = {"WarpDecoder": "warp", "Decoder": "rest of the refinement"}
_WARM_UP = 20


class StageClock(AbstractContextManager["StageClock"]):
    """Times the stages while it is entered: each stage's own time, without that of the stages that it calls.

    A network is a stage of its own, named after its file, when its engine was made while the clock was entered.
    """

    def __init__(self) -> None:
        self.frames: list[dict[str, float]] = []
        self._frame: dict[str, float] = defaultdict(float)
        self._inner_ms: list[float] = [0.0]
        self._names: dict[int, str] = {}
        self._kept: list[tuple[type, str, Any]] = []

    def __enter__(self) -> StageClock:
        for (owner, method), stage in _STAGES.items():
            self._watch(owner, method, lambda _, stage=stage: stage)
        for module, (name, stage) in itertools.product(("warp", "decoder"), _DECODERS.items()):
            for method in ("draw", "paint", "driven"):
                self._watch(_class(f"talkinghead.render.{module}", name), method, lambda _, stage=stage: stage)
        self._watch(OnnxEngine, "run", lambda engine: self._names.get(id(engine), "a network"))
        self._name_engines()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        while self._kept:
            owner, method, plain = self._kept.pop()
            setattr(owner, method, plain)

    def stage(self, name: str, call: Callable[[], Any]) -> Any:
        """Do something as that stage."""
        self._inner_ms.append(0.0)
        start = time.perf_counter()
        try:
            return call()
        finally:
            spent_ms = 1000 * (time.perf_counter() - start)
            self._frame[name] += spent_ms - self._inner_ms.pop()
            self._inner_ms[-1] += spent_ms

    def end_frame(self) -> None:
        """What was timed since the last call belongs to one frame."""
        self.frames.append(dict(self._frame))
        self._frame.clear()

    def medians(self) -> Figures:
        """Of each stage's ms over the frames after the warm-up, a stage that did not run counting 0."""
        kept = self.frames[_WARM_UP:]
        names = dict.fromkeys(name for frame in kept for name in frame)
        return {name: float(np.median([frame.get(name, 0.0) for frame in kept])) for name in names}

    def totals(self) -> np.ndarray:
        """Ms of each frame after the warm-up, without the colour conversion."""
        return np.array([sum(ms for name, ms in frame.items() if name != COLOUR) for frame in self.frames[_WARM_UP:]])

    def _watch(self, owner: type | None, method: str, name: Callable[[Any], str]) -> None:
        if owner is None or method not in vars(owner) or any(o is owner and m == method for o, m, _ in self._kept):
            return
        plain = vars(owner)[method]

        def watched(this: Any, *args: Any, **options: Any) -> Any:
            return self.stage(name(this), lambda: plain(this, *args, **options))

        self._kept.append((owner, method, plain))
        setattr(owner, method, watched)

    def _name_engines(self) -> None:
        plain = vars(OnnxEngine)["__init__"]

        def named(this: OnnxEngine, path: Path, *args: Any, **options: Any) -> None:
            plain(this, path, *args, **options)
            self._names[id(this)] = f"network {path.stem}"

        self._kept.append((OnnxEngine, "__init__", plain))
        OnnxEngine.__init__ = named  # type: ignore[method-assign]


def _class(module: str, name: str) -> type | None:
    """A class, where there is such a module and such a class in it."""
    try:
        return getattr(importlib.import_module(module), name, None)
    except ImportError:
        return None


def machine() -> str:
    """Processor and cores."""
    names = [line.split(":", 1)[1].strip() for line in _cpu_lines() if line.startswith("model name")]
    name = names[0] if names else platform.processor() or platform.machine()
    return f"{name}, {len(os.sched_getaffinity(0))} cores, Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}"


def _cpu_lines() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def cost(frames: int = 240) -> dict[str, Any]:
    """Of the example photo under the example speech: medians in ms by decoder and stage; GFLOP by network file."""
    from motion_play import Player

    cv2.setNumThreads(1)
    sound = np.concatenate(list(SpeechFile(DATA / "speech.ogg").blocks()))[: 8 * SAMPLE_RATE_HZ]
    take = Player()(sound)
    order = list(itertools.islice(itertools.cycle(range(len(take.gate))), frames + _WARM_UP))
    out: dict[str, Any] = {"machine": machine(), "threads": 1, "frames": frames, "ms": {}, "gflop": networks()}
    for column in opened(load_photo(DATA / "portrait.jpg")):
        with StageClock() as clock:
            avatar = opened(load_photo(DATA / "portrait.jpg"))[column]
            clock.end_frame()
            clock.frames.clear()
            for count, k in enumerate(order):
                if count == _WARM_UP:
                    began_s = time.thread_time()
                image = avatar.draw(take.z_pose[k], take.z_dyn[k])
                clock.stage(COLOUR, lambda image=image: cv2.cvtColor(image, cv2.COLOR_RGB2YUV_I420))
                clock.end_frame()
        processor_ms = 1000 * (time.thread_time() - began_s) / frames
        totals = clock.totals()
        whole = {WHOLE: float(np.median(totals)), "p95": float(np.percentile(totals, 95)), PROCESSOR: processor_ms}
        out["ms"][column] = clock.medians() | whole
    return out


def networks() -> Figures:
    """GFLOP of each of the decoder's networks by file name, for one picture a call; none where there are none."""
    import onnx

    files = sorted((models_folder() / "decoder").glob("*.onnx"))
    return {path.stem: network_gflop(onnx.load(str(path))) for path in files}
