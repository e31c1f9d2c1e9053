"""Networks through ONNX Runtime: on the CPU, and on a GPU with its inputs and outputs bound to the GPU's memory."""

from __future__ import annotations

import ctypes
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from talkinghead.errors import EngineError
from talkinghead.runtime.engine import DeviceArray, Tensor, host, local
from talkinghead.runtime.memory import MemoryEngine
from talkinghead.runtime.moves import move_model

_OPENVINO = "OpenVINOExecutionProvider"
_Move: TypeAlias = Callable[[Mapping[str, Tensor]], dict[str, DeviceArray]]


def _runtime() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise EngineError(
            'no runtime installed: pip install "talkinghead[cpu]" (or "talkinghead[gpu]" with an NVIDIA GPU)'
        ) from error
    return onnxruntime


def onnx_has_cuda() -> bool:
    """Whether ONNX Runtime is installed with its CUDA provider and finds the NVIDIA driver."""
    if find_spec("onnxruntime") is None or "CUDAExecutionProvider" not in _runtime().get_available_providers():
        return False
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


def _openvino(threads: int) -> list[Any]:
    if _OPENVINO not in _runtime().get_available_providers():
        raise EngineError(
            "ONNX Runtime is installed without OpenVINO: pip uninstall onnxruntime, then "
            'pip install "talkinghead[openvino]", or use --device cpu'
        )
    # Without these it takes all cores, whatever num_of_threads says, and half precision where the processor has it.
    config = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": "f32", "ENABLE_CPU_PINNING": False}
    return [(_OPENVINO, {"device_type": "CPU", "load_config": json.dumps({"CPU": config})}), "CPUExecutionProvider"]


def session(model: Path | bytes, name: str, threads: int = 1, providers: Sequence[Any] = ("CPUExecutionProvider",)) -> Any:
    """An ``InferenceSession`` of a file or its bytes, whose threads do not spin; EngineError when it cannot be loaded."""
    ort = _runtime()
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return ort.InferenceSession(str(model) if isinstance(model, Path) else model, options, providers=list(providers))
    except Exception as error:  # the runtime raises types of its own for damaged files
        raise EngineError(f"cannot load {name}: the file is damaged, reinstall talkinghead ({type(error).__name__})") from error


class OnnxEngine(MemoryEngine):
    """One ONNX file in a session of its own on the CPU. Threads do not spin: other work shares the cores."""

    def __init__(self, path: Path, threads: int = 1, *, openvino: bool = False) -> None:
        """openvino: by that provider; EngineError where it is missing."""
        self._name, self._made = path.name, (path, threads, openvino)
        self._session = session(path, path.name, threads, _openvino(threads) if openvino else ["CPUExecutionProvider"])
        if openvino and _OPENVINO not in self._session.get_providers():
            raise EngineError("ONNX Runtime cannot start OpenVINO: install onnxruntime-openvino again, or use --device cpu")
        self._outputs = [output.name for output in self._session.get_outputs()]

    def __reduce__(self) -> tuple[Any, ...]:
        # In another process it is loaded again.
        path, threads, openvino = self._made
        return partial(OnnxEngine, openvino=openvino), (path, threads)

    def run(self, **inputs: Tensor) -> dict[str, np.ndarray]:
        """Outputs by name of float32 inputs by name."""
        arrays = {name: host(tensor) for name, tensor in inputs.items()}
        try:
            return dict(zip(self._outputs, self._session.run(None, arrays), strict=True))
        except Exception as error:
            raise _refused(self._name, error) from error


