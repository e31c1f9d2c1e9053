"""Where the shipped weights lie."""

from __future__ import annotations

import os
from pathlib import Path

from talkinghead.errors import EngineError

_FOLDER_VARIABLE = "TALKINGHEAD_MODELS"


def models_folder() -> Path:
    """The folder of weights: ``TALKINGHEAD_MODELS`` where set, else beside the installed package, else the checkout's
    ``models``."""
    chosen = os.environ.get(_FOLDER_VARIABLE)
    package = Path(__file__).resolve().parent.parent
    places = [Path(chosen)] if chosen else [package / "models", package.parent / "models"]
    for place in places:
        if place.is_dir():
            return place
    raise EngineError(f"no weights at {places[-1]}: reinstall talkinghead, or set {_FOLDER_VARIABLE} to their folder")


def model_path(*parts: str) -> Path:
    """Path of one weight file, e.g. ``model_path("face", "detector.onnx")``; EngineError when it is missing."""
    path = models_folder().joinpath(*parts)
    if not path.is_file():
        raise EngineError(f"weight file {'/'.join(parts)} is missing: reinstall talkinghead")
    return path


def int8_path(path: Path) -> Path:
    """Where the int8 form of a network lies, ``motion.int8.onnx`` beside ``motion.onnx``."""
    return path.with_suffix(f".int8{path.suffix}")


def network_path(*parts: str, device: str = "cpu") -> Path:
    """As `model_path`, of a network for a device: on the CPU its int8 form where there is one."""
    path = model_path(*parts)
    int8 = int8_path(path)
    return int8 if device == "cpu" and int8.is_file() else path
