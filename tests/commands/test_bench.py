"""talkinghead bench: its options, and two files side by side."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from talkinghead.bench import run as run_module
from talkinghead.bench.report import Figure, Report
from talkinghead.cli import app

RUN = Report("quality", "cpu", 3, {"processor": "P"}, {"numpy": "2"}, "abc", (Figure("PSNR", "dB", 50.0, better="more"),))


def test_a_run_is_printed_and_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def run_bench(name: str, device: str, **options: object) -> Report:
        asked.extend([name, device, options["seed"], options["quick"]])
        return RUN

    monkeypatch.setattr(run_module, "run_bench", run_bench)
    file = tmp_path / "a.json"
    ended = CliRunner().invoke(app, ["bench", "quality", "--seed", "3", "--quick", "--json", str(file)])
    assert ended.exit_code == 0 and "| PSNR | 50 dB |" in ended.stdout
    assert asked == ["quality", "cpu", 3, True]
    assert Report.load(file) == RUN


def test_two_files_are_compared(tmp_path: Path) -> None:
    RUN.save(tmp_path / "a.json")
    replace(RUN, figures=(Figure("PSNR", "dB", 55.0, better="more"),)).save(tmp_path / "b.json")
    ended = CliRunner().invoke(app, ["bench", "--compare", str(tmp_path / "a.json"), str(tmp_path / "b.json")])
    assert ended.exit_code == 0 and "+10.0 % better" in ended.stdout


@pytest.mark.parametrize("arguments", [[], ["speed"], ["quality", "--compare", "a.json", "b.json"]])
def test_neither_or_both_is_an_error_of_use(arguments: list[str]) -> None:
    assert CliRunner().invoke(app, ["bench", *arguments]).exit_code == 2


def test_a_file_that_is_none_is_told_and_exit_1(tmp_path: Path) -> None:
    ended = CliRunner().invoke(app, ["bench", "--compare", str(tmp_path / "a.json"), str(tmp_path / "b.json")])
    assert ended.exit_code == 1
