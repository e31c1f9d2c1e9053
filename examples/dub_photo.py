"""A photo and a recording -> a video: python examples/dub_photo.py [PHOTO [AUDIO [OUTPUT]]]."""

import sys
from pathlib import Path

from talkinghead import dub

DATA = Path(__file__).parent / "data"
defaults = [DATA / "portrait.jpg", DATA / "speech.ogg", Path("talking.mp4")]
photo, audio, output = sys.argv[1:4] + defaults[len(sys.argv) - 1 :]

result = dub(photo, audio, output)
print(f"{result.output}: {result.frames} frames, {result.seconds:.1f} s, {result.realtime_factor:.2f}x real time")
