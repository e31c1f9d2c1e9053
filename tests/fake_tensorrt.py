"""TensorRT and the CUDA runtime as far as `talkinghead.runtime` uses them, in this machine's memory: a plan holds the ONNX file,
and ONNX Runtime runs it."""

from __future__ import annotations

import ctypes
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

MARK = b"fake plan "


class FakeCuda(ModuleType):
    """``cuda.bindings.runtime``."""

    cudaMemcpyKind = SimpleNamespace(cudaMemcpyHostToDevice=1, cudaMemcpyDeviceToHost=2, cudaMemcpyDeviceToDevice=3)
    cudaDeviceAttr = SimpleNamespace(cudaDevAttrComputeCapabilityMajor=75, cudaDevAttrComputeCapabilityMinor=76)

    def __init__(self) -> None:
        super().__init__("cuda.bindings.runtime")
        self.devices, self.capability, self.uploads, self.downloads = 1, {75: 9, 76: 0}, 0, 0
        self.memory: dict[int, Any] = {}

    def cudaGetDeviceCount(self) -> tuple[int, int]:
        return (0, self.devices) if self.devices else (100, 0)

    def cudaStreamCreate(self) -> tuple[int, int]:
        return 0, 7

    def cudaStreamSynchronize(self, stream: int) -> tuple[int]:
        assert stream == 7
        return (0,)

    def cudaDeviceGetAttribute(self, number: int, device: int) -> tuple[int, int]:
        return 0, self.capability[number]

    def cudaMallocAsync(self, size: int, stream: int) -> tuple[int, int]:
        room = ctypes.create_string_buffer(size)
        self.memory[ctypes.addressof(room)] = room
        return 0, ctypes.addressof(room)

    def cudaFreeAsync(self, pointer: int, stream: int) -> tuple[int]:
        del self.memory[pointer]
        return (0,)

    def cudaMemcpyAsync(self, to: int, source: int, size: int, kind: int, stream: int) -> tuple[int]:
        assert kind == 3 or (to if kind == 1 else source) in self.memory
        self.uploads += kind == 1
        self.downloads += kind == 2
        if kind == 3:
            self._check(to, size), self._check(source, size)
        ctypes.memmove(to, source, size)
        return (0,)

    def cudaMemcpy2DAsync(
        self, to: int, to_pitch: int, source: int, pitch: int, width: int, height: int, kind: int, stream: int
    ) -> tuple[int]:
        assert kind == 3 and width <= min(pitch, to_pitch)
        for k in range(height):
            self.cudaMemcpyAsync(to + k * to_pitch, source + k * pitch, width, kind, stream)
        return (0,)

    def _check(self, place: int, size: int) -> None:
        """That these bytes lie in one piece of memory."""
        assert any(start <= place and place + size <= start + len(room) for start, room in self.memory.items())


class FakeTensorRT(ModuleType):
    """``tensorrt``; ``built``: names of the inputs of each network that was built; ``refuse``: parsing fails."""

    Logger = type("Logger", (), {"ERROR": 1, "__init__": lambda self, level: None})
    NetworkDefinitionCreationFlag = SimpleNamespace(STRONGLY_TYPED=1)
    TensorIOMode = SimpleNamespace(INPUT="in", OUTPUT="out")
    IProgressMonitor = type("IProgressMonitor", (), {})

    def __init__(self, name: str = "tensorrt", version: str = "10.13.0") -> None:
        super().__init__(name)
        self.__version__ = version
        self.built: list[list[str]] = []
        self.refuse = False
        self.Builder = lambda logger: _Builder(self)
        self.OnnxParser = _Parser
        self.Runtime = lambda logger: SimpleNamespace(deserialize_cuda_engine=_deserialised)


