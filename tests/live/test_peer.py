"""A session seen by a real client in another process."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

pytest.importorskip("aiortc")

from live.clients import PATIENCE_S, Client, client, run, until
from live.coded_session import session

from talkinghead.live import peer as peer_module
from talkinghead.live.codecs import Vp8Encoder
from talkinghead.live.ice import IceConfig
from talkinghead.live.peer import Peer

LOOPBACK = IceConfig(loopback=True)


async def connect(peer: Peer, other: Client) -> str:
    sdp, kind = await peer.answer(await other.offer())
    assert kind == "answer"
    other.command(answer=sdp)
    await other.connected()
    return sdp


def test_a_call() -> None:
    async def call() -> None:
        told: dict[str, list[float]] = {}
        ended: list[bool] = []
        async with session() as avatar, client(audio="sendrecv") as other:
            peer = Peer(
                avatar, LOOPBACK, on_closed=lambda: ended.append(True), observer=lambda n, v: told.setdefault(n, []).append(v)
            )
            sdp = await connect(peer, other)
            assert sdp.count("m=") == 3 and "H264" in sdp and "VP8" not in sdp.split("m=video")[1].split("a=rtpmap")[1]
            assert peer.receives

            seen = await other.pictures()
            indexes = [index for index, *_ in seen]
            assert indexes == sorted(indexes)
            assert all((b[2] - a[2]) == (b[0] - a[0]) * 2250 for a, b in zip(seen, seen[1:], strict=False))
            packets = (await other.until(lambda e: "packets" in e))["packets"]
            assert all(samples == 480 for _, samples, *_ in packets)

            other.say(type="ping", t=5)
            assert await other.said("pong") == {"type": "pong", "t": 5}
            stats = await other.said("stats")
            assert set(stats) == {"type", "fps", "latency_ms", "queued_s", "level", "video_delay_ms"}
            while not stats["latency_ms"]:
                stats = await other.said("stats")
            assert set(stats["latency_ms"]) == {"features", "motion", "drawn", "encoded", "sent"} and stats["fps"] > 0
            other.say(type="interrupt")
            assert await other.said("state", generation=1) == {"type": "state", "state": "idle", "generation": 1}
            other.say(type="no such")
            assert (await other.said("error"))["message"]

            await until(lambda: avatar.pushed > 48000)
            [first, *_] = [c for c in avatar.calls if c[0] == "push_audio"]
            assert first[1].dtype == np.float32 and first[1].ndim == 1 and first[2] == 48000 and first[3]["live"]
            tone = np.concatenate([c[1] for c in avatar.calls if c[0] == "push_audio"])[24000:48000]
            assert np.argmax(np.abs(np.fft.rfft(tone))) == 220  # 440 Hz in half a second
            other.say(type="listen", on=True, barge_in=True)
            await until(lambda: ("listen", True, True) in avatar.calls)
            pushed = avatar.pushed
            other.say(type="ping", t=6)
            await other.said("pong", t=6)
            assert avatar.pushed == pushed
            await until(lambda: ("hear", 960, 48000) in avatar.calls)

            other.command(end=True)
            await until(lambda: ended == [True])
            assert avatar.outlets == []
            await peer.close()
            assert ended == [True]
        assert {"encode_ms", "send_ms", "total_ms", "skew_ms"} <= set(told) and min(told["total_ms"]) > 0

    run(call())


def test_watching_alone_with_the_other_codec() -> None:
    async def watch() -> None:
        async with session() as avatar, client(channel=None, codec="vp8", every=10) as other:
            peer = Peer(avatar, LOOPBACK)
            sdp = await connect(peer, other)
            assert not peer.receives and sdp.count("m=") == 2
            assert len(await other.pictures()) == 10
            assert isinstance(peer._senders["video"].encoder, Vp8Encoder)
            await peer.close()
            await other.until(lambda e: e.get("ended") == "video")
            assert not avatar.pushed

    run(watch())


def test_speaking_alone() -> None:
    async def speak() -> None:
        async with session() as avatar, client(video=None, audio="sendonly", channel=None) as other:
            peer = Peer(avatar, LOOPBACK)
            sdp = await connect(peer, other)
            assert peer.receives and "a=recvonly" in sdp and not avatar.outlets
            await until(lambda: avatar.pushed > 9600)
            other.command(end=True)
            await until(lambda: ("end_of_speech",) in avatar.calls)
            await peer.close()

    run(speak())


def test_a_client_that_vanishes_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def vanish() -> None:
        monkeypatch.setattr(peer_module, "SILENT_S", 3.0)
        ended = asyncio.Event()
        async with session() as avatar, client(every=1) as other:
            peer = Peer(avatar, LOOPBACK, on_closed=ended.set)
            await connect(peer, other)
            await other.pictures()
            assert not ended.is_set()
            other.process.kill()
            await asyncio.wait_for(ended.wait(), PATIENCE_S)
            assert avatar.outlets == []

    run(vanish())
