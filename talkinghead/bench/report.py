"""What a benchmark found, where, and with which weights; as a table, as JSON, and beside another run."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from talkinghead.errors import OutputError, TalkingHeadError

ANCHORS = (
    ("VASA-1 (arXiv 2404.10667)", "40 FPS online at 512×512, 170 ms latency", "RTX 4090"),
    ("Ditto (antgroup/ditto-talkinghead)", "first frame 385 ms, 15 ms a frame", "A100"),
    ("LivePortrait (its speed.md, warp and SPADE)", "12.8 ms a frame", "RTX 4090"),
)
"""Published figures of other systems, measured by their authors: for scale, not from this machine."""


@dataclass(frozen=True)
class Figure:
    """One measured quantity: median, 95th and 99th percentile, and spread (the middle half's width) of so many rounds; the last
    three are None for what is measured once. better: "less" or "more"."""

    name: str
    unit: str
    p50: float
    p95: float | None = None
    p99: float | None = None
    spread: float | None = None
    rounds: int = 1
    better: str = "less"


def figure(name: str, values: list[float], unit: str = "ms", better: str = "less") -> Figure:
    """The figure of several rounds."""
    low, p50, high, p95, p99 = (round(float(np.percentile(values, q)), 3) for q in (25, 50, 75, 95, 99))
    return Figure(name, unit, p50, p95, p99, round(high - low, 3), len(values), better)


def clocked_ms(call: Callable[[], object], rounds: int, warm_up: int = 3) -> list[float]:
    """Milliseconds of each of so many calls, after a few that do not count."""
    for _ in range(warm_up):
        call()
    times = []
    for _ in range(rounds):
        start = perf_counter()
        call()
        times.append(1000 * (perf_counter() - start))
    return times


@dataclass(frozen=True)
class Report:
    """A run. bench: latency, throughput or quality; device: of the networks; machine, versions: by name; weights, material (photo
    and sound): a hash."""

    bench: str
    device: str
    seed: int
    machine: dict[str, str]
    versions: dict[str, str]
    weights: str
    figures: tuple[Figure, ...] = field(default=())
    material: str = ""
    notes: tuple[str, ...] = ()
    """What could not be measured here, a line each."""

    def table(self) -> str:
        """Markdown: figures, where they come from, and what others published."""
        lines = [f"| {self.bench}, {self.device} | p50 | p95 | p99 | spread | rounds |", "|---|---|---|---|---|---|"]
        for f in self.figures:
            cells = (f"{f.p50:g} {f.unit}", *("" if x is None else f"{x:g}" for x in (f.p95, f.p99, f.spread)), str(f.rounds))
            lines.append(f"| {f.name} | " + " | ".join(cells) + " |")
        lines += ["", *self.notes] if self.notes else []
        lines += ["", "machine: " + ", ".join(f"{k} {v}" for k, v in self.machine.items())]
        lines += ["versions: " + ", ".join(f"{k} {v}" for k, v in self.versions.items()) + f"; weights {self.weights}"]
        lines += [f"photo and sound {self.material}, seed {self.seed}"]
        lines += ["published by others: " + "; ".join(f"{who}: {what}, {where}" for who, what, where in ANCHORS)]
        return "\n".join(lines)

    def save(self, path: Path) -> None:
        """Write JSON beside and rename; OutputError when it cannot be."""
        part = path.with_name(path.name + ".part")
        try:
            part.write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
            part.replace(path)
        except OSError as error:
            raise OutputError(f"cannot write {path}: choose a folder that is there ({error.strerror})") from error

    @classmethod
    def load(cls, path: Path) -> Report:
        """Read what `save` wrote; TalkingHeadError when it is not that."""
        try:
            held: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            figures, notes = tuple(Figure(**row) for row in held.pop("figures")), tuple(held.pop("notes", ()))
            return cls(**held, figures=figures, notes=notes)
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise TalkingHeadError(
                f"{path} is not a benchmark's JSON: give a file of `talkinghead bench ... --json` ({type(error).__name__})"
            ) from error


def compared(before: Report, after: Report) -> str:
    """Markdown: medians of both and the change in percent; what differs besides is told."""
    if before.bench != after.bench:
        raise TalkingHeadError(f"one file is of '{before.bench}', the other of '{after.bench}': compare runs of one benchmark")
    lines = ["| " + before.bench + " | before | after | change |", "|---|---|---|---|"]
    old, new = ({f.name: f for f in report.figures} for report in (before, after))
    for name in [*old, *(name for name in new if name not in old)]:
        cells = [f"{side[name].p50:g} {side[name].unit}" if name in side else "–" for side in (old, new)]
        change = "–"
        if name in old and name in new and old[name].p50:
            percent = 100 * (new[name].p50 / old[name].p50 - 1)
            word = "" if abs(percent) < 0.05 else (" better" if (percent < 0) == (new[name].better == "less") else " worse")
            if word and abs(new[name].p50 - old[name].p50) < max(side[name].spread or 0.0 for side in (old, new)):
                word = ", within the spread"
            change = f"{percent:+.1f} %{word}"
        lines.append(f"| {name} | {cells[0]} | {cells[1]} | {change} |")
    for what in ("device", "seed", "material", "weights", "machine", "versions"):
        if getattr(before, what) != getattr(after, what):
            lines.append(f"not the same {what}: {getattr(before, what)} and {getattr(after, what)}")
    return "\n".join(lines)
