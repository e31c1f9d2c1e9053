"""What single jobs need of this machine: microphone, loudspeaker, window, virtual camera, voice, GPU."""

from __future__ import annotations

import shutil
from importlib import import_module

from talkinghead.doctor.finding import Finding, installed
from talkinghead.errors import DeviceError, EngineError, VoiceError
from talkinghead.runtime.nvidia import ask_gpus


def machine_findings() -> list[Finding]:
    """Look at each; none of them is needed to make a video file."""
    return [*_sound_devices(), _window(), _camera(), _voice(), _provenance(), _gpu()]


def _sound_devices() -> list[Finding]:
    if not installed("sounddevice"):
        return [_missing("microphone", "mic")]
    from talkinghead.live.devices import choose, sound_system

    try:
        system = sound_system()
    except DeviceError as error:
        return [_failed("microphone", error)]
    found = []
    for name, kind in (("microphone", "input"), ("loudspeaker", "output")):
        try:
            device = choose(system, "default", "input" if kind == "input" else "output")
            found.append(Finding(name, f"{device.name}, {device.rate_hz} Hz (sounddevice {installed('sounddevice')})"))
        except DeviceError as error:
            found.append(_failed(name, error, optional=True))
    return found


def _window() -> Finding:
    version = installed("pygame-ce")
    return Finding("window", f"pygame-ce {version}") if version else _missing("window", "window")


def _camera() -> Finding:
    if not installed("pyvirtualcam"):
        return _missing("virtual camera", "camera")
    from talkinghead.live.camera import Camera

    try:
        camera = Camera()
    except DeviceError as error:
        return _failed("virtual camera", error, optional=True)
    camera.close()
    return Finding("virtual camera", f"{camera.name} (pyvirtualcam {installed('pyvirtualcam')})")


def _voice() -> Finding:
    from talkinghead.speech.voice import VOICE_FIX, Voice

    if shutil.which("espeak-ng") is None and not installed("espeakng-loader"):
        return Finding("voice", "not installed", False, VOICE_FIX, optional=True)
    try:
        voice = Voice.open("en")
    except VoiceError as error:
        return _failed("voice", error)
    return Finding("voice", f"{voice.source}, {voice.rate_hz} Hz")


def _provenance() -> Finding:
    version = installed("c2pa-python")
    return Finding("c2pa manifest", f"c2pa-python {version}") if version else _missing("c2pa manifest", "provenance")


def _gpu() -> Finding:
    """A GPU is no need: the networks run on the CPU."""
    try:
        found = ask_gpus("name", "driver_version", "memory.total")
    except EngineError as error:
        return _failed("gpu", error, optional=True)
    if not found:
        return Finding("gpu", "none found", False, "not needed; an NVIDIA GPU needs its driver", optional=True)
    cards = "; ".join(f"{name}, {driver}, {memory} MiB" for name, driver, memory in found)
    if "CUDAExecutionProvider" in _providers():
        return Finding("gpu", f"{cards}; onnxruntime has CUDA")
    fix = 'pip uninstall onnxruntime, then pip install "talkinghead[gpu]"; not needed on the CPU'
    return Finding("gpu", f"{cards}; onnxruntime has no CUDA", False, fix, optional=True)


def _providers() -> list[str]:
    try:
        return list(import_module("onnxruntime").get_available_providers())
    except (ImportError, OSError, AttributeError):
        return []


def _missing(name: str, extra: str) -> Finding:
    return Finding(name, "not installed", False, f'pip install "talkinghead[{extra}]"', optional=True)


def _failed(name: str, error: Exception, *, optional: bool = False) -> Finding:
    """An error's line is what is wrong, a colon, and the fix."""
    wrong, _, fix = str(error).rpartition(": ")
    return Finding(name, wrong, False, fix, optional)
