"""What we add to the sender that aiortc makes for a track: our encoder, the times of its frames, and honest sender reports."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from aiortc import clock, rtcrtpsender
from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from aiortc.rtcrtpsender import RTCRtpSender
from aiortc.rtp import RtcpSrPacket

from talkinghead.live.codecs import AUDIO_CLOCK_HZ, VIDEO_CLOCK_HZ, VideoEncoder

VIDEO_DELAY_MS = 10.0
"""By how much later than its sound a picture is meant to be shown, as browsers are told. Chromium 156, by its own estimate,
settles with sound 20 ms after its picture when told 0, 1 ms when told 15, and 18 ms before it when told 25."""
_ENCODER = "_RTCRtpSender__encoder"
_RTP_TIMESTAMP = "_RTCRtpSender__rtp_timestamp"

OnSent = Callable[[int, float, float], None]
"""Told a frame's pts, when it was encoded and when its last packet was handed to the network (`time.monotonic`)."""


class MediaClock:
    """The one clock of a connection's sound and picture: media time m is due at ``start_s + m`` of `time.monotonic`."""

    def __init__(self) -> None:
        self.start_s: float | None = None

    def see(self, media_s: float, now_s: float) -> None:
        """The first frame sets the clock; the session's own keeps time after that."""
        if self.start_s is None:
            self.start_s = now_s - media_s


class Sender:
    """Wraps an `RTCRtpSender` before it runs.

    aiortc's sender report pairs a packet's timestamp with the moment the packet left (RFC 3550 section 6.4.1 asks for the same
    instant on both clocks). Encoding takes longer for a picture than for sound, and takes a different time each time, so a
    browser would sync the two by the encoder's jitter. Here the report's RTP timestamp is computed from the media clock for the
    report's NTP time, which stays as it is (aiortc measures the round trip with it). ``delay_s`` is added to the track's time: a
    receiver that syncs by reports shows it so much later, one that does not is not kept waiting.
    """

    def __init__(
        self,
        sender: RTCRtpSender,
        media: MediaClock,
        *,
        bitrate_bps: int = 0,
        delay_s: float = 0.0,
        on_sent: OnSent | None = None,
    ) -> None:
        """bitrate_bps: of the picture; 0 is what `codecs.tune` was told."""
        self._sender, self._media, self._delay_s, self._on_sent = sender, media, delay_s, on_sent
        self._bitrate_bps = bitrate_bps
        self._clock_hz = VIDEO_CLOCK_HZ if sender.kind == "video" else AUDIO_CLOCK_HZ
        self._under_way: tuple[int, float] | None = None
        self._origin: int | None = None
        self._next, self._reports = sender._next_encoded_frame, sender._send_rtcp
        self._sender.__dict__.update(_next_encoded_frame=self._next_encoded_frame, _send_rtcp=self._send_rtcp)

    @property
    def encoder(self) -> VideoEncoder | None:
        """The picture's encoder once there is one."""
        encoder = getattr(self._sender, _ENCODER, None)
        return encoder if isinstance(encoder, VideoEncoder) else None

    async def _next_encoded_frame(self, codec: RTCRtpCodecParameters) -> Any:
        if self._bitrate_bps and getattr(self._sender, _ENCODER) is None:
            setattr(self._sender, _ENCODER, self._new_encoder(codec))
        self._all_sent()
        frame = await self._next(codec)
        if frame is not None:
            encoder = self.encoder
            encoded_s = encoder.encoded.at_s if encoder is not None and encoder.encoded is not None else time.monotonic()
            self._under_way = frame.timestamp, encoded_s
        return frame

    def _new_encoder(self, codec: RTCRtpCodecParameters) -> Any:
        encoder = rtcrtpsender.get_encoder(codec)
        if isinstance(encoder, VideoEncoder):
            encoder.rate.set_limit(self._bitrate_bps)
        return encoder

    def _all_sent(self) -> None:
        """aiortc asks for the next frame when the last packet of the one before is gone."""
        if self._under_way is None:
            return
        (timestamp, encoded_s), self._under_way = self._under_way, None
        self._origin = (getattr(self._sender, _RTP_TIMESTAMP) - timestamp) & 0xFFFFFFFF
        if self._on_sent is not None:
            self._on_sent(timestamp, encoded_s, time.monotonic())

    async def _send_rtcp(self, packets: list[Any]) -> None:
        for packet in packets:
            if isinstance(packet, RtcpSrPacket):
                self._mend(packet)
        await self._reports(packets)

    def _mend(self, report: RtcpSrPacket) -> None:
        info = report.sender_info
        if self._origin is None or self._media.start_s is None or not info.ntp_timestamp:
            return
        age_s = (clock.current_ntp_time() - info.ntp_timestamp) / (1 << 32)
        media_s = time.monotonic() - age_s - self._media.start_s - self._delay_s
        info.rtp_timestamp = (self._origin + round(media_s * self._clock_hz)) & 0xFFFFFFFF
