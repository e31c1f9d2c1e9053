"""Figures, the table with its anchors, JSON there and back, and two runs side by side."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from talkinghead.bench.report import Figure, Report, clocked_ms, compared, figure
from talkinghead.errors import OutputError, TalkingHeadError

RUN = Report(
    "latency", "cpu", 0, {"processor": "P", "cores": "2"}, {"numpy": "2"}, "abc",
    (figure("decoder", [4.0, 1.0, 2.0, 3.0, 100.0]), Figure("rate", "frames/s", 50.0, better="more")), "fed",
)  # fmt: skip


def test_a_figure_holds_median_tail_and_spread() -> None:
    made = RUN.figures[0]
    assert (made.p50, made.spread, made.rounds) == (3, 2, 5)
    assert made.p95 == pytest.approx(80.8) and made.p99 == pytest.approx(96.16)


def test_warm_up_does_not_count() -> None:
    calls: list[int] = []
    assert len(clocked_ms(lambda: calls.append(1), 4, warm_up=3)) == 4 and len(calls) == 7


def test_the_table_tells_where_it_comes_from_and_the_anchors() -> None:
    table = RUN.table()
    for part in (
        "| decoder | 3 ms | 80.8 |",
        "| rate | 50 frames/s |",
        "processor P",
        "numpy 2",
        "weights abc",
        "photo and sound fed, seed 0",
        "170 ms",
        "385 ms",
        "12.8",
    ):
        assert part in table


@pytest.mark.parametrize("run", [RUN, replace(RUN, notes=("not here",))])
def test_json_there_and_back(tmp_path: Path, run: Report) -> None:
    run.save(tmp_path / "a.json")
    assert Report.load(tmp_path / "a.json") == run
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    with pytest.raises(OutputError, match="cannot write"):
        RUN.save(tmp_path / "none" / "a.json")


@pytest.mark.parametrize("text", ["", "[]", '{"figures": []}', '{"figures": [{"name": 1}]}', '{"figures": 3}'])
def test_other_json_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(TalkingHeadError, match="not a benchmark's JSON"):
        Report.load(tmp_path / "a.json")


def test_two_runs_beside_each_other() -> None:
    faster = replace(RUN, weights="def", figures=(figure("decoder", [0.5]), Figure("rate", "frames/s", 45.0, better="more")))
    table = compared(RUN, faster)
    assert "| decoder | 3 ms | 0.5 ms | -83.3 % better |" in table
    assert "| rate | 50 frames/s | 45 frames/s | -10.0 % worse |" in table
    assert "not the same weights: abc and def" in table and "not the same machine" not in table
    near = replace(RUN, seed=1, material="f00", figures=(figure("decoder", [2.5]),))
    assert "| decoder | 3 ms | 2.5 ms | -16.7 %, within the spread |" in compared(RUN, near)
    assert "not the same seed: 0 and 1\nnot the same material: fed and f00" in compared(RUN, near)
    assert "| rate | 50 frames/s | – | – |" in compared(RUN, replace(RUN, figures=RUN.figures[:1]))
    with pytest.raises(TalkingHeadError, match="compare runs of one benchmark"):
        compared(RUN, replace(RUN, bench="quality"))
