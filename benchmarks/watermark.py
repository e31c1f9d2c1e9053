"""How often the watermark is seen where there is none, and found where there is one.

    python benchmarks/watermark.py --shared ../shared [--split test] [--patterns 128] [--limit N] [--json FILE]

False positives: every still and every clip (mean picture of 2 s) of a split is searched for many patterns that nobody uses,
besides the real one: each is one more try of chance on a real picture. Hits: clips of the split marked, then coded and scaled
as on a way through the world. Needs the data folder; `test` is for figures, `train` chose the threshold.
"""

from __future__ import annotations

import argparse
import io
import json
import time
from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np

from talkinghead.offline.watermark import THRESHOLD, Detector, Watermarker, find_mark, mean_luma, tile_pattern

_FRAMES = 50
_SIZE_PX = 512


def rows(shared: Path, kind: str, split: str, limit: int | None) -> list[Path]:
    """Files of a split, evenly thinned out to ``limit``."""
    folder = shared / "data" / kind
    table = folder / ("clips.tsv" if kind == "video" else "stills.tsv")
    lines = [line.split("\t")[:2] for line in table.read_text(encoding="utf-8").splitlines()[1:]]
    files = [folder / name for name, found in lines if found == split]
    return files if limit is None else files[:: max(1, len(files) // max(limit, 1))][:limit]


def frames(path: Path) -> list[np.ndarray]:
    """The first 2 s of a clip."""
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame, _ in zip(container.decode(video=0), range(_FRAMES), strict=False)]


def pictures(shared: Path, split: str, limit: int | None) -> Iterator[np.ndarray]:
    """Mean luma of stills and clips."""
    for path in rows(shared, "stills", split, limit):
        yield mean_luma([cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)])
    for path in rows(shared, "video", split, limit):
        yield mean_luma(frames(path))


def chance(shared: Path, split: str, patterns: int, limit: int | None) -> dict[str, float]:
    """Scores where there is no mark. ``tail``: share of tries above the threshold if scores follow a Gumbel distribution."""
    detector = Detector(None, *(tile_pattern(b"chance %d" % k) for k in range(patterns - 1)))
    scores = np.array([[found.score for found in detector.find_each(luma)] for luma in pictures(shared, split, limit)])
    beta = scores.std() * np.sqrt(6) / np.pi
    tail = 1 - np.exp(-np.exp(-(THRESHOLD - (scores.mean() - 0.5772 * beta)) / beta))
    return {
        "pictures": len(scores),
        "tries": scores.size,
        "false": int((scores >= THRESHOLD).sum()),
        "false_rate_95": float(3 / scores.size if scores.max() < THRESHOLD else (scores >= THRESHOLD).mean()),
        "tail": float(tail),
        "highest": float(scores.max()),
        "highest_real_pattern": float(scores[:, 0].max()),
        "median": float(np.median(scores)),
    }


def coded(images: list[np.ndarray], codec: str, options: dict[str, str], rate: int = 500_000) -> list[np.ndarray]:
    """Pictures after a video coder at ``rate`` bit/s and 40 pictures a second."""
    memory = io.BytesIO()
    with av.open(memory, "w", format="matroska") as container:
        stream = container.add_stream(codec, rate=40, options=options)
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt, stream.bit_rate = "yuv420p", rate
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    memory.seek(0)
    with av.open(memory) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def scaled(images: list[np.ndarray], side_px: int) -> list[np.ndarray]:
    return [cv2.resize(image, (side_px, side_px), interpolation=cv2.INTER_AREA) for image in images]


_X264 = {"preset": "veryfast"}
CALL_VP8 = {"deadline": "realtime", "cpu-used": "-6", "noise-sensitivity": "4"}
"""As a call codes pictures."""
_WAYS = {
    "as it is": lambda images: images,
    "one frame": lambda images: images[25:26],
    "H.264 500 kbit/s": lambda images: coded(images, "libx264", _X264),
    "H.264 500 kbit/s, one frame": lambda images: coded(images, "libx264", _X264)[25:26],
    "256 px": lambda images: scaled(images, 256),
    "256 px, one frame": lambda images: scaled(images[25:26], 256),
    "H.264 500 kbit/s, then 256 px": lambda images: scaled(coded(images, "libx264", _X264), 256),
    "VP8 500 kbit/s (call)": lambda images: coded(images, "libvpx", CALL_VP8),
    "H.264 500 kbit/s, VP8 500 kbit/s": lambda images: coded(coded(images, "libx264", _X264), "libvpx", CALL_VP8),
    "three quarters cut out": lambda images: [image[40:424, 60:444] for image in images],
    "mirrored": lambda images: [image[:, ::-1] for image in images],
}


def hits(shared: Path, split: str, limit: int | None) -> dict[str, dict[str, float]]:
    """Of clips at 512 px, by way: share found and lowest score; and PSNR of the mark itself."""
    scores: dict[str, list[float]] = {way: [] for way in _WAYS}
    quality = []
    for path in rows(shared, "video", split, limit):
        clean = [cv2.resize(image, (_SIZE_PX, _SIZE_PX), interpolation=cv2.INTER_CUBIC) for image in frames(path)]
        marker = Watermarker()
        marked = [marker.mark(image) for image in clean]
        quality.append(cv2.PSNR(clean[0], marked[0]))
        for way, change in _WAYS.items():
            scores[way].append(find_mark(change(marked)).score if len(marked) > 25 else np.nan)
    table = {way: _row(np.array(found)) for way, found in scores.items()}
    return {"psnr_db": {"lowest": min(quality, default=0.0), "median": float(np.median(quality or [0]))}, **table}


def _row(scores: np.ndarray) -> dict[str, float]:
    known = scores[~np.isnan(scores)] if len(scores) else np.zeros(1)
    found = float((known >= THRESHOLD).mean())
    return {"clips": len(known), "found": found, "lowest": float(known.min()), "median": float(np.median(known))}


def cost_ms() -> float:
    """Median time to mark a 512×512 picture on one thread."""
    cv2.setNumThreads(1)
    marker, times = Watermarker(), []
    image = np.random.default_rng(0).integers(0, 256, (_SIZE_PX, _SIZE_PX, 3), np.uint8)
    for _ in range(201):
        started_s = time.perf_counter()
        marker.mark(image)
        times.append(1000 * (time.perf_counter() - started_s))
    return float(np.median(times[1:]))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, required=True)
    parser.add_argument("--split", choices=("train", "test"), default="test")
    parser.add_argument("--patterns", type=int, default=128)
    parser.add_argument("--limit", type=int, help="pictures and clips of each kind")
    parser.add_argument("--clips", type=int, default=40, help="that are marked, coded and searched")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args(arguments)
    figures = {
        "mark_ms": cost_ms(),
        "hits": hits(chosen.shared, chosen.split, chosen.clips),
        "chance": chance(chosen.shared, chosen.split, chosen.patterns, chosen.limit),
    }
    print(json.dumps(figures, indent=1, ensure_ascii=False))
    if chosen.json:
        chosen.json.write_text(json.dumps(figures, ensure_ascii=False), encoding="utf-8")


if __name__ == "__main__":
    main()
