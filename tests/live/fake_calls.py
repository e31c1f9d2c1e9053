"""Stand-ins for sessions and peers, and a client of the server that runs on them: no network is loaded, no call is made."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import numpy as np
import pytest

pytest.importorskip("aiohttp")
pytest.importorskip("prometheus_client")

from aiohttp.test_utils import TestClient, TestServer

from talkinghead.errors import PortraitError, TalkingHeadError
from talkinghead.live.parts import Observer, Parts
from talkinghead.live.server import ServeOptions, make_app

PATIENCE_S = 20.0
OFFER = {"sdp": "v=0", "type": "offer"}
SDP = {"Content-Type": "application/sdp"}


class Session:
    """Counts what a `LiveSession` would do. ``room_s``: seconds of sound that still fit."""

    def __init__(self) -> None:
        self.started = self.ended_speech = 0
        self.closed = threading.Event()
        self.heard: list[np.ndarray] = []
        self.generation = self.level = 0
        self.room_s = 120.0

    def start(self) -> None:
        self.started += 1

    def close(self) -> None:
        self.closed.set()

    def push_audio(self, pcm: np.ndarray, rate: int = 16_000, *, generation: int | None = None) -> bool:
        if generation not in (None, self.generation) or len(pcm) / rate > self.room_s:
            return False
        self.room_s -= len(pcm) / rate
        self.heard.append(pcm)
        return True

    def end_of_speech(self) -> None:
        self.ended_speech += 1

    def interrupt(self) -> int:
        self.generation += 1
        return self.generation

    @property
    def queued_s(self) -> float:
        return 120.0 - self.room_s


class Peer:
    """Answers every offer but "bad"; never answers "slow"."""

    def __init__(self, session: Session, gone: Callable[[], None]) -> None:
        self.session, self.gone = session, gone
        self.candidates: list[dict | None] = []
        self.closed = 0
        self.answering = asyncio.Event()

    async def answer(self, sdp: str, type_: str = "offer") -> tuple[str, str]:
        self.answering.set()
        if sdp == "bad":
            await self.close()
            raise TalkingHeadError("this offer is none")
        if sdp == "slow":
            await asyncio.Event().wait()
        return f"answer to {sdp}", "answer"

    async def add_candidate(self, candidate: dict | None) -> None:
        if candidate is not None and not str(candidate.get("candidate", "")).startswith("candidate:"):
            raise ValueError("no candidate")
        self.candidates.append(candidate)

    async def close(self) -> None:
        self.closed += 1
        self.gone()  # as a connection does that is told to close
        await asyncio.sleep(0.001)  # it takes its time


class Engine:
    """What a server runs on here, and what it made. ``gate`` holds openings back while it is cleared."""

    def __init__(self) -> None:
        self.sessions: list[Session] = []
        self.peers: list[Peer] = []
        self.photos: list[bytes | None] = []
        self.gate = threading.Event()
        self.gate.set()
        self.say: Callable[[str, str], tuple[Iterator[np.ndarray], int]] | None = None
        self.held = 2

    def open_session(self, photo: bytes | None, observer: Observer) -> tuple[Session, tuple[str, ...]]:
        assert self.gate.wait(PATIENCE_S)
        if photo == b"no face":
            raise PortraitError("no face found in the picture: use another one")
        if photo == b"broken":
            raise RuntimeError("secret detail")
        observer("draw_ms", 15.0)
        self.photos.append(photo)
        self.sessions.append(Session())
        return self.sessions[-1], ("2 faces found",)

    def make_peer(self, session: Any, observer: Observer, gone: Callable[[], None]) -> Peer:
        observer("total_ms", 150.0)
        self.peers.append(Peer(session, gone))
        return self.peers[-1]

    @property
    def parts(self) -> Parts:
        return Parts(self.open_session, self.make_peer, lambda: self.held, self.say)


async def until(true: Callable[[], bool]) -> None:
    """Wait for something that happens in the event loop or in a thread."""

    async def poll() -> None:
        while not true():
            await asyncio.sleep(0.005)

    await asyncio.wait_for(poll(), PATIENCE_S)


def converse(scenario: Callable[[TestClient], Awaitable[None]], engine: Engine, options: ServeOptions | None = None) -> None:
    """Run a client against a server of fakes, which is started and closed round it."""

    async def run() -> None:
        app = make_app(options or ServeOptions(), engine.parts)
        async with TestClient(TestServer(app)) as client:
            await scenario(client)

    asyncio.run(asyncio.wait_for(run(), PATIENCE_S))


def bearer(session: dict[str, Any]) -> dict[str, str]:
    return {"Authorization": f"Bearer {session['token']}"}


async def opened(client: TestClient, path: str = "/sessions", body: dict | None = None) -> dict:
    response = await client.post(path, json=body or {})
    assert response.status in (200, 201), await response.text()
    return await response.json()


async def status(client: TestClient, method: str, path: str, **request: object) -> int:
    """Its status; an error must be JSON with one line."""
    response = await client.request(method, path, **request)  # type: ignore[arg-type]
    if response.status >= 400:
        assert response.headers["X-Request-Id"]
        line = (await response.json())["error"]
        assert line
        assert "\n" not in line
    return response.status
