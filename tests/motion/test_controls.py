"""Controls check themselves, whenever a field is set."""

from __future__ import annotations

from typing import Any

import pytest

from talkinghead.motion.controls import EMOTIONS, Controls


def test_neutral_by_default_and_numbers_are_taken_as_floats() -> None:
    controls = Controls((5, -2), 1, 2)
    assert (controls.gaze, controls.distance, controls.pose_scale) == ((5.0, -2.0), 1.0, 2.0)
    assert (controls.emotion, controls.emotion_strength) == ("neutral", 1.0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("gaze", (31, 0)),
        ("gaze", (0, float("nan"))),
        ("gaze", 3),
        ("gaze", (1, 2, 3)),
        ("distance", 0.1),
        ("distance", "far"),
        ("pose_scale", -1),
        ("emotion", "bored"),
        ("emotion_strength", 2.5),
        ("blink_rate", float("inf")),
    ],
)
def test_what_is_out_of_range_is_one_line_and_changes_nothing(name: str, value: Any) -> None:
    controls = Controls()
    with pytest.raises(ValueError, match=".") as caught:
        setattr(controls, name, value)
    assert "\n" not in str(caught.value)
    assert controls == Controls()


def test_unknown_emotion_lists_those_there_are() -> None:
    with pytest.raises(ValueError, match=", ".join(EMOTIONS)):
        Controls(emotion="bored")


def test_a_misspelt_control_is_told() -> None:
    with pytest.raises(AttributeError, match="no control 'gase'"):
        Controls().gase = (0, 0)  # type: ignore[attr-defined]
