"""Where a benchmark ran: processor, GPU, versions, weights."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from talkinghead import __version__
from talkinghead.cores import usable_cores
from talkinghead.errors import EngineError
from talkinghead.runtime.nvidia import ask_gpus
from talkinghead.runtime.weights import models_folder

_PACKAGES = (
    "numpy", "onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "torch", "tensorrt", "tensorrt-rtx-cu13",
    "opencv-python-headless", "av",
)  # fmt: skip


def machine() -> dict[str, str]:
    """Processor, cores that may be used, GPU where the driver tells one, system."""
    told = {"processor": _processor(), "cores": str(len(usable_cores()))}
    gpu = _gpu()
    return {**told, **({"GPU": gpu} if gpu else {}), "system": platform.platform(terse=True)}


def versions() -> dict[str, str]:
    """Of what takes part, as far as it is installed."""
    found = {"talkinghead": __version__, "Python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def weights_hash() -> str:
    """One short hash over all shipped weights."""
    return _hash_of(path for path in sorted(models_folder().rglob("*")) if path.suffix in (".onnx", ".npz"))


def source_hash() -> str:
    """One short hash over the package's own source."""
    return _hash_of(sorted(Path(__file__).parents[1].rglob("*.py")))


def _hash_of(files: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _gpu() -> str | None:
    try:
        return "; ".join(", ".join(card) for card in ask_gpus("name", "driver_version")) or None
    except EngineError:
        return None
