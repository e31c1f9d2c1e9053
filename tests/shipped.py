"""Whether the speech and motion networks are there, for tests that need them."""

from __future__ import annotations

import pytest

from talkinghead.errors import EngineError
from talkinghead.runtime.weights import model_path

FILES = (("speech", "speech.onnx"), ("motion", "motion.onnx"), ("motion", "motion.npz"))


def _found(*parts: str) -> bool:
    try:
        return model_path(*parts).is_file()
    except EngineError:
        return False


needs_networks = pytest.mark.skipif(not all(_found(*parts) for parts in FILES), reason="no speech and motion networks")
