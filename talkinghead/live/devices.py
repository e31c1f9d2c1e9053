"""Microphones and loudspeakers of this machine, through sounddevice (PortAudio)."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from types import TracebackType
from typing import Any, Literal

import numpy as np

from talkinghead.errors import DeviceError
from talkinghead.live.resample import Converter, Resampler

Kind = Literal["input", "output"]

_WORDS: dict[Kind, str] = {"input": "microphone", "output": "loudspeaker"}
_SHORTEST_BUFFER_S = 0.05
"""Of sound on its way out: two frames, since they come every 25 ms and not to the millisecond."""
_SURPLUS_S = 0.05
_OUTPUT_LATENCY_S = 0.04
"""Asked of the driver. The lowest that drivers offer (9 ms) ran dry 30 times a second where the networks share two cores."""


@dataclass(frozen=True)
class Device:
    """A sound device: its number and name, the rate it likes, Hz, and its channels in and out."""

    index: int
    name: str
    rate_hz: int
    inputs: int
    outputs: int


def sound_system() -> Any:
    """The module `sounddevice`. Raises DeviceError, one line that names the fix, where it or PortAudio is missing."""
    try:
        return import_module("sounddevice")
    except ImportError:
        raise DeviceError('microphone and loudspeaker need sounddevice: pip install "talkinghead[mic]"') from None
    except OSError:  # the wheels for Windows and macOS bring PortAudio along
        fix = "apt-get install libportaudio2" if sys.platform == "linux" else "pip install --force-reinstall sounddevice"
        raise DeviceError(f"sounddevice does not find PortAudio: {fix}") from None


def devices(system: Any) -> list[Device]:
    """Every sound device, in PortAudio's order."""
    return [_device(row) for row in system.query_devices()]


def choose(system: Any, wanted: str, kind: Kind) -> Device:
    """The device that `wanted` names: "default", its number, or a part of its name in any case (the first that fits).

    Raises DeviceError where there is none.
    """
    word = _WORDS[kind]
    able = [device for device in devices(system) if _channels(device, kind)]
    if not able:
        raise DeviceError(f"no {word} was found: connect one, and allow its use in the system's settings")
    if wanted == "default":
        return _default(system, kind) or able[0]
    found = [device for device in able if wanted == str(device.index) or wanted.lower() == device.name.lower()]
    found = found or [device for device in able if wanted.lower() in device.name.lower()]
    if not found:
        names = ", ".join(f"{device.index} ({device.name})" for device in able)
        raise DeviceError(f"no {word} is called {wanted!r}: choose one of {names}")
    return found[0]


def table(system: Any) -> list[str]:
    """One line a device for people; `>` marks the default microphone, `<` the default loudspeaker."""
    ears, mouth = _default(system, "input"), _default(system, "output")
    lines = [
        f"{'>' if device == ears else ' '}{'<' if device == mouth else ' '} {device.index:3}  {device.name}  "
        f"({device.inputs} in, {device.outputs} out, {device.rate_hz} Hz)"
        for device in devices(system)
    ]
    return lines or ["no sound device was found"]


class Microphone:
    """Sound in: gives `hear` float32 mono (n,) and its rate, in a thread of PortAudio's, from entering until leaving.

    Attributes:
        latency_s: what device and driver add before `hear` is called.
        lost: blocks that arrived with a gap before them.
    """

    def __init__(self, system: Any, device: Device, hear: Callable[[np.ndarray, int], object]) -> None:
        self._hear = hear
        self._rate_hz = device.rate_hz
        self._stream = _Stream(system, device, "input", 1, self._arrived)
        self.latency_s = self._stream.latency_s
        self.lost = 0

    @property
    def alive(self) -> bool:
        """False once the device is gone."""
        return self._stream.active

    def __enter__(self) -> Microphone:
        self._stream.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stream.close()

    def _arrived(self, sound: np.ndarray, count: int, time: Any, status: Any) -> None:
        self.lost += bool(status and status.input_overflow)
        self._hear(sound[:, 0].copy(), self._rate_hz)  # PortAudio writes into the same memory again


