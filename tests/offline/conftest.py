"""What tests of videos share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    (tmp_path / "photo.png").write_bytes(b"looked at by the engine only")
    return tmp_path / "photo.png"
