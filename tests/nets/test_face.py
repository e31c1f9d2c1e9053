"""The face networks in torch, and that their export says the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from talkinghead.nets.face import FaceDetector, FaceLandmarks, PatchRefiner  # noqa: E402
from talkinghead.runtime.onnx import OnnxEngine  # noqa: E402
from talkinghead.training.export import export_onnx  # noqa: E402


def test_shapes_and_budget() -> None:
    detector, landmarks, mouth = FaceDetector(), FaceLandmarks(), PatchRefiner(40, (96, 72))
    assert detector(torch.zeros(2, 3, 320, 320)).shape == (2, 4, 40, 40)
    points, presence = landmarks(torch.zeros(2, 3, 128, 128))
    assert points.shape == (2, 478, 3) and presence.shape == (2,)
    assert mouth(torch.zeros(2, 3, 72, 96)).shape == (2, 40, 2)
    nets = (detector, landmarks, mouth, PatchRefiner(47, (64, 48)))
    assert sum(p.numel() for net in nets for p in net.parameters()) * 2 < 10e6  # bytes as float16


def test_the_export_agrees_with_torch(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = PatchRefiner(5, (32, 32), width=8).eval()
    export_onnx(net, (torch.zeros(1, 3, 32, 32),), ["image"], ["points"], tmp_path / "net.onnx")
    image = torch.rand(3, 3, 32, 32)
    with torch.no_grad():
        expected = net(image).numpy()
    found = OnnxEngine(tmp_path / "net.onnx").run(image=image.numpy())["points"]
    np.testing.assert_allclose(found, expected, atol=2e-2, rtol=5e-3)  # weights travel as float16
