"""Voice activity of whole recordings."""

from __future__ import annotations

import numpy as np
import pytest
from sounds import babble

from talkinghead.speech.activity import voices


@pytest.mark.parametrize("rate", [16_000, 48_000])
@pytest.mark.parametrize("whole", [True, False])
def test_voice_is_where_it_is_spoken(rate: int, whole: bool) -> None:
    voice = babble(2.0)
    sound = np.concatenate([np.zeros(16_000, np.float32), voice, np.zeros(16_000, np.float32)])
    sound = np.repeat(sound, rate // 16_000)
    blocks = [(32767 * sound).astype(np.int16)] if whole else np.array_split(sound, 37)
    found = np.array(list(voices(blocks, rate)))
    assert len(found) == pytest.approx(160, abs=1)
    assert found[:38].max() == 0 and found[125:].max() < 0.1
    assert found[44:116].mean() > 0.5


def test_no_sound_has_no_voice() -> None:
    assert not any(voices([]))
