"""Fixtures that several rooms share."""

from functools import partial
from pathlib import Path

import pytest
from fake_avatar import fake_avatar
from sounds import Sound, make_sound_file

__all__ = ["fake_avatar", "make_sound"]


@pytest.fixture
def make_sound(tmp_path: Path) -> Sound:
    """make_sound(name, pcm, rate_hz, codec, ...) -> path of a new file in tmp_path."""
    return partial(make_sound_file, tmp_path)
