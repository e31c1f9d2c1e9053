"""Whether the networks of speech, motion and decoder are there, for tests that need them."""

from __future__ import annotations

import pytest

from talkinghead.errors import EngineError
from talkinghead.runtime.weights import model_path

DECODER = ("mouth_appearance.onnx", "mouth.onnx", "eye_appearance.onnx", "eye.onnx")
ONCE = (("speech", "speech.onnx"), ("motion", "motion.onnx"), ("motion", "motion.npz"), ("matte", "matte.onnx"))
FILES = (*ONCE, *(("decoder", name) for name in DECODER))


def _found(*parts: str) -> bool:
    try:
        return model_path(*parts).is_file()
    except EngineError:
        return False


needs_networks = pytest.mark.skipif(not all(_found(*parts) for parts in FILES), reason="networks are missing")
