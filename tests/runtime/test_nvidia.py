"""nvidia-smi: what it tells, by GPU and field; one line where it fails."""

from __future__ import annotations

import subprocess

import pytest

from talkinghead.errors import EngineError
from talkinghead.runtime import nvidia
from talkinghead.runtime.nvidia import ask_gpus


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    asked: list[list[str]] = []
    monkeypatch.setattr(nvidia.shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setattr(nvidia.subprocess, "run", lambda line, **options: asked.append(line) or answer)  # type: ignore[func-returns-value]
    answer = subprocess.CompletedProcess([], 0, "NVIDIA H100, 71.25\nNVIDIA H100, 80.50\n\n", "")
    return asked


def test_each_gpu_and_field(asked: list[list[str]]) -> None:
    assert ask_gpus("name", "power.draw") == [("NVIDIA H100", "71.25"), ("NVIDIA H100", "80.50")]
    assert asked == [["/bin/nvidia-smi", "--query-gpu=name,power.draw", "--format=csv,noheader,nounits"]]


def test_without_the_program_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvidia.shutil, "which", lambda name: None)
    assert ask_gpus("name") == []


@pytest.mark.parametrize(("code", "text"), [(9, "driver\nmismatch"), (0, "")])
def test_failures_are_one_line(monkeypatch: pytest.MonkeyPatch, asked: list[list[str]], code: int, text: str) -> None:
    monkeypatch.setattr(nvidia.subprocess, "run", lambda line, **options: subprocess.CompletedProcess([], code, text, ""))
    with pytest.raises(EngineError, match="nvidia-smi fails.*: install the driver again") as failure:
        ask_gpus("name")
    assert "\n" not in str(failure.value)


def test_no_answer_is_told(monkeypatch: pytest.MonkeyPatch, asked: list[list[str]]) -> None:
    def hang(line: list[str], **options: float) -> None:
        raise subprocess.TimeoutExpired(line, options["timeout"])

    monkeypatch.setattr(nvidia.subprocess, "run", hang)
    with pytest.raises(EngineError, match=r"does not answer \(TimeoutExpired\): install"):
        ask_gpus("name")
