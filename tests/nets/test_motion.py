"""The motion network: hop by hop with its cache as over whole sequences, and who sees whom."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from talkinghead.motion.denoiser import CACHE_SHAPE, CONDITIONS, HOP_SIZE, STATE, WINDOW  # noqa: E402
from talkinghead.nets.motion import INPUTS, OUTPUTS, MotionNet, MotionSize, MotionStep  # noqa: E402

SMALL = MotionSize(width=48, blocks=3, heads=4)
HOPS = WINDOW + 9
Batch = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def net() -> MotionNet:
    """A small one; what starts at nought is random, so that it counts."""
    torch.manual_seed(0)
    net = MotionNet(SMALL).eval()
    for name, parameter in net.named_parameters():
        if "lag_bias" in name or "shift" in name or "level" in name or "leave" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    return net


def batch(hops: int = HOPS) -> Batch:
    torch.manual_seed(1)
    sizes = {"change": HOP_SIZE, "noised": HOP_SIZE, "last": STATE, "conditions": CONDITIONS}
    made = {name: torch.randn(2, hops, size) for name, size in sizes.items()}
    return {**made, "t": torch.rand(2, hops, 1), "forget": torch.zeros(2, dtype=torch.bool)}


def whole(net: MotionNet, b: Batch) -> torch.Tensor:
    with torch.no_grad():
        return net(b["change"], b["noised"], b["t"], b["last"], b["conditions"], b["forget"])


def differs(net: MotionNet, b: Batch, name: str, hop: int) -> list[float]:
    """By how much each hop's answer changes when one hop of an input does."""
    other = {**b, name: b[name].clone()}
    other[name][:, hop] += 1
    return (whole(net, b) - whole(net, other)).abs().amax((0, 2)).tolist()


def test_small_and_with_the_stated_cache() -> None:
    net = MotionNet()
    assert sum(p.numel() for p in net.parameters()) <= 10_000_000
    assert (net.size.blocks, net.size.heads, WINDOW, net.size.width // net.size.heads) == CACHE_SHAPE
    assert [x.shape[0] for x in MotionStep(net).example()] == [2] * 7


def test_hop_by_hop_is_as_the_whole(net: MotionNet) -> None:
    b = batch()
    expected = whole(net, b)
    keys = values = torch.zeros(2, SMALL.blocks, SMALL.heads, WINDOW, SMALL.width // SMALL.heads)
    unseen, clean = torch.ones(2, WINDOW), torch.zeros(2, 1)
    with torch.no_grad():
        for k in range(HOPS):
            at = (b["last"][:, k], b["conditions"][:, k], keys, values, unseen)
            made, _, _ = net.step(b["noised"][:, k], b["t"][:, k], *at)
            torch.testing.assert_close(made, expected[:, k], atol=1e-5, rtol=1e-5, msg=f"hop {k}")
            _, *own = net.step(b["change"][:, k], clean, *at)
            keys, values = (torch.cat([c[:, :, :, 1:], o[:, :, :, None]], 3) for c, o in zip((keys, values), own, strict=True))
            unseen = torch.cat([unseen[:, 1:], torch.zeros(2, 1)], 1)


def test_a_hop_sees_neither_its_own_answer_nor_later_hops(net: MotionNet) -> None:
    change = differs(net, batch(), "change", 5)
    assert max(change[:6]) == 0
    assert min(change[6 : 5 + WINDOW]) > 0


def test_the_noise_of_a_hop_reaches_that_hop_alone(net: MotionNet) -> None:
    for name in ("noised", "t"):
        change = differs(net, batch(), name, 5)
        assert change[5] > 1e-2
        assert max(change[:5]) == max(change[6:]) == 0


def test_conditions_and_last_frame_reach_this_hop_and_later_ones(net: MotionNet) -> None:
    for name in ("conditions", "last"):
        change = differs(net, batch(), name, 5)
        assert max(change[:5]) == 0
        assert change[5] > 1e-2 and change[6] > 0


def test_without_its_past_a_hop_stands_alone(net: MotionNet) -> None:
    b = batch(12)
    b["forget"][0] = True
    full = whole(net, b)
    alone = torch.cat([whole(net, {k: v if k == "forget" else v[:, i : i + 1] for k, v in b.items()}) for i in range(12)], 1)
    torch.testing.assert_close(full[0], alone[0], atol=1e-5, rtol=1e-5)
    assert (full[1, 1:] - alone[1, 1:]).abs().amax(1).min() > 1e-3


def test_what_the_cache_does_not_hold_yet_counts_for_nothing(net: MotionNet) -> None:
    b = batch(1)
    empty = torch.zeros(2, SMALL.blocks, SMALL.heads, WINDOW, SMALL.width // SMALL.heads)
    one = (b["noised"][:, 0], b["t"][:, 0], b["last"][:, 0], b["conditions"][:, 0])
    with torch.no_grad():
        a = net.step(*one, empty, empty, torch.ones(2, WINDOW))[0]
        c = net.step(*one, 5 * torch.randn_like(empty), torch.randn_like(empty), torch.ones(2, WINDOW))[0]
        d = net.step(*one, 5 * torch.randn_like(empty), torch.randn_like(empty), torch.zeros(2, WINDOW))[0]
    torch.testing.assert_close(a, c)
    assert (a - d).abs().max() > 1e-2


def test_the_export_agrees_with_torch_at_any_batch(net: MotionNet, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from talkinghead.runtime.onnx import OnnxEngine
    from talkinghead.training.export import export_onnx

    step = MotionStep(net)
    export_onnx(step, step.example(), list(INPUTS), list(OUTPUTS), tmp_path / "motion.onnx")
    engine = OnnxEngine(tmp_path / "motion.onnx")
    torch.manual_seed(2)
    for count in (1, 3):
        inputs = [torch.rand(count, *x.shape[1:]) for x in step.example()]
        inputs[-1] = (inputs[-1] > 0.5).float()
        with torch.no_grad():
            expected = step(*inputs)
        found = engine.run(**{name: x.numpy() for name, x in zip(INPUTS, inputs, strict=True)})
        for name, value in zip(OUTPUTS, expected, strict=True):
            assert found[name].shape == value.shape
            assert np.abs(found[name] - value.numpy()).max() < 0.01 * value.abs().max(), name  # weights travel as float16
