"""The face networks in torch, and that their export says the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from talkinghead.nets.face import FaceDetector, FaceLandmarks, PatchRefiner  # noqa: E402
from talkinghead.runtime.onnx import OnnxEngine  # noqa: E402
from talkinghead.runtime.weights import model_path  # noqa: E402
from talkinghead.training.export import export_onnx  # noqa: E402


def test_shapes() -> None:
    detector, landmarks, mouth = FaceDetector(), FaceLandmarks(), PatchRefiner(40, (96, 72))
    assert detector(torch.zeros(2, 3, 320, 320)).shape == (2, 4, 40, 40)
    points, presence = landmarks(torch.zeros(2, 3, 128, 128))
    assert points.shape == (2, 478, 3) and presence.shape == (2,)
    assert mouth(torch.zeros(2, 3, 72, 96)).shape == (2, 40, 2)


def test_the_export_agrees_with_torch(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = PatchRefiner(5, (32, 32), width=8).eval()
    export_onnx(net, (torch.zeros(1, 3, 32, 32),), ["image"], ["points"], tmp_path / "net.onnx")
    image = torch.rand(3, 3, 32, 32)
    with torch.no_grad():
        expected = net(image).numpy()
    found = OnnxEngine(tmp_path / "net.onnx").run(image=image.numpy())["points"]
    np.testing.assert_allclose(found, expected, atol=2e-2, rtol=5e-3)  # weights travel as float16


def test_large_matrices_travel_as_bytes(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = torch.nn.Linear(512, 256).eval()
    export_onnx(net, (torch.zeros(1, 512),), ["x"], ["y"], tmp_path / "net.onnx")
    assert (tmp_path / "net.onnx").stat().st_size < 512 * 256 * 1.1
    x = torch.randn(4, 512)
    with torch.no_grad():
        expected = net(x).numpy()
    found = OnnxEngine(tmp_path / "net.onnx").run(x=x.numpy())["y"]
    assert np.abs(found - expected).max() < 0.02 * np.abs(expected).max()


def test_the_shipped_face_network_keeps_its_budget() -> None:
    files = [model_path("face", f"{part}.onnx") for part in ("detector", "landmarks", "mouth", "eye")]
    assert sum(path.stat().st_size for path in files) <= 10_000_000
