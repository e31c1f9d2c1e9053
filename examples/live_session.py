"""A call in miniature: sound arrives in 20 ms chunks, frames leave as soon as they can be drawn.

    python examples/live_session.py [PHOTO [AUDIO]]

The file plays the microphone, at full speed rather than in real time, so that the figures show what is left over.
"""

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from talkinghead import Avatar
from talkinghead.speech.source import SpeechFile

DATA = Path(__file__).parent / "data"
CHUNK = 320  # 20 ms at 16 kHz, as a call delivers it


def chunks(path: str | Path) -> Iterator[np.ndarray]:
    """The sound of a file in chunks of 20 ms, float32 (320,) at 16 kHz."""
    for block in SpeechFile(path).blocks():
        yield from (block[start : start + CHUNK] for start in range(0, len(block), CHUNK))


def main() -> None:
    """Feed a session chunk by chunk and take its frames."""
    defaults = [DATA / "portrait.jpg", DATA / "speech.ogg"]
    photo, audio = sys.argv[1:3] + defaults[len(sys.argv) - 1 :]
    session = Avatar.open(photo).session(seed=1, eager=True)

    heard = drawn = 0
    slowest_ms = behind_ms = 0.0
    for chunk in chunks(audio):
        started = time.perf_counter()
        session.push_audio(chunk, rate=16_000)
        heard += len(chunk)
        if heard > 16_000 * 3:
            session.controls.gaze = (8.0, 0.0)  # after three seconds: look a little to the right
        for frame in session.frames():
            drawn += 1
            behind_ms = max(behind_ms, 1000 * (heard / 16_000 - frame.pts))
        slowest_ms = max(slowest_ms, 1000 * (time.perf_counter() - started))
    session.flush()
    drawn += sum(1 for _ in session.frames())

    print(f"heard {heard / 16_000:.2f} s of sound, drew {drawn} frames")
    print(f"a frame waits for at most {behind_ms:.0f} ms of sound; the slowest chunk took {slowest_ms:.0f} ms")


if __name__ == "__main__":
    main()
