"""What moves rows and caches about where a network runs: the same on every back end, and nothing comes back to the host."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from shipped import needs_networks

pytest.importorskip("torch")
pytest.importorskip("safetensors")
pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytestmark = needs_networks

from fake_tensorrt import install  # noqa: E402
from networks import network  # noqa: E402

from talkinghead.runtime.batching import Batcher  # noqa: E402
from talkinghead.runtime.engine import Engine  # noqa: E402
from talkinghead.runtime.onnx import BoundOnnxEngine, OnnxEngine  # noqa: E402
from talkinghead.runtime.tensorrt import PlanBuilder  # noqa: E402
from talkinghead.runtime.torch import TorchEngine  # noqa: E402
from talkinghead.speech.encoder import PAST_SHAPE  # noqa: E402
from talkinghead.speech.features import FEATURES  # noqa: E402

SPEECH = "speech/speech"
BACK_ENDS = ("onnx", "bound", "torch", "tensorrt")


@pytest.fixture(params=BACK_ENDS)
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Engine]:
    if request.param == "onnx":
        yield OnnxEngine(network(SPEECH))
    elif request.param == "bound":
        yield BoundOnnxEngine(network(SPEECH), "cpu")
    elif request.param == "torch":
        yield TorchEngine(network(SPEECH), "cpu")
    else:
        monkeypatch.setenv("TALKINGHEAD_CACHE", str(tmp_path))
        install(monkeypatch)
        yield PlanBuilder().build(network(SPEECH))


def test_rows_are_put_and_taken_by_number(engine: Engine) -> None:
    random = np.random.default_rng(0)
    wanted = np.zeros((7, 2, 3), np.float32)
    rows = engine.rows(7, (2, 3))
    for numbers in ([1, 2, 3], [6, 0], [5], [4, 5, 1, 2]):
        index, new = np.array(numbers), random.random((len(numbers), 2, 3), np.float32)
        rows.put(index, engine.to_device(new) if len(numbers) % 2 else new)
        wanted[index] = new
        for asked in (np.arange(7), np.array([3, 4, 4, 0]), index):
            taken = rows.take(asked)
            assert taken.shape == (len(asked), 2, 3)
            assert np.array_equal(taken.numpy(), wanted[asked])


def test_what_was_taken_is_a_copy(engine: Engine) -> None:
    rows = engine.rows(2, (3,))
    taken = rows.take(np.array([0]))
    rows.put(np.array([0]), np.ones((1, 3), np.float32))
    assert not taken.numpy().any() and rows.take(np.array([0])).numpy().all()


@pytest.mark.parametrize("shape", [(2, 5, 8, 40, 32), (1, 4, 3)])
def test_caches_lose_their_oldest_and_gain_their_newest(engine: Engine, shape: tuple[int, ...]) -> None:
    random = np.random.default_rng(1)
    past = {name: random.random(shape, np.float32) for name in ("keys", "values")}
    newest = {name: random.random((*shape[:-2], shape[-1]), np.float32) for name in past}
    made = engine.append({"keys": engine.to_device(past["keys"]), "values": past["values"]}, newest)
    for name, handle in made.items():
        assert handle.shape == shape
        assert np.array_equal(handle.numpy(), np.concatenate([past[name][..., 1:, :], newest[name][..., None, :]], -2))


def test_streams_in_batches_are_as_alone_and_keep_their_past_there(engine: Engine) -> None:
    rows = np.random.default_rng(2).random((3, 8, 1, 1, FEATURES), np.float32)

    def stream(own: Engine, sound: np.ndarray) -> np.ndarray:
        past, made = own.to_device(np.zeros((1, *PAST_SHAPE), np.float32)), []
        for row in sound:
            answer = own.run_on_device(rows=row, past=past)
            past = answer["later"]
            made.append(answer["features"].numpy())
        return np.concatenate(made)

    alone = [stream(engine, sound) for sound in rows]
    batcher = Batcher(engine, stays=("later",), sizes=(1, 2, 4), window_ms=60_000.0)
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(stream, [batcher.join() for _ in rows], rows))
    assert batcher.batches == 8 and batcher.held == 0
    batcher.close()
    for a, b in zip(alone, together, strict=True):
        assert np.abs(a - b).max() < 1e-4


def test_on_tensorrt_caches_go_nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TALKINGHEAD_CACHE", str(tmp_path))
    _, cuda = install(monkeypatch)
    engine = PlanBuilder().build(network(SPEECH))
    rows, past = engine.rows(4, (3, 2)), engine.to_device(np.ones((1, 3, 2), np.float32))
    newest, sent = engine.to_device(np.ones((1, 2), np.float32)), cuda.uploads
    for _ in range(3):
        past = engine.append({"keys": past}, {"keys": newest})["keys"]
        rows.put(np.array([2]), past)
        past = rows.take(np.array([2]))
    assert (cuda.uploads, cuda.downloads) == (sent, 0)
    assert past.numpy().all() and cuda.downloads == 1
