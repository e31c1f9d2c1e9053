"""The check-up: a good photo passes, and each thing that is made wrong with it is told, with what to change."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from talkinghead.motion.latent import LatentModel
from talkinghead.portrait.checkup import CheckUp
from talkinghead.portrait.load import load_photo
from talkinghead.portrait.portrait import FaceReader
from talkinghead.runtime.weights import model_path

ROOT = Path(__file__).resolve().parent.parent.parent
PHOTO = ROOT / "examples" / "data" / "portrait.jpg"


@pytest.fixture(scope="module")
def look() -> Callable[[np.ndarray], CheckUp]:
    reader = FaceReader(LatentModel.load(model_path("latent", "latent.npz")))

    def read(photo: np.ndarray) -> CheckUp:
        portrait = reader.read(np.ascontiguousarray(photo))
        assert portrait.checkup is not None and portrait.notes == portrait.checkup.advice
        return portrait.checkup

    return read


def photo() -> np.ndarray:
    return load_photo(PHOTO)


def lit(gain: float, from_left: bool = False) -> np.ndarray:
    ramp = np.linspace(1.0, -2.4, 512).clip(0.12, 1)[None, :, None] if from_left else 1.0
    return np.clip(photo() * gain * ramp, 0, 255).astype(np.uint8)


def turned(degrees: float) -> np.ndarray:
    return cv2.warpAffine(photo(), cv2.getRotationMatrix2D((226, 112), degrees, 1.0), (512, 512), borderMode=cv2.BORDER_REPLICATE)


def painted(x0: int, y0: int, x1: int, y1: int, colour: tuple[int, int, int]) -> np.ndarray:
    image = photo()
    image[y0:y1, x0:x1] = colour
    return image


def twice() -> np.ndarray:
    image = np.full((512, 800, 3), 150, np.uint8)
    image[:, :512] = photo()
    image[200:456, 540:796] = cv2.resize(photo(), (256, 256), interpolation=cv2.INTER_AREA)
    return image


_WRONG: dict[str, tuple[Callable[[], np.ndarray], str]] = {
    "faces": (twice, "2 faces"),
    "size": (lambda: cv2.resize(photo(), (330, 330), interpolation=cv2.INTER_AREA), "px high"),
    "framing": (lambda: photo()[78:], "cuts the face off"),
    "room": (lambda: photo()[48:208, 145:305], "leave room"),
    "tilt": (lambda: turned(32), "upright"),
    "darkness": (lambda: lit(0.2), "more light"),
    "glare": (lambda: lit(1.6), "overexposed"),
    "blur": (lambda: cv2.GaussianBlur(photo(), (0, 0), 2.5), "blurred"),
    "covered": (lambda: painted(180, 148, 272, 200, (30, 60, 160)), "covers the"),
    "dark eyes": (lambda: painted(188, 100, 262, 121, (12, 12, 12)), "dark"),
}


def test_a_good_photo_needs_nothing(look: Callable[[np.ndarray], CheckUp]) -> None:
    found = look(photo())
    assert found.advice == () and found.score >= 0.5
    assert {finding.name for finding in found.findings} >= _WRONG.keys() | {"turn", "nod", "mouth", "eyes", "hair", "shadow"}


@pytest.mark.parametrize("name", _WRONG)
def test_what_is_wrong_is_told(look: Callable[[np.ndarray], CheckUp], name: str) -> None:
    make, words = _WRONG[name]
    wrong, right = ({f.name: f for f in look(image).findings}[name] for image in (make(), photo()))
    assert wrong.score < 0.5 <= right.score
    assert words in wrong.advice and right.advice == ""


def test_the_command(tmp_path: Path) -> None:
    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "talkinghead.cli", "check", *map(str, arguments)]
        return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)

    done = run(PHOTO)
    assert done.returncode == 0 and "Nothing to change" in done.stdout
    cv2.imwrite(str(tmp_path / "dark.png"), cv2.cvtColor(lit(0.2), cv2.COLOR_RGB2BGR))
    done = run(tmp_path / "dark.png", "--json")
    found = json.loads(done.stdout)
    assert done.returncode == 0 and found["score"] < 0.5
    assert any(finding["advice"] for finding in found["findings"] if finding["name"] == "darkness")
    cv2.imwrite(str(tmp_path / "wall.png"), np.full((300, 300, 3), 90, np.uint8))
    done = run(tmp_path / "wall.png")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1) and "no face" in done.stderr
