"""Encoders: the rate they hold, keyframes, and that aiortc uses them."""

from __future__ import annotations

import asyncio
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("aiortc")

import av
import cv2
from aiortc import MediaStreamTrack, rtcrtpsender
from aiortc.codecs import depayload, get_capabilities
from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from live.coded_session import coded_image, read_code

from talkinghead.live.codecs import (
    KEYFRAMES_APART_S,
    PACKET_SAMPLES,
    CodecError,
    EncoderFactory,
    H264Encoder,
    SoundEncoder,
    VideoEncoder,
    VideoSettings,
    Vp8Encoder,
    ensure_tuned,
    tune,
)
from talkinghead.live.picture import video_frame

H264 = RTCRtpCodecParameters("video/H264", 90000, payloadType=99)
VP8 = RTCRtpCodecParameters("video/VP8", 90000, payloadType=97)
KINDS = [(H264Encoder, H264, "h264"), (Vp8Encoder, VP8, "vp8")]
SIZE = 256  # quicker to encode than 512
RATE_BPS = 400_000
TEXTURE = cv2.GaussianBlur(np.random.default_rng(1).integers(0, 255, (320, 320, 3), np.uint8), (0, 0), 1.5)


def moving(index: int) -> np.ndarray:
    """A picture that needs a few thousand bytes a frame."""
    x, y = 32 + round(20 * np.sin(index / 5)), 32 + round(20 * np.cos(index / 7))
    return np.ascontiguousarray(TEXTURE[y : y + SIZE, x : x + SIZE])


def frame(index: int, image: np.ndarray | av.VideoFrame) -> av.VideoFrame:
    made = image if isinstance(image, av.VideoFrame) else video_frame(image, len(image))
    made.pts, made.time_base = index * 2250, Fraction(1, 90000)
    return made


class Stream:
    """An encoder on a clock of its own, and a decoder behind it."""

    def __init__(self, kind: type[VideoEncoder], codec: RTCRtpCodecParameters, decoder: str, bitrate_bps: int = RATE_BPS) -> None:
        self.now_s, self.index = 0.0, 0
        self.encoder = kind(VideoSettings(bitrate_bps), lambda: self.now_s)
        self._codec, self._decoder = codec, av.CodecContext.create(decoder, "r")
        self.sizes: list[int] = []
        self.keyframes: list[int] = []
        self.pictures: list[av.VideoFrame] = []

    def send(self, count: int, *, force: bool = False, picture: object = moving) -> None:
        for _ in range(count):
            payloads, timestamp = self.encoder.encode(frame(self.index, picture(self.index)), force)  # type: ignore[operator]
            assert timestamp == self.index * 2250
            assert max(map(len, payloads)) <= 1300
            data = b"".join(depayload(self._codec, payload) for payload in payloads)
            decoded = self._decoder.decode(av.Packet(data))
            self.pictures += decoded
            self.keyframes += [self.index] * decoded[0].key_frame
            self.sizes.append(len(data))
            self.now_s, self.index = self.now_s + 0.025, self.index + 1

    def rate_bps(self, last: int) -> float:
        return sum(self.sizes[-last:]) * 8 * 40 / last


@pytest.fixture(params=KINDS, ids=["h264", "vp8"])
def stream(request: pytest.FixtureRequest) -> Stream:
    return Stream(*request.param)


