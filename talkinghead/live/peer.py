"""One client of a session over WebRTC: pictures and sound out, sound in, a data channel."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

import numpy as np
from aiortc import RTCPeerConnection, RTCRtpSender, RTCSessionDescription
from aiortc.exceptions import OperationError
from aiortc.rtcrtptransceiver import RTCRtpTransceiver

from talkinghead.constants import FRAME_RATE_HZ
from talkinghead.live import hearing
from talkinghead.live.channel import Channel
from talkinghead.live.codecs import DEFAULT_BITRATE_BPS, VIDEO_CLOCK_HZ, CodecError, ensure_tuned
from talkinghead.live.control import Control
from talkinghead.live.delivery import Delivery
from talkinghead.live.ice import IceConfig, Link, configuration
from talkinghead.live.offer import MAX_CANDIDATES, Offer, OfferError, read_candidate, read_offer
from talkinghead.live.sender import VIDEO_DELAY_MS, MediaClock, Sender
from talkinghead.live.times import Observer
from talkinghead.live.tracks import AudioTrack, Feed, VideoTrack

if TYPE_CHECKING:
    from talkinghead.live.outlet import LiveFrame, Outlet
    from talkinghead.live.session import LiveSession

__all__ = ["CODECS", "OfferError", "Peer"]

log = logging.getLogger("talkinghead.live")

CODECS = ("h264", "vp8")
"""For the picture, the preferred one first."""
CONNECT_S = 30.0
"""An offer that has not connected by then is given up."""
SILENT_S = 8.0
"""A peer from which nothing at all came for so long is gone: reports and checks come every few seconds (RFC 7675 section 5.1)."""
_CLOSE_S = 10.0
_PICTURE_TICKS = VIDEO_CLOCK_HZ // FRAME_RATE_HZ


class Peer:
    """A client bound to a session; closes itself when the client is gone, never the session.

    All methods belong to one event loop. Each peer has its own queue of frames and its own encoders, so a slow one disturbs
    neither the session nor the others.
    """

    def __init__(
        self,
        session: LiveSession,
        config: IceConfig,
        *,
        codec: str | None = None,
        bitrate_bps: int = DEFAULT_BITRATE_BPS,
        video_delay_ms: float = VIDEO_DELAY_MS,
        on_closed: Callable[[], None] | None = None,
        observer: Observer | None = None,
    ) -> None:
        """codec: one of CODECS, None for the first that the client knows. video_delay_ms: how much later than its sound a browser
        is told to show a picture. on_closed: called once, in the loop. observer: told "encode_ms", "send_ms", "total_ms",
        "skew_ms", "drop_video" and "drop_sound" (seconds), see `Delivery`."""
        if codec is not None and codec not in CODECS:
            raise CodecError(f"no codec {codec!r}: choose one of {', '.join(CODECS)}")
        ensure_tuned()
        self.receives = False
        """The client sends sound: it is spoken, unless the client asked for listening."""
        self._session, self._config, self._codecs = session, config, (codec,) if codec else CODECS
        self._bitrate_bps, self._video_delay_s, self._on_closed = bitrate_bps, video_delay_ms / 1000, on_closed
        self._pc = RTCPeerConnection(configuration(config))
        self._audio, self._video, self._media = AudioTrack(), VideoTrack(lambda: session.size_px), MediaClock()
        self._delivery = Delivery(observer)
        self._channel = Channel(Control(session, self._listen))
        self._listening = self._answered = self._described = False
        self._early: list[dict[str, Any]] = []
        self._links: list[Link] = []
        self._senders: dict[str, Sender] = {}
        self._outlet: Outlet | None = None
        self._connected = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing: asyncio.Task[None] | None = None
        self._pc.on("connectionstatechange", self._moved)
        self._pc.on("track", self._heard)
        self._pc.on("datachannel", self._channel.opened)

    async def answer(self, sdp: str, type_: str = "offer") -> tuple[str, str]:
        """Answers the client's offer, once: (sdp, "answer"). All our candidates are in it.

        The first section of each kind is answered; others are refused. Raises OfferError, and the peer is closed then.
        """
        if self._answered or self._closing is not None:
            raise OfferError("this peer has had its offer: make a new connection instead of negotiating anew")
        self._answered = True
        try:
            answer = await self._negotiate(read_offer(sdp, type_))
            if self._closing is not None:
                raise OfferError("this peer was closed while it was answered")
        except BaseException:
            await self.close()
            raise
        self._run(self._watch())
        return answer

    async def add_candidate(self, candidate: dict[str, Any] | None) -> None:
        """A candidate of the client (trickle ICE), as RTCIceCandidate.toJSON gives it; None after the last. Raises OfferError."""
        if candidate is None or self._closing is not None:
            return  # the end is of no use: candidates are learned from the client's packets as well
        found = read_candidate(candidate)
        if len(self._early) >= MAX_CANDIDATES:
            raise OfferError(f"more than {MAX_CANDIDATES} candidates")
        self._early.append(candidate)
        if self._described and found is not None:
            await self._pc.addIceCandidate(found)

    async def close(self) -> None:
        """Ends the connection and everything that runs for it; the session goes on. May be called again, and by several."""
        await asyncio.shield(self._end())

    async def _negotiate(self, offer: Offer) -> tuple[str, str]:
        transceivers = self._offer_media(offer)
        try:
            await self._pc.setRemoteDescription(RTCSessionDescription(offer.sdp, "offer"))
        except OperationError:
            wanted = " or ".join({"h264": "H.264 (packetization-mode 1)", "vp8": "VP8"}[name] for name in self._codecs)
            raise OfferError(f"no codec in common: offer {wanted} for pictures, Opus for sound") from None
        except Exception as error:  # aiortc raises what it stumbles over
            raise OfferError(f"the offer cannot be used: {' '.join(str(error).split()) or type(error).__name__}") from None
        for other in self._pc.getTransceivers():
            if other not in transceivers:
                other.direction = "inactive"
        self._links = [Link(connection, loopback=self._config.loopback) for connection in self._connections()]
        await self._pc.setLocalDescription(await self._pc.createAnswer())
        local = self._pc.localDescription
        if "a=candidate:" not in local.sdp:
            raise OfferError("this machine has no network address to offer: serve with loopback, or connect it")
        self._described = True
        for early in self._early:
            if (found := read_candidate(early)) is not None:
                await self._pc.addIceCandidate(found)
        return local.sdp, local.type

    def _offer_media(self, offer: Offer) -> list[RTCRtpTransceiver]:
        """Our side of the first section of each kind, before aiortc compares it with the client's."""
        made = []
        audio, video = offer.first("audio"), offer.first("video")
        self.receives = audio is not None and audio.gives
        for section, track in ((audio, self._audio), (video, self._video)):
            if section is None:
                continue
            direction = "sendrecv" if section.kind == "audio" else "sendonly"
            transceiver = self._pc.addTransceiver(track, direction)
            transceiver.setCodecPreferences(_preferred(self._codecs if section.kind == "video" else ("opus",), section.kind))
            made.append(transceiver)
            if section.takes:
                self._senders[section.kind] = Sender(
                    transceiver.sender,
                    self._media,
                    bitrate_bps=self._bitrate_bps if section.kind == "video" else 0,
                    delay_s=self._video_delay_s if section.kind == "video" else 0.0,
                    on_sent=self._picture_sent if section.kind == "video" else self._packet_sent,
                )
        if not (self._senders or self.receives or offer.first("application")):
            raise OfferError("the offer neither takes nor gives anything: offer recvonly video and audio, or sendonly audio")
        return made

    def _connections(self) -> list[Any]:
        transports = {t.receiver.transport.transport for t in self._pc.getTransceivers()}
        if self._pc.sctp is not None:
            transports.add(self._pc.sctp.transport.transport)
        return [transport.iceGatherer._connection for transport in transports]

    async def _watch(self) -> None:
        """From the answer to the end: waits for the connection, feeds it, looks after it once a second."""
        try:
            await asyncio.wait_for(self._connected.wait(), CONNECT_S)
        except (asyncio.TimeoutError, TimeoutError):
            log.info("an offer never connected")
            self._end()
            return
        if self._senders:
            self._outlet = self._session.subscribe()
            self._run(self._feed(self._outlet))
        while time.monotonic() - max(link.heard_s for link in self._links) < SILENT_S:
            await asyncio.sleep(1.0)
            self._report()
        log.info("nothing came from a peer for %g s", SILENT_S)
        self._end()

    async def _feed(self, outlet: Outlet) -> None:
        audio = self._audio if "audio" in self._senders else None
        video = self._video if "video" in self._senders else None
        await Feed(audio, video, self._media).run(outlet, self._saw, self._delivery.dropped)
        self._end()  # the session has ended

    def _saw(self, frame: LiveFrame) -> None:
        self._channel.state(frame.state, frame.generation)

    def _report(self) -> None:
        """Once a second: the client's overlay; and the encoder gives way together with the session."""
        level = self._session.level
        video = self._senders.get("video")
        if video is not None and video.encoder is not None:
            video.encoder.light = level > 0
        delay_ms = 1000 * self._video_delay_s
        self._channel.stats(self._delivery.fps, self._delivery.latency_ms(), self._session.queued_s, level, delay_ms)

    def _picture_sent(self, pts: int, encoded_s: float, sent_s: float) -> None:
        times = self._video.times(pts)
        if times is not None:
            self._delivery.picture_sent(pts // _PICTURE_TICKS, times, encoded_s, sent_s)

    def _packet_sent(self, pts: int, encoded_s: float, sent_s: float) -> None:
        self._delivery.packet_sent(pts, sent_s)

    # what aiortc tells

    def _moved(self) -> None:
        if self._pc.connectionState == "connected":
            self._connected.set()
        elif self._pc.connectionState in ("failed", "closed"):
            self._end()

    def _heard(self, track: Any) -> None:
        if track.kind != "audio" or not self.receives or any(task.get_name() == "hear" for task in self._tasks):
            return
        for transceiver in self._pc.getTransceivers():
            if transceiver.receiver.track is track:
                hearing.take_at_once(transceiver.receiver)
        self._run(self._hear(track), "hear")

    async def _hear(self, track: Any) -> None:
        await hearing.hear(track.recv, self._push)
        if not self._listening:
            self._session.end_of_speech()

    def _push(self, pcm: np.ndarray, rate_hz: int) -> None:
        if self._listening:
            self._session.hear(pcm, rate_hz)
        else:
            self._session.push_audio(pcm, rate_hz, generation=self._session.generation, live=True)

    def _listen(self, on: bool, barge_in: bool) -> None:
        self._listening = on
        self._session.listen(on, barge_in=barge_in)

    # beginning and end

    def _run(self, work: Coroutine[Any, Any, None], name: str | None = None) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("a peer failed", exc_info=task.exception())
            self._end()

    def _end(self) -> asyncio.Task[None]:
        if self._closing is None:
            self._closing = asyncio.create_task(self._close())
        return self._closing

    async def _close(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._outlet is not None:
            self._outlet.close()
        self._audio.stop()
        self._video.stop()
        try:
            await asyncio.wait_for(self._pc.close(), _CLOSE_S)
        except Exception as error:  # aiortc's: what it holds is collected with it
            log.warning("a connection did not close cleanly: %s: %s", type(error).__name__, error)
        if self._on_closed is not None:
            self._on_closed()


def _preferred(names: tuple[str, ...], kind: str) -> list[Any]:
    """aiortc's capabilities of these codecs, in this order, with retransmission (RTX)."""
    known = RTCRtpSender.getCapabilities(kind).codecs
    chosen = [codec for name in names for codec in known if codec.mimeType.lower() == f"{kind}/{name}"]
    return chosen + [codec for codec in known if codec.mimeType.lower() == f"{kind}/rtx"]
