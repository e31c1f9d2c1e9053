"""Peers that come, share a session, are refused and go, with nothing left of them."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

pytest.importorskip("aiortc")

from aiortc import RTCSessionDescription
from live.clients import PATIENCE_S, Here, run, until
from live.coded_session import FakeSession, session

from talkinghead.live import peer as peer_module
from talkinghead.live.codecs import CodecError, H264Encoder
from talkinghead.live.ice import IceConfig
from talkinghead.live.peer import OfferError, Peer

LOOPBACK = IceConfig(loopback=True)


def test_an_offer_that_never_connects_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def wait() -> None:
        monkeypatch.setattr(peer_module, "CONNECT_S", 0.3)
        ended = asyncio.Event()
        here = Here(video="recvonly")
        await Peer(FakeSession(), LOOPBACK, on_closed=ended.set).answer(await here.offer())  # type: ignore[arg-type]
        await asyncio.wait_for(ended.wait(), PATIENCE_S)
        await here.pc.close()

    run(wait())


def test_several_watch_one_session_and_go_when_it_ends() -> None:
    async def watch() -> None:
        ended: list[int] = []
        async with session() as avatar:
            peers = [Peer(avatar, LOOPBACK, on_closed=lambda k=k: ended.append(k)) for k in range(3)]
            clients = [Here(video="recvonly", audio="recvonly") for _ in peers]
            for peer, here in zip(peers, clients, strict=True):
                await here.connect(peer)
            await until(lambda: len(avatar.outlets) == 3)
            await peers[1].close()
            assert ended == [1] and len(avatar.outlets) == 2
            await until(lambda: all(peer._delivery.fps > 0 for peer in (peers[0], peers[2])))
            assert len({id(peer._senders["video"].encoder) for peer in peers}) == 3
        await until(lambda: sorted(ended) == [0, 1, 2])
        for here in clients:
            await here.pc.close()

    run(watch())


def _running() -> tuple[list[str], list[str]]:
    tasks = [task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    pool = "asyncio_"  # the loop's own executor, of limited size
    return tasks, sorted(thread.name for thread in threading.enumerate() if not thread.name.startswith(pool))


async def _left_as(before: tuple[list[str], list[str]]) -> None:
    """As `until`, in this task: another one would be seen."""
    end_s = time.monotonic() + PATIENCE_S
    while (now := _running()) != before:
        assert time.monotonic() < end_s, f"{now} instead of {before}"
        await asyncio.sleep(0.01)


def test_nothing_is_left_of_peers_that_are_gone() -> None:
    async def come_and_go() -> None:
        async with session() as avatar:
            before = _running()
            for k in range(5):
                peer, here = Peer(avatar, LOOPBACK), Here(video="recvonly", audio="sendrecv")
                await here.connect(peer)
                here.channel.send('{"type": "interrupt"}')
                await until(lambda k=k: avatar.generation == k + 1)
                await (peer.close() if k % 2 else here.pc.close())
                await until(lambda: not avatar.outlets)
                await asyncio.gather(peer.close(), here.pc.close())
            await _left_as(before)

    run(come_and_go())


def test_the_encoder_gives_way_with_the_session() -> None:
    async def burden() -> None:
        async with session() as avatar:
            peer, here = Peer(avatar, LOOPBACK, bitrate_bps=800_000), Here(video="recvonly")
            await here.connect(peer)
            await until(lambda: peer._senders["video"].encoder is not None)
            encoder = peer._senders["video"].encoder
            assert isinstance(encoder, H264Encoder) and encoder.target_bitrate == 800_000 and not encoder.light
            avatar.level, avatar.size_px = 3, 256
            await until(lambda: encoder.light and encoder._made == (256, 256, "yuv420p", True))
            await asyncio.gather(peer.close(), here.pc.close())

    run(burden())


def test_sections_beyond_the_first_of_a_kind_are_refused() -> None:
    async def offer() -> None:
        here = Here(video="sendrecv", audio="recvonly")
        here.pc.addTransceiver("video", "sendrecv")
        peer = Peer(FakeSession(), LOOPBACK)  # type: ignore[arg-type]
        sdp, _ = await peer.answer(await here.offer())
        directions = [line for line in sdp.splitlines() if line in ("a=sendonly", "a=inactive", "a=recvonly", "a=sendrecv")]
        assert directions == ["a=sendonly", "a=sendonly", "a=inactive"]
        assert not peer.receives
        await asyncio.gather(peer.close(), here.pc.close())

    run(offer())


async def _refused(sdp: str, said: str, type_: str = "offer", **options: Any) -> None:
    ended: list[bool] = []
    peer = Peer(FakeSession(), LOOPBACK, on_closed=lambda: ended.append(True), **options)  # type: ignore[arg-type]
    with pytest.raises(OfferError, match=said) as raised:
        await peer.answer(sdp, type_)
    assert "\n" not in str(raised.value) and ended == [True]


def test_offers_that_cannot_be_answered_close_the_peer() -> None:
    async def refuse() -> None:
        before = _running()
        here = Here(video="recvonly", audio="recvonly")
        sdp = await here.offer()
        await _refused("nonsense", "media sections")
        await _refused(sdp, "no offer", "answer")
        await _refused(sdp.replace("H264/", "H265/"), "no codec in common: offer H.264", codec="h264")
        await _refused(sdp.replace("opus/", "silk/").replace("PCM", "LPCM").replace("G722", "G72x"), "Opus for sound")
        silent = sdp.replace("a=recvonly", "a=inactive").split("m=application")[0].replace("BUNDLE 0 1 2", "BUNDLE 0 1")
        await _refused(silent, "neither")
        await here.pc.close()
        await _left_as(before)

    run(refuse())


def test_a_peer_answers_once_and_never_after_it_closed() -> None:
    async def twice() -> None:
        here = Here(video="recvonly")
        sdp = await here.offer()
        peer = Peer(FakeSession(), LOOPBACK)  # type: ignore[arg-type]
        await peer.answer(sdp)
        with pytest.raises(OfferError, match="had its offer"):
            await peer.answer(sdp)
        await peer.close()
        closed = Peer(FakeSession(), LOOPBACK)  # type: ignore[arg-type]
        await closed.close()
        with pytest.raises(OfferError):
            await closed.answer(sdp)
        await here.pc.close()

    run(twice())


def test_candidates_may_come_one_by_one_and_before_the_answer() -> None:
    async def trickle() -> None:
        async with session() as avatar:
            peer, here = Peer(avatar, LOOPBACK), Here(video="recvonly")
            sdp = await here.offer()
            lines = [line for line in sdp.splitlines() if line.startswith("a=candidate")]
            bare = "\r\n".join(line for line in sdp.splitlines() if "candidate" not in line) + "\r\n"
            await peer.add_candidate({"candidate": lines[0][2:], "sdpMid": "0", "sdpMLineIndex": 0})
            answer, kind = await peer.answer(bare)
            for line in lines[1:]:
                await peer.add_candidate({"candidate": line[2:], "sdpMid": "0", "sdpMLineIndex": 0})
            await peer.add_candidate(None)
            with pytest.raises(OfferError):
                await peer.add_candidate({"candidate": "nonsense", "sdpMid": "0"})
            known = peer._connections()[0].remote_candidates
            assert {c.port for c in known} >= {int(line.split()[5]) for line in lines}
            await here.pc.setRemoteDescription(RTCSessionDescription(answer, kind))
            await until(lambda: here.pc.connectionState == "connected")
            await asyncio.gather(peer.close(), here.pc.close())

    run(trickle())


def test_there_is_no_other_codec() -> None:
    async def make() -> None:
        with pytest.raises(CodecError, match="h264, vp8"):
            Peer(FakeSession(), LOOPBACK, codec="av1")  # type: ignore[arg-type]

    run(make())
