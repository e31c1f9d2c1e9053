"""The lips network: streamed as whole, causal, small; and turned to another latent without changing the face."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from talkinghead.constants import POINTS
from talkinghead.motion.latent import LatentModel
from talkinghead.motion.lips import HOP_FRAMES, LOOKAHEAD_FRAMES, PAST_SHAPE
from talkinghead.nets.motion import SpeechToFace, StreamingFace, delayed
from talkinghead.speech.features import FEATURES


@pytest.fixture(scope="module")
def net() -> SpeechToFace:
    torch.manual_seed(0)
    return SpeechToFace().eval()


def test_at_most_two_million_parameters_and_the_stated_past(net: SpeechToFace) -> None:
    assert sum(p.numel() for p in net.parameters()) <= 2_000_000
    assert (net.size.width, net.size.past) == PAST_SHAPE


def test_streamed_is_as_whole(net: SpeechToFace) -> None:
    rows = torch.rand(2, 80, FEATURES) * 2
    with torch.no_grad():
        whole, _ = net(rows)
        past, parts = torch.zeros(2, *PAST_SHAPE), []
        for at in range(0, 80, HOP_FRAMES):
            z, past = StreamingFace(net)(rows[:, at : at + HOP_FRAMES], past)
            parts.append(z)
    torch.testing.assert_close(torch.cat(parts, 1), whole, atol=1e-5, rtol=1e-4)


def test_causal(net: SpeechToFace) -> None:
    rows = torch.rand(1, 60, FEATURES)
    other = rows.clone()
    other[:, 40:] = 0
    with torch.no_grad():
        torch.testing.assert_close(net(rows)[0][:, :40], net(other)[0][:, :40])
        assert (net(rows)[0][:, 40:] - net(other)[0][:, 40:]).abs().max() > 1e-3


def test_targets_are_delayed_by_the_look_ahead() -> None:
    values = torch.arange(10.0)[None]
    assert delayed(values)[0, LOOKAHEAD_FRAMES:].tolist() == list(range(10 - LOOKAHEAD_FRAMES))


def test_another_fit_of_the_latent_needs_no_new_training() -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("safetensors")
    from talkinghead.training.motion_export import basis_change

    rng = np.random.default_rng(0)
    modes = 0.01 * rng.standard_normal((6, POINTS, 3)).astype(np.float32)
    turn = np.linalg.qr(rng.standard_normal((6, 6)))[0].astype(np.float32)
    empty = np.zeros((1, POINTS, 3), np.float32)
    latent = LatentModel(np.zeros((POINTS, 3), np.float32), empty, np.tensordot(turn, modes, 1), np.full(POINTS, 1e4, np.float32))
    code = rng.standard_normal(6).astype(np.float32)
    moved = np.tensordot(basis_change(modes, latent) @ code, latent.basis_dyn, 1)
    np.testing.assert_allclose(moved, np.tensordot(code, modes, 1), atol=1e-4)
    np.testing.assert_array_equal(basis_change(latent.basis_dyn, latent), np.eye(6))
