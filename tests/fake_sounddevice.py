"""A stand-in for the module `sounddevice`: devices from a list, streams that a test feeds and pulls by hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np


class PortAudioError(Exception):
    pass


def row(index: int, name: str, inputs: int, outputs: int, rate_hz: float = 48_000.0) -> dict[str, Any]:
    """A device as `query_devices` tells it."""
    channels = {"max_input_channels": inputs, "max_output_channels": outputs}
    return {"index": index, "name": name, "default_samplerate": rate_hz, **channels}


DESK = (
    row(0, "HDMI", 0, 8),
    row(1, "Built-in Audio", 2, 2),
    row(2, "USB Headset", 1, 2, 44_100.0),
    row(3, "USB", 1, 0, 16_000.0),
)


class Stream:
    """Either direction."""

    def __init__(self, *, callback: Any, fails: str = "", **options: Any) -> None:
        self.callback, self.fails, self.options = callback, fails, options
        self.latency = 0.01
        self.active = self.closed = False

    def start(self) -> None:
        if self.fails == "start":
            raise PortAudioError("Device unavailable")
        self.active = True

    def close(self) -> None:
        self.active, self.closed = False, True

    def feed(self, sound: np.ndarray, *, overflow: bool = False) -> None:
        """A block from the microphone, in memory that is used again afterwards."""
        block = sound.astype(np.float32)[:, None].copy()
        self.callback(block, len(block), None, SimpleNamespace(input_overflow=overflow))
        block[:] = 9.0

    def pull(self, count: int) -> np.ndarray:
        """What the loudspeaker gets: (count, channels)."""
        out = np.full((count, self.options["channels"]), 9.0, np.float32)
        self.callback(out, count, None, None)
        return out


class SoundSystem:
    """Put it into `sys.modules["sounddevice"]`. `fails`: "", "open" or "start"; `inputs`, `outputs`: streams made."""

    PortAudioError = PortAudioError

    def __init__(self, rows: tuple[dict[str, Any], ...] = DESK, default: tuple[int, int] = (1, 1), fails: str = "") -> None:
        self._rows, self._default, self._fails = rows, default, fails
        self.inputs: list[Stream] = []
        self.outputs: list[Stream] = []

    def query_devices(self, kind: str | None = None) -> Any:
        if kind is None:
            return list(self._rows)
        index = self._default[kind == "output"]
        if not 0 <= index < len(self._rows):
            raise PortAudioError(f"Error querying device {index}")
        return self._rows[index]

    def InputStream(self, **options: Any) -> Stream:
        return self._stream(self.inputs, options)

    def OutputStream(self, **options: Any) -> Stream:
        return self._stream(self.outputs, options)

    def _stream(self, made: list[Stream], options: dict[str, Any]) -> Stream:
        if self._fails == "open":
            raise PortAudioError("Invalid number of channels")
        made.append(Stream(fails=self._fails, **options))
        return made[-1]
