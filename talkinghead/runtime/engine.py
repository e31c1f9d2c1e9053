"""What every way of running a network offers."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np

from talkinghead.errors import EngineError


class Engine(Protocol):
    """A network with named tensors in and out. The first axis of every tensor is the batch."""

    def run(self, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        """Outputs by name."""
        ...


def load_engine(path: Path, device: str = "cpu", threads: int = 1) -> Engine:
    """The engine of an ONNX file on a device; EngineError for an unknown device or a missing runtime."""
    if device != "cpu":
        raise EngineError(f"device '{device}' is not available yet: use --device cpu")
    from talkinghead.runtime.onnx import OnnxEngine

    return OnnxEngine(path, threads)
