"""Teacher tracking: MediaPipe FaceLandmarker points of every video frame and still, cached and resumable.

    talkinghead train track --shared SHARED --cache CACHE [--workers 2]

One ``.npz`` a file lies under the cache folder, mirroring the data folder:

* ``points`` int16 (n, 478, 3): x, y, z over the picture side, times ``POINT_SCALE``; rows of lost frames are zero
* ``found`` bool (n,)
* ``time_s`` float32 (n,)
* ``blendshapes`` uint8 (n, 52): scores times 255

Points are in MediaPipe's topology (478, iris included); z has the scale of x.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

POINT_SCALE = 16384.0


def read_tsv(path: Path) -> list[dict[str, str]]:
    """Rows of a tab-separated table with a header line."""
    with path.open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle, delimiter="\t"))


def make_teacher(task: Path) -> Any:
    """A FaceLandmarker in image mode: no smoothing over time, so that lips are not late."""
    from mediapipe.tasks.python import BaseOptions, vision

    options = vision.FaceLandmarkerOptions(
        base_options=BaseOptions(model_asset_path=str(task)),
        running_mode=vision.RunningMode.IMAGE,
        output_face_blendshapes=True,
        min_face_detection_confidence=0.3,
        min_face_presence_confidence=0.3,
    )
    return vision.FaceLandmarker.create_from_options(options)


def teach(teacher: Any, image: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Points (478, 3) over the picture's width and 52 blendshape scores of the first face, or None.

    ``image`` is uint8 RGB (h, w, 3).
    """
    import mediapipe as mp

    result = teacher.detect(mp.Image(image_format=mp.ImageFormat.SRGB, data=np.ascontiguousarray(image)))
    if not result.face_landmarks:
        return None
    aspect = image.shape[0] / image.shape[1]
    points = np.array([[p.x, p.y * aspect, p.z] for p in result.face_landmarks[0]], np.float32)
    return points, np.array([b.score for b in result.face_blendshapes[0]], np.float32)


def frames_of(path: Path) -> Iterator[tuple[np.ndarray, float]]:
    """(RGB frame, time in s) of a video, or the one picture of a still."""
    if path.suffix != ".mp4":
        still = cv2.imread(str(path))
        assert still is not None, path
        yield cv2.cvtColor(still, cv2.COLOR_BGR2RGB), 0.0
        return
    with av.open(str(path)) as box:
        for frame in box.decode(video=0):
            yield frame.to_ndarray(format="rgb24"), float(frame.time or 0.0)


def load_track(path: Path) -> dict[str, np.ndarray]:
    """A cached track: points float32 (n, 478, 3), found, time_s, blendshapes float32."""
    with np.load(path) as data:
        return {
            "points": data["points"].astype(np.float32) / POINT_SCALE,
            "found": data["found"],
            "time_s": data["time_s"],
            "blendshapes": data["blendshapes"].astype(np.float32) / 255,
        }


_teacher: dict[str, Any] = {}


def _track_one(job: tuple[Path, Path, Path]) -> str:
    source, target, task = job
    if target.exists():
        return ""
    cv2.setNumThreads(1)
    teacher = _teacher.setdefault(str(task), None) or make_teacher(task)
    _teacher[str(task)] = teacher
    points, found, times, shapes = [], [], [], []
    for image, time_s in frames_of(source):
        answer = teach(teacher, image)
        found.append(answer is not None)
        times.append(time_s)
        points.append(np.zeros((478, 3)) if answer is None else answer[0])
        shapes.append(np.zeros(52) if answer is None else answer[1])
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_suffix(".part.npz")
    np.savez_compressed(
        beside,
        points=np.clip(np.round(np.array(points) * POINT_SCALE), -32768, 32767).astype(np.int16),
        found=np.array(found),
        time_s=np.array(times, np.float32),
        blendshapes=np.round(np.array(shapes) * 255).astype(np.uint8),
    )
    beside.replace(target)
    return source.name


def track_all(shared: Path, cache: Path, workers: int = 2) -> None:
    """Track stills and video clips under ``shared/data`` into ``cache``; files already there are skipped."""
    task = shared / "models" / "face_landmarker.task"
    jobs: list[tuple[Path, Path, Path]] = []
    for table in ("stills/stills.tsv", "video/clips.tsv"):
        folder = Path(table).parent
        for row in read_tsv(shared / "data" / table):
            source = shared / "data" / folder / row["file"]
            jobs.append((source, (cache / "track" / folder / row["file"]).with_suffix(".npz"), task))
    todo = [job for job in jobs if not job[1].exists()]
    print(f"tracking {len(todo)} of {len(jobs)} files")
    with ProcessPoolExecutor(workers) as pool:
        for done, _ in enumerate(pool.map(_track_one, todo, chunksize=4), 1):
            if done % 50 == 0 or done == len(todo):
                print(f"  {done}/{len(todo)}", flush=True)


def main(argv: list[str]) -> None:
    """Entry point of ``talkinghead train track``."""
    parser = argparse.ArgumentParser(prog="talkinghead train track", description=__doc__)
    parser.add_argument("--shared", type=Path, required=True, help="folder with data/ and models/")
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args(argv)
    track_all(args.shared, args.cache, args.workers)
