"""The report tells whole from damaged and missing, and what is needed from what only some jobs need."""

from __future__ import annotations

import hashlib
import json
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fake_sounddevice import SoundSystem

from talkinghead.doctor import Finding, base, calls, examine, machine
from talkinghead.errors import DeviceError, VoiceError
from talkinghead.live.camera import Camera
from talkinghead.runtime import nvidia
from talkinghead.speech.voice import Voice


def by_name(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings}


def weights(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Finding]:
    monkeypatch.setenv("TALKINGHEAD_MODELS", str(folder))
    return by_name([finding for finding in base.base_findings() if finding.name.startswith("weights")])


def test_weights_are_held_against_the_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "face").mkdir()
    for name in ("good", "bad"):
        (tmp_path / "face" / f"{name}.onnx").write_bytes(name.encode())
    digest = hashlib.sha256(b"good").hexdigest()
    files = {f"face/{name}.onnx": {"sha256": digest} for name in ("good", "bad", "gone")}
    (tmp_path / "manifest.json").write_text(json.dumps({"files": files}))
    found = weights(tmp_path, monkeypatch)
    good = found["weights face/good.onnx"]
    assert (good.value, good.good) == (digest[:12], True)
    assert (found["weights face/bad.onnx"].value, found["weights face/bad.onnx"].failed) == ("damaged", True)
    assert (found["weights face/gone.onnx"].value, found["weights face/gone.onnx"].failed) == ("missing", True)


@pytest.mark.parametrize("content", [None, "no json", "[]", '{"files": {"a": "b"}}'])
def test_a_manifest_that_is_missing_or_strange(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None) -> None:
    if content is not None:
        (tmp_path / "manifest.json").write_text(content)
    assert weights(tmp_path, monkeypatch)["weights"].failed


def test_the_whole_report_names_everything_with_a_fix() -> None:
    findings = examine()
    found = by_name(findings)
    names = ("python", "talkinghead", "numpy", "av", "runtime", "encoder libx264", "encoder aac")
    extras = ("aiortc", "aiohttp", "prometheus-client", "microphone", "window", "virtual camera", "voice", "gpu")
    assert set(names + extras) <= found.keys()
    assert found["encoder libx264"].good
    assert len(found) == len(findings)
    assert all(finding.good or finding.fix for finding in findings)
    assert not any("\n" in finding.line(30) for finding in findings)


def test_a_line_marks_what_failed_and_what_is_only_missing() -> None:
    assert Finding("a", "1.0", fix="never shown").line(3) == "ok  a    1.0"
    assert Finding("a", "damaged", False, "do this").line(3) == "BAD a    damaged (do this)"
    optional = Finding("a", "not installed", False, "do this", optional=True)
    assert (optional.line(3), optional.failed) == ("--  a    not installed (do this)", False)


def installed(*there: str) -> Callable[[str], str | None]:
    return lambda name: "1.2" if name in there else None


def test_without_the_live_extra_calls_are_optional(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "installed", installed("aiohttp"))
    found = calls.call_findings()
    assert [(finding.name, finding.good, finding.failed) for finding in found] == [
        ("aiortc", False, False),
        ("aiohttp", True, False),
        ("prometheus-client", False, False),
    ]
    assert found[0].line(6) == '--  aiortc  not installed (pip install "talkinghead[live]")'


def test_with_the_live_extra_encoders_ports_and_addresses_are_tried() -> None:
    for name in ("aiortc", "aiohttp", "prometheus_client"):
        pytest.importorskip(name)
    found = by_name(calls.call_findings())
    for codec in ("H.264", "VP8", "Opus"):
        assert "bytes for a first frame" in found[f"call codec {codec}"].value
    assert found["udp ports"].good
    assert {"call addresses", "port 8040"} <= found.keys()


def test_an_encoder_that_does_not_open_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(parameters: object) -> None:
        raise ValueError("no\nencoder")

    modules = {"aiortc": SimpleNamespace(RTCRtpCodecParameters=dict), "aiortc.codecs": SimpleNamespace(get_encoder=refuse)}
    monkeypatch.setattr(calls, "import_module", modules.__getitem__)
    finding = calls._codec("VP8", "video/VP8", 90_000)
    assert finding.failed
    assert finding.value == "does not open (ValueError: no encoder)"


