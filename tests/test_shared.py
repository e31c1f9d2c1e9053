"""Against real clips and the teacher, where the project's data folder lies beside the checkout; skipped without it."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from types import ModuleType
from typing import Any

import av
import cv2
import numpy as np
import pytest
from shipped import needs_networks

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("TALKINGHEAD_SHARED", ROOT.parent / "shared"))

pytestmark = pytest.mark.skipif(not (SHARED / "eval" / "score.py").exists(), reason="no shared data beside the checkout")


def _module(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def quality() -> ModuleType:
    pytest.importorskip("mediapipe")
    try:
        scorer = _module("score", SHARED / "eval" / "score.py")
        from mediapipe.tasks.python import vision

        scorer.landmarker(vision.RunningMode.IMAGE)  # fails where the system has no EGL
    except (ImportError, OSError) as error:
        pytest.skip(f"the teacher does not run here: {error}")
    return _module("quality", ROOT / "benchmarks" / "quality.py")


def _clips(quality: ModuleType, name: str, count: int) -> list[Path]:
    rows = [row["file"] for row in quality.test_clips(SHARED) if row["file"].startswith(name + "/")]
    return [SHARED / "data" / "video" / file for file in rows[:count]]


@pytest.fixture(scope="module")
def scores(quality: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    work = tmp_path_factory.mktemp("quality")
    scorer = quality.load_scorer(SHARED)
    return [quality.score_clip(scorer, clip, work) for clip in _clips(quality, "grid_s1", 3)]


@needs_networks
def test_lips_follow_the_real_ones(scores: list[dict[str, Any]]) -> None:
    assert np.mean([row["against_real"]["aperture_r"] for row in scores]) > 0.6
    assert abs(np.mean([row["against_real"]["aperture_lag_ms"] for row in scores])) <= 40


@needs_networks
def test_the_face_stays_one_and_the_same(scores: list[dict[str, Any]]) -> None:
    for row in scores:
        assert row["generated"]["faces_found"] == 1.0
        assert row["generated"]["identity_drift"] < 4.0
        assert row["generated"]["background_motion"] <= row["real"]["background_motion"]


def test_points_agree_with_the_teacher(quality: ModuleType) -> None:
    from talkinghead.motion.latent import LIPS, LatentModel
    from talkinghead.portrait.portrait import FaceReader
    from talkinghead.runtime.weights import model_path

    scorer = quality.load_scorer(SHARED)
    from mediapipe.tasks.python import vision

    mp, teacher = scorer.landmarker(vision.RunningMode.IMAGE)
    reader = FaceReader(LatentModel.load(model_path("latent", "latent.npz")))
    rows = (SHARED / "data" / "stills" / "stills.tsv").read_text(encoding="utf-8").splitlines()[1:]
    files = [row.split("\t")[0] for row in rows if row.split("\t")[1] == "test"][::5]
    errors = []
    for file in files:
        image = cv2.cvtColor(cv2.imread(str(SHARED / "data" / "stills" / file)), cv2.COLOR_BGR2RGB)
        found = teacher.detect(mp.Image(image_format=mp.ImageFormat.SRGB, data=image)).face_landmarks
        if not found:
            continue
        h, w = image.shape[:2]
        target = np.array([[p.x * w, p.y * h] for p in found[0]])
        faces = reader.faces(image)
        assert faces, file
        points = faces[0]
        error = np.linalg.norm(points[:, :2] - target, axis=1) / np.linalg.norm(target[33] - target[263])
        errors.append((error.mean(), error[list(LIPS)].mean()))
    everywhere, lips = 100 * np.mean(errors, 0)
    assert everywhere <= 2.5 and lips <= 2.0


@needs_networks
def test_hop_edges_do_not_jump(quality: ModuleType) -> None:
    """Motion between hops is no rougher than within them."""
    from talkinghead import Avatar

    clip = _clips(quality, "grid_s1", 1)[0]
    with av.open(str(clip)) as box:
        image = next(box.decode(video=0)).to_ndarray(format="rgb24")
    session = Avatar.open(image).session()
    from talkinghead.motion.denoiser import HOP_FRAMES
    from talkinghead.speech.source import SpeechFile

    for block in SpeechFile(clip).blocks():
        session.push_audio(block)
    steps = []
    last: np.ndarray | None = None
    for frame in session.frames():
        small = cv2.resize(frame.image, (128, 128), interpolation=cv2.INTER_AREA).astype(np.float32)
        if last is not None:
            steps.append(np.abs(small - last).mean())
        last = small
    edges = [step for k, step in enumerate(steps) if (k + 1) % HOP_FRAMES == 0]
    assert np.median(edges) <= 1.3 * np.median(steps)
