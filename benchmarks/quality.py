"""Dub every test clip from its first frame and its sound, and score the videos beside the real clips.

    python benchmarks/quality.py --shared ../shared [--json FILE] [--baseline JSON] [--limit N] [--work DIR]

Needs MediaPipe (``pip install "talkinghead[train]"``) and ../shared/eval/score.py, which trusts nothing inside the engine. Clips
that are already scored in DIR, by these weights and this source, are taken from there, so that a stopped run goes on. Means over
the clips of each set are printed, and beside them those of a baseline (the JSON of another run) over the same clips.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import json
import zlib
from pathlib import Path
from types import ModuleType
from typing import Any

import av
import cv2
import numpy as np

from talkinghead import dub
from talkinghead.bench.machine import source_hash, weights_hash

SETS = ("grid_s1", "grid", "anchors", "hq")
AGAINST = ("aperture_r", "aperture_lag_ms", "aperture_gain", "lip_distance", "lip_distance_still")
OWN = ("faces_found", "silent_lip_mad", "pose_step_deg", "blinks_per_min", "jitter", "background_motion")

Rows = dict[str, dict[str, Any]]
_FIGURES = [("against_real", key, False) for key in AGAINST]
_FIGURES[2:2] = [("against_real", "aperture_lag_ms", True)]
_FIGURES += [("generated", key, False) for key in (*OWN, "identity_drift")]


def load_scorer(shared: Path) -> ModuleType:
    """The scorer module."""
    spec = importlib.util.spec_from_file_location("score", shared / "eval" / "score.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_clips(shared: Path) -> list[dict[str, str]]:
    """Audible clips of the test split."""
    with (shared / "data" / "video" / "clips.tsv").open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle, delimiter="\t"))
    return [row for row in rows if row["split"] == "test" and row["audible"] == "1"]


def first_frame(path: Path) -> np.ndarray:
    """The first picture, RGB."""
    with av.open(str(path)) as box:
        return next(box.decode(video=0)).to_ndarray(format="rgb24")


def score_clip(scorer: ModuleType, clip: Path, work: Path) -> dict[str, Any]:
    """Dub one clip and score it against itself."""
    name = clip.parent.name + "_" + clip.stem
    photo, video = work / f"{name}.png", work / f"{name}.mp4"
    cv2.imwrite(str(photo), cv2.cvtColor(first_frame(clip), cv2.COLOR_RGB2BGR))
    seed = zlib.crc32(name.encode()) % 1000  # another performance for every clip: blinks and glances are to be averaged
    result = dub(photo, clip, video, full=False, seed=seed)
    made, real = scorer.track(str(video)), scorer.track(str(clip))
    row: dict[str, Any] = {
        "generated": scorer.own(made, scorer.loudness(str(video))),
        "real": scorer.own(real, scorer.loudness(str(clip))),
        "against_real": scorer.against(made, real),
        "realtime_factor": result.realtime_factor,
    }
    row["generated"]["identity_drift"] = identity_drift(scorer, made, photo)
    return row


def identity_drift(scorer: ModuleType, made: dict[str, np.ndarray], photo: Path) -> float:
    """The scorer's identity_drift: the pose- and expression-free shape against the portrait's, % of inter-ocular distance."""
    from mediapipe.tasks.python import vision

    mp, teacher = scorer.landmarker(vision.RunningMode.IMAGE)
    picture = cv2.imread(str(photo))
    assert picture is not None
    image = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
    points = teacher.detect(mp.Image(image_format=mp.ImageFormat.SRGB, data=image)).face_landmarks[0]
    teacher.close()
    width, height = image.shape[1], image.shape[0]
    ref = np.array([[p.x * width, p.y * height, p.z * width] for p in points])
    keep = [i for i in range(468) if i not in scorer.LIPS]
    offset = np.nanmedian(scorer.align(made["p"], ref)[:, keep], 0) - ref[keep]
    return float(100 * np.linalg.norm(offset[:, :2], axis=1).mean() / np.linalg.norm(ref[33, :2] - ref[263, :2]))


def table(rows: Rows, baseline: Rows | None = None) -> str:
    """Means by set and over all clips (the lag's median too), a column each; in square brackets those of a baseline over the same
    clips, in round brackets those of the real clips."""
    sets = {name: [key for key in rows if key.split("/")[0] == name] for name in SETS}
    sets = {name: keys for name, keys in sets.items() if keys}
    if len(sets) > 1:
        sets["all"] = [key for keys in sets.values() for key in keys]
    title = "generated [baseline] (real)" if baseline else "generated (real)"
    lines = [f"| {title} | " + " | ".join(f"{name} ({len(keys)} clips)" for name, keys in sets.items()) + " |"]
    lines.append("|---" * (len(sets) + 1) + "|")
    for part, key, median in _FIGURES:
        cells = []
        for keys in sets.values():
            cell = shown([rows[k] for k in keys], part, key, median)
            if baseline:
                cell += f" [{shown([baseline[k] for k in keys if k in baseline], part, key, median)}]"
            if key in OWN:
                cell += f" ({shown([rows[k] for k in keys], 'real', key)})"
            cells.append(cell)
        lines.append(f"| {key}{', median' * median} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def shown(rows: list[dict[str, Any]], part: str, key: str, median: bool = False) -> str:
    """A mean, or median, in three digits, over the clips that have the figure (a clip without a silence has no silent_lip_mad); a
    dash where none has."""
    values = [row[part][key] for row in rows if key in row[part]]
    if not values:
        return "–"
    value = float(np.median(values) if median else np.mean(values))
    digits = 0 if abs(value) >= 10 else 2 if abs(value) >= 0.1 else 3
    return f"{value:.{digits}f}"


def main() -> None:
    """Score, print, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("out/quality"))
    parser.add_argument("--limit", type=int, help="at most so many clips of a set")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--baseline", type=Path, help="JSON of another run, to print beside")
    args = parser.parse_args()
    work = args.work / f"{weights_hash()}-{source_hash()}"
    work.mkdir(parents=True, exist_ok=True)
    scorer, rows, count = load_scorer(args.shared), {}, dict.fromkeys(SETS, 0)
    for row in test_clips(args.shared):
        name = row["file"].split("/")[0]
        count[name] += 1
        if args.limit and count[name] > args.limit:
            continue
        done = work / (row["file"].replace("/", "_") + ".json")
        if not done.exists():
            scored = score_clip(scorer, args.shared / "data" / "video" / row["file"], work)
            done.write_text(json.dumps(scored))
        rows[row["file"]] = json.loads(done.read_text())
        print(f"{len(rows)} {row['file']} r {rows[row['file']]['against_real']['aperture_r']:.2f}", flush=True)
    print(table(rows, json.loads(args.baseline.read_text()) if args.baseline else None))
    print(f"weights {weights_hash()}")
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
