"""One decoder for all tests of this folder: it takes a tenth of a second to make."""

from __future__ import annotations

import numpy as np
import pytest
import synthetic_face as synthetic

from talkinghead.render.warp import WarpDecoder


@pytest.fixture(scope="session")
def canonical() -> np.ndarray:
    return synthetic.canonical_face()


@pytest.fixture(scope="session")
def photo(canonical: np.ndarray) -> np.ndarray:
    return synthetic.picture(canonical)


@pytest.fixture(scope="session")
def decoder(photo: np.ndarray, canonical: np.ndarray) -> WarpDecoder:
    return WarpDecoder(photo, synthetic.pose().apply(canonical), synthetic.pose(), canonical)
