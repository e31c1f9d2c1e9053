"""Encoders for a 512×512 face at 40 FPS, in place of aiortc's, which are set for 640×480 at 30 FPS.

aiortc has no setting for preset, frame rate or bitrate, and rebuilds an encoder (a keyframe of 20 to 60 KiB) whenever a
receiver's estimate moves by a tenth. Here H.264 changes its rate while it runs, and VP8 rarely. The RTP payload formats (RFC
6184, RFC 7741) are aiortc's own. Encoding happens where aiortc does it: in a thread of the event loop's executor, outside the
interpreter lock.
"""

from __future__ import annotations

import inspect
import random
import time
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import cast

import av
import numpy as np
from aiortc import rtcrtpsender
from aiortc.codecs.base import Encoder
from aiortc.codecs.h264 import H264Encoder as AiortcH264
from aiortc.codecs.vpx import Vp8Encoder as AiortcVp8
from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from av.frame import Frame
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType

from talkinghead.constants import FRAME_RATE_HZ
from talkinghead.errors import TalkingHeadError
from talkinghead.live.bitrate import BitrateControl
from talkinghead.runtime.nvenc import NVENC

DEFAULT_BITRATE_BPS = 2_500_000
VIDEO_CLOCK_HZ = 90_000
AUDIO_CLOCK_HZ = 48_000
PACKET_SAMPLES = 480
"""10 ms of sound at 48 kHz, one Opus frame."""
KEYFRAMES_APART_S = 0.5
"""A receiver that asks for keyframes more often (a storm of PLI or FIR) gets no more than this."""
_KEYFRAME_EVERY = 3_000  # frames, when nobody asks: a keyframe is a burst
_SOUND_BPS = 64_000


class CodecError(TalkingHeadError):
    """This aiortc cannot be set up for us."""


@dataclass(frozen=True)
class VideoSettings:
    """Rates that every video encoder starts with."""

    bitrate_bps: int = DEFAULT_BITRATE_BPS
    fps: int = FRAME_RATE_HZ
    gpu: bool = False
    """H.264 by the GPU's encoder, as long as it takes pictures."""


@dataclass(frozen=True)
class Encoded:
    """The last frame out of an encoder: its RTP timestamp without aiortc's random offset, and when it was ready
    (`time.monotonic`)."""

    timestamp: int
    at_s: float


class VideoEncoder(Encoder):
    """What both codecs share: rate, keyframes on request, accounts. One thread at a time encodes."""

    _takes: tuple[str, ...] = ("yuv420p",)
    """Pixel formats; pictures of any other are brought to the first."""

    def __init__(self, settings: VideoSettings, now: Callable[[], float] = time.monotonic) -> None:
        self._settings, self._now = settings, now
        self.rate = BitrateControl(settings.bitrate_bps)
        self.light = False
        """Spend less time on a frame (under load); a change costs a keyframe."""
        self.encoded: Encoded | None = None
        self.opened = 0
        """How often an encoder was built: each time costs a keyframe."""
        self._codec: VideoCodecContext | None = None
        self._made: tuple[int, int, str, bool] = (0, 0, "", False)
        self._keyframe_due = False
        self._keyframe_s = float("-inf")

    @property
    def target_bitrate(self) -> int:
        """bit/s; aiortc sets it to each estimate of the receiver."""
        return self.rate.target_bps

    @target_bitrate.setter
    def target_bitrate(self, bps: int) -> None:
        self.rate.estimate(bps)

    def encode(self, frame: Frame, force_keyframe: bool = False) -> tuple[list[bytes], int]:
        """RTP payloads of a picture, and its timestamp at 90 kHz."""
        assert isinstance(frame, av.VideoFrame)
        if frame.format.name not in self._takes:
            frame = frame.reformat(format=self._takes[0])
        now = self._now()
        codec = self._ready(frame, self.rate.step(now))
        frame.pict_type = PictureType.I if self._keyframe(force_keyframe, now) else PictureType.NONE
        data = b"".join(bytes(packet) for packet in codec.encode(frame))
        self.rate.sent(len(data), now)
        timestamp = _ticks(frame.pts, frame.time_base, VIDEO_CLOCK_HZ)
        self.encoded = Encoded(timestamp, self._now())
        return self._payloads(data), timestamp

    def pack(self, packet: Packet) -> tuple[list[bytes], int]:
        """RTP payloads of what is encoded already."""
        return self._payloads(bytes(packet)), _ticks(packet.pts, packet.time_base, VIDEO_CLOCK_HZ)

    def _ready(self, frame: av.VideoFrame, bitrate_bps: int) -> VideoCodecContext:
        light = self.light
        made = (frame.width, frame.height, frame.format.name, light)
        if self._codec is None or made != self._made or not self._take_rate(self._codec, bitrate_bps):
            self._codec = self._open(bitrate_bps, light)
            self._codec.width, self._codec.height = frame.width, frame.height
            self._codec.pix_fmt = frame.format.name
            self._codec.bit_rate = bitrate_bps
            self._codec.framerate = Fraction(self._settings.fps)
            self._codec.time_base = Fraction(1, VIDEO_CLOCK_HZ)
            self._codec.gop_size = _KEYFRAME_EVERY
            self._codec.thread_count = 1  # a second thread saves 1 ms here and costs the renderer more
            self._made, self.opened, self._keyframe_s = made, self.opened + 1, self._now()
            self._keyframe_due = False
        return self._codec

    def _keyframe(self, asked: bool, now_s: float) -> bool:
        self._keyframe_due |= asked
        if not self._keyframe_due or now_s - self._keyframe_s < KEYFRAMES_APART_S:
            return False
        self._keyframe_due, self._keyframe_s = False, now_s
        return True

    @abstractmethod
    def _open(self, bitrate_bps: int, light: bool) -> VideoCodecContext: ...

    @abstractmethod
    def _take_rate(self, codec: VideoCodecContext, bitrate_bps: int) -> bool:
        """Give a running encoder its rate; False when it has to be built anew."""

    @abstractmethod
    def _payloads(self, data: bytes) -> list[bytes]: ...


