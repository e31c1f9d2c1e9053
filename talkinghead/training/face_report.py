"""Figures of the face network on the stills' test split, as they stand in its card.

talkinghead train face_report --shared SHARED --cache CACHE
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from talkinghead.motion.latent import EYES, LIPS, LatentModel
from talkinghead.portrait.portrait import FaceReader
from talkinghead.runtime.weights import model_path
from talkinghead.training.track import frames_of, load_track, read_tsv

_LARGE_PX = 2000
_SMALL_SHARE = 0.08


def _small(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The still inside a 2,000 px picture, its face 8 % of the side, at a random place on blurred noise."""
    side = round(_LARGE_PX * _SMALL_SHARE / 0.455)
    low = cv2.resize(rng.integers(0, 255, (12, 12, 3), np.uint8), (_LARGE_PX, _LARGE_PX), interpolation=cv2.INTER_CUBIC)
    x, y = rng.integers(0, _LARGE_PX - side, 2)
    low[y : y + side, x : x + side] = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
    return low


def _turned(image: np.ndarray, degrees: float) -> np.ndarray:
    h, w = image.shape[:2]
    turn = cv2.getRotationMatrix2D((w / 2, h / 2), degrees, 1.0)
    return cv2.warpAffine(image, turn, (w, h), borderMode=cv2.BORDER_REPLICATE)


def changes(seed: int = 0) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """The ways a still is made harder, by name."""
    rng = np.random.default_rng(seed)
    return {
        "as it is": lambda x: x,
        "8 % of a 2,000 px picture": lambda x: _small(x, rng),
        "turned +25 degrees": lambda x: _turned(x, 25),
        "turned -25 degrees": lambda x: _turned(x, -25),
        "dark (a quarter of the light)": lambda x: (x * 0.25).astype(np.uint8),
        "blurred (sigma 1.5 % of the side)": lambda x: cv2.GaussianBlur(x, (0, 0), 0.015 * x.shape[0]),
    }


def _stills(shared: Path, cache: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """Test stills (RGB) in which the teacher finds a face, with its points in px."""
    out = []
    for row in read_tsv(shared / "data" / "stills" / "stills.tsv"):
        track = load_track((cache / "track" / "stills" / row["file"]).with_suffix(".npz"))
        if row["split"] == "test" and track["found"][0]:
            image = next(frames_of(shared / "data" / "stills" / row["file"]))[0]
            out.append((image, track["points"][0] * image.shape[1]))
    return out


def accuracy(reader: FaceReader, stills: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Mean 2-D error (all points, lips, eyes) in % of inter-ocular distance, a row for every still that is found."""
    rows = []
    for image, teacher in stills:
        found = reader.faces(image)
        if not found:
            continue
        points = found[0]
        error = np.linalg.norm(points[:, :2] - teacher[:, :2], axis=1)
        error *= 100 / np.linalg.norm(teacher[33, :2] - teacher[263, :2])
        rows.append([error.mean(), error[list(LIPS)].mean(), error[list(EYES)].mean()])
    return np.array(rows)


def found_share(
    reader: FaceReader, stills: list[tuple[np.ndarray, np.ndarray]], change: Callable[[np.ndarray], np.ndarray]
) -> float:
    """Share of changed stills in which a face is found and believed."""
    hits = 0
    for image, _ in stills:
        changed = change(image)
        hits += bool(reader.faces(changed))
    return hits / len(stills)


def timing(reader: FaceReader, image: np.ndarray) -> tuple[float, float]:
    """Median ms of a whole portrait and of a tracked frame, one thread."""
    cv2.setNumThreads(1)
    points, _ = reader.landmarker.locate(image, reader.detector.find(image)[0])
    whole, tracked = [], []
    for _ in range(20):
        start = time.perf_counter()
        reader.read(image)
        middle = time.perf_counter()
        reader.landmarker.track(image, points)
        whole.append(middle - start)
        tracked.append(time.perf_counter() - middle)
    return 1000 * float(np.median(whole)), 1000 * float(np.median(tracked))


def main(argv: list[str]) -> None:
    """Entry point of ``talkinghead train face_report``."""
    parser = argparse.ArgumentParser(prog="talkinghead train face_report", description=__doc__)
    parser.add_argument("--shared", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    args = parser.parse_args(argv)
    reader = FaceReader(LatentModel.load(model_path("latent", "latent.npz")))
    stills = _stills(args.shared, args.cache)
    errors = accuracy(reader, stills)
    print(f"{len(errors)} test stills; error against the teacher, % of inter-ocular distance (mean, median, 95th percentile)")
    for name, column in zip(("all points", "lips", "eyes"), errors.T, strict=True):
        print(f"| {name} | {column.mean():.2f} | {np.median(column):.2f} | {np.percentile(column, 95):.2f} |")
    for name, change in changes().items():
        print(f"| found: {name} | {100 * found_share(reader, stills, change):.1f} % |")
    whole, tracked = timing(reader, stills[0][0])
    print(f"one thread: portrait {whole:.0f} ms, tracked frame {tracked:.1f} ms")
