"""What every way of running a network offers, and which way a device means.

`Engine.run` takes and gives arrays of this machine's memory. What is needed again by the next call (a cache, a portrait's
appearance) can stay where the network runs: `Engine.to_device`, `Engine.run_on_device` and `Engine.append` give handles, which
any call takes in place of an array.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np

from talkinghead.errors import EngineError

DEVICES = ("auto", "cpu", "cuda", "tensorrt", "openvino")
GPUS = ("cuda", "tensorrt")
"""Devices on which the calls of many sessions are worth a batch."""


@dataclass(frozen=True)
class DeviceArray:
    """A tensor that lies where ``owner`` runs; ``value`` is the back end's own. The first axis is the batch."""

    owner: object
    value: Any
    shape: tuple[int, ...]
    fetch: Callable[[], np.ndarray]

    def numpy(self) -> np.ndarray:
        """A copy in this machine's memory, float32."""
        return self.fetch()


Tensor: TypeAlias = np.ndarray | DeviceArray


class Rows(Protocol):
    """Numbered rows of one shape, float32, that stay where an engine runs; zero at first. One thread at a time."""

    def take(self, index: np.ndarray) -> DeviceArray:
        """Copies of the rows of these numbers (n,) int64, as one batch."""
        ...

    def put(self, index: np.ndarray, rows: Tensor) -> None:
        """Overwrite the rows of these numbers (n,) int64 by a batch. Of a number that is there twice, any one stays."""
        ...


class Engine(Protocol):
    """A network with named tensors in and out, float32. The first axis of every tensor is the batch, and any batch will do.

    Any thread may call it; on a GPU calls wait for one another."""

    def run(self, **inputs: Tensor) -> dict[str, np.ndarray]:
        """Outputs by name. EngineError when an input is missing, unknown or of a wrong shape."""
        ...

    def run_on_device(self, **inputs: Tensor) -> dict[str, DeviceArray]:
        """The same; the outputs stay where they are, and are not overwritten by later calls."""
        ...

    def to_device(self, array: np.ndarray) -> DeviceArray:
        """The array where the network runs, for several calls."""
        ...

    def append(self, past: Mapping[str, Tensor], newest: Mapping[str, Tensor]) -> dict[str, DeviceArray]:
        """Caches (b, ..., n, w) by name, each without its oldest entry and with its newest (b, ..., w)."""
        ...

    def rows(self, count: int, shape: tuple[int, ...]) -> Rows:
        """Room for so many rows of a shape."""
        ...


def host(tensor: Tensor) -> np.ndarray:
    """An array of this machine's memory."""
    return tensor.numpy() if isinstance(tensor, DeviceArray) else tensor


def local(tensor: Tensor, place: object) -> Tensor:
    """The tensor if it lies at ``place`` (handles of other back ends go through this machine's memory), else an array."""
    return tensor if isinstance(tensor, DeviceArray) and tensor.owner == place else host(tensor)


def choose_device(device: str = "auto") -> str:
    """cpu, cuda, tensorrt or openvino. "auto": CUDA where a runtime finds a GPU, else the CPU (TensorRT only by its name: its
    plans take minutes to build; OpenVINO too: it was slower than the CPU's int8 files). EngineError for an unknown name; whether
    a named device can be used is told by `load_engine`."""
    if device not in DEVICES:
        raise EngineError(f"unknown device '{device}': use one of {', '.join(DEVICES)}")
    if device != "auto":
        return device
    from talkinghead.runtime.onnx import onnx_has_cuda
    from talkinghead.runtime.torch import torch_has_cuda

    return "cuda" if torch_has_cuda() or onnx_has_cuda() else "cpu"


def load_engine(path: Path, device: str = "cpu", threads: int = 1) -> Engine:
    """The engine of a shipped ONNX file on a device; EngineError for an unknown device or a missing runtime.

    cpu: ONNX Runtime with so many threads. cuda: torch with CUDA graphs where it is installed with CUDA, else ONNX Runtime's
    CUDA provider. tensorrt: its cached plan; where there is none it is built first. openvino: ONNX Runtime's OpenVINO provider on
    the CPU.
    """
    chosen = choose_device(device)
    if chosen == "cuda":
        return _cuda_engine(path)
    if chosen == "tensorrt":
        from talkinghead.runtime.tensorrt import load_tensorrt

        return load_tensorrt(path)
    from talkinghead.runtime.onnx import OnnxEngine

    return OnnxEngine(path, threads, openvino=chosen == "openvino")


def _cuda_engine(path: Path) -> Engine:
    from talkinghead.runtime.onnx import BoundOnnxEngine, onnx_has_cuda
    from talkinghead.runtime.torch import TorchEngine, torch_has_cuda

    if torch_has_cuda():
        return TorchEngine(path, "cuda")
    if onnx_has_cuda():
        return BoundOnnxEngine(path, "cuda")
    raise EngineError(
        "no CUDA runtime finds a GPU here: check nvidia-smi, then pip uninstall onnxruntime and "
        'pip install "talkinghead[gpu]", or use --device cpu'
    )
