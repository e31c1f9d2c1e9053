"""Our side of the data channel."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("aiortc")

from live.coded_session import FakeSession

from talkinghead.live.channel import Channel
from talkinghead.live.control import Control


class Wire:
    """An `RTCDataChannel` that keeps what is sent."""

    def __init__(self, label: str = "control") -> None:
        self.label, self.readyState, self.bufferedAmount, self.closed = label, "open", 0, False
        self.sent: list[Any] = []
        self.heard: Callable[[str], None] = lambda text: None

    def on(self, name: str, listener: Callable[[str], None]) -> None:
        assert name == "message"
        self.heard = listener

    def send(self, text: str) -> None:
        self.sent.append(json.loads(text))

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def channel() -> Channel:
    return Channel(Control(FakeSession()))


def test_only_one_channel_of_the_right_name_is_used(channel: Channel) -> None:
    other, first, second = Wire("chat"), Wire(), Wire()
    for wire in (other, first, second):
        channel.opened(wire)
    assert [wire.closed for wire in (other, first, second)] == [True, False, True]
    first.heard('{"type": "ping", "t": 1}')
    assert first.sent == [{"type": "pong", "t": 1}]


def test_a_state_is_told_when_it_changes_and_when_it_could_not_be_told_before(channel: Channel) -> None:
    channel.state("idle", 0)
    wire = Wire()
    channel.opened(wire)
    for state, generation in (("idle", 0), ("idle", 0), ("speaking", 0), ("idle", 1), ("idle", 1)):
        channel.state(state, generation)
    assert [(said["state"], said["generation"]) for said in wire.sent] == [("idle", 0), ("speaking", 0), ("idle", 1)]


def test_a_client_that_does_not_read_is_told_no_more(channel: Channel) -> None:
    wire = Wire()
    channel.opened(wire)
    wire.bufferedAmount = 1 << 20
    channel.stats(40.0, {}, 0.0, 0, 20.0)
    wire.heard('{"type": "ping", "t": 1}')
    assert not wire.sent
    wire.bufferedAmount, wire.readyState = 0, "closed"
    channel.stats(40.0, {}, 0.0, 0, 20.0)
    assert not wire.sent
