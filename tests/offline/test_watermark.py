"""The watermark: invisible, found again after what happens to pictures, and not seen where it is not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest

from talkinghead.offline.watermark import THRESHOLD, Detector, Watermarker, find_mark, mean_luma, tile_pattern
from talkinghead.portrait.load import load_photo

PHOTO = Path(__file__).parent.parent.parent / "examples" / "data" / "portrait.jpg"


@pytest.fixture(scope="module")
def clean() -> list[np.ndarray]:
    """A photo whose middle sways, as a head does."""
    photo = load_photo(PHOTO)
    images = []
    for k in range(30):
        image = photo.copy()
        turn = cv2.getRotationMatrix2D((250, 200), 3 * np.sin(k / 4), 1.0)
        image[60:360, 130:380] = cv2.warpAffine(photo, turn, (512, 512))[60:360, 130:380]
        images.append(image)
    return images


@pytest.fixture(scope="module")
def marked(clean: list[np.ndarray]) -> list[np.ndarray]:
    marker = Watermarker()
    return [marker.mark(image) for image in clean]


def test_nobody_sees_it(clean: list[np.ndarray], marked: list[np.ndarray]) -> None:
    assert all(cv2.PSNR(one, other) >= 42 for one, other in zip(clean, marked, strict=True))
    difference = np.abs(clean[0].astype(int) - marked[0])
    assert difference.max() <= 9
    smooth = np.s_[20:60, 330:400]  # the backdrop, where nothing hides it
    assert difference[smooth].mean() < 1.0


def test_black_white_and_noise_keep_their_range() -> None:
    for image in (np.zeros((64, 80, 3), np.uint8), np.full((64, 80, 3), 255, np.uint8)):
        assert np.abs(Watermarker().mark(image).astype(int) - image).max() <= 9


def test_planes_carry_the_mark_of_their_picture(clean: list[np.ndarray], marked: list[np.ndarray]) -> None:
    marker = Watermarker()
    marker.mark(clean[0])
    planes = [cv2.cvtColor(image, cv2.COLOR_RGB2YUV_I420) for image in clean]  # as good as NV12: luma comes first
    given = planes[0].copy()
    got = [marker.mark_planes(each) for each in planes]
    assert np.array_equal(planes[0], given)
    assert all(np.array_equal(one[512:], other[512:]) for one, other in zip(got, planes, strict=True))
    shown = [cv2.cvtColor(each, cv2.COLOR_YUV2RGB_I420) for each in got]
    assert find_mark(shown).score > 0.7 * find_mark(marked).score > THRESHOLD
    assert all(cv2.PSNR(one, other) >= 42 for one, other in zip(planes, got, strict=True))
    with pytest.raises(ValueError, match="the mark is for pictures of"):
        marker.mark_planes(planes[0][:384, :256])


def test_the_given_picture_stays(clean: list[np.ndarray]) -> None:
    image = clean[0].copy()
    Watermarker().mark(image)
    assert np.array_equal(image, clean[0])


@pytest.mark.parametrize(
    "way",
    ["one frame", "500 kbit/s", "256 px", "500 kbit/s and 256 px", "call", "jpeg", "cut", "mirrored", "enlarged", "in a border"],
)
def test_it_is_found_again(marked: list[np.ndarray], way: str, script: Callable[[str], ModuleType]) -> None:
    ways = script("watermark")
    coded, scaled, x264, call = ways.coded, ways.scaled, {"preset": "veryfast"}, ways.CALL_VP8
    changed = {
        "one frame": lambda: marked[:1],
        "500 kbit/s": lambda: coded(marked, "libx264", x264),
        "256 px": lambda: scaled(marked[:1], 256),
        "500 kbit/s and 256 px": lambda: scaled(coded(marked, "libx264", x264), 256),
        "call": lambda: coded(marked, "libvpx", call),
        "jpeg": lambda: [cv2.imdecode(cv2.imencode(".jpg", marked[0], [cv2.IMWRITE_JPEG_QUALITY, 70])[1], cv2.IMREAD_COLOR)],
        "cut": lambda: [image[37:450, 61:470] for image in marked],
        "mirrored": lambda: [image[:, ::-1] for image in marked],
        "enlarged": lambda: scaled(marked[:3], 701),
        "in a border": lambda: [cv2.copyMakeBorder(image, 0, 0, 200, 199, cv2.BORDER_CONSTANT) for image in marked[:5]],
    }[way]()
    found = find_mark(changed)
    assert found.marked and found.score > 1.2 * THRESHOLD
    assert found.mirrored == (way == "mirrored")


def test_it_is_not_seen_where_it_is_not(clean: list[np.ndarray], marked: list[np.ndarray]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
    for images in (clean, clean[:1], [noise], [np.zeros((200, 200, 3), np.uint8)], [np.full((90, 40, 3), 70, np.uint8)]):
        assert not find_mark(images).marked
    others = Detector(*(tile_pattern(b"another %d" % k) for k in range(20)))
    for images in (clean, marked):
        assert max(found.score for found in others.find_each(mean_luma(images))) < THRESHOLD


def test_the_pattern_never_changes() -> None:
    """Marks made by any version are found by every other."""
    pattern = tile_pattern()
    assert pattern.shape == (64, 64) and pattern.std() == pytest.approx(1.0, abs=1e-5)
    assert np.allclose(pattern[:2, :3], [[0.859, -0.503, -1.177], [0.878, -0.048, -1.058]], atol=2e-3)
