"""Words become a talking video: a packaged voice reads them, the photo speaks them.

    python examples/text_to_video.py [TEXT [PHOTO]]

Needs espeak-ng: apt-get install espeak-ng, or pip install "talkinghead[voice]".
"""

import sys
import tempfile
import wave
from pathlib import Path

import numpy as np

import talkinghead
from talkinghead.speech.voice import Voice

PHOTO = Path(__file__).parent / "data" / "portrait.jpg"
TEXT = "Hello! I am only a photo, but I can say whatever you like."


def read_aloud(text: str, path: Path) -> None:
    """Write a WAV file of the voice."""
    voice = Voice.open("en")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(voice.rate_hz)
        for sound in voice.speak(text):
            file.writeframes((sound * 32767).astype(np.int16).tobytes())


text, photo = sys.argv[1:3] + [TEXT, PHOTO][len(sys.argv) - 1 :]
with tempfile.TemporaryDirectory() as folder:
    speech = Path(folder) / "speech.wav"
    read_aloud(text, speech)
    result = talkinghead.dub(photo, speech, "spoken.mp4", full=False)
print(f"{result.output}: {result.seconds:.1f} s")
