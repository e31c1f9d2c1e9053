"""A call as its caller has it: a real server and a real caller, each in a process of its own, over loopback.

    python benchmarks/calls.py [--json FILE] [--only NAME ...] [--minutes 10] [--calls 4]      (latency.py --live does the same)

answer      first picture after the page asks; mouth-to-glass: from the first packet of a burst of sound at the server's door to
            the first picture of an opening mouth, decoded at the caller
interrupt   from the message to a mouth at rest and to silence, at the caller
steady      pictures a second, memory and latency over --minutes; with Chromium, by its own estimate, how late the sound is
sessions    calls at a time (whose pictures are not decoded here) until one gets fewer than 25 pictures a second
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import cv2
import numpy as np
from call_figures import at_rest_ms, mouth_to_glass_ms, opening, quantiles, rate_hz, silent_ms, slope_per_hour

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "examples" / "data"
LEAST_FPS = 25.0
_EVERY_S, _BURST_S, _SETTLE_S = 2.06, 0.3, 3.0  # packets and pictures meet at another place each time
_SPEAK_S, _STEP_S, _SPREAD_S, _AGAIN_S = 2.0, 0.43, 5.0, 1.2


class Server:
    """`talkinghead serve` with the demo portrait; ended with the block."""

    def __init__(self, *options: str) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._log = Path(self._folder.name) / "log"
        line = [
            sys.executable,
            "-m",
            "talkinghead.cli",
            "serve",
            "--portrait",
            str(DATA / "portrait.jpg"),
            "--port",
            "0",
            *options,
        ]
        with self._log.open("w") as log:
            self.process = subprocess.Popen(line, stdout=log, stderr=subprocess.STDOUT)

    def __enter__(self) -> Server:
        while (found := re.search(r"(http://\S+?)/? is ready", self.said())) is None:
            if self.process.poll() is not None:
                raise SystemExit(f"the server ended: {self.said()}")
            time.sleep(0.1)
        self.url = found[1]
        return self

    def __exit__(self, *error: object) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)
        self._folder.cleanup()

    def said(self) -> str:
        """All that it printed and logged."""
        return self._log.read_text()

    def memory_mb(self) -> float:
        """What it holds now (resident set)."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def total_ms(self) -> tuple[float, float]:
        """Sum and count so far of the times from the arrival of a frame's sound until it is sent."""
        with urlopen(f"{self.url}/metrics", timeout=30) as answer:
            text = answer.read().decode()
        one = [
            re.search(rf'^talkinghead_stage_seconds_{x}{{stage="total"}} (\S+)$', text, re.MULTILINE) for x in ("sum", "count")
        ]
        return 1000 * float(one[0][1] if one[0] else 0), float(one[1][1] if one[1] else 0)


def caller(folder: Path, **options: Any) -> subprocess.Popen[bytes]:
    """Start a caller; what it keeps lies in ``folder`` when it ends."""
    line = [sys.executable, str(ROOT / "benchmarks" / "call_client.py"), json.dumps({**options, "out": str(folder / "kept.npz")})]
    return subprocess.Popen(line, env={**os.environ, "OMP_NUM_THREADS": "1"})


def called(**options: Any) -> dict[str, np.ndarray]:
    """What a caller kept of a whole call."""
    with tempfile.TemporaryDirectory() as folder:
        if caller(Path(folder), **options).wait():
            raise SystemExit("the caller failed")
        with np.load(Path(folder) / "kept.npz") as kept:
            return dict(kept)


