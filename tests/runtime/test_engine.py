"""Which back end a device means, one line where it is missing, and tensors that stay where the network runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from shipped import needs_networks

from talkinghead.errors import EngineError
from talkinghead.runtime import onnx as onnx_runtime
from talkinghead.runtime import torch as torch_runtime
from talkinghead.runtime.engine import DeviceArray, choose_device, load_engine
from talkinghead.runtime.onnx import BoundOnnxEngine, OnnxEngine
from talkinghead.runtime.weights import network_path

HEAVY = ("torch", "tensorrt", "tensorrt_rtx", "onnxruntime", "onnx", "cuda")


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_runtime, "torch_has_cuda", lambda: False)
    monkeypatch.setattr(onnx_runtime, "onnx_has_cuda", lambda: False)


def speech_inputs(batch: int = 1) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    return {name: random.random((batch, *shape), np.float32) for name, shape in (("rows", (1, 82)), ("past", (72, 256)))}


@pytest.mark.parametrize("module", ["talkinghead", "talkinghead.cli", "talkinghead.runtime.engine"])
def test_importing_touches_no_runtime(module: str) -> None:
    seen = f"import sys, {module}; print([name for name in {HEAVY!r} if name in sys.modules])"
    ended = subprocess.run([sys.executable, "-c", seen], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"


def test_devices_by_name(no_gpu: None) -> None:
    assert [choose_device(name) for name in ("cpu", "cuda", "tensorrt")] == ["cpu", "cuda", "tensorrt"]
    with pytest.raises(EngineError, match="unknown device 'gpu': use one of auto, cpu, cuda, tensorrt, openvino"):
        choose_device("gpu")


def test_auto_takes_a_gpu_that_a_runtime_finds(monkeypatch: pytest.MonkeyPatch, no_gpu: None) -> None:
    assert choose_device("auto") == "cpu"
    monkeypatch.setattr(onnx_runtime, "onnx_has_cuda", lambda: True)
    assert choose_device("auto") == "cuda"


def test_cuda_prefers_torch_and_falls_back(monkeypatch: pytest.MonkeyPatch, no_gpu: None) -> None:
    monkeypatch.setattr(torch_runtime, "TorchEngine", lambda path, device: ("torch", path, device))
    monkeypatch.setattr(onnx_runtime, "BoundOnnxEngine", lambda path, device: ("onnx", path, device))
    path = Path("net.onnx")
    with pytest.raises(EngineError, match="--device cpu") as failure:
        load_engine(path, "cuda")
    assert "\n" not in str(failure.value)
    monkeypatch.setattr(onnx_runtime, "onnx_has_cuda", lambda: True)
    assert load_engine(path, "cuda") == ("onnx", path, "cuda")
    monkeypatch.setattr(torch_runtime, "torch_has_cuda", lambda: True)
    assert load_engine(path, "cuda") == ("torch", path, "cuda")


@needs_networks
def test_the_cpu_is_onnx_runtime() -> None:
    for device in ("cpu", "auto"):
        if choose_device(device) == "cpu":
            assert isinstance(load_engine(network_path("speech", "speech.onnx", device="cpu"), device), OnnxEngine)


@needs_networks
@pytest.mark.parametrize("kind", [OnnxEngine, BoundOnnxEngine])
def test_what_stays_on_the_device_runs_as_arrays_do(kind: type[OnnxEngine] | type[BoundOnnxEngine]) -> None:
    if kind is BoundOnnxEngine:
        pytest.importorskip("onnx")
        engine: OnnxEngine | BoundOnnxEngine = BoundOnnxEngine(network_path("speech", "speech.onnx", device="cuda"), "cpu")
    else:
        engine = OnnxEngine(network_path("speech", "speech.onnx"))
    given = speech_inputs()
    first = engine.run(**given)
    second = engine.run(rows=given["rows"], past=first["later"])
    kept = engine.run_on_device(**{name: engine.to_device(array) for name, array in given.items()})
    again = engine.run_on_device(rows=given["rows"], past=kept["later"])
    assert all(isinstance(value, DeviceArray) and value.shape == second[name].shape for name, value in again.items())
    assert all(np.array_equal(again[name].numpy(), second[name]) for name in second)


@needs_networks
@pytest.mark.parametrize("wrong", [{}, {"rows": np.zeros((1, 1, 9), np.float32)}, {"other": np.zeros((1, 1), np.float32)}])
def test_wrong_inputs_are_told_in_one_line(wrong: dict[str, np.ndarray]) -> None:
    engine = OnnxEngine(network_path("speech", "speech.onnx"))
    given = {"past": speech_inputs()["past"], **wrong}
    with pytest.raises(EngineError, match="speech") as failure:
        engine.run(**given)
    assert "\n" not in str(failure.value)


@pytest.mark.skipif(choose_device("auto") == "cuda", reason="there is a GPU")
@needs_networks
def test_dub_on_a_gpu_that_is_not_there_is_one_line_and_exit_1(tmp_path: Path) -> None:
    data = Path(__file__).parents[2] / "examples" / "data"
    line = ["dub", str(data / "portrait.jpg"), str(data / "speech.ogg"), "-o", str(tmp_path / "o.mp4"), "--device", "cuda"]
    ended = subprocess.run([sys.executable, "-m", "talkinghead.cli", *line], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("talkinghead: no CUDA runtime finds a GPU here") and ended.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(onnx_runtime.onnx_has_cuda(), reason="there is a GPU")
@pytest.mark.filterwarnings("ignore:Specified provider")
@needs_networks
def test_onnx_runtime_that_cannot_start_cuda_is_told_instead_of_using_the_cpu() -> None:
    pytest.importorskip("onnx")
    with pytest.raises(EngineError, match="cannot start CUDA.*--device cpu"):
        BoundOnnxEngine(network_path("speech", "speech.onnx", device="cuda"), "cuda")


def test_openvino_is_a_provider_of_onnx_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[list[object]] = []

    def open_session(model: object, options: object, providers: list[object]) -> SimpleNamespace:
        opened.append(providers)
        return SimpleNamespace(get_outputs=lambda: [], get_providers=lambda: started)

    there = ["OpenVINOExecutionProvider", "CPUExecutionProvider"]
    started = list(there)
    fake = SimpleNamespace(
        get_available_providers=lambda: there,
        SessionOptions=lambda: SimpleNamespace(add_session_config_entry=lambda key, value: None),
        InferenceSession=open_session,
    )
    monkeypatch.setattr(onnx_runtime, "_runtime", lambda: fake)
    assert isinstance(load_engine(Path("net.onnx"), "openvino", threads=2), OnnxEngine)
    ((name, options), rest) = opened[0]  # type: ignore[misc]
    config = json.loads(options["load_config"])["CPU"]
    assert (name, config["INFERENCE_NUM_THREADS"], config["INFERENCE_PRECISION_HINT"], rest) == (there[0], 2, "f32", there[1])
    load_engine(Path("net.onnx"), "cpu")
    assert opened[1] == ["CPUExecutionProvider"]
    started.pop(0)
    with pytest.raises(EngineError, match="cannot start OpenVINO.*--device cpu"):
        load_engine(Path("net.onnx"), "openvino")
    there.pop(0)
    with pytest.raises(EngineError, match=r"without OpenVINO: pip uninstall .*talkinghead\[openvino\].*--device cpu"):
        load_engine(Path("net.onnx"), "openvino")
