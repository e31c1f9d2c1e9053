"""Memory of an NVIDIA GPU through the CUDA runtime (package cuda-bindings)."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np

from talkinghead.errors import EngineError

_FIX = 'pip install "talkinghead[tensorrt]", or use --device cpu'
_FLOAT_BYTES = 4


class Cuda:
    """The first GPU, and a stream of work on it."""

    def __init__(self) -> None:
        """EngineError when there is no GPU or no way to it."""
        try:
            self._api = import_module("cuda.bindings.runtime")
        except ImportError as error:
            raise EngineError(f"TensorRT needs cuda-bindings: {_FIX}") from error
        try:
            found = self.call("cudaGetDeviceCount")
        except (EngineError, RuntimeError) as error:  # RuntimeError: no driver at all
            raise EngineError("no NVIDIA GPU here: check nvidia-smi, or use --device cpu") from error
        if not found:
            raise EngineError("no NVIDIA GPU here: check nvidia-smi, or use --device cpu")
        self.stream = self.call("cudaStreamCreate")

    def call(self, name: str, *arguments: Any) -> Any:
        """A function's result; EngineError when it fails."""
        status, *result = getattr(self._api, name)(*arguments)
        if int(status) != 0:
            raise EngineError(f"the GPU failed in {name} ({status}): check nvidia-smi, or use --device cpu")
        return result[0] if result else None

    @property
    def architecture(self) -> str:
        """Compute capability, e.g. sm_90."""
        numbers = self._api.cudaDeviceAttr
        wanted = (numbers.cudaDevAttrComputeCapabilityMajor, numbers.cudaDevAttrComputeCapabilityMinor)
        return "sm_" + "".join(str(self.call("cudaDeviceGetAttribute", number, 0)) for number in wanted)

    def empty(self, shape: Sequence[int]) -> GpuArray:
        """Room for float32."""
        return GpuArray(self, tuple(shape))

    def upload(self, array: np.ndarray) -> GpuArray:
        """A copy on the GPU."""
        values = np.ascontiguousarray(array, np.float32)
        made = self.empty(values.shape)
        kind = self._api.cudaMemcpyKind.cudaMemcpyHostToDevice
        self.call("cudaMemcpyAsync", made.pointer, values.ctypes.data, values.nbytes, kind, self.stream)
        self.wait()  # until then `values` must live
        return made

    def download(self, array: GpuArray) -> np.ndarray:
        """A copy in this machine's memory."""
        values = np.empty(array.shape, np.float32)
        kind = self._api.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self.call("cudaMemcpyAsync", values.ctypes.data, array.pointer, values.nbytes, kind, self.stream)
        self.wait()
        return values

    def copy_rows(self, to: GpuArray, to_row: int, source: GpuArray, row: int, count: int) -> None:
        """So many rows of one array over those of another, on the GPU."""
        size = int(np.prod(source.shape[1:])) * _FLOAT_BYTES
        kind = self._api.cudaMemcpyKind.cudaMemcpyDeviceToDevice
        places = to.pointer + to_row * size, source.pointer + row * size
        self.call("cudaMemcpyAsync", *places, count * size, kind, self.stream)

    def append(self, past: GpuArray, newest: GpuArray) -> GpuArray:
        """A cache (b, ..., n, w) without its oldest entry and with its newest (b, ..., w)."""
        made, kind = self.empty(past.shape), self._api.cudaMemcpyKind.cudaMemcpyDeviceToDevice
        *caches, entries, _ = past.shape
        entry = past.shape[-1] * _FLOAT_BYTES
        whole, kept = entries * entry, (entries - 1) * entry
        for to, source, pitch, width in (
            (made.pointer, past.pointer + entry, whole, kept),
            (made.pointer + kept, newest.pointer, entry, entry),
        ):
            self.call("cudaMemcpy2DAsync", to, whole, source, pitch, width, int(np.prod(caches)), kind, self.stream)
        return made

    def wait(self) -> None:
        """Until all work of the stream is done."""
        self.call("cudaStreamSynchronize", self.stream)


class GpuArray:
    """float32 of a shape in the GPU's memory, given back with the object."""

    def __init__(self, cuda: Cuda, shape: tuple[int, ...]) -> None:
        self._cuda, self.shape = cuda, shape
        size = max(1, int(np.prod(shape))) * _FLOAT_BYTES
        self.pointer = int(cuda.call("cudaMallocAsync", size, cuda.stream))

    def __del__(self) -> None:
        if hasattr(self, "pointer"):
            self._cuda.call("cudaFreeAsync", self.pointer, self._cuda.stream)
