"""What tests of videos share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from offline.long_videos import LENGTH_S, RATE_HZ
from sounds import Sound, clicks

from talkinghead.offline import segments


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    (tmp_path / "photo.png").write_bytes(b"looked at by the engine only")
    return tmp_path / "photo.png"


@pytest.fixture
def short_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """A video of three seconds is long, and made in pieces of one."""
    monkeypatch.setattr(segments, "SEGMENT_S", 1)
    monkeypatch.setattr("talkinghead.offline.dub.LONG_S", 3)


@pytest.fixture
def long_sound(make_sound: Sound) -> Path:
    return make_sound("s.wav", np.tile(clicks(RATE_HZ, 2), 3)[:, : int(LENGTH_S * RATE_HZ)], RATE_HZ)
