"""Figures of the motion alone, straight from latents of real clips: no picture is drawn.

    python benchmarks/motion.py --shared ../shared --cache CACHE [--json FILE] [--minutes 30] [--only SECTION ...] [--split test]

CACHE holds the tracked clips (`talkinghead train track`); needs ``pip install "talkinghead[train]"``. Sections: diversity,
frechet (and velocities), seams, gaze, brows, drift (so many simulated minutes), idle, robustness.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import motion_figures as figures
import numpy as np
from motion_figures import Figures
from motion_play import Player, Take, chords, clipped, silence, strung, whispered

from talkinghead.constants import FRAME_RATE_HZ
from talkinghead.motion.controls import Controls
from talkinghead.training.motion_data import SOURCES, Clip, load_clips

GAZES_DEG = tuple((right, up) for up in (12.0, 0.0, -12.0) for right in (-20.0, 0.0, 20.0))
_GAZE_S, _GAZE_SKIP_S = 20, 1
_PAUSE_S = (0.3, 2.5)
_LONG_S = 2.5
_IDLE_S, _ROBUST_S = 120, 60
_ROOM_DBFS, _NOISE_DBFS = -60.0, -20.0


class Bench:
    """The audible clips of a split, and what the pipeline makes of them."""

    def __init__(self, shared: Path, cache: Path, minutes: float, split: str) -> None:
        self.player, self.minutes = Player(), minutes
        self.latent = self.player.latent
        self.clips = load_clips(shared, cache, self.latent, split, SOURCES, audible=True)
        if not self.clips:
            raise SystemExit(f"no tracked {split} clips under {cache}: run `talkinghead train track` first")
        self._takes: dict[tuple[str, int], Take] = {}

    def made(self, clip: Clip, seed: int = 0) -> Take:
        """The generated clip, as long as the real one."""
        key = clip.name, seed
        if key not in self._takes:
            self._takes[key] = self.player(clip.sound, seed)
        return self._takes[key].cut(0, len(clip.z_dyn))

    def real(self, clip: Clip) -> Take:
        """The real clip, as long as the generated one."""
        gate = self.made(clip).gate
        return Take(gate, clip.z_pose[: len(gate)], clip.z_dyn[: len(gate)])

    def sets(self) -> dict[str, list[Clip]]:
        """Clips by set, and all of them."""
        found = {name: [c for c in self.clips if c.source == name] for name in SOURCES}
        return {**{name: some for name, some in found.items() if some}, "all": self.clips}

    def speech(self, seconds: float, pause_s: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
        """So much speech of the clips, strung together."""
        return np.concatenate(list(strung([c.sound for c in self.clips], seconds, pause_s)))


def diversity(bench: Bench) -> dict[str, dict[str, Figures]]:
    """Two seeds on one sound; two sounds on one seed, and the real clips of these two."""
    out: dict[str, dict[str, Figures]] = {"two seeds": {}, "two voices": {}, "two voices, real": {}}
    for name, clips in bench.sets().items():
        alone = [figures.alike(bench.made(c), bench.made(c, 1), bench.latent, c.z_id, c.z_id) for c in clips]
        out["two seeds"][name] = figures.mean_of(alone)
        pairs = list(zip(clips, [*clips[1:], clips[0]], strict=True)) if len(clips) > 1 else []
        for kind, of in (("two voices", bench.made), ("two voices, real", bench.real)):
            rows = [figures.alike(of(a), of(b), bench.latent, a.z_id, b.z_id) for a, b in pairs]
            out[kind][name] = figures.mean_of(rows)
    for kind, table in out.items():
        show(f"diversity: {kind}, means over clips", table)
    return out


def frechet(bench: Bench) -> dict[str, Any]:
    """Distance of generated from real motion, with its scales, and ratios of velocities."""
    real = [bench.real(c) for c in bench.clips]
    unit = {name: np.concatenate([of(t) for t in real]).std(0) + 1e-9 for name, of in figures.FEATURES.items()}
    out: dict[str, Any] = {"distance": {}, "velocity ratios": {}}
    for name, clips in bench.sets().items():
        made, theirs = ([of(c) for c in clips] for of in (bench.made, bench.real))
        out["distance"][name] = figures.frechet(made, theirs, unit)
        out["velocity ratios"][name] = figures.velocity_ratios(made, theirs, bench.player.scales.lips)
    for feature in figures.FEATURES:
        show(f"Fréchet distance of {feature} (units of the real sd)", {s: row[feature] for s, row in out["distance"].items()})
    show("velocity, generated / real", out["velocity ratios"])
    return out


def seams(bench: Bench) -> dict[str, Figures]:
    """Steps across hops' edges over steps inside hops; of the real clips too, which have no hops."""
    out = {}
    for name, clips in bench.sets().items():
        made, real = (
            figures.seams([of(c) for c in clips], bench.latent, [c.z_id for c in clips]) for of in (bench.made, bench.real)
        )
        out[name] = {**made, **{f"{key}, real": value for key, value in real.items()}}
    show("seams in speech: median step across hops / inside (target <= 1.1)", out)
    return out


