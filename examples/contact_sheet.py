"""Evenly spaced frames of a video in one labelled picture: python examples/contact_sheet.py [VIDEO [PNG [COUNT]]].

Without a video it dubs the example photo first.
"""

import sys
from pathlib import Path

import av
import cv2
import numpy as np

DATA = Path(__file__).parent / "data"
CELL_PX = 256
COLUMNS = 4


def example_video() -> Path:
    """The video of the example photo, made in the current folder unless it is there."""
    from talkinghead import dub

    video = Path("talking.mp4")
    if not video.exists():
        dub(DATA / "portrait.jpg", DATA / "speech.ogg", video)
    return video


def frames(video: str | Path, count: int) -> list[tuple[float, np.ndarray]]:
    """`count` frames as (seconds, RGB picture), from the middles of as many equal stretches of the video."""
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        length_s = container.duration / av.time_base
        found = []
        for wanted_s in (np.arange(count) + 0.5) / count * length_s:
            container.seek(int(wanted_s / stream.time_base), stream=stream)
            frame = next((f for f in container.decode(stream) if f.time >= wanted_s - 1e-3), None)
            if frame is not None:
                found.append((frame.time, frame.to_ndarray(format="rgb24")))
        return found


def cell(seconds: float, image: np.ndarray) -> np.ndarray:
    """One frame fitted into a labelled square."""
    scale = CELL_PX / max(image.shape[:2])
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    square = np.full((CELL_PX, CELL_PX, 3), 24, np.uint8)
    top, left = (CELL_PX - small.shape[0]) // 2, (CELL_PX - small.shape[1]) // 2
    square[top : top + small.shape[0], left : left + small.shape[1]] = small
    for thickness, colour in ((3, (0, 0, 0)), (1, (255, 255, 255))):
        at = (8, CELL_PX - 10)
        cv2.putText(square, f"{seconds:.2f} s", at, cv2.FONT_HERSHEY_SIMPLEX, 0.5, colour, thickness, cv2.LINE_AA)
    return square


def main() -> None:
    """Write the sheet and say where it is."""
    video = sys.argv[1] if len(sys.argv) > 1 else example_video()
    sheet = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(video).with_suffix(".png")
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 12
    cells = [cell(*found) for found in frames(video, count)]
    cells += [np.full((CELL_PX, CELL_PX, 3), 24, np.uint8)] * (-len(cells) % COLUMNS)
    rows = [np.hstack(cells[start : start + COLUMNS]) for start in range(0, len(cells), COLUMNS)]
    cv2.imwrite(str(sheet), np.vstack(rows)[..., ::-1])
    print(f"{sheet}: {count} frames of {video}")


if __name__ == "__main__":
    main()
