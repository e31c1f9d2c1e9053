"""Lips as curves: modes that span them, distances that count openings, closures by their least open frame."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from talkinghead.constants import POINTS  # noqa: E402
from talkinghead.motion.latent import LIPS, LatentModel  # noqa: E402
from talkinghead.motion.rest import LIP_PAIRS  # noqa: E402
from talkinghead.runtime.weights import model_path  # noqa: E402
from talkinghead.speech.encoder import CURVES  # noqa: E402
from talkinghead.training.lip_space import UNIT_FH, LipLoss, concordance, lip_metric, lip_modes, rest_gaps  # noqa: E402


@pytest.fixture(scope="module")
def latent() -> LatentModel:
    return LatentModel.load(model_path("latent", "latent.npz"))


@pytest.fixture(scope="module")
def jaw() -> LatentModel:
    """Lips that touch at rest; mode 0 parts them by a hundredth of a face height a unit, mode 1 moves the brow."""
    mean = np.random.default_rng(0).standard_normal((POINTS, 3))
    modes = np.zeros((2, POINTS, 3))
    for above, below in LIP_PAIRS:
        mean[below] = mean[above]
        modes[0, below, 1] = UNIT_FH
    modes[1, 105, 1] = UNIT_FH
    arrays = (mean, np.zeros((1, POINTS, 3)), modes, np.full(POINTS, 1e4))
    return LatentModel(*(a.astype(np.float32) for a in arrays))


@pytest.fixture(scope="module")
def loss(jaw: LatentModel) -> LipLoss:
    return LipLoss(jaw, rest_gaps(jaw, np.zeros(1)))


def codes(opening: list[float]) -> torch.Tensor:
    """(1, n, 2) of mode 0."""
    return torch.tensor([[[value, 0.0] for value in opening]])


def test_the_metric_is_a_distance_of_points_lips_above_all(latent: LatentModel) -> None:
    z = np.random.default_rng(0).standard_normal(latent.size_dyn)
    far = np.tensordot(z, latent.basis_dyn, 1) / UNIT_FH
    size = ((z @ lip_metric(latent)) ** 2).sum()
    lips = (far[list(LIPS)] ** 2).sum(1).mean()
    everywhere = 0.15 * (far**2).sum(1).mean()
    assert lips < size < lips + 1.2 * everywhere + 0.1 * (far**2).sum(1).max()


def test_modes_span_what_lips_do(latent: LatentModel) -> None:
    rng = np.random.default_rng(0)
    z = rng.standard_normal((600, 5)) @ rng.standard_normal((5, latent.size_dyn))
    modes = lip_modes(latent, z)
    assert modes.shape == (CURVES, latent.size_dyn)
    metric = lip_metric(latent, eyes=1e-4)
    curves = np.linalg.lstsq((modes[:5] @ metric).T, (z @ metric).T, rcond=None)[0].T
    lost = np.tensordot(z - curves @ modes[:5], latent.basis_dyn[:, list(LIPS)], 1)
    assert np.abs(lost).max() < 1e-3 * np.abs(np.tensordot(z, latent.basis_dyn[:, list(LIPS)], 1)).max()
    np.testing.assert_allclose((curves**2).mean(0), 1, rtol=0.02)  # each in standard deviations
    sizes = np.linalg.norm(modes @ metric, axis=1)
    assert (np.diff(sizes) <= 1e-5 * sizes[0]).all()


def test_curves_of_ordinary_codes_keep_nearly_all_of_the_lips(latent: LatentModel) -> None:
    z = np.random.default_rng(1).standard_normal((800, latent.size_dyn))
    modes, metric = lip_modes(latent, z), lip_metric(latent, eyes=1e-4)
    curves = np.linalg.lstsq((modes @ metric).T, (z @ metric).T, rcond=None)[0].T
    real, kept = (np.tensordot(x, latent.basis_dyn[:, list(LIPS)], 1) for x in (z, curves @ modes))
    assert ((real - kept) ** 2).mean() < 0.02 * (real**2).mean()


def test_rest_gaps_are_vectors_between_the_lips(latent: LatentModel) -> None:
    gaps = rest_gaps(latent, np.zeros(latent.size_id)).reshape(len(LIP_PAIRS), 3)
    above, below = LIP_PAIRS[1]
    np.testing.assert_allclose(gaps[1], latent.mean[above] - latent.mean[below])


def test_opening_is_in_hundredths_of_a_face_height(loss: LipLoss) -> None:
    opening = loss.opening(codes([0.0, 2.0, -3.0]), torch.zeros(1, 3, 15))
    torch.testing.assert_close(opening, torch.tensor([[0.0, 2.0, 3.0]]), atol=0.02, rtol=0)
    torch.testing.assert_close(loss.gaps(codes([0.0, 2.0, -3.0])), opening)
    apart = torch.zeros(1, 3, 15)
    apart[..., 1::3] = -0.01
    torch.testing.assert_close(loss.opening(codes([0.0, 2.0, 1.0]), apart)[0], torch.tensor([1.0, 3.0, 2.0]), atol=0.02, rtol=0)


def test_the_loss_is_least_at_the_real_ones_and_minds_closures(loss: LipLoss) -> None:
    real = codes([4.0, 3.0, 0.0, 0.0, 3.0, 4.0])
    rest = torch.zeros(1, 6, 15)
    best = loss(real, real, rest)
    ajar, wide = real.clone(), real.clone()
    ajar[0, 2:4, 0] += 1
    wide[0, 4:, 0] += 1
    half = 0.5 * real
    assert best < min(loss(x, real, rest) for x in (ajar, wide, half))
    assert loss(ajar, real, rest) > loss(wide, real, rest)


def test_a_closure_counts_by_its_least_open_frame(loss: LipLoss) -> None:
    closed = torch.tensor([[False, False, True, True, True, False, False]])
    assert loss.unshut(codes([3, 3, 3, 0.2, 3, 3, 3]), closed) == 0  # one shut frame is enough
    short = torch.tensor([[False, False, True, True, False, False, False]])
    made = codes([3, 3, 2.6, 1.6, 3, 3, 3])
    assert loss.unshut(made, short).item() == pytest.approx(1.0 / 2, abs=0.02)
    assert loss.unshut(made, closed).item() == pytest.approx(1.0 / 2 + 1.0 / 2, abs=0.02)  # and the middle of a long one
    both, wide = torch.cat([short, short]), torch.cat([made, codes([0, 0, 3.6, 4.6, 0, 0, 0])])
    assert loss.unshut(wide, both).item() == pytest.approx((1.0 + 3.0) / 3, abs=0.02)  # sequences are not run together


def test_closures_are_pulled_shut_and_open_lips_are_left_alone(loss: LipLoss) -> None:
    made = codes([3, 3, 2.6, 1.6, 3, 3, 3]).requires_grad_()
    loss.unshut(made, torch.tensor([[False, False, True, True, False, False, False]])).backward()
    assert made.grad is not None
    assert made.grad[0, 3, 0] > 0
    assert not made.grad[0, [0, 1, 2, 4, 5, 6]].any()


def test_no_closure_costs_nothing(loss: LipLoss) -> None:
    assert loss.unshut(codes([3.0, 3.0, 3.0]), torch.zeros(1, 3, dtype=torch.bool)) == 0


def test_concordance_minds_shape_gain_and_mean() -> None:
    t = torch.linspace(0, 12, 200)
    real = 3 * torch.sin(t)[None]
    assert concordance(real, real).item() == pytest.approx(1, abs=0.01)
    assert concordance(-real, real).item() == pytest.approx(-1, abs=0.03)
    assert concordance(0.5 * real, real).item() == pytest.approx(0.8, abs=0.02)
    assert concordance(real + 2, real) < 0.75
    assert abs(concordance(3 * torch.sin(5.3 * t)[None], real).item()) < 0.15
    assert concordance(torch.cat([real, -real]), torch.cat([real, real])).shape == (2,)


def test_vowels_are_narrow_by_what_they_lack_of_usual(loss: LipLoss) -> None:
    vowels = torch.zeros(3, 40, dtype=torch.bool)
    vowels[:2, 10:30] = True
    vowels[2, :3] = True  # too few to tell
    opened = torch.zeros(3, 40, 2)
    opened[..., 0] = torch.tensor([10.0, 4.25, 0.0])[:, None]
    usual = torch.tensor(10.0)
    assert float(loss.narrow(opened, vowels, usual)) == pytest.approx((0.0 + 0.5 + 0.0) / 3, abs=0.01)
    opened[1, ~vowels[1], 0] = 50.0  # what is not a vowel does not count
    assert float(loss.narrow(opened, vowels, usual)) == pytest.approx(0.5 / 3, abs=0.01)


def test_lips_are_apart_by_what_they_open_where_nobody_speaks(loss: LipLoss) -> None:
    opened = torch.zeros(3, 40, 2)
    opened[..., 0] = torch.tensor([4.6, 0.5, 9.0])[:, None]
    assert float(loss.apart(opened, torch.tensor([True, True, False]))) == pytest.approx((4.0 + 0.0) / 2, abs=0.02)
    assert float(loss.apart(opened, torch.zeros(3, dtype=torch.bool))) == 0
