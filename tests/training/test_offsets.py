"""Sound and picture brought in step: which sample comes to lie beside which frame."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from talkinghead.constants import FRAME_RATE_HZ, SAMPLE_RATE_HZ, SAMPLES_PER_FRAME
from talkinghead.training.motion_data import Clip
from talkinghead.training.offsets import FILE, all_in_step, in_step

COUNT = 80


def clip(audible: bool = True) -> Clip:
    """Each frame and each sample tells its own time in ms."""
    frame_ms = 1000 * np.arange(COUNT, dtype=np.float32)[:, None] / FRAME_RATE_HZ
    sound_ms = 1000 * np.arange(COUNT * SAMPLES_PER_FRAME, dtype=np.float32) / SAMPLE_RATE_HZ
    return Clip("hq/a.mp4", "x", "hq", "train", audible, np.zeros(1), frame_ms, frame_ms, sound_ms)


@pytest.mark.parametrize("offset_ms", [0.0, 40.0, 112.5, -20.0, -25.0, -61.0])
def test_sound_that_was_late_lies_beside_its_frame(offset_ms: float) -> None:
    moved = in_step(clip(), offset_ms)
    whole = min(len(moved.z_dyn), len(moved.sound) // SAMPLES_PER_FRAME)
    apart_ms = moved.sound[: whole * SAMPLES_PER_FRAME : SAMPLES_PER_FRAME] - moved.z_dyn[:whole, 0]
    assert apart_ms == pytest.approx(offset_ms, abs=0.1)
    assert whole >= COUNT - abs(offset_ms) / 25 - 1 and len(moved.z_pose) == len(moved.z_dyn)


def test_lips_lead_and_silent_clips_stay(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(json.dumps({"hq/a.mp4": 60.0}))
    heard, silent = all_in_step([clip(), clip(audible=False)], tmp_path, lead_ms={"hq": 20.0})
    assert heard.sound[0] - heard.z_dyn[0, 0] == pytest.approx(40.0, abs=0.1)
    assert len(silent.sound) == COUNT * SAMPLES_PER_FRAME and silent.sound[0] == 0


def test_without_offsets_the_command_is_named(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="train sync"):
        all_in_step([clip()], tmp_path)
