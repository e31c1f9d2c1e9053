"""Whether the memory of a dub depends on its length: the same recording, short and long, each in a process of its own.

    python benchmarks/memory.py [--minutes 120] [--against 1] [--fps 40] [--photo PHOTO] [--audio AUDIO] [--full] [--json FILE]

The recording is repeated to the wanted length. Peak memory is what the kernel counted for the process (resident, its largest);
it counts the loading of the networks too. The disk is looked at while the video is made: sound, kept pieces, unfinished files.
Two hours at 40 pictures a second take an hour and more; --fps 5 draws an eighth of them and makes all of the motion and sound.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import wave
from pathlib import Path
from typing import Any

import numpy as np

from talkinghead.constants import SAMPLE_RATE_HZ
from talkinghead.speech.source import SpeechFile

LIMIT_MB = 100
DATA = Path(__file__).resolve().parent.parent / "examples" / "data"
_MB = 1_000_000
_LOOK_S = 0.5


def repeat(audio: Path, length_s: float, path: Path) -> None:
    """Write the recording, again and again, as 16-bit mono WAV of that length at 16 kHz; a tenth of a second at a time."""
    left = round(length_s * SAMPLE_RATE_HZ)
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(SAMPLE_RATE_HZ)
        while left > 0:
            for block in SpeechFile(audio).blocks():
                pcm = np.round(np.clip(block[:left], -1, 1) * 32767).astype("<i2")
                out.writeframesraw(pcm.tobytes())
                left -= len(pcm)


def on_disk(folder: Path) -> int:
    """Bytes of all files in a folder, hidden ones too."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except OSError:  # gone meanwhile
            continue
    return total


def dubbed(photo: Path, audio: Path, options: list[str], minutes: float) -> dict[str, Any]:
    """Dub so many minutes in a process of its own: its peak of memory and of disk (without the sound), MB, and its result."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sound, output, videos = folder / "speech.wav", folder / "videos" / "out.mp4", folder / "videos"
        videos.mkdir()
        repeat(audio, 60 * minutes, sound)
        command = [sys.executable, "-m", "talkinghead.cli", "dub", str(photo), str(sound), "-o", str(output), *options]
        process = subprocess.Popen([*command, "--json", "--quiet"], stdout=subprocess.PIPE, text=True)
        ended, most = threading.Event(), [0]

        def look() -> None:
            while not ended.wait(_LOOK_S):
                most[0] = max(most[0], on_disk(videos))

        watcher = threading.Thread(target=look)
        watcher.start()
        assert process.stdout is not None
        told = process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)  # of this process alone, not of all that ever ran
        process.returncode = os.waitstatus_to_exitcode(status)
        ended.set()
        watcher.join()
        if process.returncode:
            raise SystemExit(f"the dub of {minutes:g} min ended with {process.returncode}")
        size = output.stat().st_size
    result = json.loads(told)
    return {
        "minutes": minutes,
        "seconds": result["seconds"],
        "peak_mb": used.ru_maxrss * 1024 / _MB,
        "disk_mb": most[0] / _MB,
        "video_mb": size / _MB,
        "realtime_factor": result["realtime_factor"],
    }


def main() -> None:
    """Measure, print, write JSON; exit 1 where the long one takes LIMIT_MB more."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=120)
    parser.add_argument("--against", type=float, default=1, help="minutes of the short one")
    parser.add_argument("--fps", type=int, default=40)
    parser.add_argument("--photo", type=Path, default=DATA / "portrait.jpg")
    parser.add_argument("--audio", type=Path, default=DATA / "speech.ogg")
    parser.add_argument("--full", action="store_true", help="the whole photo, not the square round the face")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    options = ["--fps", str(args.fps), "--full" if args.full else "--crop"]
    rows = [dubbed(args.photo, args.audio, options, minutes) for minutes in (args.against, args.minutes)]
    print("| length, min | peak memory, MB | peak disk, MB | video, MB | realtime factor |\n|---|---|---|---|---|")
    for row in rows:
        figures = " | ".join(f"{row[name]:.0f}" for name in ("peak_mb", "disk_mb", "video_mb"))
        print(f"| {row['minutes']:g} | {figures} | {row['realtime_factor']:.2f} |")
    more_mb = rows[1]["peak_mb"] - rows[0]["peak_mb"]
    print(f"difference {more_mb:+.0f} MB (limit {LIMIT_MB} MB)")
    if args.json:
        args.json.write_text(json.dumps({"rows": rows, "difference_mb": more_mb}, indent=1))
    if more_mb > LIMIT_MB:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
