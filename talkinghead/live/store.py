"""Calls by id: who is let in, when a call is over, and that nothing of it stays behind."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import hmac
import logging
import secrets
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from talkinghead.errors import TalkingHeadError
from talkinghead.live.parts import MakePeer, Observer, OpenSession, PeerLike, SessionLike
from talkinghead.live.tally import Tally
from talkinghead.offline.consent import Consent

log = logging.getLogger("talkinghead.live")

EXPIRE_S = 60.0
"""A session without a peer is closed after this."""
RETRY_AFTER_S = 10
MAX_PEERS = 4
"""Peers of one session (a viewer by WHEP, sound by WHIP): each costs an encoder."""
OVERLOADED_LEVEL = 2
"""From this step of a session's ladder on, no further session is let in."""
ANSWER_S = 20.0
_SHOWN = 6  # characters of an id in a log


class Full(TalkingHeadError):
    """No room for another session now; ``reason`` is "full", "overload" or "closing"."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class NoSession(TalkingHeadError):
    """There is no such session, or no longer."""


class BadToken(TalkingHeadError):
    """The token is missing or not this session's."""


class TooManyPeers(TalkingHeadError):
    """The session has `MAX_PEERS` already."""


@dataclass
class Joined:
    """A peer of a session, numbered in the order of joining. While its offer is answered, `answer` sees to its end."""

    number: int
    peer: PeerLike
    answering: bool = True
    gone: bool = False


@dataclass(eq=False)
class Entry:
    """A session in the store. ``own``: it was made for one peer and ends with it."""

    id: str
    token: str
    session: SessionLike
    notes: tuple[str, ...]
    tally: Tally
    own: bool
    consent: Consent | None = None
    """Of the person in the photo that was sent for it; None where that needs none."""
    peers: dict[str, Joined] = field(default_factory=dict)
    speaking: set[asyncio.Task[None]] = field(default_factory=set)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held by the one who speaks."""
    joining: asyncio.Lock = field(default_factory=asyncio.Lock)
    started: bool = False
    expiry: asyncio.TimerHandle | None = None

    @property
    def shown(self) -> str:
        """What a log may show of the id."""
        return self.id[:_SHOWN]

    def wait_no_more(self) -> None:
        """Stop waiting for a peer."""
        if self.expiry is not None:
            self.expiry.cancel()
            self.expiry = None

    def check(self, token: str) -> None:
        """BadToken unless ``token`` is this session's; takes the same time for any wrong one."""
        if not hmac.compare_digest(token.encode(errors="surrogateescape"), self.token.encode()):
            raise BadToken("this session needs its token: send it as Authorization: Bearer TOKEN")