@pytest.fixture(autouse=True)
def untuned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test finds aiortc as it came, and leaves it so."""
    found = rtcrtpsender.get_encoder
    monkeypatch.setattr(rtcrtpsender, "get_encoder", found.fallback if isinstance(found, EncoderFactory) else found)


def test_the_rate_is_held_at_forty_frames_a_second(stream: Stream) -> None:
    stream.send(160)
    assert 0.85 * RATE_BPS < stream.rate_bps(120) < 1.15 * RATE_BPS
    assert stream.keyframes == [0]
    assert stream.encoder.opened == 1


def test_every_frame_comes_out_at_once_and_looks_like_it_went_in(stream: Stream) -> None:
    stream.encoder.rate.set_limit(2_000_000)
    stream.send(30, picture=lambda k: coded_image(k, 0.0, False))
    luma = [picture.to_ndarray()[:512] for picture in stream.pictures]
    assert [read_code(y)[0] for y in luma] == list(range(30))


def swaying(index: int) -> np.ndarray:
    """A picture that moves as slowly as a face does: what a noise filter takes for noise."""
    shift = np.array([[1, 0, -32 + 3 * np.sin(index / 8)], [0, 1, -32 + 3 * np.cos(index / 11)]])
    return cv2.warpAffine(TEXTURE, shift, (SIZE, SIZE))


@pytest.mark.parametrize("kind", KINDS, ids=["h264", "vp8"])
def test_planes_from_a_gpu_look_as_colours_do(kind: Any) -> None:
    def nv12(index: int) -> np.ndarray:
        planes = cv2.cvtColor(moving(index), cv2.COLOR_RGB2YUV_I420)
        luma, chroma = planes[:SIZE], planes[SIZE:].reshape(2, -1)
        return np.concatenate((luma, chroma.T.reshape(SIZE // 2, SIZE)))

    usual, other = Stream(*kind), Stream(*kind)
    usual.send(10)
    for index in range(10):
        given = video_frame(nv12(index), SIZE)
        assert given.format.name == "nv12"
        other.send(1, picture=lambda k, given=given: given)
    for one, two in zip(usual.pictures, other.pictures, strict=True):
        assert cv2.PSNR(one.to_ndarray(), two.to_ndarray()) > 60
    assert other.encoder.opened == 1


def test_slow_texture_stays_sharp(stream: Stream) -> None:
    stream.encoder.rate.set_limit(1_000_000)
    stream.send(60, picture=swaying)
    came = [picture.to_ndarray()[:SIZE].astype(float) for picture in stream.pictures[40:]]
    errors = [np.mean((luma - frame(k, swaying(k)).to_ndarray()[:SIZE]) ** 2) for k, luma in enumerate(came, 40)]
    assert 10 * np.log10(255**2 / np.mean(errors)) > 44.5  # dB; 41 with aiortc's noise filter


def test_a_keyframe_comes_when_it_is_asked_for(stream: Stream) -> None:
    stream.send(50)
    stream.send(1, force=True)
    stream.send(50)
    assert stream.keyframes == [0, 50]


def test_a_storm_of_requests_gets_few_keyframes(stream: Stream) -> None:
    stream.send(100, force=True)
    apart = np.diff(stream.keyframes) * 0.025
    assert len(stream.keyframes) >= 4 and apart.min() >= KEYFRAMES_APART_S


def test_congestion_lowers_the_rate(stream: Stream) -> None:
    stream.encoder.rate.set_limit(1_000_000)
    stream.send(40)
    for _ in range(6):
        stream.encoder.target_bitrate = 500_000  # as aiortc passes on an estimate (REMB)
        stream.send(40)
    assert stream.encoder.target_bitrate == 450_000
    assert stream.rate_bps(80) < 0.6e6
    assert len(stream.keyframes) == (1 if isinstance(stream.encoder, H264Encoder) else 2)


def test_estimates_that_waver_cost_no_keyframe(stream: Stream) -> None:
    for k in range(10):
        stream.encoder.target_bitrate = 0.95 * RATE_BPS if k % 2 else 1.15 * RATE_BPS
        stream.send(20)
    assert stream.keyframes == [0]


def test_under_load_a_cheaper_preset_and_another_size(stream: Stream) -> None:
    stream.send(3)
    stream.encoder.light = True
    stream.send(3)
    stream.send(3, picture=lambda k: np.ascontiguousarray(moving(k)[::2, ::2]))
    assert stream.keyframes == [0, 3, 6]
    assert [(p.width, p.height) for p in stream.pictures] == [(SIZE, SIZE)] * 6 + [(SIZE // 2, SIZE // 2)] * 3


def test_other_pixel_formats_are_taken(stream: Stream) -> None:
    rgb = av.VideoFrame.from_ndarray(moving(0), format="rgb24")
    rgb.pts, rgb.time_base = 0, Fraction(1, 90000)
    assert stream.encoder.encode(rgb)[0]


def test_h264_is_the_profile_that_is_offered() -> None:
    data = H264Encoder(VideoSettings()).encode(frame(0, moving(0)))[0]
    sps = depayload(H264, data[0]).split(b"\x00\x00\x00\x01")[1]
    assert sps[:2] == bytes([0x67, 66]) and sps[2] & 0x40  # constrained baseline
    offered = {str(c.parameters["profile-level-id"]) for c in get_capabilities("video").codecs if c.mimeType == "video/H264"}
    assert all(name.startswith("42") for name in offered)


def _heard(packets: list[av.Packet]) -> np.ndarray:
    decoder = av.CodecContext.create("libopus", "r")
    return np.concatenate([decoder.decode(av.Packet(bytes(packet)))[0].to_ndarray()[0, ::2] for packet in packets]).astype(int)


def _wave(packets: int, loudness: float) -> np.ndarray:
    return (loudness * np.sin(2 * np.pi * 100 * np.arange(packets * PACKET_SAMPLES) / 48000)).reshape(packets, -1)


def test_sound_keeps_timestamps_and_gaps() -> None:
    encoder = SoundEncoder()
    stamps = [0, 480, 960, 4800, 5280]
    packets = [encoder.encode(sound, pts) for sound, pts in zip(_wave(5, 0.3), stamps, strict=True)]
    assert [(packet.pts, packet.time_base) for packet in packets] == [(pts, Fraction(1, 48000)) for pts in stamps]
    heard = _heard(packets)
    assert len(heard) == 5 * PACKET_SAMPLES and heard.max() > 5_000


def test_too_loud_sound_is_clipped_and_does_not_wrap() -> None:
    encoder = SoundEncoder()
    heard = _heard([encoder.encode(sound, PACKET_SAMPLES * k) for k, sound in enumerate(_wave(20, 1.2))])
    assert heard.max() > 25_000 and np.abs(np.diff(heard)).max() < 5_000


class _Pictures(MediaStreamTrack):
    kind = "video"

    async def recv(self) -> av.VideoFrame:
        return frame(0, moving(0))


def _encoder_in_use(codec: RTCRtpCodecParameters) -> object:
    async def encode() -> object:
        sender = rtcrtpsender.RTCRtpSender(_Pictures(), SimpleNamespace(state="new"))
        encoded = await sender._next_encoded_frame(codec)
        assert encoded.payloads
        return sender._RTCRtpSender__encoder

    return asyncio.run(encode())


@pytest.mark.parametrize(("kind", "codec"), [k[:2] for k in KINDS], ids=["h264", "vp8"])
def test_aiortc_encodes_with_ours_after_tune_and_with_its_own_before(
    kind: type[VideoEncoder], codec: RTCRtpCodecParameters
) -> None:
    assert not isinstance(_encoder_in_use(codec), VideoEncoder)
    tune(1_200_000, 25)
    used = _encoder_in_use(codec)
    assert isinstance(used, kind) and used.target_bitrate == 1_200_000
    assert used._codec is not None and used._codec.framerate == 25


def test_tune_may_be_called_again() -> None:
    original = rtcrtpsender.get_encoder
    tune(1_000_000)
    ensure_tuned()
    first = rtcrtpsender.get_encoder
    tune(2_000_000)
    factory = rtcrtpsender.get_encoder
    assert isinstance(first, EncoderFactory) and isinstance(factory, EncoderFactory)
    assert first.settings.bitrate_bps == 1_000_000 and factory.settings.bitrate_bps == 2_000_000
    assert factory.fallback is original


def test_x264_goes_on_where_the_gpu_takes_no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        """A GPU's encoder that has no stream left."""

        def encode(self, picture: av.VideoFrame) -> list[av.Packet]:
            asked.append(picture.pts)
            raise av.error.ExternalError(-542398533, "Generic error in an external library")

    asked: list[int | None] = []
    create = av.CodecContext.create
    monkeypatch.setattr(av.CodecContext, "create", lambda name, mode: Full() if name == "h264_nvenc" else create(name, mode))
    encoder = H264Encoder(VideoSettings(gpu=True))
    sent = [encoder.encode(frame(k, moving(k))) for k in range(3)]
    assert asked == [0] and encoder.opened == 2
    assert [timestamp for _, timestamp in sent] == [0, 2250, 4500] and all(payloads for payloads, _ in sent)


def test_codecs_that_are_not_ours_stay_as_they_are() -> None:
    tune()
    assert type(rtcrtpsender.get_encoder(RTCRtpCodecParameters("audio/PCMU", 8000))).__name__ == "PcmuEncoder"


def test_an_aiortc_without_the_hook_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    async def other(self: object, codec: object) -> None: ...

    monkeypatch.setattr(rtcrtpsender.RTCRtpSender, "_next_encoded_frame", other)
    with pytest.raises(CodecError, match="pip install"):
        tune()
