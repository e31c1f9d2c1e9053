"""Networks through TensorRT, or TensorRT-RTX, which has the same interface: plans built from the shipped ONNX and kept.

Networks are strongly typed: precision stands in the file (`runtime.typed`), no builder flag decides, so that TensorRT 10 and 11
go one way. One profile a network covers batches from one to its largest.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from talkinghead.errors import EngineError
from talkinghead.runtime.cache import PlanCache, PlanKey, file_hash
from talkinghead.runtime.cuda import Cuda, GpuArray
from talkinghead.runtime.engine import DeviceArray, Engine, Tensor, load_engine, local
from talkinghead.runtime.settings import load_settings
from talkinghead.runtime.typed import typed_model

BuildProgress = Callable[[str, int, int], None]
"""Told of a phase of building: its name, steps done, steps in all."""


def find_tensorrt() -> Any:
    """The module ``tensorrt``, else ``tensorrt_rtx``; EngineError when neither is installed."""
    for name in ("tensorrt", "tensorrt_rtx"):
        try:
            return import_module(name)
        except (ImportError, OSError):  # OSError: its libraries are missing
            continue
    raise EngineError(
        'TensorRT is not installed: pip install "talkinghead[tensorrt]" or "talkinghead[tensorrt-rtx]", '
        "or use --device cuda or cpu"
    )


class PlanBuilder:
    """Makes engines on this machine's GPU from its cache of plans."""

    def __init__(self, cache: PlanCache | None = None) -> None:
        """EngineError when there is no TensorRT or no GPU."""
        self._trt, self._cuda = find_tensorrt(), Cuda()
        self._cache = cache or PlanCache()
        self._logger = self._trt.Logger(self._trt.Logger.ERROR)

    def key(self, path: Path) -> PlanKey:
        """What a plan of a shipped ONNX file depends on."""
        builder = f"{self._trt.__name__} {self._trt.__version__}"
        name = f"{path.parent.name}/{path.stem}"
        return PlanKey(name, self._cuda.architecture, builder, file_hash(path), repr(load_settings(path)))

    def cached(self, path: Path) -> TensorRTEngine | None:
        """The engine of a plan that is there; a plan that does not load is removed."""
        key = self.key(path)
        plan = self._cache.load(key)
        if plan is None:
            return None
        try:
            return TensorRTEngine(self._trt, self._cuda, self._logger, plan, path.name)
        except EngineError:
            self._cache.remove(key)
            return None

    def build(self, path: Path, progress: BuildProgress | None = None) -> TensorRTEngine:
        """Build (seconds to minutes), keep, and load a plan; EngineError when TensorRT refuses the network."""
        plan = build_plan(self._trt, path, progress)
        engine = TensorRTEngine(self._trt, self._cuda, self._logger, plan, path.name)
        self._cache.store(self.key(path), plan)
        return engine


def build_plan(trt: Any, path: Path, progress: BuildProgress | None = None) -> bytes:
    """A shipped ONNX file's plan by ``trt`` (of `find_tensorrt`); EngineError when it refuses the network. TensorRT builds for
    the GPU that is there; TensorRT-RTX for any, and needs none."""
    settings, logger = load_settings(path), trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(typed_model(path, settings.precision, settings.float32).SerializeToString()):
        reasons = "; ".join(str(parser.get_error(k).desc()) for k in range(parser.num_errors))
        raise EngineError(f"TensorRT {trt.__version__} cannot read {path.name}, use --device cuda: {reasons[:200]}")
    config, profile = builder.create_builder_config(), builder.create_optimization_profile()
    for k in range(network.num_inputs):
        given = network.get_input(k)
        profile.set_shape(given.name, *((batch, *tuple(given.shape)[1:]) for batch in settings.batch))
    config.add_optimization_profile(profile)
    monitor = None if progress is None or not hasattr(trt, "IProgressMonitor") else _monitor(trt, progress)
    if monitor is not None:
        config.progress_monitor = monitor  # the name keeps it alive while TensorRT calls it
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise EngineError(f"TensorRT {trt.__version__} cannot build {path.name} on this GPU: use --device cuda")
    return bytes(plan)


