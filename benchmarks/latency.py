"""Milliseconds by stage on one thread, how soon a call answers, and the realtime factor of a whole dub on two.

    python benchmarks/latency.py [--photo PHOTO] [--audio AUDIO] [--hops 3000] [--live] [--json FILE]

--live measures calls instead, with a real server and callers in processes of their own (`benchmarks/calls.py`).

Constancy: the motion of so many hops in a row (3,000 are two and a half minutes of a call and take some 30 s; 72,000 are an
hour). The network's past fills up within two seconds; its state has one size from then on.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import resource
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import calls
import cv2
import numpy as np
from motion_play import Player

from talkinghead import dub
from talkinghead.bench.latency import ANSWER, FRAME_MS, Rounds, stages
from talkinghead.bench.material import Material
from talkinghead.bench.report import Figure, clocked_ms, figure
from talkinghead.motion.denoiser import HOP_FRAMES, HOP_MS
from talkinghead.portrait.load import load_photo
from talkinghead.portrait.portrait import FaceReader
from talkinghead.render.paste import Paster
from talkinghead.speech.encoder import LOOKAHEAD_MS, EncodedSpeech

BUDGET_MS = 170
_COMPARED_HOPS = 500
DATA = Path(__file__).resolve().parent.parent / "examples" / "data"


def quantiles(times_ms: list[float]) -> dict[str, float]:
    """Median, 95th and 99th percentile."""
    found = figure("", times_ms)
    return {"p50": found.p50, "p95": found.p95 or 0.0, "p99": found.p99 or 0.0}


def hops(player: Player, sound: np.ndarray) -> Iterator[EncodedSpeech]:
    """The encoded sound hop by hop, again and again."""
    speech = player.encoder.push(sound)
    player.encoder.reset()
    return itertools.cycle([speech.cut(k, k + HOP_FRAMES) for k in range(0, len(speech) - HOP_FRAMES + 1, HOP_FRAMES)])


def portrait_stages(photo: Path, material: Material, player: Player) -> Iterator[Figure]:
    """Reading a portrait, following a face, pasting it back."""
    image = load_photo(photo)
    reader = FaceReader(player.latent)
    portrait = reader.read(image)
    found, _ = reader.landmarker.locate(image, reader.detector.find(image)[0])
    paster, take = Paster(portrait.image, portrait.crop), player(material.sound)
    face = material.avatar("cpu").draw(take.z_pose[60], take.z_dyn[60])  # what has not moved costs nothing
    yield figure("portrait (once)", clocked_ms(lambda: reader.read(image), 10))
    yield figure("tracked frame", clocked_ms(lambda: reader.landmarker.track(image, found), 50))
    yield figure("paste-back, a frame", clocked_ms(lambda: paster.paste(face), 50))


def constancy(player: Player, sound: np.ndarray, count: int) -> dict[str, Any]:
    """Motion of so many hops in a row: ms of the first and the last ones, and how far the peak of memory rose after the first."""
    player.generator.reset(0)
    speech = hops(player, sound)
    some = min(_COMPARED_HOPS, count // 2)
    first = clocked_ms(lambda: player.generator.push(next(speech)), some, 0)
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    later = clocked_ms(lambda: player.generator.push(next(speech)), count - some, 0)
    grown_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb) / 1024
    return {"hops": count, "compared": some, "first": quantiles(first), "last": quantiles(later[-some:]), "memory_mb": grown_mb}


def whole(photo: Path, audio: Path, full: bool) -> dict[str, float]:
    """Median realtime factor of three dubs."""
    with tempfile.TemporaryDirectory() as folder:
        results = [dub(photo, audio, Path(folder) / "out.mp4", full=full) for _ in range(3)]
    return {
        "seconds": results[0].seconds,
        "realtime_factor": float(np.median([r.realtime_factor for r in results])),
        "render_fps": float(np.median([r.render_fps for r in results])),
    }


def say_answer(compute_ms: float) -> float:
    """Print and give the ms from a sound to its picture in a call, at worst: it lies at the beginning of a frame."""
    total_ms = LOOKAHEAD_MS + FRAME_MS + compute_ms
    parts = f"{LOOKAHEAD_MS:.0f} + {FRAME_MS:.0f} + {compute_ms:.0f} (p95)"
    print(f"look-ahead + frame + compute: {parts} = {total_ms:.0f} ms (budget {BUDGET_MS} ms)")
    return total_ms


def say_constancy(row: dict[str, Any]) -> None:
    """Print the figures of `constancy`."""
    first, last = (f"{part} {row['compared']} p50 {row[part]['p50']} p95 {row[part]['p95']} ms" for part in ("first", "last"))
    minutes = row["hops"] * HOP_MS / 60_000
    print(f"motion, {row['hops']} hops ({minutes:.1f} min of a call): {first}, {last}, memory {row['memory_mb']:+.1f} MB")


def main() -> None:
    """Measure, print, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photo", type=Path, default=DATA / "portrait.jpg")
    parser.add_argument("--audio", type=Path, default=DATA / "speech.ogg")
    parser.add_argument("--hops", type=int, default=3000, help="of motion in a row, to see whether its cost is constant")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--live", action="store_true", help="calls, by calls.py with its usual settings")
    args = parser.parse_args()
    if args.live:
        calls.main(["--json", str(args.json)] if args.json else [])
        return
    print(
        f"{platform.processor() or platform.machine()}, {len(os.sched_getaffinity(0))} cores, Python {platform.python_version()}"
    )
    cv2.setNumThreads(1)
    material, player = Material.open(args.photo, args.audio), Player()
    made = {f.name: f for f in (*portrait_stages(args.photo, material, player), *stages(material, "cpu", Rounds(), 0))}
    figures: dict[str, Any] = {"stages_ms": {name: {"p50": f.p50, "p95": f.p95, "p99": f.p99} for name, f in made.items()}}
    print("| stage, one thread | p50 ms | p95 ms | p99 ms |\n|---|---|---|---|")
    for name, row in figures["stages_ms"].items():
        print(f"| {name} | {row['p50']:.2f} | {row['p95']:.2f} | {row['p99']:.2f} |")
    figures["answer_ms"] = say_answer(figures["stages_ms"][ANSWER]["p95"])
    figures["constancy"] = constancy(player, material.sound, args.hops)
    say_constancy(figures["constancy"])
    for full in (False, True):
        figures["full" if full else "crop"] = row = whole(args.photo, args.audio, full)
        factor = row["realtime_factor"]
        print(f"dub {'--full' if full else '--crop'}: {row['seconds']:.1f} s, realtime_factor {factor:.2f}")
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
