"""What tests of the HTTP interface share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from live.fake_calls import Engine

    from talkinghead.live.server import ServeOptions


@pytest.fixture
def engine() -> Engine:
    from live.fake_calls import Engine  # needs the live extra

    return Engine()


@pytest.fixture
def own(tmp_path: Path) -> ServeOptions:
    """A server with a portrait of its own."""
    from talkinghead.live.server import ServeOptions

    return ServeOptions(portrait=tmp_path / "own.jpg")