def gaze(bench: Bench) -> dict[str, dict[str, Figures]]:
    """Where eyes and head look while a gaze is asked for; blinks are off, so that irises are always seen."""
    sound = np.concatenate([silence(_GAZE_S), bench.speech(_GAZE_S)])
    skip, change = _GAZE_SKIP_S * FRAME_RATE_HZ, _GAZE_S * FRAME_RATE_HZ
    out: dict[str, dict[str, Figures]] = {"silence": {}, "speech": {}}
    for i, (right, up) in enumerate(GAZES_DEG):
        take = bench.player(sound, seed=i, controls=Controls(gaze=(right, up), blink_rate=0.0))
        for kind, part in (("silence", take.cut(skip, change)), ("speech", take.cut(change + skip))):
            out[kind][f"{right:+.0f} {up:+.0f}"] = figures.gaze_held(part, bench.latent, (right, up))
    for kind, table in out.items():
        show(f"gaze asked (degrees right, up) and held in {kind}", table)
        errors = [row["error"] for row in table.values()]
        print(f"error of eyes + head in {kind}: mean {np.mean(errors):.1f}, largest {np.max(errors):.1f} deg")
    return out


def brows(bench: Bench) -> dict[str, Figures]:
    """How lively the brows of clips are that last long enough to tell."""
    out = {}
    for name, clips in bench.sets().items():
        long = [c for c in clips if len(c.z_dyn) >= _LONG_S * FRAME_RATE_HZ]
        for kind, of in (("generated", bench.made), ("real", bench.real)):
            if long:
                out[f"{name} ({len(long)}), {kind}"] = figures.mean_of([figures.brows(of(c), bench.latent) for c in long])
    show("brows, means over clips", out)
    return out


def drift(bench: Bench) -> dict[str, Any]:
    """A long call: speech with pauses."""
    take = bench.player(strung([c.sound for c in bench.clips], 60 * bench.minutes, _PAUSE_S))
    out = figures.drift(take, bench.latent)
    count = len(out["z_dyn norm"]["mean"])
    rows = {}
    for name, row in out.items():
        cells: Figures = {}
        for title, k in (("first", 0), ("middle", count // 2), ("last", count - 1)):
            cells |= {f"{title} mean": row["mean"][k], f"{title} sd": row["sd"][k]}
        rows[name] = {**cells, **{key: row[key] for key in ("largest deviation sd", "trend sd")}}
    show(f"drift in {count} minutes: first, middle, last", rows)
    print("deviation: of a minute's mean from the grand mean; trend: of a straight line from end to end; in sd of all frames")
    return out


def idle(bench: Bench) -> dict[str, Figures]:
    """Silence, perfect and in a room."""
    kinds = {"silence": silence(_IDLE_S), f"room at {_ROOM_DBFS:.0f} dBFS": silence(_IDLE_S, _ROOM_DBFS)}
    out = {name: figures.stillness(bench.player(sound), bench.latent) for name, sound in kinds.items()}
    show(f"idle for {_IDLE_S} s", out)
    return out


def robustness(bench: Bench) -> dict[str, Figures]:
    """Noise, music, and speech that is hard to hear."""
    speech = bench.speech(_ROBUST_S)
    kinds = {
        "speech": speech,
        f"white noise {_NOISE_DBFS:.0f} dBFS": silence(_ROBUST_S, _NOISE_DBFS),
        "chords": chords(_ROBUST_S),
        "speech, clipped": clipped(speech),
        "speech, whispered": whispered(speech),
    }
    takes = {name: bench.player(sound) for name, sound in kinds.items()}
    out = {name: figures.response(take, bench.latent, takes["speech"]) for name, take in takes.items()}
    show(f"robustness: {_ROBUST_S} s of each", out)
    return out


SECTIONS: dict[str, Callable[[Bench], Any]] = {
    f.__name__: f for f in (diversity, frechet, seams, gaze, brows, drift, idle, robustness)
}  # fmt: skip


def show(title: str, table: dict[str, Figures]) -> None:
    """Print a table, a row each; rows without figures are left out."""
    rows = {name: row for name, row in table.items() if row}
    if not rows:
        return
    names = list(next(iter(rows.values())))
    print(f"\n| {title} | " + " | ".join(names) + " |\n|---" + "|---" * len(names) + "|")
    for name, row in rows.items():
        print(f"| {name} | " + " | ".join(number(row[key]) for key in names) + " |")


def number(value: float) -> str:
    """About three digits; a dash for none."""
    if not math.isfinite(value):
        return "–"
    size = abs(value)
    return f"{value:.{0 if size >= 100 else 1 if size >= 10 else 2 if size >= 0.1 or size == 0 else 4}f}"


def run_sections(
    sections: Mapping[str, Callable[[Any], Any]], only: list[str] | None, bench: Any, target: Path | None, out: dict[str, Any]
) -> None:
    """Measure all sections, or ``only`` some; ``out`` grows by each and is written as JSON to ``target`` after each, so that a
    stopped run leaves what it has."""
    for name in only or sections:
        start = time.perf_counter()
        out[name] = sections[name](bench)
        print(f"({name}: {time.perf_counter() - start:.0f} s)", flush=True)
        if target:
            target.write_text(json.dumps(plain(out), indent=1))


def plain(value: Any) -> Any:
    """For JSON: plain numbers of six digits, null for none."""
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    if isinstance(value, str | int):
        return value
    return float(f"{value:.6g}") if math.isfinite(value) else None


def main() -> None:
    """Measure, print, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=30.0, help="of the simulated call")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, metavar="SECTION", help=", ".join(SECTIONS))
    parser.add_argument("--split", choices=("test", "train"), default="test", help="train: what constants were read off")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    bench = Bench(args.shared, args.cache, args.minutes, args.split)
    counts = {name: len(clips) for name, clips in bench.sets().items()}
    print("clips: " + ", ".join(f"{name} {count}" for name, count in counts.items()), flush=True)
    run_sections(SECTIONS, args.only, bench, args.json, {"clips": counts})


if __name__ == "__main__":
    main()
