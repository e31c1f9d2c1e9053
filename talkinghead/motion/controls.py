"""What a user may steer while the face moves. Any field can be set at any time; the generator ramps toward it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

EMOTIONS = ("neutral", "happy", "sad", "angry", "surprised")
GAZE_LIMIT_DEG = 30.0
DISTANCE_RANGE = (0.5, 2.0)
POSE_SCALE_RANGE = (0.0, 3.0)
EMOTION_STRENGTH_RANGE = (0.0, 2.0)
BLINK_RATE_RANGE = (0.0, 3.0)


@dataclass
class Controls:
    """Live controls. Setting a field checks it at once and raises ValueError, one line that names the range.

    gaze: degrees to the picture's right and up, away from where the portrait looks; the head follows a part of the way.
    distance: of the head, 1 is the portrait's; 2 is twice as far and half as large.
    pose_scale: amount of head motion; 0 is none.
    emotion, emotion_strength: a lasting colour of the expression (`EMOTIONS`) and how much of it.
    blink_rate: blinks as a multiple of the natural rate; 0 is none.
    """

    gaze: tuple[float, float] = (0.0, 0.0)
    distance: float = 1.0
    pose_scale: float = 1.0
    emotion: str = "neutral"
    emotion_strength: float = 1.0
    blink_rate: float = 1.0

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, _checked(name, value))


def _checked(name: str, value: Any) -> Any:
    if name == "gaze":
        try:
            right, up = (_number("gaze", v, (-GAZE_LIMIT_DEG, GAZE_LIMIT_DEG)) for v in value)
        except TypeError:
            raise ValueError(f"gaze must be two numbers of degrees, not {value!r}") from None
        return right, up
    if name == "emotion":
        if value not in EMOTIONS:
            raise ValueError(f"no emotion {value!r}: choose one of {', '.join(EMOTIONS)}")
        return value
    ranges = {
        "distance": DISTANCE_RANGE,
        "pose_scale": POSE_SCALE_RANGE,
        "emotion_strength": EMOTION_STRENGTH_RANGE,
        "blink_rate": BLINK_RATE_RANGE,
    }
    if name not in ranges:
        raise AttributeError(f"no control {name!r}: there are gaze, distance, pose_scale, emotion, emotion_strength, blink_rate")
    return _number(name, value, ranges[name])


def _number(name: str, value: Any, allowed: tuple[float, float]) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be a number from {allowed[0]:g} to {allowed[1]:g}, not {value!r}") from None
    if not (math.isfinite(number) and allowed[0] <= number <= allowed[1]):
        raise ValueError(f"{name} must be from {allowed[0]:g} to {allowed[1]:g}, not {number:g}")
    return number