@pytest.mark.parametrize(
    ("hosts", "good", "words"),
    [
        (["192.0.2.7", "2001:db8::7"], True, "192.0.2.7, 2001:db8::7"),
        ([], False, "only loopback"),
        (["127.0.0.1"], False, "only"),
    ],
)
def test_addresses_for_calls(monkeypatch: pytest.MonkeyPatch, hosts: list[str], good: bool, words: str) -> None:
    ice = SimpleNamespace(get_host_addresses=lambda use_ipv4, use_ipv6: hosts)
    monkeypatch.setattr(calls, "import_module", lambda name: ice)
    finding = calls._addresses()
    assert (finding.good, finding.failed) == (good, False)
    assert words in finding.value


def test_a_port_in_use_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        monkeypatch.setattr(calls, "DEFAULT_PORT", other.getsockname()[1])
        finding = calls._server_port()
    assert (finding.good, finding.failed) == (False, False)
    assert "--port" in finding.fix
    assert calls._server_port().value == "free"


def test_sound_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "installed", installed("sounddevice"))
    monkeypatch.setitem(sys.modules, "sounddevice", SoundSystem())
    assert [finding.value for finding in machine._sound_devices()] == ["Built-in Audio, 48000 Hz (sounddevice 1.2)"] * 2
    monkeypatch.setitem(sys.modules, "sounddevice", SoundSystem((), (-1, -1)))
    for finding in machine._sound_devices():
        assert (finding.failed, finding.value) == (False, f"no {finding.name} was found")
        assert finding.fix.startswith("connect one")
    monkeypatch.setattr("talkinghead.live.devices.import_module", _raise(OSError("PortAudio library not found")))
    (finding,) = machine._sound_devices()
    assert (finding.failed, finding.value) == (True, "sounddevice does not find PortAudio")
    monkeypatch.setattr(machine, "installed", installed())
    (finding,) = machine._sound_devices()
    assert finding.line(10) == '--  microphone  not installed (pip install "talkinghead[mic]")'


def _raise(error: Exception) -> Callable[..., Any]:
    def refuse(*arguments: object, **options: object) -> None:
        raise error

    return refuse


def test_window_camera_and_voice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "installed", installed())
    monkeypatch.setattr(machine.shutil, "which", lambda name: None)
    for finding in (machine._window(), machine._camera(), machine._voice()):
        assert (finding.good, finding.failed, finding.value) == (False, False, "not installed")
    monkeypatch.setattr(machine, "installed", installed("pygame-ce", "pyvirtualcam", "espeakng-loader"))
    assert machine._window().value == "pygame-ce 1.2"
    monkeypatch.setattr(Camera, "__init__", _raise(DeviceError("no virtual camera can be opened (none): get one")))
    assert machine._camera() == Finding("virtual camera", "no virtual camera can be opened (none)", False, "get one", True)
    monkeypatch.setattr(Voice, "open", _raise(VoiceError("espeak-ng is damaged: install it")))
    assert machine._voice() == Finding("voice", "espeak-ng is damaged", False, "install it")


@pytest.mark.parametrize(
    ("output", "code", "providers", "good", "words"),
    [
        ("NVIDIA H100, 550.1, 81559\n", 0, ["CUDAExecutionProvider"], True, "H100, 550.1, 81559 MiB; onnxruntime has CUDA"),
        ("NVIDIA H100, 550.1, 81559\n", 0, ["CPUExecutionProvider"], False, "has no CUDA"),
        ("driver mismatch", 9, [], False, "nvidia-smi fails, driver mismatch"),
    ],
)
def test_gpu(monkeypatch: pytest.MonkeyPatch, output: str, code: int, providers: list[str], good: bool, words: str) -> None:
    done = subprocess.CompletedProcess([], code, output, "")
    monkeypatch.setattr(nvidia.shutil, "which", lambda name: "nvidia-smi")
    monkeypatch.setattr(nvidia.subprocess, "run", lambda *arguments, **options: done)
    monkeypatch.setattr(machine, "_providers", lambda: providers)
    finding = machine._gpu()
    assert (finding.good, finding.failed) == (good, False)
    assert words in finding.value