class H264Encoder(VideoEncoder):
    """x264, constrained baseline. With a rate buffer (VBV) set, x264 takes another bitrate while it runs, without a keyframe; so
    does a GPU's encoder."""

    _takes = ("yuv420p", "nv12")

    def __init__(self, settings: VideoSettings, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__(settings, now)
        self._on_gpu = settings.gpu

    def encode(self, frame: Frame, force_keyframe: bool = False) -> tuple[list[bytes], int]:
        """As of every encoder. Where the GPU takes no more pictures (it may hold few streams), x264 goes on."""
        try:
            return super().encode(frame, force_keyframe)
        except av.FFmpegError:
            if not self._on_gpu:
                raise
            self._on_gpu, self._codec = False, None
            return super().encode(frame, force_keyframe)

    def _open(self, bitrate_bps: int, light: bool) -> VideoCodecContext:
        if self._on_gpu:
            of_gpu = cast(VideoCodecContext, av.CodecContext.create(NVENC, "w"))
            of_gpu.profile = "Baseline"
            of_gpu.options = {"preset": "p3", "tune": "ull", "rc": "cbr", "zerolatency": "1", "delay": "0", "forced-idr": "1"}
            return of_gpu
        codec = av.CodecContext.create("libx264", "w")
        codec.profile = "Baseline"
        codec.options = {
            "preset": "superfast" if light else "veryfast",
            "tune": "zerolatency",
            "level": "31",
            "sc_threshold": "0",  # no keyframe for what looks like another scene
            "maxrate": str(self.rate.limit_bps),
            "bufsize": str(self.rate.limit_bps // 2),
        }
        return codec

    def _take_rate(self, codec: VideoCodecContext, bitrate_bps: int) -> bool:
        if codec.bit_rate != bitrate_bps:
            codec.bit_rate = bitrate_bps
        return True

    def _payloads(self, data: bytes) -> list[bytes]:
        return AiortcH264._packetize(AiortcH264._split_bitstream(data))


class Vp8Encoder(VideoEncoder):
    """libvpx in realtime mode, without its noise filter, which blurs skin (5 dB) and costs a millisecond a frame."""

    def __init__(self, settings: VideoSettings, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__(settings, now)
        self._picture_id = random.randrange(1 << 15)

    def _open(self, bitrate_bps: int, light: bool) -> VideoCodecContext:
        codec = av.CodecContext.create("libvpx", "w")
        codec.qmin, codec.qmax = 2, 56
        codec.options = {
            "deadline": "realtime",
            "cpu-used": "-12" if light else "-8",
            "lag-in-frames": "0",
            "noise-sensitivity": "0",
            "static-thresh": "1",
            "minrate": str(bitrate_bps),  # equal rates: constant bitrate
            "maxrate": str(bitrate_bps),
            "bufsize": str(bitrate_bps),
            "overshoot-pct": "15",
            "undershoot-pct": "100",
            "max-intra-rate": "800",  # a keyframe is at most eight frames' share
        }
        return codec

    def _take_rate(self, codec: VideoCodecContext, bitrate_bps: int) -> bool:
        return codec.bit_rate == bitrate_bps

    def _payloads(self, data: bytes) -> list[bytes]:
        payloads = AiortcVp8._packetize(data, self._picture_id)
        self._picture_id = (self._picture_id + 1) % (1 << 15)
        return payloads


class SoundEncoder:
    """Mono Opus. It takes 0.1 ms: less than to ask a thread for it."""

    def __init__(self) -> None:
        self._codec = av.CodecContext.create("libopus", "w")
        self._codec.bit_rate, self._codec.format, self._codec.layout = _SOUND_BPS, "s16", "mono"
        self._codec.sample_rate, self._codec.time_base = AUDIO_CLOCK_HZ, Fraction(1, AUDIO_CLOCK_HZ)
        self._codec.options = {"application": "audio", "frame_duration": str(1000 * PACKET_SAMPLES // AUDIO_CLOCK_HZ)}

    def encode(self, sound: np.ndarray, pts: int) -> Packet:
        """A packet of (PACKET_SAMPLES,) float32 at 48 kHz; what is louder than 1 is clipped. ``pts`` may jump."""
        samples = np.round(np.clip(sound, -1, 1) * 32767).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = AUDIO_CLOCK_HZ, pts, Fraction(1, AUDIO_CLOCK_HZ)
        [packet] = self._codec.encode(frame)
        packet.pts, packet.time_base = pts, Fraction(1, AUDIO_CLOCK_HZ)  # the encoder's own counts its delay of 6.5 ms
        return packet


@dataclass(frozen=True)
class EncoderFactory:
    """Stands where aiortc asks for an encoder; codecs that we do not set up go on to aiortc's own function."""

    settings: VideoSettings
    fallback: Callable[[RTCRtpCodecParameters], Encoder]

    def __call__(self, codec: RTCRtpCodecParameters) -> Encoder:
        kind = codec.mimeType.lower()
        if kind == "video/h264":
            return H264Encoder(self.settings)
        if kind == "video/vp8":
            return Vp8Encoder(self.settings)
        return self.fallback(codec)


def tune(bitrate_bps: int = DEFAULT_BITRATE_BPS, fps: int = FRAME_RATE_HZ, *, gpu: bool = False) -> None:
    """Have aiortc use our video encoders in every connection that is made from now on. May be called again, to change the rates.

    bitrate_bps is held for as long as no receiver reports congestion; gpu: see `VideoSettings`. Raises CodecError where aiortc
    has changed so much that it would not ask us for an encoder (tested with 1.15 and 1.16).
    """
    sender = rtcrtpsender.RTCRtpSender
    asks = getattr(sender, "_next_encoded_frame", None)
    names = asks.__code__.co_names if inspect.isfunction(asks) else ()
    if "get_encoder" not in names or "_RTCRtpSender__encoder" not in names or not hasattr(sender, "_send_rtcp"):
        raise CodecError('this aiortc has no place for our encoders: pip install "aiortc>=1.15,<1.17"')
    current = rtcrtpsender.get_encoder
    fallback = current.fallback if isinstance(current, EncoderFactory) else current
    rtcrtpsender.get_encoder = EncoderFactory(VideoSettings(bitrate_bps, fps, gpu), fallback)


def ensure_tuned() -> None:
    """`tune` with its defaults, unless it was called before."""
    if not isinstance(rtcrtpsender.get_encoder, EncoderFactory):
        tune()


def _ticks(pts: int | None, time_base: Fraction | None, clock_hz: int) -> int:
    if pts is None or time_base is None:
        raise ValueError("a frame without pts cannot be sent")
    return int(pts * clock_hz * time_base.numerator // time_base.denominator)
