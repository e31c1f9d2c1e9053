"""What is added to aiortc's senders: when frames were sent, and reports on one clock."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

pytest.importorskip("aiortc")

from aiortc import clock
from aiortc.rtcrtpparameters import RTCRtpCodecParameters, RTCRtpSendParameters
from aiortc.rtcrtpsender import RTCRtpSender
from aiortc.rtp import RtcpPacket, RtcpSrPacket, RtpPacket, is_rtcp
from live.coded_session import coded_image, live_frame

from talkinghead.live.codecs import H264Encoder, ensure_tuned
from talkinghead.live.sender import MediaClock, Sender
from talkinghead.live.tracks import AudioTrack, VideoTrack

H264 = RTCRtpCodecParameters("video/H264", 90000, payloadType=99)
OPUS = RTCRtpCodecParameters("audio/opus", 48000, channels=2, payloadType=96)
FIRST = 1000


class Wire:
    """Where a sender's packets go: keeps them."""

    state = "connected"

    def __init__(self) -> None:
        self.packets: list[RtpPacket] = []
        self.reports: list[RtcpSrPacket] = []
        self.reported = asyncio.Event()

    def _register_rtp_sender(self, *args: Any) -> None: ...
    def _unregister_rtp_sender(self, *args: Any) -> None: ...

    async def _send_rtp(self, data: bytes) -> None:
        if not is_rtcp(data):
            self.packets.append(RtpPacket.parse(data))
        reports = [p for p in RtcpPacket.parse(data) if isinstance(p, RtcpSrPacket)] if is_rtcp(data) else []
        if reports and self.packets:
            self.reports += reports
            self.reported.set()


async def _sent(
    track: AudioTrack | VideoTrack, codec: RTCRtpCodecParameters, media: MediaClock
) -> tuple[Wire, Sender, list[Any]]:
    """A sender that runs until it reports (a second and a half at most), fed with frames from FIRST on."""
    ensure_tuned()
    wire, told = Wire(), list[Any]()
    rtp = RTCRtpSender(track, wire)
    late_s = 0.06 if isinstance(track, VideoTrack) else 0.0
    Sender(rtp, media, bitrate_bps=1_300_000 if late_s else 0, delay_s=late_s, on_sent=lambda *what: told.append(what))
    parameters = RTCRtpSendParameters(codecs=[codec])
    parameters.rtcp.cname = "x"
    await rtp.send(parameters)
    start_s, index = time.monotonic(), FIRST
    media.see(FIRST / 40, start_s)
    while not wire.reported.is_set():
        frame = live_frame(index, image=coded_image(index, 0.0, False))
        track.put(frame)
        index += 1
        await asyncio.sleep(max(0.0, start_s + (index - FIRST) / 40 - time.monotonic()))
    encoder = getattr(rtp, "_RTCRtpSender__encoder")  # noqa: B009
    await rtp.stop()
    return wire, encoder, told


def _run(kind: str) -> tuple[Wire, Any, list[Any], MediaClock]:
    async def work() -> Any:
        media = MediaClock()
        track = AudioTrack() if kind == "audio" else VideoTrack()
        return *await asyncio.wait_for(_sent(track, OPUS if kind == "audio" else H264, media), 60), media

    return asyncio.run(work())


@pytest.mark.parametrize(("kind", "clock_hz", "first_pts"), [("audio", 48000, FIRST * 1200), ("video", 90000, FIRST * 2250)])
def test_a_report_pairs_the_same_instant_of_both_clocks(kind: str, clock_hz: int, first_pts: int) -> None:
    wire, _, _, media = _run(kind)
    report = wire.reports[0].sender_info
    origin = wire.packets[0].timestamp - first_pts
    media_s = ((report.rtp_timestamp - origin) & 0xFFFFFFFF) / clock_hz
    assert media.start_s is not None
    at_s = time.monotonic() - (clock.current_ntp_time() - report.ntp_timestamp) / 2**32  # two readings: not exact
    late_s = 0.06 if kind == "video" else 0.0
    assert media_s == pytest.approx(at_s - media.start_s - late_s, abs=0.02)


def test_each_frame_is_told_of_once_it_is_sent_in_order() -> None:
    wire, _, told, _ = _run("video")
    assert [pts for pts, _, _ in told] == [(FIRST + k) * 2250 for k in range(len(told))]
    assert len(told) >= len({packet.timestamp for packet in wire.packets}) - 1
    assert all(encoded_s <= sent_s <= time.monotonic() for _, encoded_s, sent_s in told)


def test_the_encoder_is_ours_with_this_connections_rate() -> None:
    encoder = _run("video")[1]
    assert isinstance(encoder, H264Encoder) and encoder.target_bitrate == 1_300_000
