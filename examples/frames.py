"""Take the frames one by one and do what you like with them: python examples/frames.py [PHOTO [AUDIO [FOLDER]]].

This one keeps a picture of every second of speech.
"""

import sys
from pathlib import Path

import cv2

from talkinghead import Avatar

DATA = Path(__file__).parent / "data"
defaults = [DATA / "portrait.jpg", DATA / "speech.ogg", Path("frames")]
photo, audio, folder = sys.argv[1:4] + defaults[len(sys.argv) - 1 :]

Path(folder).mkdir(parents=True, exist_ok=True)
avatar = Avatar.open(photo)
next_s = 0.0
for frame in avatar.render(audio, seed=7):  # image (512, 512, 3) uint8 RGB; pts in seconds; audio: its 25 ms of sound
    if frame.pts >= next_s:
        cv2.imwrite(str(Path(folder) / f"{frame.pts:06.2f}s.png"), frame.image[..., ::-1])
        next_s += 1.0
print(f"kept {len(list(Path(folder).glob('*.png')))} pictures in {folder}")
