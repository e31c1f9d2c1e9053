"""What every installation needs: Python, packages, a runtime for the networks, video encoders, weights."""

from __future__ import annotations

import hashlib
import json
import platform
import sys
from importlib import import_module
from pathlib import Path

from talkinghead.doctor.finding import Finding, installed
from talkinghead.errors import EngineError
from talkinghead.runtime.weights import models_folder

_NEEDED = ("numpy", "opencv-python-headless", "av", "soxr", "typer", "rich")
_RUNTIMES = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino")
_ENCODERS = ("libx264", "aac")


def base_findings() -> list[Finding]:
    """Look at them; nothing is changed."""
    return [_python(), *_packages(), _runtime(), *(_encoder(name) for name in _ENCODERS), *_weights()]


def _python() -> Finding:
    good = sys.version_info >= (3, 10)
    value = f"{platform.python_version()} on {platform.machine()}"
    return Finding("python", value, good, "install Python 3.10 or newer")


def _packages() -> list[Finding]:
    # OpenCV comes under several names that hold the same module.
    other_cv = next((f"{v} ({n})" for n in ("opencv-python", "opencv-contrib-python") if (v := installed(n))), None)
    found = {name: installed(name) or (other_cv if name.startswith("opencv") else None) for name in _NEEDED}
    own = Finding("talkinghead", installed("talkinghead") or "run from its source folder, not installed")
    needed = [Finding(name, value or "missing", bool(value), f"pip install {name}") for name, value in found.items()]
    return [own, *needed]


def _runtime() -> Finding:
    found = [f"{name} {version}" for name in _RUNTIMES if (version := installed(name))]
    fix = 'pip install "talkinghead[cpu]" (or [gpu])'
    if not found:
        return Finding("runtime", "missing", False, fix)
    try:
        providers = import_module("onnxruntime").get_available_providers()
    except (ImportError, OSError) as error:
        return Finding("runtime", f"{found[0]} does not load: {error}", False, fix)
    short = ", ".join(name.removesuffix("ExecutionProvider") for name in providers)
    return Finding("runtime", f"{', '.join(found)}: {short}", len(found) == 1, f"uninstall both, then {fix}")


def _encoder(name: str) -> Finding:
    try:
        av = import_module("av")
        av.Codec(name, "w")
    except (ImportError, OSError, ValueError):
        return Finding(f"encoder {name}", "missing", False, "pip install --force-reinstall av")
    return Finding(f"encoder {name}", f"found in PyAV {av.__version__}")


def _weights() -> list[Finding]:
    fix = "install talkinghead again, or fetch the models folder again"
    try:
        folder = models_folder()
        files = json.loads((folder / "manifest.json").read_text("utf-8"))["files"]
        return [_weight(folder / name, name, str(entry["sha256"]), fix) for name, entry in sorted(files.items())]
    except (EngineError, OSError, ValueError, KeyError, TypeError) as error:
        return [Finding("weights", f"no usable manifest.json ({type(error).__name__}: {error})", False, fix)]


def _weight(path: Path, name: str, expected: str, fix: str) -> Finding:
    if not path.is_file():
        return Finding(f"weights {name}", "missing", False, fix)
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    return Finding(f"weights {name}", found[:12] if found == expected else "damaged", found == expected, fix)