def mouths(kept: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Arrivals (n,) s and lip openings (n,) of the pictures that were kept."""
    from talkinghead.motion.latent import LatentModel
    from talkinghead.portrait.portrait import FaceReader
    from talkinghead.runtime.weights import model_path

    reader = FaceReader(LatentModel.load(model_path("latent", "latent.npz")))
    points, gaps = None, []
    for luma in kept["0.faces"]:
        image = cv2.cvtColor(luma, cv2.COLOR_GRAY2RGB)
        if points is None:
            points, _ = reader.landmarker.locate(image, reader.detector.find(image)[0])
        points, _ = reader.landmarker.track(image, points)
        gaps.append(opening(points))
    return kept["0.pictures"][kept["0.face_of"], 0], np.array(gaps)


def answer(rounds: int) -> dict[str, Any]:
    """First pictures, and mouth-to-glass of so many bursts."""
    bursts = [[_SETTLE_S + _EVERY_S * k, _BURST_S] for k in range(rounds)]
    with Server() as server:
        firsts = []
        for _ in range(5):
            kept = called(url=server.url, seconds=3.0)
            if len(kept["0.pictures"]):
                firsts.append(1000 * float(kept["0.pictures"][0, 0] - kept["0.asked"][0]))
            time.sleep(0.5)
        looks = [[begin - 0.3, begin + 1.4] for begin, _ in bursts]  # the microphone begins somewhat after the call is asked for
        kept = called(url=server.url, seconds=bursts[-1][0] + 2.0, talk=bursts, looks=looks)
        arrival_s, gaps = mouths(kept)
        found = [mouth_to_glass_ms(float(b), arrival_s, gaps) for b in kept["0.begun"]]
    return {
        "first picture ms": quantiles(firsts),
        "mouth to glass ms": quantiles([x for x in found if x is not None]),
        "bursts": len(found),
        "fps": round(rate_hz(kept["0.pictures"][:, 0]), 2),
    }


def interrupt(rounds: int) -> dict[str, Any]:
    """Interruptions of a recording that is spoken."""
    # Each at another word, lest all of them fall into one pause: after so many seconds of the recording.
    spoken_s = [_SPEAK_S + (_STEP_S * k) % _SPREAD_S for k in range(rounds)]
    stops = np.cumsum([spoken_s[0], *(_AGAIN_S + length_s for length_s in spoken_s[1:])]).tolist()
    with Server() as server:
        looks = [[stop - 0.7, stop + 1.1] for stop in stops]
        sound = str(DATA / "speech.ogg")
        kept = called(url=server.url, seconds=stops[-1] + 2.0, speak=sound, interrupts=stops, looks=looks)
        arrival_s, gaps = mouths(kept)
    rest = [at_rest_ms(float(s), arrival_s, gaps) for s in kept["0.interrupts"]]
    silent = [silent_ms(float(s), kept["0.packets"]) for s in kept["0.interrupts"]]
    return {"mouth at rest ms": quantiles([x for x in rest if x is not None]), "sound silent ms": quantiles(silent)}


def steady(minutes: float) -> dict[str, Any]:
    """A long call: pictures, memory, latency, and in a browser the skew of sound and picture."""
    speech = [[5.0 + 3.0 * k, 1.2] for k in range(int(minutes * 20))]
    rows: list[tuple[float, float, float]] = []
    with Server("--max-sessions", "2") as server, tempfile.TemporaryDirectory() as folder:
        process = caller(Path(folder), url=server.url, seconds=60 * minutes, talk=speech, blind=True)
        begun_s, before = time.monotonic(), (0.0, 0.0)
        while process.poll() is None:
            time.sleep(min(10.0, 6 * minutes))
            now = server.total_ms()
            if now[1] > before[1]:
                latency_ms = (now[0] - before[0]) / (now[1] - before[1])
                rows.append((time.monotonic() - begun_s, server.memory_mb(), latency_ms))
            before = now
        with np.load(Path(folder) / "kept.npz") as kept:
            arrival_s = kept["0.pictures"][:, 0]
    table = np.array(rows[1:])  # the first is of the call's beginning
    return {
        "minutes": minutes,
        "fps": round(rate_hz(arrival_s), 2),
        "longest gap ms": round(1000 * float(np.diff(arrival_s).max()), 1),
        "memory MB": [round(float(table[k, 1]), 1) for k in (0, -1)],
        "memory MB by sixths": [round(float(np.median(part[:, 1])), 1) for part in np.array_split(table, 6) if len(part)],
        "memory MB an hour": round(slope_per_hour(table[:, 0], table[:, 1]), 2),
        "sound to sent ms": [
            round(float(part[:, 2].mean()), 1) for part in np.array_split(table, 3)[:: 2 if len(table) > 3 else 1]
        ],
    }


async def _skews(url: str, minutes: float) -> list[tuple[float, float]]:
    """(seconds, ms that sound is later than its picture), by Chromium's own estimates, once a second."""
    sys.path.insert(0, str(ROOT / "tests"))
    from live.calls import opened, start

    found = []
    async with opened(url + "/") as page:
        await start(page)
        begun_s = time.monotonic()
        while time.monotonic() - begun_s < 60 * minutes:
            await asyncio.sleep(1.0)
            video = await page.evaluate("inbound('video').then(s => s.estimatedPlayoutTimestamp)")
            audio = await page.evaluate("inbound('audio').then(s => s.estimatedPlayoutTimestamp)")
            if video and audio:
                found.append((time.monotonic() - begun_s, video - audio))
    return found


def skew(minutes: float) -> dict[str, Any]:
    """Sound against picture in Chromium; > 0: sound is late. Medians of nine estimates, each of which jumps by a frame or two."""
    from talkinghead.live.sender import VIDEO_DELAY_MS

    with Server() as server:
        rows = np.array(asyncio.run(_skews(server.url, minutes)))
    rows = rows[rows[:, 0] > 5.0]
    # The reports say that a picture is VIDEO_DELAY_MS older than it is, so that the estimate has it later by as much.
    smooth = np.array([np.median(rows[max(0, k - 8) : k + 1, 1]) for k in range(8, len(rows))]) + VIDEO_DELAY_MS
    low, middle, high = np.percentile(smooth, (2.5, 50, 97.5)).round(1).tolist()
    first, last = (float(np.median(part)) for part in np.array_split(smooth, 5)[::4])
    return {"minutes": minutes, "sound late ms": {"p2.5": low, "p50": middle, "p97.5": high}, "drift ms": round(last - first, 1)}


def sessions(most: int) -> dict[str, Any]:
    """Pictures a second of the worst call, by how many are held at a time."""
    held: dict[str, float] = {}
    with Server("--max-sessions", str(most)) as server:
        for count in range(1, most + 1):
            kept = called(url=server.url, seconds=12.0, speak=str(DATA / "speech.ogg"), count=count, blind=True)
            rates = [rate_hz(kept[f"{k}.pictures"][80:, 0]) for k in range(count)]
            held[str(count)] = round(min(rates), 1)
            if min(rates) < LEAST_FPS:
                break
            time.sleep(1.0)
    return {
        "worst call's fps by calls": held,
        "held at 25 fps": max((int(k) for k, v in held.items() if v >= LEAST_FPS), default=0),
    }


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Measure, print, write JSON; returns the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = ("answer", "interrupt", "steady", "skew", "sessions")
    parser.add_argument("--only", nargs="+", choices=names, default=list(names))
    parser.add_argument("--rounds", type=int, default=20, help="bursts, and interruptions")
    parser.add_argument("--minutes", type=float, default=10.0, help="of the long calls; 60 for a soak")
    parser.add_argument("--calls", type=int, default=4, help="at a time, at most")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(argv)
    print(f"live, {platform.machine()}, {len(os.sched_getaffinity(0))} cores, server and caller on the same machine", flush=True)
    runs = {"answer": (answer, args.rounds), "interrupt": (interrupt, args.rounds), "steady": (steady, args.minutes)}
    runs |= {"skew": (skew, args.minutes), "sessions": (sessions, args.calls)}
    figures: dict[str, Any] = {}
    for name in args.only:
        run, amount = runs[name]
        figures[name] = run(amount)  # type: ignore[operator]
        print(f"{name}: " + "; ".join(f"{key} {value}" for key, value in figures[name].items()), flush=True)
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1))
    return figures


if __name__ == "__main__":
    main()
