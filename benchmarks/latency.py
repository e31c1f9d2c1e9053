"""Milliseconds by stage on one thread, and the realtime factor of a whole dub on two.

python benchmarks/latency.py [--photo PHOTO] [--audio AUDIO] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from talkinghead import Avatar, dub
from talkinghead.constants import SAMPLE_RATE_HZ
from talkinghead.motion.latent import LatentModel
from talkinghead.portrait.load import load_photo
from talkinghead.portrait.portrait import FaceReader
from talkinghead.render.paste import Paster
from talkinghead.runtime.weights import model_path
from talkinghead.speech.features import FeatureStream
from talkinghead.speech.source import SpeechFile

DATA = Path(__file__).resolve().parent.parent / "examples" / "data"


def timed(call: Callable[[], Any], rounds: int) -> dict[str, float]:
    """Median, 95th and 99th percentile in ms, after two warm-up calls."""
    call(), call()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        times.append(1000 * (time.perf_counter() - start))
    return {f"p{q}": round(float(np.percentile(times, q)), 2) for q in (50, 95, 99)}


def stages(photo: Path, audio: Path) -> dict[str, dict[str, float]]:
    """Every stage by itself, one thread."""
    cv2.setNumThreads(1)
    image = load_photo(photo)
    reader = FaceReader(LatentModel.load(model_path("latent", "latent.npz")))
    portrait = reader.read(image)
    found, _ = reader.landmarker.locate(image, reader.detector.find(image)[0])
    avatar = Avatar.open(image)
    sound = np.concatenate(list(SpeechFile(audio).blocks()))[: 4 * SAMPLE_RATE_HZ]
    features = FeatureStream().push(sound)
    hop = SAMPLE_RATE_HZ // 10
    stream, session = FeatureStream(), avatar.session()
    generator = session._generator
    motion = avatar.session()._generator.push(features.rows, features.voice)
    rng = iter(np.random.default_rng(0).integers(0, len(motion), 10_000).tolist())
    paster = Paster(portrait.image, portrait.crop)
    face = avatar.draw(motion.z_pose[60], motion.z_dyn[60])

    def draw() -> None:
        k = next(rng)
        avatar.draw(motion.z_pose[k], motion.z_dyn[k])

    return {
        "portrait (once)": timed(lambda: reader.read(image), 10),
        "avatar ready (once)": timed(lambda: Avatar.open(image), 5),
        "tracked frame": timed(lambda: reader.landmarker.track(image, found), 50),
        "features, 100 ms of sound": timed(lambda: stream.push(sound[:hop]), 50),
        "motion, 100 ms (4 frames)": timed(lambda: generator.push(features.rows[40:44], features.voice[40:44]), 50),
        "decoder, a frame": timed(draw, 120),
        "paste-back, a frame": timed(lambda: paster.paste(face), 50),
    }


def whole(photo: Path, audio: Path, full: bool) -> dict[str, float]:
    """Median realtime factor of three dubs."""
    with tempfile.TemporaryDirectory() as folder:
        results = [dub(photo, audio, Path(folder) / "out.mp4", full=full) for _ in range(3)]
    return {
        "seconds": results[0].seconds,
        "realtime_factor": float(np.median([r.realtime_factor for r in results])),
        "render_fps": float(np.median([r.render_fps for r in results])),
    }


def main() -> None:
    """Measure, print, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photo", type=Path, default=DATA / "portrait.jpg")
    parser.add_argument("--audio", type=Path, default=DATA / "speech.ogg")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    print(
        f"{platform.processor() or platform.machine()}, {len(os.sched_getaffinity(0))} cores, Python {platform.python_version()}"
    )
    figures: dict[str, Any] = {"stages_ms": stages(args.photo, args.audio)}
    print("| stage, one thread | p50 ms | p95 ms | p99 ms |\n|---|---|---|---|")
    for name, row in figures["stages_ms"].items():
        print(f"| {name} | {row['p50']} | {row['p95']} | {row['p99']} |")
    for full in (False, True):
        figures["full" if full else "crop"] = row = whole(args.photo, args.audio, full)
        factor = row["realtime_factor"]
        print(f"dub {'--full' if full else '--crop'}: {row['seconds']:.1f} s, realtime_factor {factor:.2f}")
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
