"""Frames reach threads and tasks in order; a slow consumer loses the oldest; what was interrupted never arrives."""

from __future__ import annotations

import asyncio
import threading

import numpy as np
import pytest

from talkinghead.live.outlet import OUTLET_FRAMES, LiveFrame, Outlet
from talkinghead.live.times import FrameTimes

GENEROUS_S = 20.0


def frame(index: int, generation: int = 0) -> LiveFrame:
    return LiveFrame(index, None, np.zeros(400), np.zeros(1200), generation, "idle", FrameTimes())


def outlet(wanted: list[int] | None = None, dropped: list[int] | None = None) -> Outlet:
    lost = [] if dropped is None else dropped
    return Outlet(lambda: wanted[0] if wanted else 0, lambda: lost.append(1))


def index_of(got: LiveFrame | None) -> int | None:
    return None if got is None else got.index


def test_a_slow_consumer_loses_the_oldest() -> None:
    lost: list[int] = []
    slow = outlet(dropped=lost)
    for index in range(OUTLET_FRAMES + 3):
        slow.put(frame(index))
    assert [index_of(slow.get(0)) for _ in range(OUTLET_FRAMES)] == list(range(3, OUTLET_FRAMES + 3))
    assert len(lost) == 3
    with pytest.raises(TimeoutError):
        slow.get(0)


def test_frames_interrupted_while_they_wait_are_dropped() -> None:
    wanted = [0]
    out = outlet(wanted)
    out.put(frame(0))
    out.put(frame(1))
    wanted[0] = 1
    out.put(frame(2, generation=1))
    assert index_of(out.get(0)) == 2


def test_consumers_have_their_own_times() -> None:
    one, two, shared = outlet(), outlet(), frame(0)
    one.put(shared)
    two.put(shared)
    first = one.get(0)
    assert first is not None
    first.times.sent = 5.0
    second = two.get(0)
    assert second is not None
    assert second.times.sent == 0.0


def test_a_thread_that_waits_gets_the_frame_and_the_end() -> None:
    out, taken = outlet(), threading.Event()
    got: list[int | None] = []

    def consume() -> None:
        got.append(index_of(out.get(GENEROUS_S)))
        taken.set()
        got.append(index_of(out.get(GENEROUS_S)))

    thread = threading.Thread(target=consume)
    thread.start()
    out.put(frame(7))
    assert taken.wait(GENEROUS_S)
    out.close()
    thread.join(GENEROUS_S)
    assert got == [7, None]


def test_a_task_that_waits_gets_frames_from_a_thread_and_the_end() -> None:
    async def call() -> list[int]:
        out = outlet()
        loop = asyncio.get_running_loop()
        got: list[int] = []

        async def consume() -> None:
            async for one in out:
                got.append(one.index)
                if one.index == 4:
                    loop.run_in_executor(None, out.close)

        task = asyncio.create_task(consume())
        for index in range(5):
            await loop.run_in_executor(None, out.put, frame(index))
        await asyncio.wait_for(task, GENEROUS_S)
        return got

    assert asyncio.run(call()) == list(range(5))


def test_a_wait_may_be_cancelled_and_taken_up_again() -> None:
    async def call() -> int | None:
        out = outlet()
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(out.next(), 0.01)
        out.put(frame(1))
        return index_of(await asyncio.wait_for(out.next(), GENEROUS_S))

    assert asyncio.run(call()) == 1


def test_a_consumer_whose_loop_is_gone_does_no_harm() -> None:
    out = outlet()
    loop = asyncio.new_event_loop()
    waiting = loop.create_task(out.next())
    loop.run_until_complete(asyncio.sleep(0))
    left = out._waiter
    waiting.cancel()
    loop.run_until_complete(asyncio.gather(waiting, return_exceptions=True))
    loop.close()
    out._waiter = left  # as if the loop had died in the middle of the wait
    out.put(frame(0))
    assert index_of(out.get(0)) == 0


def test_the_end_comes_once_and_for_good() -> None:
    told: list[Outlet] = []
    out = Outlet(lambda: 0, lambda: None, told.append)
    out.put(frame(0))
    out.close()
    out.close()
    out.put(frame(1))
    assert out.ended
    assert out.get(0) is None
    assert told == [out]
