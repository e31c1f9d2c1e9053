"""Clients of a call: one in a process of its own (peer_client.py), and one in this process."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from talkinghead.live.ice import Link
from talkinghead.live.peer import Peer

HERE = Path(__file__).parent
PATIENCE_S = 60.0
"""Only so that a failure ends; nothing is expected to take long."""


class Client:
    """The other end of a call. ``told`` holds all that it told, in order."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.told: list[dict[str, Any]] = []

    async def until(self, wanted: Callable[[dict[str, Any]], bool], patience_s: float = PATIENCE_S) -> dict[str, Any]:
        """The first thing told from now on of which this is true."""

        async def read() -> dict[str, Any]:
            assert self.process.stdout is not None
            while line := await self.process.stdout.readline():
                event = json.loads(line)
                self.told.append(event)
                if wanted(event):
                    return event
            raise AssertionError(f"the client ended; last it told: {[str(e)[:200] for e in self.told[-3:]]}")

        return await asyncio.wait_for(read(), patience_s)

    async def offer(self) -> str:
        return (await self.until(lambda e: "sdp" in e))["sdp"]

    async def connected(self) -> None:
        await self.until(lambda e: e.get("state") == "connected")

    async def said(self, type_: str, **fields: Any) -> dict[str, Any]:
        """The next message of this type, with these fields, from the data channel."""
        wanted = {"type": type_, **fields}
        return (await self.until(lambda e: wanted.items() <= e.get("said", {}).items()))["said"]

    async def pictures(self) -> list[list[float]]:
        return (await self.until(lambda e: "pictures" in e))["pictures"]

    def command(self, **command: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(command).encode() + b"\n")

    def say(self, **message: Any) -> None:
        self.command(say=json.dumps(message))


@asynccontextmanager
async def client(**options: Any) -> AsyncIterator[Client]:
    """Options as `peer_client.main` takes them. The process is gone afterwards."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(HERE / "peer_client.py"),
        json.dumps(options),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parent), str(HERE.parents[1])]), "OMP_NUM_THREADS": "1"},
        limit=1 << 20,
    )
    try:
        yield Client(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(work, 3 * PATIENCE_S))


async def until(condition: Any) -> None:
    async def look() -> None:
        while not condition():
            await asyncio.sleep(0.01)

    await asyncio.wait_for(look(), PATIENCE_S)


class Here:
    """A client in this process; its tracks are not read."""

    def __init__(self, **directions: str) -> None:
        self.pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        for kind, direction in directions.items():
            self.pc.addTransceiver(kind, direction)
        self.channel = self.pc.createDataChannel("control")

    async def offer(self) -> str:
        await self.pc.setLocalDescription(await self._described())
        return self.pc.localDescription.sdp

    async def _described(self) -> Any:
        offer = await self.pc.createOffer()
        transports = [t.receiver.transport.transport for t in self.pc.getTransceivers()] + [self.pc.sctp.transport.transport]
        for transport in set(transports):
            Link(transport.iceGatherer._connection, loopback=True)
        return offer

    async def connect(self, peer: Peer) -> None:
        sdp, kind = await peer.answer(await self.offer())
        await self.pc.setRemoteDescription(RTCSessionDescription(sdp, kind))
        await until(lambda: self.pc.connectionState == "connected" and self.channel.readyState == "open")