def _monitor(trt: Any, progress: BuildProgress) -> Any:
    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self._steps: dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self._steps[phase_name] = num_steps
            progress(phase_name, 0, num_steps)

        def phase_finish(self, phase_name: str) -> None:
            steps = self._steps.pop(phase_name)
            progress(phase_name, steps, steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            progress(phase_name, step + 1, self._steps[phase_name])
            return True

    return Monitor()


def load_tensorrt(path: Path) -> Engine:
    """The engine of a shipped ONNX file; where its plan is missing or does not fit this machine any more, another back end
    serves while the plan is built."""
    from talkinghead.runtime.healing import HealingEngine

    builder = PlanBuilder()
    return builder.cached(path) or HealingEngine(load_engine(path, "auto"), partial(builder.build, path), path.name)


class TensorRTEngine:
    """A plan on the GPU. Batches up to the largest of its settings."""

    def __init__(self, trt: Any, cuda: Cuda, logger: Any, plan: bytes, name: str) -> None:
        """EngineError when the plan does not load."""
        self._cuda, self._name = cuda, name
        self._logger, self._runtime = logger, trt.Runtime(logger)  # they outlive their engines
        self._engine = self._runtime.deserialize_cuda_engine(plan)
        context = self._engine.create_execution_context() if self._engine is not None else None
        if context is None:
            raise EngineError(f"the TensorRT plan of {name} does not load: run talkinghead compile")
        self._context, self._lock = context, threading.Lock()  # a context holds one call's addresses
        names = [self._engine.get_tensor_name(k) for k in range(self._engine.num_io_tensors)]
        self._inputs = [n for n in names if self._engine.get_tensor_mode(n) == trt.TensorIOMode.INPUT]
        self._outputs = [n for n in names if n not in self._inputs]

    def run(self, **inputs: Tensor) -> dict[str, np.ndarray]:
        """Outputs by name of float32 inputs by name."""
        return {name: self._cuda.download(value) for name, value in self._made(inputs).items()}

    def run_on_device(self, **inputs: Tensor) -> dict[str, DeviceArray]:
        """Outputs that stay on the GPU."""
        return {name: self._wrapped(value) for name, value in self._made(inputs).items()}

    def to_device(self, array: np.ndarray) -> DeviceArray:
        """A copy on the GPU."""
        return self._wrapped(self._cuda.upload(array))

    def append(self, past: Mapping[str, Tensor], newest: Mapping[str, Tensor]) -> dict[str, DeviceArray]:
        """See `Engine.append`."""
        with self._lock:
            made = {name: self._cuda.append(self._gpu_array(past[name]), self._gpu_array(newest[name])) for name in past}
            self._cuda.wait()
        return {name: self._wrapped(value) for name, value in made.items()}

    def rows(self, count: int, shape: tuple[int, ...]) -> CudaRows:
        """Rows of zeros."""
        return CudaRows(self._cuda.upload(np.zeros((count, *shape), np.float32)), self._cuda, self._gpu_array, self._wrapped)

    def _wrapped(self, value: GpuArray) -> DeviceArray:
        return DeviceArray("tensorrt", value, value.shape, partial(self._cuda.download, value))

    def _made(self, inputs: dict[str, Tensor]) -> dict[str, GpuArray]:
        with self._lock:
            return self._computed(inputs)

    def _computed(self, inputs: dict[str, Tensor]) -> dict[str, GpuArray]:
        if set(inputs) != set(self._inputs):
            raise EngineError(f"{self._name} takes {', '.join(self._inputs)}, not {', '.join(inputs)}")
        given = {name: self._gpu_array(tensor) for name, tensor in inputs.items()}
        for name, value in given.items():
            if not self._context.set_input_shape(name, value.shape):
                raise EngineError(f"{self._name} has no plan for {name} of shape {value.shape}: give smaller batches")
        made = {name: self._cuda.empty(tuple(self._context.get_tensor_shape(name))) for name in self._outputs}
        for name, value in {**given, **made}.items():
            self._context.set_tensor_address(name, value.pointer)
        if not self._context.execute_async_v3(int(self._cuda.stream)):
            raise EngineError(f"TensorRT failed in {self._name}: run talkinghead compile, or use --device cuda")
        self._cuda.wait()  # other engines have streams of their own
        return made

    def _gpu_array(self, tensor: Tensor) -> GpuArray:
        here = local(tensor, "tensorrt")
        return here.value if isinstance(here, DeviceArray) else self._cuda.upload(here)


class CudaRows:
    """`Rows` in one array of the GPU; those of consecutive numbers are copied at once."""

    def __init__(
        self, rows: GpuArray, cuda: Cuda, placed: Callable[[Tensor], GpuArray], wrapped: Callable[[GpuArray], DeviceArray]
    ) -> None:
        self._rows, self._cuda, self._placed, self._wrapped = rows, cuda, placed, wrapped

    def take(self, index: np.ndarray) -> DeviceArray:
        """Copies of rows."""
        made = self._cuda.empty((len(index), *self._rows.shape[1:]))
        for first, start, count in _runs(index):
            self._cuda.copy_rows(made, first, self._rows, start, count)
        return self._wrapped(made)

    def put(self, index: np.ndarray, rows: Tensor) -> None:
        """Overwrite rows."""
        given = self._placed(rows)
        for first, start, count in _runs(index):
            self._cuda.copy_rows(self._rows, start, given, first, count)
        self._cuda.wait()


def _runs(index: np.ndarray) -> list[tuple[int, int, int]]:
    """Stretches of consecutive numbers: where each begins in ``index``, its first number, how many they are."""
    starts = np.flatnonzero(np.diff(index, prepend=index[0] - 2) != 1)
    return [(int(a), int(index[a]), int(b - a)) for a, b in zip(starts, [*starts[1:], len(index)], strict=True)]
