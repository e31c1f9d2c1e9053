import numpy as np
import pytest

from talkinghead.constants import FRAME_RATE_HZ
from talkinghead.motion.articulation import LARGEST_GAIN, USUAL_SD_FH, Articulation


def _speech(sd_fh: float, seconds: float = 12.0) -> np.ndarray:
    course = np.abs(np.random.default_rng(0).standard_normal(int(seconds * FRAME_RATE_HZ)))
    return course / course.std() * sd_fh


def _gains(course: np.ndarray, gate: float = 1.0, one: Articulation | None = None) -> np.ndarray:
    one = one or Articulation()
    return np.array([one.gain(float(x), gate) for x in course])


def test_timid_lips_are_brought_to_usual_width_and_clear_ones_left() -> None:
    timid, clear = _gains(_speech(0.7 * USUAL_SD_FH)), _gains(_speech(1.3 * USUAL_SD_FH))
    assert timid[0] < 1.05
    assert timid[-200:].mean() * 0.7 == pytest.approx(1.0, abs=0.12)
    assert clear[-200:].max() == 1.0


def test_gain_is_bounded_and_slow() -> None:
    gains = _gains(_speech(0.05 * USUAL_SD_FH, 60))
    assert gains.max() == LARGEST_GAIN
    assert np.abs(np.diff(gains)).max() < 0.05


def test_silence_teaches_nothing_and_reset_forgets() -> None:
    one = Articulation()
    before = _gains(_speech(0.5 * USUAL_SD_FH), one=one)[-1]
    silent = _gains(np.zeros(4000), gate=0.0, one=one)
    assert silent[-1] == pytest.approx(before, rel=0.05) and np.ptp(silent) == 0
    one.reset()
    assert one.gain(0.0, 0.0) == 1.0
