"""Pictures as encoders take them: colours or planes, in any even size."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

pytest.importorskip("av")

from talkinghead.live.picture import video_frame

_RED = np.full((64, 64, 3), (200, 30, 40), np.uint8)


def picture() -> np.ndarray:
    """Soft colours, so that a smaller picture is alike."""
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 4)


def nv12(image: np.ndarray) -> np.ndarray:
    side = image.shape[1]
    planes = cv2.cvtColor(image, cv2.COLOR_RGB2YUV_I420)
    return np.concatenate((planes[:side], planes[side:].reshape(2, -1).T.reshape(side // 2, side)))


def test_colours_become_limited_range_planes() -> None:
    made = video_frame(_RED, 64)
    assert (made.format.name, made.width, made.height) == ("yuv420p", 64, 64)
    np.testing.assert_array_equal(made.to_ndarray(), cv2.cvtColor(_RED, cv2.COLOR_RGB2YUV_I420))


def test_planes_go_through_untouched() -> None:
    planes = nv12(picture())
    made = video_frame(planes, 64)
    assert made.format.name == "nv12"
    np.testing.assert_array_equal(made.to_ndarray(), planes)


@pytest.mark.parametrize("size_px", [32, 48])
def test_smaller_planes_show_what_smaller_colours_show(size_px: int) -> None:
    image = picture()
    expected, got = video_frame(image, size_px), video_frame(nv12(image), size_px)
    assert (got.format.name, got.width, got.height) == ("nv12", size_px, size_px)
    np.testing.assert_allclose(got.reformat(format="yuv420p").to_ndarray(), expected.to_ndarray(), atol=6)
