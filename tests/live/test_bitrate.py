"""Which estimates of a receiver count, and how the target follows them."""

import pytest

from talkinghead.live.bitrate import DOWN_AFTER_S, FLOOR_BPS, UP_AFTER_S, BitrateControl

LIMIT = 2_500_000


class Stream:
    """40 frames a second of a given rate, and an estimate each second."""

    def __init__(self) -> None:
        self.control, self.now_s = BitrateControl(LIMIT), 0.0
        self.changes: list[tuple[float, int]] = []

    def run(self, seconds: float, *, sent_bps: float | None, estimate_bps: float) -> int:
        """sent_bps None: as much as the target."""
        before = self.control.target_bps
        for k in range(round(seconds * 40)):
            if k % 40 == 0:
                self.control.estimate(round(estimate_bps))
            target = self.control.step(self.now_s)
            if target != before:
                self.changes.append((self.now_s, target))
                before = target
            self.control.sent(round((target if sent_bps is None else sent_bps) / 320), self.now_s)
            self.now_s += 0.025
        return before


@pytest.fixture
def stream() -> Stream:
    return Stream()


def test_without_estimates_the_set_rate_is_held(stream: Stream) -> None:
    assert [stream.control.step(s) for s in range(100)] == [LIMIT] * 100


def test_a_small_stream_that_all_arrives_is_no_congestion(stream: Stream) -> None:
    assert stream.run(30, sent_bps=400_000, estimate_bps=600_000) == LIMIT


def test_estimates_above_the_target_change_nothing(stream: Stream) -> None:
    assert stream.run(30, sent_bps=None, estimate_bps=9_000_000) == LIMIT
    assert not stream.changes


def test_congestion_is_followed_in_a_few_large_steps(stream: Stream) -> None:
    stream.run(2, sent_bps=None, estimate_bps=9_000_000)
    assert stream.run(20, sent_bps=None, estimate_bps=1_000_000) == 900_000
    assert len(stream.changes) <= 2
    times, targets = zip(*stream.changes, strict=True)
    assert all(b - a >= DOWN_AFTER_S for a, b in zip(times, times[1:], strict=False))
    assert all(b <= 0.75 * a for a, b in zip((LIMIT, *targets), targets, strict=False))


def test_never_below_the_floor(stream: Stream) -> None:
    stream.run(1, sent_bps=None, estimate_bps=9_000_000)
    assert stream.run(60, sent_bps=None, estimate_bps=10_000) == FLOOR_BPS


def test_a_limit_below_the_floor_is_the_floor(stream: Stream) -> None:
    stream.control.set_limit(200_000)
    assert stream.run(60, sent_bps=None, estimate_bps=1_000) == 200_000


def test_the_way_back_up_is_slow_and_ends_at_the_limit(stream: Stream) -> None:
    stream.run(10, sent_bps=None, estimate_bps=1_000_000)
    stream.changes.clear()
    assert stream.run(60, sent_bps=None, estimate_bps=9_000_000) == LIMIT
    times, targets = zip(*stream.changes, strict=True)
    assert all(b - a >= UP_AFTER_S for a, b in zip(times, times[1:], strict=False))
    assert all(b <= 1.26 * a for a, b in zip((900_000, *targets), targets, strict=False))


def test_no_step_for_an_estimate_that_wavers_near_the_target(stream: Stream) -> None:
    for k in range(60):
        stream.run(1, sent_bps=None, estimate_bps=LIMIT * (0.95 if k % 2 else 1.2))
    assert not stream.changes
