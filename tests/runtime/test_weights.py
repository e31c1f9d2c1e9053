"""Which file of a network is run where."""

from __future__ import annotations

from pathlib import Path

import pytest

from talkinghead.errors import EngineError
from talkinghead.runtime.weights import int8_path, model_path, network_path


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TALKINGHEAD_MODELS", str(tmp_path))
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "net.onnx").touch()
    return tmp_path


def test_the_cpu_takes_the_int8_form_where_there_is_one(models: Path) -> None:
    whole = models / "part" / "net.onnx"
    assert network_path("part", "net.onnx") == whole
    int8_path(whole).touch()
    assert network_path("part", "net.onnx") == models / "part" / "net.int8.onnx"
    assert network_path("part", "net.onnx", device="cuda") == whole


def test_a_missing_network_is_told(models: Path) -> None:
    with pytest.raises(EngineError, match="reinstall"):
        model_path("part", "other.onnx")
    with pytest.raises(EngineError, match="reinstall"):
        network_path("part", "other.onnx")
