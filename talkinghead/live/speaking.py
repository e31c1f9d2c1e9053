"""Sound and text that wait to be spoken, fed to a session no faster than it takes them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator

import numpy as np

from talkinghead.live.guard import Refusal
from talkinghead.live.store import Entry

log = logging.getLogger("talkinghead.live")

MAX_WAITING = 4
"""Utterances of one session that may wait; a further one is refused."""
_PIECE_S = 1.0
_FULL_S = 0.25
"""A full queue is asked again after this."""


def speak(entry: Entry, sound: Iterator[np.ndarray], rate_hz: int, done: Callable[[], None] = lambda: None) -> None:
    """Let a session speak ``sound``, mono float32 pieces, after what waits already; returns at once. ``done`` is called at the
    end, however it comes: spoken, interrupted, session closed. What an interruption finds waiting is never spoken."""
    task = asyncio.ensure_future(_speak(entry, sound, rate_hz, entry.session.generation))
    entry.speaking.add(task)

    def ended(task: asyncio.Task[None]) -> None:
        entry.speaking.discard(task)
        done()
        if not task.cancelled() and task.exception() is not None:
            log.warning("session %s: sound broke off: %s", entry.shown, task.exception())

    task.add_done_callback(ended)


def check_turn(entry: Entry) -> None:
    """Refusal 429 where too much waits already."""
    if len(entry.speaking) >= MAX_WAITING:
        raise Refusal(429, f"{MAX_WAITING} utterances wait already: wait, or interrupt", Retry_After="5")


async def _speak(entry: Entry, sound: Iterator[np.ndarray], rate_hz: int, generation: int) -> None:
    loop, session = asyncio.get_running_loop(), entry.session
    async with entry.turn:
        while (piece := await loop.run_in_executor(None, _next_piece, sound, int(_PIECE_S * rate_hz))).size:
            while not session.push_audio(piece, rate_hz, generation=generation):
                if session.generation != generation:
                    return
                await asyncio.sleep(_FULL_S)
        if session.generation == generation:
            session.end_of_speech()


def _next_piece(sound: Iterator[np.ndarray], samples: int) -> np.ndarray:
    """About so many samples, float32; none at the end."""
    pieces: list[np.ndarray] = []
    while sum(map(len, pieces)) < samples and (piece := next(sound, None)) is not None:
        pieces.append(piece)
    return np.concatenate(pieces) if pieces else np.zeros(0, np.float32)
