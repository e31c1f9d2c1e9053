"""Energy that the machine tells of itself: processors by RAPL (Linux powercap), GPUs by nvidia-smi's power."""

from __future__ import annotations

import threading
from pathlib import Path
from time import monotonic

import numpy as np

from talkinghead.errors import EngineError
from talkinghead.runtime.nvidia import ask_gpus

_POWERCAP = Path("/sys/class/powercap")
_SAMPLE_S = 0.2


class ProcessorEnergy:
    """Joules of all packages since it was made; None where they cannot be read (mostly only root may)."""

    def __init__(self, folder: Path = _POWERCAP) -> None:
        self._domains = [path for path in sorted(folder.glob("*:*")) if path.name.count(":") == 1]
        self._before = [_microjoules(path, "energy_uj") for path in self._domains]

    def joules(self) -> float | None:
        """So far; a counter may have begun anew once."""
        total = 0.0
        for path, before in zip(self._domains, self._before, strict=True):
            now, largest = _microjoules(path, "energy_uj"), _microjoules(path, "max_energy_range_uj")
            if before is None or now is None or largest is None:
                return None
            total += (now - before) % (largest + 1) / 1e6
        return total if self._domains else None


class GpuEnergy:
    """Joules of all GPUs since it was made, from samples of their power; None where that is not told."""

    def __init__(self) -> None:
        self._power_w, self._ended = [_power_w()], threading.Event()
        self._start_s = monotonic()
        self._thread = threading.Thread(target=self._sample, name="power", daemon=True)
        if self._power_w[0] is not None:
            self._thread.start()

    def joules(self) -> float | None:
        """So far; no further samples are taken."""
        seconds = monotonic() - self._start_s
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()
        told = [watts for watts in self._power_w if watts is not None]
        return seconds * float(np.mean(told)) if told else None

    def _sample(self) -> None:
        while not self._ended.wait(_SAMPLE_S):
            self._power_w.append(_power_w())


def _microjoules(domain: Path, name: str) -> int | None:
    try:
        return int((domain / name).read_text())
    except (OSError, ValueError):
        return None


def _power_w() -> float | None:
    try:
        cards = ask_gpus("power.draw")
        return sum(float(power) for (power,) in cards) if cards else None
    except (EngineError, ValueError):  # "[N/A]"
        return None
