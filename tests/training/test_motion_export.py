"""The motion network's weights are read back, and its export says the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
safetensors = pytest.importorskip("safetensors.torch")

from talkinghead.motion.latent import LatentModel  # noqa: E402
from talkinghead.nets.motion import INPUTS, OUTPUTS, MotionNet, MotionStep  # noqa: E402
from talkinghead.runtime.onnx import OnnxEngine  # noqa: E402
from talkinghead.runtime.weights import model_path  # noqa: E402
from talkinghead.training.motion_export import export, load_weights, save_weights  # noqa: E402


def test_saved_loaded_and_exported_is_the_same_network(tmp_path: Path) -> None:
    latent = LatentModel.load(model_path("latent", "latent.npz"))
    torch.manual_seed(0)
    net = MotionNet().eval()
    for name, parameter in net.named_parameters():  # what starts at nought
        if "lag_bias" in name or "shift" in name or name.startswith(("leave", "level")):
            torch.nn.init.normal_(parameter, std=0.1)
    save_weights(net, latent, tmp_path / "motion" / "motion.safetensors")
    basis = safetensors.load_file(str(tmp_path / "motion" / "motion.safetensors"))["basis_dyn"].float().numpy()
    np.testing.assert_allclose(basis, latent.basis_dyn, atol=1e-4)
    inputs = [torch.rand_like(x) for x in MotionStep(net).example()]
    inputs[-1] = (inputs[-1] > 0.5).float()
    with torch.no_grad():
        expected = net.step(*inputs)
        again = load_weights(tmp_path / "motion" / "motion.safetensors").step(*inputs)
    export(tmp_path / "motion")
    files = (tmp_path / "motion" / "motion.onnx", tmp_path / "motion" / "motion.int8.onnx")
    found, bytewise = (OnnxEngine(f).run(**{n: x.numpy() for n, x in zip(INPUTS, inputs, strict=True)}) for f in files)
    for name, value, loaded in zip(OUTPUTS, expected, again, strict=True):
        size = value.abs().max()
        assert (loaded - value).abs().max() < 0.01 * size, name
        assert np.abs(found[name] - value.numpy()).max() < 0.05 * size, name  # large matrices travel as bytes
        assert np.abs(bytewise[name] - value.numpy()).max() < 0.06 * size, name
    assert all(f.stat().st_size < 12_000_000 for f in files)
