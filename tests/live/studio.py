"""The real server, sessions and connections, with an avatar that is a quick fake."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp.test_utils import TestServer
from live.fakes import FakeAvatar, tone

from talkinghead.errors import PortraitError
from talkinghead.live.ice import IceConfig
from talkinghead.live.parts import Observer, Parts
from talkinghead.live.peer import Peer
from talkinghead.live.server import STORE, ServeOptions, make_app
from talkinghead.live.session import LiveSession

ICE = IceConfig(loopback=True)
PHOTO = Path(__file__).parents[2] / "examples" / "data" / "portrait.jpg"


class Studio:
    """What the server is made of, and what came of it."""

    def __init__(self, capacity: int, portrait: bool, voice: bool = False) -> None:
        self.avatars: list[FakeAvatar] = []
        self.sessions: list[LiveSession] = []
        self.photos: list[bytes | None] = []
        self.said: list[tuple[str, str]] = []
        self.refusal = ""
        parts = Parts(self.open, self.join, lambda: capacity, self.say if voice else None)
        options = ServeOptions(portrait=PHOTO if portrait else None, ice=ICE)
        self.server = TestServer(make_app(options, parts))

    @property
    def store(self) -> Any:
        return self.server.app[STORE]

    def open(self, photo: bytes | None, observer: Observer) -> tuple[LiveSession, tuple[str, ...]]:
        self.photos.append(photo)
        if self.refusal:
            raise PortraitError(self.refusal)
        self.avatars.append(FakeAvatar())
        self.sessions.append(LiveSession(self.avatars[-1], observer=observer))  # type: ignore[arg-type]
        return self.sessions[-1], ("2 faces found in the picture: took the largest",)

    def join(self, session: Any, observer: Observer, gone: Callable[[], None]) -> Peer:
        return Peer(session, ICE, on_closed=gone, observer=observer)

    def say(self, words: str, language: str) -> tuple[Any, int]:
        self.said.append((words, language))
        return iter([tone(0.5)]), 16_000

    async def until(self, holds: Callable[[], bool]) -> None:
        async def held() -> None:
            while not holds():
                await asyncio.sleep(0.05)

        await asyncio.wait_for(held(), 30)


@asynccontextmanager
async def served(capacity: int = 2, portrait: bool = True, voice: bool = False) -> AsyncIterator[tuple[Studio, str]]:
    studio = Studio(capacity, portrait, voice)
    async with studio.server as server:
        yield studio, str(server.make_url("/"))
