"""Messages on the data channel: what they do, and that bad ones do nothing."""

import json
from typing import Any

import pytest
from live.coded_session import FakeSession

from talkinghead.live.control import BURST, MAX_MESSAGE_CHARACTERS, MESSAGES_A_SECOND, Control, state_message, stats_message

CONTROLS = {
    "gaze": [5, -3],
    "distance": 1.2,
    "pose_scale": 0.5,
    "emotion": "happy",
    "emotion_strength": 0.7,
    "blink_rate": 2,
}


class Rig:
    def __init__(self) -> None:
        self.session, self.now, self.listened = FakeSession(), 0.0, list[tuple[bool, bool]]()
        self.control = Control(self.session, lambda *told: self.listened.append(told), lambda: self.now)

    def send(self, message: Any) -> Any:
        reply = self.control.receive(message if isinstance(message, str | bytes) else json.dumps(message))
        return None if reply is None else json.loads(reply)

    @property
    def untouched(self) -> bool:
        return not self.session.calls and not self.listened


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_controls_reach_the_session_together(rig: Rig) -> None:
    assert rig.send({"type": "controls", **CONTROLS}) is None
    assert rig.session.calls == [("set_controls", {**CONTROLS, "gaze": (5.0, -3.0)})]


def test_commands_reach_the_session(rig: Rig) -> None:
    for message in ({"type": "interrupt"}, {"type": "end_of_speech"}, {"type": "listen", "on": True}):
        assert rig.send(message) is None
    assert rig.session.calls == [("interrupt",), ("end_of_speech",)]
    assert rig.listened == [(True, False)]
    assert rig.control.receive(json.dumps({"type": "listen", "on": True, "barge_in": True})) is None
    assert rig.listened[1] == (True, True)


@pytest.mark.parametrize("mark", [17, 17.25, "a", None])
def test_a_ping_is_answered_with_its_mark(rig: Rig, mark: object) -> None:
    assert rig.send({"type": "ping", "t": mark}) == {"type": "pong", "t": mark}


@pytest.mark.parametrize(
    "message",
    [
        "",
        "{",
        "[]",
        "1",
        "null",
        '"interrupt"',
        "{}",
        '{"type": 1}',
        '{"type": ["interrupt"]}',
        '{"type": "no such"}',
        '{"type": "receive"}',
        b'{"type": "interrupt"}',
        "[" * 4000,
        '{"type": "interrupt", "x": "' + "y" * MAX_MESSAGE_CHARACTERS + '"}',
        {"type": "listen"},
        {"type": "listen", "on": 1},
        {"type": "listen", "on": True, "barge_in": 1},
        {"type": "listen", "on": "true"},
        {"type": "controls"},
        {"type": "controls", "seed": 3},
        {"type": "controls", "distance": 1, "__class__": 1},
        {"type": "controls", "distance": True},
        {"type": "controls", "distance": "1"},
        {"type": "controls", "distance": None},
        {"type": "controls", "distance": 99},
        '{"type": "controls", "distance": NaN}',
        '{"type": "controls", "distance": 1e999}',
        '{"type": "controls", "distance": ' + "9" * 4000 + "}",
        {"type": "controls", "gaze": 5},
        {"type": "controls", "gaze": [1]},
        {"type": "controls", "gaze": [1, 2, 3]},
        {"type": "controls", "gaze": {"0": 1, "1": 2}},
        {"type": "controls", "gaze": "12"},
        {"type": "controls", "emotion": "hungry"},
        {"type": "controls", "emotion": 0},
        {"type": "controls", "blink_rate": 1, "distance": 99},
        {"type": "ping", "t": {}},
        {"type": "ping", "t": "x" * 65},
        '{"type": "ping", "t": Infinity}',
    ],
)
def test_a_bad_message_is_an_error_and_nothing_else(rig: Rig, message: object) -> None:
    reply = rig.send(message)
    assert reply["type"] == "error" and reply["message"] and "\n" not in reply["message"]
    assert rig.untouched


def test_too_many_messages_are_dropped_and_told_of_once_a_second(rig: Rig) -> None:
    replies = [rig.send({"type": "interrupt"}) for _ in range(BURST + 50)]
    assert len(rig.session.calls) == BURST
    assert [reply["type"] for reply in replies if reply] == ["error"]
    rig.now += 1.0
    replies = [rig.send({"type": "interrupt"}) for _ in range(BURST)]
    assert len(rig.session.calls) == BURST + MESSAGES_A_SECOND
    assert len([reply for reply in replies if reply]) == 1


def test_the_pace_that_is_allowed_can_be_kept_up(rig: Rig) -> None:
    for _ in range(1000):
        assert rig.send({"type": "interrupt"}) is None
        rig.now += 1.001 / MESSAGES_A_SECOND
    assert len(rig.session.calls) == 1000


def test_messages_of_ours_have_the_agreed_form() -> None:
    assert json.loads(state_message("speaking", 3)) == {"type": "state", "state": "speaking", "generation": 3}
    assert json.loads(stats_message(39.96, {"drawn": 14.234}, 1.23456, 1, 20.0)) == {
        "type": "stats",
        "fps": 40.0,
        "latency_ms": {"drawn": 14.2},
        "queued_s": 1.235,
        "level": 1,
        "video_delay_ms": 20.0,
    }
