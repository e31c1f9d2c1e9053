"""TensorRT's back end and `talkinghead compile` behind a stand-in for the module; the real one where it is installed."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from shipped import needs_networks

pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytestmark = needs_networks

from fake_tensorrt import FakeCuda, FakeTensorRT, install  # noqa: E402
from networks import NETWORKS, error, network, random_inputs  # noqa: E402

from talkinghead.errors import EngineError  # noqa: E402
from talkinghead.render.refine import EYE_PX  # noqa: E402
from talkinghead.runtime.cache import PlanCache  # noqa: E402
from talkinghead.runtime.compile import compile_networks, float_networks  # noqa: E402
from talkinghead.runtime.engine import load_engine  # noqa: E402
from talkinghead.runtime.healing import HealingEngine  # noqa: E402
from talkinghead.runtime.tensorrt import PlanBuilder, TensorRTEngine, build_plan, find_tensorrt  # noqa: E402
from talkinghead.runtime.torch import torch_has_cuda  # noqa: E402

Fakes = tuple[FakeTensorRT, FakeCuda]
EYE = "decoder/eye_appearance"


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Fakes:
    monkeypatch.setenv("TALKINGHEAD_CACHE", str(tmp_path / "plans"))
    return install(monkeypatch)


def plans(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "plans").glob("*"))


@pytest.mark.parametrize("name", [EYE, "decoder/mouth", "motion/motion", "speech/speech"])
def test_a_plan_computes_what_torch_does(fakes: Fakes, name: str) -> None:
    trt, _ = fakes
    engine = PlanBuilder().build(network(name))
    assert error(name, engine.run(**random_inputs(name))) <= 0.05
    assert set(trt.built[0]) == set(random_inputs(name))


def test_what_stays_on_the_gpu_is_not_sent_again_and_goes_with_its_handle(fakes: Fakes) -> None:
    _, cuda = fakes
    engine, given = PlanBuilder().build(network("speech/speech")), random_inputs("speech/speech")
    kept = engine.run_on_device(rows=given["rows"], past=engine.to_device(given["past"]))
    sent = cuda.uploads
    again = engine.run(rows=given["rows"], past=kept["later"])
    assert cuda.uploads == sent + 1
    wanted = engine.run(rows=given["rows"], past=kept["later"].numpy())
    assert np.array_equal(again["features"], wanted["features"])
    del kept
    assert not cuda.memory


def test_wrong_inputs_are_told(fakes: Fakes) -> None:
    engine = PlanBuilder().build(network(EYE))
    with pytest.raises(EngineError, match="takes photo, not picture"):
        engine.run(picture=np.zeros((1, 5, *EYE_PX[::-1]), np.float32))
    with pytest.raises(EngineError, match="smaller batches"):
        engine.run(photo=np.zeros((17, 5, *EYE_PX[::-1]), np.float32))


def test_all_networks_are_compiled_once(fakes: Fakes, tmp_path: Path) -> None:
    trt, _ = fakes
    told: list[tuple[str, str, int, int]] = []
    first = list(compile_networks(progress=lambda *step: told.append(step)))
    assert [made.built for made in first] == [True] * len(float_networks())
    assert len(plans(tmp_path)) == len(trt.built) == len(first) >= 10
    assert told[:4] == [(first[0].network, "tactics", done, 2) for done in (0, 1, 2, 2)]
    assert [made.built for made in compile_networks()] == [False] * len(first)
    assert all(made.built for made in compile_networks(force=True))


@pytest.mark.parametrize("change", ["version", "architecture", "module"])
def test_another_machine_has_other_plans(fakes: Fakes, monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    _, cuda = fakes
    PlanBuilder().build(network(EYE))
    if change == "version":
        install(monkeypatch, FakeTensorRT(version="11.4.0"))
    elif change == "module":
        install(monkeypatch, FakeTensorRT("tensorrt_rtx"))
    else:
        cuda.capability = {75: 8, 76: 9}
    assert PlanBuilder().cached(network(EYE)) is None


def test_a_plan_that_does_not_load_is_removed_and_rebuilt(fakes: Fakes, tmp_path: Path) -> None:
    trt, _ = fakes
    builder = PlanBuilder()
    builder.build(network(EYE))
    PlanCache().store(builder.key(network(EYE)), b"of another kind")  # whole, but no plan
    assert builder.cached(network(EYE)) is None
    assert plans(tmp_path) == []
    engine = load_engine(network(EYE), "tensorrt")
    assert isinstance(engine, HealingEngine) and engine.wait(60)
    assert len(trt.built) == 2
    assert isinstance(load_engine(network(EYE), "tensorrt"), TensorRTEngine)


def test_a_network_that_is_refused_is_told_and_nothing_is_kept(fakes: Fakes, tmp_path: Path) -> None:
    fakes[0].refuse = True
    with pytest.raises(EngineError, match="cannot read eye_appearance.onnx, use --device cuda: no such operator"):
        PlanBuilder().build(network(EYE))
    assert plans(tmp_path) == []


def test_no_gpu_is_told(fakes: Fakes) -> None:
    fakes[1].devices = 0
    with pytest.raises(EngineError, match="no NVIDIA GPU here"):
        list(compile_networks())


def test_other_devices_need_no_plans(fakes: Fakes) -> None:
    with pytest.raises(EngineError, match="use --device tensorrt"):
        list(compile_networks("cuda"))


@pytest.mark.skipif(bool(find_spec("tensorrt") or find_spec("tensorrt_rtx")), reason="TensorRT is installed")
def test_the_command_without_tensorrt_is_one_line_and_exit_1() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "talkinghead.cli", "compile"], capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 1 and ended.stdout == ""
    assert ended.stderr.startswith("talkinghead: TensorRT is not installed: pip install") and ended.stderr.count("\n") == 1


REAL = pytest.mark.skipif(not (find_spec("tensorrt") or find_spec("tensorrt_rtx")), reason="TensorRT is not installed")


@REAL
@pytest.mark.parametrize("name", NETWORKS)
def test_the_real_builder_takes_every_network(name: str) -> None:
    trt = find_tensorrt()
    if trt.__name__ == "tensorrt" and not torch_has_cuda():
        pytest.skip("TensorRT builds on a GPU alone")
    steps: list[tuple[str, int, int]] = []
    assert len(build_plan(trt, network(name), lambda *step: steps.append(step))) > 100_000
    assert all(done <= total for _, done, total in steps) and steps


@REAL
@pytest.mark.parametrize("name", NETWORKS)
def test_the_real_one_computes_what_torch_does(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TALKINGHEAD_CACHE", str(tmp_path))
    try:
        builder = PlanBuilder()
    except EngineError as reason:
        pytest.skip(str(reason))
    assert error(name, builder.build(network(name)).run(**random_inputs(name))) <= 0.05


def test_threads_that_share_an_engine_get_their_own_answers(fakes: Fakes) -> None:
    engine = PlanBuilder().build(network(EYE))
    photos = [np.full((1, 5, *EYE_PX[::-1]), k / 8, np.float32) for k in range(8)]
    alone = [engine.run(photo=photo)["v8"] for photo in photos]
    with ThreadPoolExecutor(4) as pool:
        shared = list(pool.map(lambda photo: engine.run(photo=photo)["v8"], photos * 4))
    assert all(np.array_equal(made, alone[k % 8]) for k, made in enumerate(shared))
