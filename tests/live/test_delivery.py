"""Accounts of one peer's frames."""

import pytest

pytest.importorskip("aiortc")

from talkinghead.live.delivery import Delivery
from talkinghead.live.times import FrameTimes


def _deliver(times: FrameTimes, *packets: tuple[int, float]) -> tuple[Delivery, dict[str, float]]:
    told: dict[str, float] = {}
    delivery = Delivery(told.__setitem__, lambda: 2.0)
    for pts, sent_s in packets:
        delivery.packet_sent(pts, sent_s)
    delivery.picture_sent(10, times, 1.180, 1.190)
    return delivery, told


def test_stages_add_up_to_the_way_from_sound_to_network() -> None:
    times = FrameTimes(heard=1.0, features=1.080, motion=1.130, drawn=1.150)
    delivery, told = _deliver(times)
    assert (times.encoded, times.sent) == (1.180, 1.190)
    stages = delivery.latency_ms()
    assert {name: round(ms) for name, ms in stages.items()} == {
        "features": 80,
        "motion": 50,
        "drawn": 20,
        "encoded": 30,
        "sent": 10,
    }
    assert sum(stages.values()) == pytest.approx(told["total_ms"])
    assert (round(told["encode_ms"]), round(told["send_ms"])) == (30, 10)
    assert delivery.fps == 1.0


def test_silence_was_not_heard_and_has_no_total() -> None:
    delivery, told = _deliver(FrameTimes(motion=1.130, drawn=1.150))
    assert "total_ms" not in told
    assert set(delivery.latency_ms()) == {"drawn", "encoded", "sent"}


def test_skew_is_how_long_before_the_picture_its_sound_left() -> None:
    _, told = _deliver(FrameTimes(drawn=1.15), (11520, 1.10), (12000, 1.16), (12480, 1.30))
    assert told["skew_ms"] == pytest.approx(30)  # frame 10 begins with sample 12000


def test_without_sound_there_is_no_skew() -> None:
    assert "skew_ms" not in _deliver(FrameTimes(drawn=1.15), (0, 1.0))[1]


def test_drops_are_passed_on() -> None:
    told: dict[str, float] = {}
    Delivery(told.__setitem__).dropped("drop_sound", 0.04)
    assert told == {"drop_sound": 0.04}