class _Builder:
    def __init__(self, owner: FakeTensorRT) -> None:
        self._owner = owner

    def create_network(self, flags: int) -> Any:
        assert flags == 2  # strongly typed
        return SimpleNamespace(refuse=self._owner.refuse)

    def create_builder_config(self) -> Any:
        config = SimpleNamespace(profiles=[], progress_monitor=None)
        config.add_optimization_profile = config.profiles.append
        return config

    def create_optimization_profile(self) -> Any:
        shapes: dict[str, Any] = {}
        return SimpleNamespace(shapes=shapes, set_shape=lambda name, *three: shapes.update({name: three}))

    def build_serialized_network(self, network: Any, config: Any) -> bytes:
        (profile,) = config.profiles
        self._owner.built.append(list(profile.shapes))
        monitor = config.progress_monitor
        if monitor is not None:
            monitor.phase_start("tactics", None, 2)
            assert monitor.step_complete("tactics", 0) and monitor.step_complete("tactics", 1)
            monitor.phase_finish("tactics")
        (largest,) = {three[2][0] for three in profile.shapes.values()}
        return MARK + largest.to_bytes(4, "big") + network.model


class _Parser:
    def __init__(self, network: Any, logger: Any) -> None:
        self._network, self.num_errors = network, 1

    def parse(self, model: bytes) -> bool:
        inputs = [
            SimpleNamespace(name=i.name, shape=tuple(d.dim_value or -1 for d in i.type.tensor_type.shape.dim))
            for i in onnx.load_from_string(model).graph.input
        ]
        self._network.model, self._network.num_inputs, self._network.get_input = model, len(inputs), inputs.__getitem__
        return not self._network.refuse

    def get_error(self, k: int) -> Any:
        return SimpleNamespace(desc=lambda: "no such operator")


def _deserialised(plan: bytes) -> _Engine | None:
    return _Engine(plan[len(MARK) :]) if plan.startswith(MARK) else None


class _Engine:
    def __init__(self, plan: bytes) -> None:
        self._largest = int.from_bytes(plan[:4], "big")
        self._session = onnxruntime.InferenceSession(plan[4:], providers=["CPUExecutionProvider"])
        self._modes = {i.name: "in" for i in self._session.get_inputs()}
        self._modes.update({o.name: "out" for o in self._session.get_outputs()})
        self.num_io_tensors = len(self._modes)

    def get_tensor_name(self, k: int) -> str:
        return list(self._modes)[k]

    def get_tensor_mode(self, name: str) -> str:
        return self._modes[name]

    def create_execution_context(self) -> _Context:
        return _Context(self._session, self._largest)


class _Context:
    def __init__(self, session: Any, largest: int) -> None:
        self._session, self._largest = session, largest
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._pointers: dict[str, int] = {}
        self._wanted = {i.name: tuple(i.shape[1:]) for i in session.get_inputs()}

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self._shapes[name] = shape
        return shape[0] <= self._largest and shape[1:] == self._wanted[name]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        (batch,) = {shape[0] for shape in self._shapes.values()}
        (output,) = (o for o in self._session.get_outputs() if o.name == name)
        return (batch, *output.shape[1:])

    def set_tensor_address(self, name: str, pointer: int) -> None:
        self._pointers[name] = pointer

    def _at(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        size = int(np.prod(shape))
        return np.ctypeslib.as_array((ctypes.c_float * size).from_address(self._pointers[name])).reshape(shape)

    def execute_async_v3(self, stream: int) -> bool:
        given = {name: self._at(name, shape).copy() for name, shape in self._shapes.items()}
        for output, value in zip(self._session.get_outputs(), self._session.run(None, given), strict=True):
            self._at(output.name, value.shape)[...] = value
        return True


def install(patch: pytest.MonkeyPatch, trt: FakeTensorRT | None = None) -> tuple[FakeTensorRT, FakeCuda]:
    """Both in the place of the real ones."""
    import sys

    trt, cuda = trt or FakeTensorRT(), FakeCuda()
    for name in ("tensorrt", "tensorrt_rtx"):
        patch.setitem(sys.modules, name, trt if name == trt.__name__ else None)  # type: ignore[arg-type]
    bindings = ModuleType("cuda.bindings")
    bindings.runtime = cuda  # type: ignore[attr-defined]
    patch.setitem(sys.modules, "cuda", ModuleType("cuda"))
    patch.setitem(sys.modules, "cuda.bindings", bindings)
    patch.setitem(sys.modules, "cuda.bindings.runtime", cuda)
    return trt, cuda
