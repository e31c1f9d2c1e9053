"""Networks through torch, from their own weights: float32 on the CPU; on a GPU half precision, each batch size a CUDA graph.

A graph replays all kernels of a network at once: at this size starting them one by one costs more than they do (Nguyen et al.,
*Accelerating PyTorch with CUDA Graphs*, 2021). Half precision is torch's autocast, so that sums, norms and angles stay float32;
weights of linear layers and convolutions are stored in half.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from talkinghead.errors import EngineError
from talkinghead.runtime.engine import DeviceArray, Tensor, local
from talkinghead.runtime.settings import load_settings

_GRAPHS = 32
"""Batch sizes that are kept ready; the one not used for longest goes."""
_WARM_UP = 3


def torch_has_cuda() -> bool:
    """Whether torch is installed and finds a GPU."""
    if find_spec("torch") is None or find_spec("safetensors") is None:
        return False
    import torch

    return bool(torch.cuda.is_available())


class TorchEngine:
    """One shipped network. Any batch: its first call at a new size records a graph on a GPU."""

    def __init__(self, path: Path, device: str = "cuda", precision: str | None = None) -> None:
        """path: of the ONNX file. precision: float32, float16 or bfloat16; None: float32 on the CPU, on a GPU that of
        ``engines/*.toml``."""
        if find_spec("torch") is None or find_spec("safetensors") is None:
            raise EngineError('the torch back end needs torch: pip install "talkinghead[train]"')
        import torch

        if device == "cuda" and not torch.cuda.is_available():
            raise EngineError("torch finds no CUDA GPU: check nvidia-smi and install torch with CUDA, or use --device cpu")
        from talkinghead.nets.load import load_net

        self._torch, self._device, self._name = torch, device, path.name
        self._net = load_net(path)
        chosen = precision or ("float32" if device == "cpu" else load_settings(path).precision)
        if chosen not in ("float32", "float16", "bfloat16"):
            raise EngineError(f"unknown precision '{chosen}': use float32, float16 or bfloat16")
        self._half = None if chosen == "float32" else getattr(torch, chosen)
        self._module = self._net.module.to(device).requires_grad_(False)
        if self._half is not None:
            for name, layer in self._module.named_modules():
                stored = isinstance(layer, torch.nn.Linear | torch.nn.Conv1d | torch.nn.Conv2d)
                if stored and name.split(".")[0] not in self._net.float32:
                    layer.to(self._half)
        self._lock = threading.Lock()  # a graph has one place for its inputs and one for its outputs
        self._graphs: OrderedDict[tuple[tuple[int, ...], ...], Graph] = OrderedDict()

    def run(self, **inputs: Tensor) -> dict[str, np.ndarray]:
        """Outputs by name of float32 inputs by name."""
        with self._lock:
            return {name: value.cpu().numpy() for name, value in self._outputs(inputs, copy=False).items()}

    def run_on_device(self, **inputs: Tensor) -> dict[str, DeviceArray]:
        """Outputs that stay on the device."""
        with self._lock:
            return {name: self._wrapped(value) for name, value in self._outputs(inputs, copy=True).items()}

    def to_device(self, array: np.ndarray) -> DeviceArray:
        """A copy on the device."""
        return self._wrapped(self._torch.tensor(array, dtype=self._torch.float32, device=self._device))

    def append(self, past: Mapping[str, Tensor], newest: Mapping[str, Tensor]) -> dict[str, DeviceArray]:
        """See `Engine.append`."""
        made = {}
        for name, cache in past.items():
            older, entry = self._placed(cache)[..., 1:, :], self._placed(newest[name]).unsqueeze(-2)
            made[name] = self._wrapped(self._torch.cat([older, entry], -2))
        return made

    def rows(self, count: int, shape: tuple[int, ...]) -> TorchRows:
        """Rows of zeros."""
        zeros = self._torch.zeros((count, *shape), dtype=self._torch.float32, device=self._device)
        return TorchRows(zeros, self._placed, self._wrapped)

    def _placed(self, tensor: Tensor) -> Any:
        """On the device, float32, or int64 as it is."""
        here = local(tensor, ("torch", self._device))
        return here.value if isinstance(here, DeviceArray) else self._torch.from_numpy(here).to(self._device)

    def _wrapped(self, value: Any) -> DeviceArray:
        return DeviceArray(("torch", self._device), value, tuple(value.shape), lambda: np.array(value.cpu().numpy()))

    def _outputs(self, inputs: dict[str, Tensor], copy: bool) -> dict[str, Any]:
        if set(inputs) != set(self._net.inputs):
            raise EngineError(f"{self._name} takes {', '.join(self._net.inputs)}, not {', '.join(inputs)}")
        given = [self._tensor(inputs[name]) for name in self._net.inputs]
        try:
            with self._torch.inference_mode():
                made = self._graph(given).replay(given, copy) if self._device == "cuda" else self.call(given)
        except (RuntimeError, ValueError) as error:
            raise EngineError(f"{self._name} cannot be run on what it was given ({str(error).splitlines()[0][:200]})") from error
        return dict(zip(self._net.outputs, made, strict=True))

    def _tensor(self, tensor: Tensor) -> Any:
        here = local(tensor, ("torch", self._device))
        if isinstance(here, DeviceArray):
            return here.value
        return self._torch.from_numpy(np.ascontiguousarray(here, np.float32))  # the graph, or the CPU, takes it from there

    def call(self, given: list[Any]) -> tuple[Any, ...]:
        """Outputs in their order, float32, of input tensors on the device: for who records more than this network in one
        graph."""
        half = self._half
        with self._torch.autocast(self._device, dtype=half, enabled=half is not None, cache_enabled=False):
            made = self._module(*given)
        return tuple(value.float() for value in (made if isinstance(made, tuple) else (made,)))

    def _graph(self, given: list[Any]) -> Graph:
        key = tuple(tuple(value.shape) for value in given)
        if key not in self._graphs:
            self._graphs[key] = Graph(self._torch, [value.cuda() for value in given], self.call)
            if len(self._graphs) > _GRAPHS:
                self._graphs.popitem(last=False)
        self._graphs.move_to_end(key)
        return self._graphs[key]


class TorchRows:
    """`Rows` in one tensor."""

    def __init__(self, rows: Any, placed: Callable[[Tensor], Any], wrapped: Callable[[Any], DeviceArray]) -> None:
        self._rows, self._placed, self._wrapped = rows, placed, wrapped

    def take(self, index: np.ndarray) -> DeviceArray:
        """Copies of rows."""
        return self._wrapped(self._rows.index_select(0, self._placed(index)))

    def put(self, index: np.ndarray, rows: Tensor) -> None:
        """Overwrite rows."""
        self._rows.index_copy_(0, self._placed(index), self._placed(rows))


class Graph:
    """A network at one batch size, recorded."""

    def __init__(self, torch: Any, given: list[Any], call: Callable[[list[Any]], tuple[Any, ...]]) -> None:
        self._given = [value.clone() for value in given]
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(_WARM_UP):
                call(self._given)
        torch.cuda.current_stream().wait_stream(side)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):  # other threads go on meanwhile
            self._made = call(self._given)

    def replay(self, given: list[Any], copy: bool) -> tuple[Any, ...]:
        """Outputs; without ``copy`` the next replay overwrites them."""
        for mine, value in zip(self._given, given, strict=True):
            mine.copy_(value)
        self._graph.replay()
        return tuple(value.clone() for value in self._made) if copy else self._made
