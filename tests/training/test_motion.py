"""Training of the motion network: noising, the loss, and the numbers that go with the weights."""

from __future__ import annotations

import numpy as np
import pytest
from fake_engines import UNIT, opener

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from talkinghead.motion.denoiser import DYNAMICS, HOP_FRAMES, HOP_SIZE, STATE  # noqa: E402
from talkinghead.motion.latent import LIPS, POSE_SIZE, LatentModel  # noqa: E402
from talkinghead.runtime.weights import model_path  # noqa: E402
from talkinghead.training.lip_space import lip_modes  # noqa: E402
from talkinghead.training.motion import PREDICTS, lips_share, loss_of, noise_of, noised  # noqa: E402
from talkinghead.training.motion_bank import Scales  # noqa: E402


@pytest.fixture(scope="module")
def latent() -> LatentModel:
    return LatentModel.load(model_path("latent", "latent.npz"))


@pytest.fixture(scope="module")
def scales() -> Scales:
    return Scales(np.ones(STATE, np.float32), np.tile(UNIT, (HOP_FRAMES, 1)))


@pytest.fixture(scope="module")
def lips(latent: LatentModel) -> np.ndarray:
    return lips_share(latent, lip_modes(latent, np.random.default_rng(0).standard_normal((900, DYNAMICS))))


def test_noise_is_laid_on_a_straight_line() -> None:
    torch.manual_seed(0)
    y = torch.randn(40, 30, HOP_SIZE)
    at, noise, t = noised(y)
    assert t.shape == (40, 30, 1) and t.min() > 0 and t.max() == 1
    torch.testing.assert_close(at, (1 - t) * y + t * noise)
    assert 0.2 < (t == 1).float().mean() < 0.4  # where generation begins
    assert noise.std() == pytest.approx(1, abs=0.01) and noise.mean() == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("predicts", PREDICTS)
def test_the_loss_is_nought_for_who_knows_and_minds_lips_most(latent: LatentModel, scales: Scales, predicts: str) -> None:
    torch.manual_seed(0)
    of, y = loss_of(scales, latent, predicts), torch.randn(2, 4, HOP_SIZE)
    nothing = {"last": torch.zeros(2, 4, STATE), "conditions": torch.zeros(2, 4, 1), "forget": torch.zeros(2, dtype=torch.bool)}
    batch = [{"change": y, "y": y, **nothing}]

    def loss(off: np.ndarray) -> float:
        torch.manual_seed(1)  # the same levels
        far = torch.from_numpy(np.tile(off, HOP_FRAMES)).float()
        return float(of(lambda *inputs: y + far, batch))  # type: ignore[arg-type]

    towards = np.concatenate([np.zeros(POSE_SIZE), opener(latent)])
    towards /= np.linalg.norm(towards)
    quietest = np.argmin((latent.basis_dyn[:, list(LIPS)] ** 2).sum((1, 2)))
    assert loss(np.zeros(STATE)) == 0
    assert loss(towards) > 1.3 * loss(np.eye(STATE)[POSE_SIZE + quietest]) > 0
    assert 2 < loss(2 * towards) / loss(towards) < 4.1


def test_lips_are_taken_out_and_nothing_else(latent: LatentModel, lips: np.ndarray) -> None:
    np.testing.assert_allclose(lips @ lips, lips, atol=1e-3)
    assert np.linalg.matrix_rank(lips, tol=1e-2) == 16
    z = np.random.default_rng(1).standard_normal((50, DYNAMICS))

    def moved(x: np.ndarray, points: list[int]) -> float:
        return float(np.square(np.tensordot(x, latent.basis_dyn[:, points], 1)).mean())

    rest, upper = z - z @ lips.T, [105, 334, 9, 468, 473, 159, 386]
    assert moved(rest, list(LIPS)) < 0.03 * moved(z, list(LIPS))
    assert moved(rest, upper) > 0.3 * moved(z, upper)


def test_noise_has_the_temperature_of_lips_face_and_head(latent: LatentModel, scales: Scales, lips: np.ndarray) -> None:
    np.testing.assert_allclose(noise_of(scales, lips, (1.0, 1.0, 1.0)), np.eye(STATE), atol=1e-5)
    matrix = noise_of(scales, lips, (0.4, 0.9, 1.6))
    np.testing.assert_allclose(matrix[:POSE_SIZE], 1.6 * np.eye(STATE)[:POSE_SIZE], atol=1e-6)
    z = np.random.default_rng(0).standard_normal(DYNAMICS)
    share = lips @ z
    for part, temperature in ((share, 0.4), (z - share, 0.9)):
        unit = np.concatenate([np.zeros(POSE_SIZE), part])
        np.testing.assert_allclose(matrix @ (unit / UNIT) * UNIT, temperature * unit, atol=1e-3)
