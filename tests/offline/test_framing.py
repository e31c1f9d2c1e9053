"""Frames round the head: the right shape, the head inside, in photos of any shape; and text in place of sound."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path

import av
import numpy as np
import pytest
from shipped import needs_networks
from sounds import Sound, babble

from talkinghead.errors import VoiceError
from talkinghead.offline.dub import dub
from talkinghead.offline.framing import ASPECTS, Framer, frame_head
from talkinghead.speech.text import Text

PHOTO = Path(__file__).parent.parent.parent / "examples" / "data" / "portrait.jpg"


def face(x: float, y: float, height: float) -> np.ndarray:
    return np.array([x, y]) + height * np.array([(-0.35, -0.5), (0.35, -0.5), (0.35, 0.5), (-0.35, 0.5)])


@pytest.mark.parametrize("aspect", ASPECTS)
@pytest.mark.parametrize("shape", [(512, 512), (1080, 1920), (1920, 1080), (301, 233)])
@pytest.mark.parametrize(("x", "y", "height"), [(0.5, 0.4, 0.45), (0.2, 0.3, 0.12), (0.9, 0.8, 0.1), (0.5, 0.5, 0.7)])
def test_shape_and_head(aspect: str, shape: tuple[int, int], x: float, y: float, height: float) -> None:
    rows, columns = shape
    points = face(x * columns, y * rows, height * rows)
    cut = frame_head(points, height * rows, shape, aspect)
    wide, high = ASPECTS[aspect]
    assert cut.width % 2 == cut.height % 2 == 0
    assert abs(cut.width / cut.height - wide / high) < 2.5 * wide / high / min(cut.width, cut.height) + 0.01
    inside = points[(points >= 0).all(1) & (points < (columns, rows)).all(1)]
    assert (inside >= (cut.x, cut.y)).all() and (inside <= (cut.x + cut.width, cut.y + cut.height)).all()
    picture = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    framed = Framer(cut, picture).cut(picture)
    assert framed.shape == (cut.height, cut.width, 3)
    y0, x0 = max(cut.y, 0), max(cut.x, 0)
    assert np.array_equal(framed[y0 - cut.y, x0 - cut.x], picture[y0, x0])


def test_what_lies_outside_stays_the_same() -> None:
    first, later = np.full((100, 100, 3), 200, np.uint8), np.full((100, 100, 3), 10, np.uint8)
    cut = frame_head(face(50, 50, 60), 60, first.shape, "16:9")
    framer = Framer(cut, first)
    framed = framer.cut(later)
    assert cut.width > 100 and (framed[:, 0] > 100).all() and (framed[cut.height // 2, cut.width // 2] == 10).all()
    assert np.array_equal(framer.cut(later), framed)


@pytest.mark.usefixtures("fake_avatar")
@pytest.mark.parametrize("wrong", [{"aspect": "4:3"}, {"aspect": "1:1", "full": False}])
def test_aspects_that_cannot_be(tmp_path: Path, wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="aspect must be"):
        dub(PHOTO, "s.wav", tmp_path / "o.mp4", **wrong)  # type: ignore[arg-type]


@needs_networks
def test_a_tall_video(tmp_path: Path, make_sound: Sound) -> None:
    sound = make_sound("s.wav", babble(0.6)[None], 16_000)
    result = dub(PHOTO, sound, tmp_path / "o.mp4", aspect="9:16")
    assert abs(result.width / result.height - 9 / 16) < 0.01
    with av.open(str(tmp_path / "o.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == 24


@pytest.mark.usefixtures("fake_avatar")
@pytest.mark.skipif(shutil.which("espeak-ng") is None and find_spec("espeakng_loader") is None, reason="no voice")
def test_text_in_place_of_sound(tmp_path: Path) -> None:
    result = dub(PHOTO, Text("Good morning to all of you."), tmp_path / "o.mp4", full=False)
    assert 1.0 < result.seconds < 4.0
    with av.open(str(tmp_path / "o.mp4")) as container:
        assert container.streams.audio[0].codec_context.name == "aac"
    with pytest.raises(VoiceError, match="no voice"):
        dub(PHOTO, Text("Hello", "zz"), tmp_path / "p.mp4")
    with pytest.raises(VoiceError, match="empty"):
        dub(PHOTO, Text(" "), tmp_path / "p.mp4")
