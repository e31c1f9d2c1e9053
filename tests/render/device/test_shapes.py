"""Polygons, lines, triangles and filters in torch beside OpenCV's."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from talkinghead.render import patch  # noqa: E402
from talkinghead.render.device.filters import cubic, filtered, gaussian  # noqa: E402
from talkinghead.render.device.shapes import cover, keys, strokes, uppermost  # noqa: E402
from talkinghead.render.device.texture import Patches, packed, sample, unpacked  # noqa: E402
from talkinghead.render.raster import Canvas  # noqa: E402
from talkinghead.render.resample import cubic_taps  # noqa: E402

WIDTH, HEIGHT = 112, 96


def lips(rng: np.random.Generator, gap_px: float) -> np.ndarray:
    """An opening (20, 2) px, its upper edge first."""
    x, y = np.sort(rng.uniform(20, 90, 11)), 48 + 2 * rng.standard_normal(11)
    gap = gap_px * rng.uniform(0, 1, 11)
    gap[[0, -1]] = 0
    top, bottom = np.stack((x, y - gap / 2), 1), np.stack((x, y + gap / 2), 1)
    return np.concatenate((top, bottom[-2:0:-1]))


@pytest.mark.parametrize("gap_px", [0.0, 0.3, 3.0, 30.0])
def test_polygons_cover_what_opencv_fills(gap_px: float) -> None:
    rng = np.random.default_rng(0)
    polygons = np.stack([lips(rng, gap_px) for _ in range(20)])
    expected = np.stack([patch.cover(polygon, patch.Window(0, 0, WIDTH, HEIGHT)) for polygon in polygons])
    got = cover(torch.tensor(polygons, dtype=torch.float32).unsqueeze(1), WIDTH, HEIGHT)[:, 0].numpy()
    assert got.shape == expected.shape and got.min() >= 0 and got.max() <= 1
    assert np.sqrt(((got - expected) ** 2).mean()) < 0.013
    assert got.sum() == pytest.approx(expected.sum(), rel=0.08)


def test_polygons_outside_cover_nothing_and_rows_do_not_meet() -> None:
    inside = torch.tensor(lips(np.random.default_rng(1), 10.0), dtype=torch.float32)
    got = cover(torch.stack((inside, inside + 300, inside - 300)).unsqueeze(1), WIDTH, HEIGHT)
    assert got[0].sum() > 50 and not got[1:].any()


def test_lines_are_as_thick_as_those_of_opencv() -> None:
    points = np.stack((np.linspace(10, 100, 11), 40 + 2 * np.random.default_rng(0).standard_normal(11)), 1)
    large = np.zeros((4 * HEIGHT, 4 * WIDTH), np.uint8)
    fixed = np.round(((points + 0.5) * 4 - 0.5) * 64).astype(np.int32)
    for k in range(10):
        cv2.polylines(large, [fixed[k : k + 2]], False, 200, 8, cv2.LINE_8, 6)
    expected = cv2.resize(large, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA) / 255
    line = torch.tensor(points, dtype=torch.float32)[None, None]
    got = strokes(line, torch.full((1, 1, 10), 200 / 255), torch.full((1, 1), 9 / 8), WIDTH, HEIGHT)[0, 0].numpy()
    assert np.sqrt(((got - expected) ** 2).mean()) < 0.015 and got.sum() == pytest.approx(expected.sum(), rel=0.05)


def triangles(count: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    middle = rng.uniform(-10, 138, (count, 1, 2))
    return middle + rng.uniform(-12, 12, (count, 3, 2)), rng.uniform(-100, 100, count)


def test_the_nearest_triangle_is_uppermost() -> None:
    corners, far = triangles(150)
    order = np.argsort(-far)
    index = Canvas(128, 1).numbers(corners[order], (0, 0, 128, 128))
    expected = np.where(index > 0, order[index - 1], -1)
    given = torch.tensor(corners, dtype=torch.float32)[None], torch.tensor(far, dtype=torch.float32)[None]
    every = torch.ones(1, 150, dtype=torch.bool)
    number, there = uppermost(given[0], keys(torch.zeros(1, 150), every, given[1], every), 128, 1 << 16)
    got = torch.where(there, number, -1).view(128, 128).numpy()
    assert (got == expected).mean() > 0.97  # a rim's pixel more or less


def test_layers_come_before_depth_and_what_is_turned_away_lies_below() -> None:
    corners = torch.tensor([[4.0, 4], [60, 4], [4, 60]]).expand(1, 4, 3, 2)
    layer, in_front = torch.tensor([[0, 1, 1, 1]]), torch.tensor([[True, False, True, True]])
    far, drawn = torch.tensor([[-50.0, -40, 10, -90]]), torch.tensor([[True, True, True, False]])
    number, there = uppermost(corners, keys(layer, in_front, far, drawn), 64, 1 << 14)
    assert number.view(64, 64)[10, 10] == 2 and there.view(64, 64)[10, 10] and not there.view(64, 64)[62, 62]


@pytest.mark.parametrize("sigma", [0.5, 3.0])
def test_a_matrix_blurs_as_opencv_does(sigma: float) -> None:
    picture = np.random.default_rng(0).random((40, 56), np.float32)
    got = filtered(torch.from_numpy(picture), *(torch.from_numpy(gaussian(size, sigma)) for size in picture.shape))
    np.testing.assert_allclose(got.numpy(), cv2.GaussianBlur(picture, (0, 0), sigma), atol=2e-5)


def test_a_matrix_blurs_and_shifts() -> None:
    picture = np.random.default_rng(0).random((40, 40), np.float32)
    blurred = cv2.GaussianBlur(picture, (0, 0), 2.0)
    expected = cv2.warpAffine(blurred, np.array([[1, 0, 0], [0, 1, 1.25]]), (40, 40))
    got = filtered(torch.from_numpy(picture), torch.from_numpy(gaussian(40, 2.0, 1.25)), torch.from_numpy(gaussian(40, 2.0)))
    np.testing.assert_allclose(got.numpy(), expected, atol=1e-3)


@pytest.mark.parametrize("shift", [-0.5, -0.2, 0.0, 0.37])
def test_a_matrix_samples_between_pixels(shift: float) -> None:
    row = np.random.default_rng(0).random((1, 24), np.float32)
    expected = cv2.filter2D(row, -1, cubic_taps(shift)[None], borderType=cv2.BORDER_REPLICATE)
    wide = torch.from_numpy(np.pad(row, ((0, 0), (2, 2)), "edge"))
    np.testing.assert_allclose((wide @ cubic(torch.tensor(shift), 24, 2).mT).numpy(), expected, atol=1e-5)


def test_pictures_are_sampled_each_from_its_own_portrait() -> None:
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (2, 9, 7, 4), np.uint8)
    texels = torch.from_numpy(np.stack([np.concatenate((np.zeros(5, np.int32), p.view(np.int32).ravel())) for p in pictures]))
    places = rng.uniform(-3, 11, (2, 1, 6, 5, 2)).astype(np.float32)
    table = torch.tensor([[[5, 7, 9]]] * 2, dtype=torch.int32)
    x, y = (torch.from_numpy(places[..., k]) for k in (0, 1))
    got = sample(texels, torch.tensor([1, 0]), table, x, y).numpy()
    for row, number in enumerate((1, 0)):
        at = places[row, 0]
        expected = cv2.remap(pictures[number].astype(np.float32), at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        np.testing.assert_allclose(got[row, 0], expected, atol=255 / 32)  # OpenCV looks at every 32nd of a pixel
        assert np.abs(got[row, 0] - expected).mean() < 1.5


def test_what_is_cut_is_put_back_and_nothing_outside_the_frame() -> None:
    rng = np.random.default_rng(0)
    frames = torch.from_numpy(rng.integers(0, 256, (2, 512 * 512 + 1, 4), np.uint8)).view(torch.int32).squeeze(-1)
    patches = Patches(torch.tensor([[[100.0, 50.0], [-20.0, 500.0]], [[600.0, 0.0], [500.0, -7.0]]]), 32, 16)
    seen = unpacked(patches.cut(frames))
    assert torch.equal(packed(seen), patches.cut(frames))
    same = frames.clone()
    patches.paste(same, seen)
    assert torch.equal(same[:, :-1], frames[:, :-1])
    patches.paste(same, 255 - seen)
    changed = (same != frames)[:, :-1].view(2, 512, 512)
    assert changed[0].sum() == 32 * 16 + 12 * 12 and changed[0, 50:66, 100:132].all() and changed[0, 500:, :12].all()
    assert changed[1].sum() == 12 * 9 and changed[1, :9, 500:].all()
