"""The examples run as they are, from any folder."""

import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from shipped import needs_networks
from sounds import clicks

from talkinghead.offline.writer import Mp4Writer
from talkinghead.portrait.load import load_photo
from talkinghead.speech.source import SpeechFile

EXAMPLES = Path(__file__).parent.parent / "examples"


def run(name: str, *arguments: object, folder: Path) -> str:
    line = [sys.executable, str(EXAMPLES / name), *map(str, arguments)]
    done = subprocess.run(line, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_demo_data_is_what_its_readme_says() -> None:
    assert load_photo(EXAMPLES / "data" / "portrait.jpg").shape == (512, 512, 3)
    speech = SpeechFile(EXAMPLES / "data" / "speech.ogg")
    assert 8 < speech.duration_s < 12
    loudness = np.array([np.sqrt((block**2).mean()) for block in speech.blocks()])
    assert 0.1 < (loudness < 1e-3).mean() < 0.4  # it has pauses


def test_contact_sheet_of_a_video(tmp_path: Path) -> None:
    sound = iter([clicks(48_000)])
    with Mp4Writer(tmp_path / "v.mp4", 64, 48, sound=sound, sound_rate_hz=48_000, sound_channels=1) as out:
        for k in range(80):
            out.write(np.full((48, 64, 3), 40 + 2 * k, np.uint8))
    run("contact_sheet.py", tmp_path / "v.mp4", tmp_path / "sheet.png", 6, folder=tmp_path)
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert sheet.shape == (2 * 256, 4 * 256, 3)
    middles = [sheet[256 * row + 128, 256 * column + 128].mean() for row in (0, 1) for column in range(4)][:6]
    assert (np.diff(middles) > 10).all()


@needs_networks
def test_dub_photo_and_its_contact_sheet(tmp_path: Path) -> None:
    run("dub_photo.py", folder=tmp_path)
    with av.open(str(tmp_path / "talking.mp4")) as container:
        assert container.streams.video[0].frames > 300
    run("contact_sheet.py", folder=tmp_path)
    assert (tmp_path / "talking.png").stat().st_size > 10_000


@needs_networks
def test_frames(tmp_path: Path) -> None:
    assert "kept 10 pictures" in run("frames.py", folder=tmp_path)


@needs_networks
def test_live_session(tmp_path: Path) -> None:
    assert "drew 378 frames" in run("live_session.py", folder=tmp_path)


@needs_networks
@pytest.mark.skipif(shutil.which("espeak-ng") is None and find_spec("espeakng_loader") is None, reason="no voice")
def test_text_to_video(tmp_path: Path) -> None:
    assert run("text_to_video.py", "Good morning.", folder=tmp_path).startswith("spoken.mp4: ")
    with av.open(str(tmp_path / "spoken.mp4")) as container:
        assert 30 < container.streams.video[0].frames < 120
