"""Networks through ONNX Runtime on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from talkinghead.errors import EngineError


def _runtime() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise EngineError(
            'no runtime installed: pip install "talkinghead[cpu]" (or "talkinghead[gpu]" with an NVIDIA GPU)'
        ) from error
    return onnxruntime


class OnnxEngine:
    """One ONNX file in a session of its own. Threads do not spin: other work shares the cores."""

    def __init__(self, path: Path, threads: int = 1) -> None:
        ort = _runtime()
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # the runtime raises types of its own for damaged files
            raise EngineError(
                f"cannot load {path.name}: the file is damaged, reinstall talkinghead ({type(error).__name__})"
            ) from error
        self._outputs = [output.name for output in self._session.get_outputs()]

    def run(self, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        """Outputs by name of float32 inputs by name."""
        return dict(zip(self._outputs, self._session.run(None, inputs), strict=True))
