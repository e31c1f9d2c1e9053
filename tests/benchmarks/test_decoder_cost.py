"""Stages are timed without those they call, and nothing stays patched."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType, SimpleNamespace

import pytest


@pytest.fixture
def cost(script: Callable[[str], ModuleType]) -> ModuleType:
    pytest.importorskip("onnxruntime")
    return script("decoder_cost")


def test_stages_count_their_own_time(cost: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter(range(100))
    monkeypatch.setattr(cost, "time", SimpleNamespace(perf_counter=lambda: next(now) / 1000))
    monkeypatch.setattr(cost, "_WARM_UP", 1)
    clock = cost.StageClock()
    for _ in range(3):
        clock.stage("outer", lambda: (clock.stage("inner", lambda: None), clock.stage("inner", lambda: None)))
        clock.end_frame()
    clock.stage(cost.COLOUR, lambda: None)
    clock.end_frame()
    assert clock.medians() == pytest.approx({"outer": 3, "inner": 2, cost.COLOUR: 0})
    assert clock.totals().tolist() == pytest.approx([5, 5, 0])


def test_the_clock_leaves_the_classes_as_they_were(cost: ModuleType) -> None:
    from talkinghead.render.eyes import EyeLayer
    from talkinghead.runtime.onnx import OnnxEngine

    plain = EyeLayer.draw, OnnxEngine.run, OnnxEngine.__init__
    with cost.StageClock():
        assert EyeLayer.draw is not plain[0]
    assert (EyeLayer.draw, OnnxEngine.run, OnnxEngine.__init__) == plain
