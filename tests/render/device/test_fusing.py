"""Better recordings: they replace what serves when they are ready and draw the same, and only then."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from talkinghead.render.device.fusing import Call, Fuser, inductor  # noqa: E402

PATIENCE_S = 30


class Recorded:
    """A call that is made again."""

    def __init__(self, given: list[Any], call: Call) -> None:
        self.call = call
        call(given)

    def replay(self, given: list[Any], copy: bool) -> tuple[Any, ...]:
        return self.call(given)


def doubled(given: list[Any]) -> tuple[Any, ...]:
    return ((2 * given[0]).to(torch.uint8),)


def fuser(fused: Callable[[Call], Call]) -> Fuser:
    return Fuser(Recorded, threading.RLock(), fused)


BYTES = torch.arange(100, dtype=torch.uint8)


def test_a_better_recording_takes_over_when_it_is_ready() -> None:
    free, calls = threading.Event(), list[str]()

    def fused(call: Call) -> Call:
        assert free.wait(PATIENCE_S)
        return lambda given: (calls.append("fused"), call(given))[1]

    worker = fuser(fused)
    made = worker.recording([BYTES], doubled)
    np.testing.assert_array_equal(made.replay([BYTES], copy=True)[0], 2 * BYTES)
    assert not calls and not worker.wait(0.05)
    free.set()
    assert worker.wait(PATIENCE_S)
    calls.clear()
    np.testing.assert_array_equal(made.replay([BYTES], copy=True)[0], 2 * BYTES)
    assert calls == ["fused"]


@pytest.mark.parametrize(("wrong", "used"), [(0, True), (1, True), (60, False)])
def test_one_that_draws_another_picture_is_not_used(wrong: int, used: bool, caplog: pytest.LogCaptureFixture) -> None:
    calls = list[str]()
    pixels = torch.zeros(4000, dtype=torch.uint8)

    def fused(call: Call) -> Call:
        def other(given: list[Any]) -> tuple[Any, ...]:
            calls.append("fused")
            drawn = call(given)[0].clone()
            drawn[:wrong] = 200
            return (drawn,)

        return other

    worker = fuser(fused)
    made = worker.recording([pixels], doubled)
    assert worker.wait(PATIENCE_S)
    calls.clear()
    made.replay([pixels], copy=True)
    assert bool(calls) is used
    assert ("another picture" in caplog.text) is not used


def test_where_nothing_can_be_fused_it_is_said_once_and_frames_go_on(caplog: pytest.LogCaptureFixture) -> None:
    tried = list[int]()

    def fused(call: Call) -> Call:
        tried.append(1)
        raise RuntimeError("no compiler here\nand a long story")

    worker = fuser(fused)
    with caplog.at_level(logging.WARNING):
        first = worker.recording([BYTES], doubled)
        assert worker.wait(PATIENCE_S)
        second = worker.recording([BYTES[:50]], doubled)
        assert worker.wait(PATIENCE_S)
    np.testing.assert_array_equal(first.replay([BYTES], copy=True)[0], 2 * BYTES)
    np.testing.assert_array_equal(second.replay([BYTES[:50]], copy=True)[0], 2 * BYTES[:50])
    assert len(tried) == 1
    assert [r.getMessage() for r in caplog.records] == ["frames are drawn by unfused kernels: no compiler here"]


def test_recordings_are_made_one_after_another() -> None:
    busy, most = list[int](), list[int]()

    def fused(call: Call) -> Call:
        busy.append(1)
        most.append(len(busy))
        busy.pop()
        return call

    worker = fuser(fused)
    for size in (10, 20, 30):
        worker.recording([BYTES[:size]], doubled)
    assert worker.wait(PATIENCE_S)
    assert most == [1, 1, 1]


def test_what_is_compiled_is_one_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}
    monkeypatch.setattr(torch, "compile", lambda call, **options: asked.update(options) or call)
    assert inductor(doubled) is doubled
    assert asked == {"dynamic": False, "fullgraph": True}