class BoundOnnxEngine:
    """One ONNX file through IO binding: what is on the GPU is not copied.

    int8 convolutions of processors are undone first, since GPUs would compute them a step at a time (needs the package onnx).
    """

    def __init__(self, path: Path, device: str = "cuda") -> None:
        """device: cuda, or cpu (the same code without a GPU, for tests)."""
        from talkinghead.runtime.typed import float_model

        self._device, self._name = device, path.name
        self._moves: dict[str, Any] = {}
        providers: list[Any] = ["CPUExecutionProvider"]
        if device == "cuda":
            preload = getattr(_runtime(), "preload_dlls", None)
            if preload is not None:
                preload()  # CUDA and cuDNN as pip installs them, beside Python's packages
            providers.insert(0, ("CUDAExecutionProvider", {"cudnn_conv_algo_search": "HEURISTIC"}))
        self._session = session(float_model(path).SerializeToString(), path.name, 1, providers)
        if device == "cuda" and "CUDAExecutionProvider" not in self._session.get_providers():
            raise EngineError(
                'ONNX Runtime cannot start CUDA: pip install "onnxruntime-gpu[cuda,cudnn]" without onnxruntime beside it, '
                "or use --device cpu"
            )
        self._providers = providers

    def run(self, **inputs: Tensor) -> dict[str, np.ndarray]:
        """Outputs by name of float32 inputs by name."""
        return {name: array.numpy() for name, array in self.run_on_device(**inputs).items()}

    def run_on_device(self, **inputs: Tensor) -> dict[str, DeviceArray]:
        """Outputs that stay on the device."""
        return self._bound(self._session, inputs)

    def to_device(self, array: np.ndarray) -> DeviceArray:
        """A copy on the device."""
        value = _runtime().OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array, np.float32), self._device, 0)
        return self._wrapped(value)

    def append(self, past: Mapping[str, Tensor], newest: Mapping[str, Tensor]) -> dict[str, DeviceArray]:
        """See `Engine.append`."""
        moving = self._moving("append")
        return {name: self._bound(moving, {"past": past[name], "newest": newest[name]})["later"] for name in past}

    def rows(self, count: int, shape: tuple[int, ...]) -> BoundRows:
        """Rows of zeros."""
        zeros = self.to_device(np.zeros((count, *shape), np.float32))
        return BoundRows(zeros, partial(self._bound, self._moving("take")), partial(self._bound, self._moving("put")))

    def _moving(self, name: str) -> Any:
        """The session of a model of `runtime.moves`."""
        if name not in self._moves:
            self._moves[name] = session(move_model(name), name, 1, self._providers)
        return self._moves[name]

    def _bound(self, session: Any, inputs: Mapping[str, Tensor]) -> dict[str, DeviceArray]:
        names = [output.name for output in session.get_outputs()]
        try:
            binding = session.io_binding()
            for name, tensor in inputs.items():
                here = local(tensor, ("onnx", self._device))
                if isinstance(here, DeviceArray):
                    binding.bind_ortvalue_input(name, here.value)
                else:
                    kind = np.int64 if here.dtype == np.int64 else np.float32
                    binding.bind_cpu_input(name, np.ascontiguousarray(here, kind))
            for name in names:
                binding.bind_output(name, self._device)
            session.run_with_iobinding(binding)
        except Exception as error:
            raise _refused(self._name, error) from error
        return {name: self._wrapped(value) for name, value in zip(names, binding.get_outputs(), strict=True)}

    def _wrapped(self, value: Any) -> DeviceArray:
        return DeviceArray(("onnx", self._device), value, tuple(value.shape()), partial(_fetched, value))


class BoundRows:
    """`Rows` in one tensor on the device; each `put` makes a new one, since ONNX's operators do not write in place."""

    def __init__(self, rows: DeviceArray, take: _Move, put: _Move) -> None:
        self._rows, self._take, self._put = rows, take, put

    def take(self, index: np.ndarray) -> DeviceArray:
        """Copies of rows."""
        return self._take({"rows": self._rows, "index": index})["taken"]

    def put(self, index: np.ndarray, rows: Tensor) -> None:
        """Overwrite rows."""
        self._rows = self._put({"rows": self._rows, "index": index, "new": rows})["later"]


def _fetched(value: Any) -> np.ndarray:
    return np.array(value.numpy())


def _refused(name: str, error: Exception) -> EngineError:
    return EngineError(f"{name} cannot be run on what it was given ({str(error).splitlines()[0][:200]})")
