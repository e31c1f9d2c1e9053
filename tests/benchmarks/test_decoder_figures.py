"""The decoder's figures: known pictures, points and networks give known numbers."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest
from synthetic_face import canonical_face, picture, pose

from talkinghead.constants import POINTS
from talkinghead.motion.latent import LIPS, OUTER_LIPS


@pytest.fixture
def figures(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("decoder_figures")


@pytest.fixture(scope="module")
def face() -> tuple[np.ndarray, np.ndarray]:
    """A picture and its points (478, 3) px."""
    shape = canonical_face()
    return picture(shape), pose().apply(shape)


def _scored(figures: ModuleType, drawn: np.ndarray, real: np.ndarray, points: np.ndarray) -> dict[str, float]:
    pytest.importorskip("skimage")
    score = figures.Score()
    score.add(drawn, real, figures.Regions.of(points))
    return score.figures()


def test_regions_hold_mouth_and_eyes(figures: ModuleType, face: tuple[np.ndarray, np.ndarray]) -> None:
    regions = figures.Regions.of(face[1])
    lips = face[1][list(OUTER_LIPS), :2]
    rows, columns = regions.mouth
    pad = 0.25 * np.ptp(lips[:, 0])
    assert columns.start == pytest.approx(lips[:, 0].min() - pad, abs=1.01)
    assert rows.stop == pytest.approx(lips[:, 1].max() + pad, abs=2.01)
    for (rows, columns), iris in zip(regions.eyes, (468, 473), strict=True):
        x, y = face[1][iris, :2]
        assert columns.start < x < columns.stop and rows.start < y < rows.stop
    assert regions.face[256, 256] and not regions.face[:, 0].any()


def test_boxes_stay_in_the_picture(figures: ModuleType) -> None:
    rows, columns = figures.box_round(np.array([[-30.0, 700.0], [-20.0, 720.0]]), 3.0, 512)
    assert (rows.start, rows.stop, columns.start, columns.stop) == (511, 512, 0, 1)


def test_the_same_picture_is_perfect(figures: ModuleType, face: tuple[np.ndarray, np.ndarray]) -> None:
    row = _scored(figures, face[0], face[0], face[1])
    assert row["PSNR dB"] == row["face PSNR dB"] == 99 and row["SSIM"] == 1
    assert row["mouth L1"] == row["eye L1"] == 0
    assert row["mouth sharpness"] == row["eye sharpness"] == 1
    assert np.isnan(row["flicker"])


def test_brighter_is_told_in_grey_levels(figures: ModuleType, face: tuple[np.ndarray, np.ndarray]) -> None:
    real = np.minimum(face[0], 200)
    row = _scored(figures, real + np.uint8(10), real, face[1])
    assert row["PSNR dB"] == pytest.approx(20 * np.log10(25.5))
    assert row["face PSNR dB"] == pytest.approx(row["PSNR dB"])
    assert row["mouth L1"] == row["eye L1"] == 10
    assert row["mouth sharpness"] == pytest.approx(1, abs=0.01)


def test_a_blurred_face_is_less_sharp(figures: ModuleType, face: tuple[np.ndarray, np.ndarray]) -> None:
    row = _scored(figures, cv2.GaussianBlur(face[0], (0, 0), 2), face[0], face[1])
    assert row["mouth sharpness"] < 0.3 and row["eye sharpness"] < 0.3
    assert row["SSIM"] < 1 and row["mouth L1"] > 0


def test_flicker_is_what_changes_otherwise(figures: ModuleType, face: tuple[np.ndarray, np.ndarray]) -> None:
    mask = figures.Regions.of(face[1]).face
    dark, light = np.full((512, 512, 3), 100, np.uint8), np.full((512, 512, 3), 104, np.uint8)
    same, still = figures.Score(), figures.Score()
    same.step((dark + np.uint8(50), light + np.uint8(50)), (dark, light), mask)
    still.step((dark, dark), (dark, light), mask)
    assert same.flicker == [0] and still.flicker == [4]


def test_means_of_ratios_are_geometric(figures: ModuleType) -> None:
    rows = [{"warp": {"mouth sharpness": r, "SSIM": s}} for r, s in ((0.5, 0.5), (2.0, 0.7), (float("nan"), 0.9))]
    assert figures.mean_of(rows)["warp"] == pytest.approx({"mouth sharpness": 1.0, "SSIM": 0.7})


def test_gains_compare_the_last_decoder(figures: ModuleType) -> None:
    def row(l1: float, db: float) -> dict[str, float]:
        return {"mouth L1": l1, "eye L1": l1, "PSNR dB": db, "face PSNR dB": db, "mouth sharpness": l1, "eye sharpness": l1}

    table = {"still": row(10.0, 20.0), "warp": row(8.0, 23.0)}
    assert figures.gains(table, "still", "warp", "refined")["mouth L1 / still (<= 0.6)"] == 0.8
    with_networks = figures.gains(table | {"refined": row(4.0, 24.5)}, "still", "warp", "refined")
    assert with_networks["mouth L1 / warp (<= 0.75)"] == 0.5
    assert with_networks["mouth L1 / still (<= 0.6)"] == 0.4
    assert with_networks["PSNR over warp dB (>= 1)"] == 1.5


def test_point_errors_by_part(figures: ModuleType) -> None:
    wanted = np.zeros((2, POINTS, 3))
    shown = wanted.copy()
    shown[:, list(LIPS)] += (3, 4, 99)
    errors = figures.point_errors(shown, wanted, 50.0)
    assert errors["lips"] == pytest.approx(10) and errors["eyes"] == 0
    assert errors["all"] == pytest.approx(10 * len(LIPS) / POINTS)


def test_whose_lips_they_are_is_no_motion(figures: ModuleType) -> None:
    rng = np.random.default_rng(0)
    one = rng.normal(size=(7, POINTS, 3))
    other = one + rng.normal(size=(1, POINTS, 3))
    other[3] = np.nan
    assert figures.lips_apart(one[[0, 1, 2]], other[[0, 1, 2]], 1.0) == pytest.approx(0)
    still = np.zeros_like(one)
    assert figures.lips_apart(still, one, 1.0) > 50
    assert np.isfinite(figures.lips_apart(one, other, 1.0))


def test_arithmetic_of_a_network(figures: ModuleType) -> None:
    onnx = pytest.importorskip("onnx")
    helper, number = onnx.helper, onnx.TensorProto.FLOAT

    def weights(name: str, *shape: int) -> Any:
        return helper.make_tensor(name, number, shape, np.zeros(int(np.prod(shape)), np.float32))

    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], pads=[1, 1, 1, 1], group=2),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("ConvTranspose", ["b", "v"], ["c"], strides=[2, 2]),
        helper.make_node("MatMul", ["c", "m"], ["y"]),
    ]
    inputs = [helper.make_tensor_value_info("x", number, ["batch", 4, 16, 16])]
    outputs = [helper.make_tensor_value_info("y", number, ["batch", 3, 32, 5])]
    constants = [weights("w", 8, 2, 3, 3), weights("v", 8, 3, 2, 2), weights("m", 32, 5)]

    def gflop(nodes: list[Any]) -> float:
        graph = helper.make_graph(nodes, "net", inputs, outputs, constants)
        domains = [helper.make_opsetid("", 17), helper.make_opsetid("unknown", 1)]
        value: float = figures.network_gflop(helper.make_model(graph, opset_imports=domains))
        return value

    products = 8 * 256 * 2 * 9 + 8 * 256 * 3 * 4 + 3 * 32 * 5 * 32
    assert gflop(nodes) == pytest.approx(2e-9 * products)
    lost = helper.make_node("Mystery", ["x"], ["a"], domain="unknown")
    with pytest.raises(ValueError, match="not known"):
        gflop([lost, *nodes[1:]])


def test_the_inside_of_an_open_mouth_has_figures_of_its_own(figures: ModuleType) -> None:
    shape = canonical_face(mouth_open=0.09)
    real, points = picture(shape), pose().apply(shape)
    drawn = real.copy()
    inside = figures.Regions.of(points).inside
    drawn[inside] = np.where(real[inside] > 100, real[inside] - 30, real[inside] + 30)
    drawn[0, 0] = 255 - real[0, 0]  # elsewhere it does not matter
    row = _scored(figures, drawn, real, points)
    assert row["inside L1"] == pytest.approx(30)
    assert row["inside brighter by"] == pytest.approx((drawn[inside].astype(float) - real[inside]).mean())
    assert np.isnan(_scored(figures, drawn, real, pose().apply(canonical_face()))["inside L1"])
