"""Detail added in torch is that added by NumPy and OpenCV."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from talkinghead.render.detail import detailed  # noqa: E402
from talkinghead.render.device.refine import _detailed  # noqa: E402


def test_it_is_that_of_the_other_decoder() -> None:
    rng, gains = np.random.default_rng(0), (0.7, -0.4, 0.0)
    seen = rng.uniform(0, 1, (3, 2, 5, 32, 40)).astype(np.float32)
    change = np.zeros((3, 2, 3, 32, 40), np.float32)
    change[..., 8:24, 8:30] = 0.03 * rng.standard_normal((3, 2, 3, 16, 22))
    rows = torch.tensor(gains, dtype=torch.float32)[:, None]
    made = _detailed(torch.from_numpy(seen[:, :, :3]), torch.from_numpy(change), rows).numpy()
    for row, gain in enumerate(gains):
        for k in (0, 1):
            expected = detailed(seen[row, k], change[row, k].transpose(1, 2, 0), gain)
            np.testing.assert_allclose(made[row, k].transpose(1, 2, 0), expected, atol=1e-5)
    assert np.abs(made - change)[0].max() > 0.01 and not np.abs(made - change)[2].any()