class SessionStore:
    """All sessions of a server. Its coroutines belong to one event loop; opening and closing sessions happens in threads."""

    def __init__(
        self,
        open_session: OpenSession,
        make_peer: MakePeer,
        *,
        capacity: int = 1,
        expire_s: float = EXPIRE_S,
        observer: Observer | None = None,
    ) -> None:
        self.capacity, self.expire_s = capacity, expire_s
        self._open_session, self._make_peer = open_session, make_peer
        self._observe = observer or (lambda name, value: None)
        self._entries: dict[str, Entry] = {}
        self._opening = 0
        self._joins = 0
        self._closing = False
        self._opener = ThreadPoolExecutor(1, "portrait")  # one at a time: opening takes a core
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def queued_s(self) -> float:
        """Seconds of sound that wait to be spoken, of all sessions."""
        return sum(entry.session.queued_s for entry in list(self._entries.values()))

    @property
    def overloaded(self) -> bool:
        """A running session had to lower its picture far enough that another one would be felt by all."""
        return any(entry.session.level >= OVERLOADED_LEVEL for entry in self._entries.values() if entry.started)

    def admit(self) -> None:
        """Full unless another session may be opened now; asked before an upload is read, and again by `open`."""
        if self._closing:
            raise self._refused("this server is shutting down", "closing")
        if len(self._entries) + self._opening >= self.capacity:
            raise self._refused(f"all {self.capacity} calls of this server are taken: try again in a moment", "full")
        if self.overloaded:
            raise self._refused("this server has too much to do for another call: try again in a moment", "overload")

    def _refused(self, message: str, reason: str) -> Full:
        self._observe(f"refused_{reason}", 1.0)
        return Full(message, reason)

    async def open(self, portrait: bytes | None, *, own: bool = False, consent: Consent | None = None) -> Entry:
        """A new session, with the consent to its portrait. Raises Full, and what the opening raises (PortraitError, ...)."""
        self.admit()
        self._opening += 1
        tally = Tally(self._observe)
        try:
            loop = asyncio.get_running_loop()
            session, notes = await loop.run_in_executor(self._opener, self._open_session, portrait, tally)
        finally:
            self._opening -= 1
        if self._closing:
            session.close()
            raise self._refused("this server is shutting down", "closing")
        entry = Entry(secrets.token_urlsafe(16), secrets.token_urlsafe(32), session, notes, tally, own, consent)
        self._entries[entry.id] = entry
        self._expect_peer(entry)
        self._observe("opened", 1.0)
        return entry

    def get(self, session_id: str, token: str) -> Entry:
        """The session; NoSession or BadToken."""
        entry = self._entries.get(session_id)
        if entry is None:
            raise NoSession("no such session: it has ended, or never was")
        entry.check(token)
        return entry

    def with_peer(self, name: str) -> Entry:
        """The session that has a peer of this (unguessable) name; NoSession."""
        for entry in self._entries.values():
            if name in entry.peers:
                return entry
        raise NoSession("no such session: it has ended, or never was")

    async def answer(self, entry: Entry, name: str, sdp: str, type_: str) -> tuple[str, str]:
        """Join a peer to a session: its offer -> (sdp, type) of the answer. A peer of the same name is replaced.

        Raises NoSession, TooManyPeers, TimeoutError, and what the peer raises (OfferError).
        """
        async with entry.joining:
            replaced = entry.peers.pop(name, None)
            if replaced is not None:
                await replaced.peer.close()
            if entry.id not in self._entries:
                raise NoSession("this session has ended")
            if len(entry.peers) >= MAX_PEERS:
                raise TooManyPeers(f"this session has {MAX_PEERS} peers already: end one, or fan the stream out by an SFU")
            if not entry.started:
                entry.session.start()
                entry.started = True
            joined = self._join(entry, name)
            try:
                answer = await asyncio.wait_for(joined.peer.answer(sdp, type_), ANSWER_S)
                if joined.gone or entry.id not in self._entries:
                    raise NoSession("this session has ended")
            except BaseException:
                await self.leave(entry, name)
                raise
            joined.answering = False
            return answer

    def _join(self, entry: Entry, name: str) -> Joined:
        loop = asyncio.get_running_loop()
        number = self._joins = self._joins + 1  # a peer that is gone may have been replaced by one of its name

        def gone() -> None:  # from any thread
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._vanished, entry, name, number)

        joined = entry.peers[name] = Joined(number, self._make_peer(entry.session, entry.tally, gone))
        entry.wait_no_more()
        return joined

    def _vanished(self, entry: Entry, name: str, number: int) -> None:
        joined = entry.peers.get(name)
        if joined is None or joined.number != number:
            return  # it was told to leave
        joined.gone = True
        if joined.answering:
            return
        self._soon(self.close(entry, "peer gone") if len(entry.peers) == 1 else self.leave(entry, name))

    async def leave(self, entry: Entry, name: str) -> None:
        """End one peer. The session waits for another one, unless it was made for this one."""
        joined = entry.peers.pop(name, None)
        if joined is not None:
            await joined.peer.close()
        if not entry.peers and entry.id in self._entries:
            if entry.own:
                await self.close(entry, "peer left")
            else:
                self._expect_peer(entry)

    def _expect_peer(self, entry: Entry) -> None:
        entry.wait_no_more()
        loop = asyncio.get_running_loop()
        entry.expiry = loop.call_later(self.expire_s, lambda: self._soon(self.close(entry, "no peer")))

    def _soon(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self, entry: Entry, reason: str) -> None:
        """End a session and give its memory back; nothing where it has ended already. One line goes to the log."""
        if self._entries.pop(entry.id, None) is None:
            return
        self._observe("interrupts", entry.session.generation)
        entry.wait_no_more()
        for task in entry.speaking:
            task.cancel()
        peers = [joined.peer.close() for joined in entry.peers.values()]
        entry.peers.clear()
        for failure in await asyncio.gather(*peers, return_exceptions=True):
            if isinstance(failure, Exception):
                log.warning("a peer did not close cleanly: %s: %s", type(failure).__name__, failure)
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(None, entry.session.close)
        except Exception:
            log.exception("session %s did not close cleanly", entry.shown)
        log.info("session %s ended: %s, %s, %d interruptions", entry.shown, reason, entry.tally.line(), entry.session.generation)
        await loop.run_in_executor(None, release_memory)

    async def close_all(self) -> None:
        """End every session; none is let in any more."""
        self._closing = True
        await asyncio.gather(*(self.close(entry, "server closed") for entry in list(self._entries.values())))
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._opener.shutdown(wait=False, cancel_futures=True)


def release_memory() -> None:
    """Give freed memory back to the system.

    A connection is full of reference cycles, and glibc keeps what was freed in the arenas of other threads: without
    this, a server that held many calls at once would stay as large as it was then.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
