"""The torch back end on the CPU, and its recorded graphs behind a stand-in for CUDA."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from shipped import needs_networks

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from networks import expected, network, random_inputs  # noqa: E402

from talkinghead.errors import EngineError  # noqa: E402
from talkinghead.runtime.onnx import OnnxEngine  # noqa: E402
from talkinghead.runtime.torch import Graph, TorchEngine, torch_has_cuda  # noqa: E402

SPEECH = "speech/speech"


@needs_networks
def test_handles_of_other_back_ends_are_taken() -> None:
    given = random_inputs(SPEECH)
    other = OnnxEngine(network(SPEECH))
    engine = TorchEngine(network(SPEECH), "cpu")
    made = engine.run_on_device(rows=engine.to_device(given["rows"]), past=other.to_device(given["past"]))
    assert all(np.allclose(made[name].numpy(), wanted, atol=1e-6) for name, wanted in expected(SPEECH).items())


@needs_networks
def test_wrong_inputs_are_told() -> None:
    engine = TorchEngine(network(SPEECH), "cpu")
    with pytest.raises(EngineError, match="takes rows, past, not rows"):
        engine.run(rows=np.zeros((1, 1, 82), np.float32))
    with pytest.raises(EngineError, match="cannot be run on what it was given"):
        engine.run(rows=np.zeros((1, 1, 9), np.float32), past=random_inputs(SPEECH)["past"])


@needs_networks
def test_a_precision_that_is_none_is_refused() -> None:
    with pytest.raises(EngineError, match="use float32, float16 or bfloat16"):
        TorchEngine(network(SPEECH), "cpu", "int4")


def test_missing_weights_are_told(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="cannot load motion.safetensors: reinstall talkinghead"):
        TorchEngine(tmp_path / "motion" / "motion.onnx", "cpu")


@pytest.mark.skipif(torch_has_cuda(), reason="there is a GPU")
def test_no_gpu_is_told() -> None:
    with pytest.raises(EngineError, match="finds no CUDA GPU.*--device cpu"):
        TorchEngine(network(SPEECH), "cuda")


@pytest.mark.skipif(not torch_has_cuda(), reason="no GPU")
@needs_networks
def test_on_a_gpu() -> None:
    engine = TorchEngine(network("decoder/mouth"), "cuda")
    for _ in range(2):  # recorded, then replayed
        made = engine.run(**random_inputs("decoder/mouth"))
    assert np.allclose(made["change"], expected("decoder/mouth")["change"], atol=0.01)


class Recorder:
    """torch.cuda's streams and graphs: a replay does once more what was called while it recorded."""

    def __init__(self) -> None:
        self.calls = 0
        self._recording: Any = None
        self.cuda = SimpleNamespace(
            Stream=lambda: SimpleNamespace(wait_stream=lambda other: None),
            current_stream=lambda: SimpleNamespace(wait_stream=lambda other: None),
            stream=lambda stream: nullcontext(),
            CUDAGraph=lambda: SimpleNamespace(replay=None),
            graph=self._graph,
        )

    @contextmanager
    def _graph(self, graph: Any, capture_error_mode: str) -> Any:
        self._recording = graph
        yield
        self._recording = None

    def call(self, given: list[Any]) -> tuple[Any, ...]:
        self.calls += 1
        made = given[0] * 2 + given[1]
        if self._recording is not None:
            self._recording.replay = lambda: made.copy_(given[0] * 2 + given[1])
        return (made,)


def test_a_graph_is_recorded_once_and_replayed_on_new_inputs() -> None:
    recorder = Recorder()
    one, two = torch.ones(2, 3), torch.full((2, 3), 2.0)
    graph = Graph(recorder, [one, two], recorder.call)
    recorded = recorder.calls
    (kept,) = graph.replay([one, two], copy=True)
    (first,) = graph.replay([two, two], copy=False)
    assert recorder.calls == recorded
    assert kept.eq(4).all() and first.eq(6).all()
    graph.replay([one, one], copy=False)
    assert kept.eq(4).all() and first.eq(3).all()
    assert one.eq(1).all()
