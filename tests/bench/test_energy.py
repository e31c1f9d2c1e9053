"""Energy as the machine tells it: counters of processors, samples of a GPU's power."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from talkinghead.bench import energy
from talkinghead.bench.energy import GpuEnergy, ProcessorEnergy
from talkinghead.errors import EngineError


def domain(folder: Path, name: str, microjoules: int, largest: int = 999_999_999) -> None:
    (folder / name).mkdir(exist_ok=True)
    (folder / name / "energy_uj").write_text(f"{microjoules}\n")
    (folder / name / "max_energy_range_uj").write_text(f"{largest}\n")


def test_packages_are_added_up_over_a_counter_that_begins_anew(tmp_path: Path) -> None:
    for name, start in (("intel-rapl:0", 1_000_000), ("intel-rapl:1", 999_500_000), ("intel-rapl:0:0", 0)):
        domain(tmp_path, name, start)
    meter = ProcessorEnergy(tmp_path)
    for name, now in (("intel-rapl:0", 3_500_000), ("intel-rapl:1", 500_000), ("intel-rapl:0:0", 777_000_000)):
        domain(tmp_path, name, now)
    assert meter.joules() == pytest.approx(2.5 + 1.0)  # parts of a package are in it already


def test_processors_that_tell_nothing(tmp_path: Path) -> None:
    assert ProcessorEnergy(tmp_path / "none").joules() is None
    (tmp_path / "intel-rapl:0").mkdir()
    assert ProcessorEnergy(tmp_path).joules() is None


def test_a_gpu_is_sampled_until_it_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    sampled, now = threading.Event(), iter([100.0, 110.0])
    powers = iter(["100.0", "300.0"])

    def ask(*fields: str) -> list[tuple[str, ...]]:
        assert fields == ("power.draw",)
        power = next(powers, None)
        if power is None:
            sampled.set()
            raise EngineError("no more")
        return [(power,), ("50.0",)]

    monkeypatch.setattr(energy, "ask_gpus", ask)
    monkeypatch.setattr(energy, "monotonic", lambda: next(now))
    monkeypatch.setattr(energy, "_SAMPLE_S", 0.001)
    meter = GpuEnergy()
    assert sampled.wait(30)
    assert meter.joules() == pytest.approx(10 * (150 + 350) / 2)


@pytest.mark.parametrize("told", [[], [("[N/A]",)]])
def test_a_gpu_that_tells_nothing(monkeypatch: pytest.MonkeyPatch, told: list[tuple[str]]) -> None:
    monkeypatch.setattr(energy, "ask_gpus", lambda *fields: told)
    assert GpuEnergy().joules() is None