class Speaker:
    """Sound out, a little late so that it never runs dry. What waits is bounded: surplus (the sound card's clock is slower than
    ours) is dropped from its oldest end.

    Attributes:
        latency_s: from `play` until it can be heard.
        dropped: samples that were dropped as surplus.
    """

    def __init__(self, system: Any, device: Device) -> None:
        rate_hz = device.rate_hz
        self._resampler = None if rate_hz == Converter.EAR_HZ else Resampler(Converter.EAR_HZ, rate_hz)
        self._lock = threading.Lock()
        self._waiting = np.zeros(0, np.float32)
        self._running = False
        self._stream = _Stream(system, device, "output", min(2, device.outputs), self._wanted)
        driver_s = self._stream.latency_s
        buffer_s = max(_SHORTEST_BUFFER_S, 0.025 + driver_s)
        self._target, self._most = int(buffer_s * rate_hz), int((buffer_s + _SURPLUS_S) * rate_hz)
        self.latency_s = buffer_s + driver_s
        self.dropped = 0

    def __enter__(self) -> Speaker:
        self._stream.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stream.close()

    def play(self, sound: np.ndarray) -> None:
        """Queue float32 mono (n,) at 48 kHz."""
        if self._resampler is not None:
            sound = self._resampler.push(sound)
        with self._lock:
            waiting = np.concatenate([self._waiting, sound])
            if len(waiting) > self._most:
                self.dropped += len(waiting) - self._target
                waiting = waiting[-self._target :]
            self._waiting = waiting

    def hush(self) -> None:
        """Forget what waits."""
        with self._lock:
            self._waiting = self._waiting[:0]

    def _wanted(self, out: np.ndarray, count: int, time: Any, status: Any) -> None:
        with self._lock:
            self._running = self._running or len(self._waiting) >= self._target
            ready = self._waiting[: count if self._running else 0]
            self._waiting = self._waiting[len(ready) :]
            self._running = len(ready) == count
        out[: len(ready)] = ready[:, None]
        out[len(ready) :] = 0


class _Stream:
    """A stream of PortAudio's whose failures are DeviceErrors."""

    def __init__(self, system: Any, device: Device, kind: Kind, channels: int, callback: Any) -> None:
        self._system, self._device, self._kind = system, device, kind
        make = system.InputStream if kind == "input" else system.OutputStream
        form = {"samplerate": device.rate_hz, "channels": channels, "dtype": "float32"}
        latency = "low" if kind == "input" else _OUTPUT_LATENCY_S
        try:
            self._stream = make(device=device.index, latency=latency, callback=callback, **form)
        except (system.PortAudioError, ValueError) as error:
            raise self._trouble(error) from None
        self.latency_s = float(self._stream.latency)
        self.close = self._stream.close

    @property
    def active(self) -> bool:
        return bool(self._stream.active)

    def start(self) -> None:
        try:
            self._stream.start()
        except self._system.PortAudioError as error:
            self.close()
            raise self._trouble(error) from None

    def _trouble(self, error: Exception) -> DeviceError:
        return DeviceError(
            f"the {_WORDS[self._kind]} {self._device.name!r} cannot be used ({error}): close what uses it, allow its use in the "
            f"system's settings, or choose another with --{self._kind}"
        )


def _device(row: Any) -> Device:
    channels = int(row["max_input_channels"]), int(row["max_output_channels"])
    return Device(int(row["index"]), str(row["name"]), round(row["default_samplerate"]), *channels)


def _channels(device: Device, kind: Kind) -> int:
    return device.inputs if kind == "input" else device.outputs


def _default(system: Any, kind: Kind) -> Device | None:
    try:
        return _device(system.query_devices(kind=kind))
    except (system.PortAudioError, ValueError):
        return None
