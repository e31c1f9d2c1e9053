"""The benchmarks on a second of sound: every figure is there and adds up; no time is asserted."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("onnxruntime")

from shipped import needs_networks

from talkinghead.bench import latency as latency_module
from talkinghead.bench import run as run_module
from talkinghead.bench import shared as shared_module
from talkinghead.bench.gpu import NOT_HERE, frame_times, sessions_held
from talkinghead.bench.latency import ANSWER, Rounds, latency
from talkinghead.bench.material import Material, shipped
from talkinghead.bench.networks import NETWORKS, ROWS, random_inputs
from talkinghead.bench.quality import LEAST_PSNR_DB, psnr_db, quality
from talkinghead.bench.report import Figure
from talkinghead.bench.run import run_bench
from talkinghead.bench.throughput import throughput
from talkinghead.errors import EngineError, TalkingHeadError
from talkinghead.networks import BATCHED
from talkinghead.runtime.batching import Batcher
from talkinghead.runtime.engine import Engine
from talkinghead.runtime.onnx import OnnxEngine
from talkinghead.runtime.weights import model_path

DATA = Path(__file__).parents[2] / "examples" / "data"
pytestmark = needs_networks


@pytest.fixture(scope="module")
def material() -> Material:
    whole = Material.open(DATA / "portrait.jpg", DATA / "speech.ogg")
    return Material(whole.portrait, whole.sound[8_000:24_000], whole.latent)


@pytest.mark.parametrize("name", NETWORKS)
def test_random_inputs_fit_the_networks(name: str) -> None:
    given = random_inputs(name, sessions=3)
    made = shipped(name, "cpu").run(**given)
    assert all(len(value) == 3 * ROWS[name] for value in made.values())
    assert all(np.array_equal(value, given[key]) for key, value in random_inputs(name, sessions=3).items())


def test_latency_tells_every_stage_and_the_sum(material: Material, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latency_module, "usable_cores", lambda: [0, 1, 2])
    told: list[str] = []
    figures = latency(material, "cpu", Rounds(1, 2), say=told.append)
    by_name = {f.name: f for f in figures}
    assert len(by_name) == len(figures) == 6 + 2 * len(NETWORKS) + 1 == len(told) + 1
    assert "network motion/motion, 3 threads" in by_name
    assert figures[-1].p50 == pytest.approx(75 + 25 + (by_name[ANSWER].p95 or 0), abs=0.1)


def test_throughput_of_batches_and_of_the_whole(material: Material) -> None:
    figures = {f.name: f for f in throughput("cpu", material, sessions=(1, 2), rounds=2, seconds=0.1, whole=1)}
    frame, rate = (figures[f"networks, 2 sessions a batch: {what}"] for what in ("a frame of each", "all frames"))
    assert rate.unit == "frames/s" and rate.better == "more"
    assert min(frame.p50, rate.p50) > 0
    assert figures["networks, 2 sessions a batch: sessions of 40 FPS"].p50 == pytest.approx(rate.p50 / 40, rel=0.01)
    assert figures["realtime factor of it"].p50 > 0
    rate, factor = (figures[f"2 sessions at once: {what}"] for what in ("all frames", "realtime factor of each"))
    assert rate.p50 > 0 and factor.p50 == pytest.approx(rate.p50 / 40 / 2, rel=0.01)
    hop = figures["2 sessions at once: a session's hop of 2 frames"]
    assert hop.rounds >= 2 and (hop.p95 or 0) >= hop.p50 > 0
    assert figures["2 sessions at once: most frames of a session against fewest"].p50 >= 1


def test_sessions_at_once_go_through_batches_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: dict[str, list[float]] = {}

    def watched(name: str, engine: Engine) -> Batcher:
        def told(what: str, value: float) -> None:
            sizes.setdefault(f"{name} {what}", []).append(value)

        # A window, so that it is not left to chance whether calls meet.
        return Batcher(engine, stays=BATCHED[name], window_ms=100, most_rows=8, sizes=(2, 4, 8), observer=told)

    monkeypatch.setattr(shared_module, "batcher", watched)
    monkeypatch.setattr(shared_module, "GpuEnergy", lambda: SimpleNamespace(joules=lambda: 30.0))
    figures = {f.name: f for f in shared_module.shared(_float_engines(), "cuda", 3, 0.2)}
    frames = figures["3 sessions at once: a session's hop of 2 frames"].rounds * 2
    assert figures["3 sessions at once: energy of a frame"].p50 == pytest.approx(30 / frames, rel=0.01)
    assert max(sizes["motion/motion batch_rows"]) > 2 and max(sizes["decoder/mouth batch_rows"]) > 1


def _float_engines() -> dict[str, Engine]:
    return {name: OnnxEngine(model_path(*f"{name}.onnx".split("/"))) for name in NETWORKS}


def test_whole_frames_of_many_sessions(material: Material) -> None:
    pytest.importorskip("torch")
    held = {f.name: f for f in sessions_held(material, rounds=1, seed=0, sessions=(1, 2), device="cpu")}
    for label in ("1 session", "2 sessions"):
        rate = held[f"motion and whole frames, {label} a batch: all frames"]
        assert rate.p50 > 0 and rate.better == "more"
        assert held[f"motion and whole frames, {label} a batch: sessions of 40 FPS"].p50 == pytest.approx(rate.p50 / 40, abs=0.01)
    assert [f.unit for f in frame_times(material, 1, "cpu")] == ["ms"] * 4


@pytest.mark.parametrize(("there", "notes"), [(False, (NOT_HERE,)), (True, ())])
def test_a_machine_without_gpu_says_so(monkeypatch: pytest.MonkeyPatch, there: bool, notes: tuple[str, ...]) -> None:
    drawn = [Figure("frame on the GPU", "ms", 1.0)] if there else []
    monkeypatch.setattr(run_module, "latency", lambda *given: (Figure("stage", "ms", 2.0),))
    monkeypatch.setattr(run_module, "frame_times", lambda *given: drawn)
    monkeypatch.setattr(run_module, "torch_has_cuda", lambda: there)
    report = run_bench("latency", "cpu", quick=True)
    assert report.notes == notes and len(report.figures) == 1 + there
    assert (NOT_HERE in report.table()) is not there


def test_shipped_networks_keep_their_quality(material: Material) -> None:
    pytest.importorskip("torch")
    figures = {f.name: f for f in quality(material, "cpu", frames=8)}
    assert LEAST_PSNR_DB <= figures["the same, worst picture"].p50 < 99
    assert 0 < figures["motion against float32, z_dyn, first second"].p50 < 50


def test_quality_needs_torch(material: Material, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("talkinghead.bench.quality.find_spec", lambda name: None)
    with pytest.raises(EngineError, match="talkinghead\\[train\\]"):
        quality(material, "cpu")


def test_psnr() -> None:
    a = np.full((4, 4, 3), 100, np.uint8)
    assert psnr_db(a, a) == 99
    assert psnr_db(a, a + 255 // 15) == pytest.approx(20 * np.log10(15))


def test_missing_material_is_told(tmp_path: Path) -> None:
    with pytest.raises(TalkingHeadError, match="--photo FILE and --audio FILE"):
        Material.open(tmp_path / "none.jpg", None)
