"""The data channel "control": a client's JSON messages become calls of the session, and the session tells how it is."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from typing import Any, Protocol

from talkinghead.errors import TalkingHeadError
from talkinghead.motion.controls import Controls

LABEL = "control"
MAX_MESSAGE_CHARACTERS = 4_096
MESSAGES_A_SECOND = 60
BURST = 120
_FIELDS = ("gaze", "distance", "pose_scale", "emotion", "emotion_strength", "blink_rate")
_ERRORS_APART_S = 1.0
_MAX_ECHO = 64


class Directed(Protocol):
    """What messages do to a `LiveSession`."""

    def set_controls(self, **fields: Any) -> None: ...
    def interrupt(self) -> int: ...
    def end_of_speech(self) -> None: ...


class _Refused(ValueError):
    """A message that does nothing; says why in one line."""


class Control:
    """One client's channel. A message that is not understood changes nothing and is answered with an error.

    Messages beyond `MESSAGES_A_SECOND` (a burst of `BURST` is fine) are dropped; the client is told at most once a second.
    """

    def __init__(
        self,
        session: Directed,
        listen: Callable[[bool, bool], None] = lambda on, barge_in: None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """listen: told whether the client's sound is the other party's from now on, and not to be spoken, and whether they may
        interrupt by speaking; now: seconds."""
        self._session, self._listen, self._now = session, listen, now
        self._allowed, self._counted_s = float(BURST), now()
        self._complained_s = float("-inf")
        self._actions: dict[str, Callable[[dict[str, Any]], dict[str, Any] | None]] = {
            "controls": self._controls,
            "interrupt": self._interrupt,
            "listen": self._listening,
            "end_of_speech": self._end_of_speech,
            "ping": self._ping,
        }

    def receive(self, message: str | bytes) -> str | None:
        """Does what a message says; returns the reply (JSON), if there is one."""
        if not self._in_time():
            return None if self._complained() else _error(f"too many messages: send at most {MESSAGES_A_SECOND} a second")
        try:
            fields = _read(message)
            action = self._actions.get(fields.pop("type"))
            if action is None:
                raise _Refused(f"no such message: there are {', '.join(self._actions)}")
            reply = action(fields)
        except (_Refused, TalkingHeadError) as refused:
            return _error(str(refused))
        return None if reply is None else json.dumps(reply)

    def _in_time(self) -> bool:
        now_s = self._now()
        self._allowed = min(BURST, self._allowed + (now_s - self._counted_s) * MESSAGES_A_SECOND)
        self._counted_s = now_s
        if self._allowed < 1:
            return False
        self._allowed -= 1
        return True

    def _complained(self) -> bool:
        lately = self._counted_s - self._complained_s < _ERRORS_APART_S
        if not lately:
            self._complained_s = self._counted_s
        return lately

    def _controls(self, fields: dict[str, Any]) -> None:
        unknown = [name for name in fields if name not in _FIELDS]
        if unknown or not fields:
            raise _Refused(f"controls are {', '.join(_FIELDS)}")
        for name, value in fields.items():
            _check_type(name, value)
        try:
            Controls(**fields)  # all of them, before one of them takes effect
        except ValueError as error:
            raise _Refused(str(error)) from None
        self._session.set_controls(**{name: tuple(value) if name == "gaze" else value for name, value in fields.items()})

    def _interrupt(self, fields: dict[str, Any]) -> None:
        self._session.interrupt()

    def _listening(self, fields: dict[str, Any]) -> None:
        on, barge_in = fields.get("on"), fields.get("barge_in", False)
        if not isinstance(on, bool) or not isinstance(barge_in, bool):
            raise _Refused('listen needs "on": true or false, and takes "barge_in": true or false')
        self._listen(on, barge_in)

    def _end_of_speech(self, fields: dict[str, Any]) -> None:
        self._session.end_of_speech()

    def _ping(self, fields: dict[str, Any]) -> dict[str, Any]:
        mark = fields.get("t")
        if not (mark is None or _is_number(mark) or (isinstance(mark, str) and len(mark) <= _MAX_ECHO)):
            raise _Refused('"t" of a ping must be a number or a short text')
        return {"type": "pong", "t": mark}


def state_message(state: str, generation: int) -> str:
    """What the avatar does now: "speaking", "idle" or "listening", and the generation of its sound."""
    return json.dumps({"type": "state", "state": state, "generation": generation})


def stats_message(fps: float, latency_ms: dict[str, float], queued_s: float, level: int, video_delay_ms: float) -> str:
    """The last second: pictures sent, median time by stage, sound that waits to be spoken, the ladder's level. video_delay_ms: by
    how much a browser's estimates put pictures too late (`sender.VIDEO_DELAY_MS`)."""
    stages = {name: round(value, 1) for name, value in latency_ms.items()}
    figures = {"fps": round(fps, 1), "latency_ms": stages, "queued_s": round(queued_s, 3), "level": level}
    return json.dumps({"type": "stats", **figures, "video_delay_ms": video_delay_ms})


def _error(message: str) -> str:
    return json.dumps({"type": "error", "message": message})


def _read(message: str | bytes) -> dict[str, Any]:
    if not isinstance(message, str) or len(message) > MAX_MESSAGE_CHARACTERS:
        raise _Refused(f"a message is text of at most {MAX_MESSAGE_CHARACTERS} characters")
    try:
        fields = json.loads(message, parse_int=float)  # an integer of 4000 digits is infinite, and refused as such
    except (ValueError, RecursionError):
        raise _Refused("this is not JSON") from None
    if not isinstance(fields, dict) or not isinstance(fields.get("type"), str):
        raise _Refused('a message is a JSON object with a "type"')
    return fields


def _check_type(name: str, value: Any) -> None:
    """JSON's types are no Python values yet: true is no number here, "5" neither."""
    if name == "emotion":
        fine = isinstance(value, str)
    elif name == "gaze":
        fine = isinstance(value, list) and len(value) == 2 and all(_is_number(v) for v in value)
    else:
        fine = _is_number(value)
    if not fine:
        kind = "text" if name == "emotion" else "two numbers of degrees" if name == "gaze" else "a number"
        raise _Refused(f"{name} must be {kind}")


def _is_number(value: Any) -> bool:
    return isinstance(value, float) and math.isfinite(value)
