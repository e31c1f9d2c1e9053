"""Generating in batches while training is generating hop by hop at run time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fake_engines import UNIT

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from talkinghead.motion.denoiser import (  # noqa: E402
    CONDITIONS,
    DYNAMICS,
    FLAGS,
    FRAME_CONDITIONS,
    HOP_FRAMES,
    LASTING_SIZES,
    STATE,
    Denoiser,
    MotionScales,
    hop_conditions,
)
from talkinghead.nets.motion import MotionNet  # noqa: E402
from talkinghead.runtime.engine import Tensor, host  # noqa: E402
from talkinghead.runtime.memory import MemoryEngine  # noqa: E402
from talkinghead.speech.encoder import CURVES  # noqa: E402
from talkinghead.training.motion_try import roll, without  # noqa: E402

HOPS = 4


class Torch(MemoryEngine):
    """The network as an engine."""

    def __init__(self, net: MotionNet) -> None:
        self.net = net

    def run(self, **inputs: Tensor) -> dict[str, np.ndarray]:
        with torch.no_grad():
            made = self.net.step(**{name: torch.from_numpy(host(x)) for name, x in inputs.items()})
        return dict(zip(("made", "new_keys", "new_values"), (x.numpy() for x in made), strict=True))


@pytest.fixture(scope="module")
def net() -> MotionNet:
    torch.manual_seed(0)
    net = MotionNet().eval()
    torch.nn.init.normal_(net.leave.weight, std=0.1)
    return net


def conditions(count: int, given: np.ndarray) -> np.ndarray:
    """(count, HOPS, CONDITIONS) at random."""
    rng = np.random.default_rng(0)
    frames = rng.standard_normal((count, HOPS, HOP_FRAMES, FRAME_CONDITIONS))
    lasting = rng.standard_normal((count, HOPS, sum(LASTING_SIZES)))
    return hop_conditions(frames, lasting, np.broadcast_to(given, (count, HOPS, len(FLAGS))))


@pytest.mark.parametrize("guidance", [0.0, 0.7])
def test_rolled_in_a_batch_is_as_hop_by_hop(net: MotionNet, guidance: float) -> None:
    noise = np.diag(np.linspace(0.3, 1, STATE)).astype(np.float32)
    change = np.stack([(k + 1) * UNIT for k in range(HOP_FRAMES)])
    numbers = MotionScales(
        np.full(STATE, 0.8, np.float32),
        change,
        noise,
        np.zeros((DYNAMICS, DYNAMICS)),
        np.zeros((CURVES, DYNAMICS)),
        np.zeros(DYNAMICS),
        0.0,
        0.0,
        guidance,
    )
    full = conditions(2, np.ones(len(FLAGS)))
    blank = conditions(2, np.ones(len(FLAGS)) - np.eye(len(FLAGS))[0])
    made = roll(net, numbers, full, seed=3)
    assert made.shape == (2, HOPS * HOP_FRAMES, STATE)
    drawn = np.random.default_rng(3).standard_normal((HOPS, 2, HOP_FRAMES, STATE))
    for i in range(2):
        denoiser = Denoiser(Torch(net), numbers)
        hops = [denoiser.step(full[i, k], blank[i, k], drawn[k, i]) for k in range(HOPS)]
        np.testing.assert_allclose(made[i], np.concatenate(hops), atol=2e-4, rtol=1e-3)
    cold = roll(net, replace(numbers, noise=0 * noise), full, seed=3)
    assert np.abs(cold - made).max() > 1e-3


def test_without_speech_is_speech_not_given() -> None:
    full, given = conditions(3, np.ones(len(FLAGS))), np.ones(len(FLAGS))
    given[FLAGS.index("speech")] = 0
    blank = without(torch.from_numpy(full[:, 0])).numpy()
    assert blank.shape == (3, CONDITIONS)
    np.testing.assert_array_equal(blank, conditions(3, given)[:, 0])
