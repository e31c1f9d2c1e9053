"""H.264 on NVIDIA's encoder, beside a decoder that draws on the same GPU; x264 everywhere else."""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from typing import cast

import av
from av.video.codeccontext import VideoCodecContext

from talkinghead.constants import FRAME_RATE_HZ, SIZE_PX
from talkinghead.runtime.engine import choose_device

NVENC = "h264_nvenc"
_GPUS = ("cuda", "tensorrt")
_SMALLEST_PX, _LARGEST_PX = 160, 4096
"""Sides that every generation of the encoder takes."""


def encodes_on_gpu(device: str) -> bool:
    """Whether pictures drawn on a device (auto, cpu, cuda or tensorrt) are encoded by the GPU as well."""
    return choose_device(device) in _GPUS and has_nvenc()


@cache
def has_nvenc() -> bool:
    """Whether a picture can be encoded: FFmpeg may know the encoder where there is no such GPU, or none that is free."""
    try:
        codec = cast(VideoCodecContext, av.CodecContext.create(NVENC, "w"))
        codec.width = codec.height = SIZE_PX
        codec.pix_fmt, codec.time_base, codec.framerate = "yuv420p", Fraction(1, FRAME_RATE_HZ), Fraction(FRAME_RATE_HZ)
        picture = av.VideoFrame(SIZE_PX, SIZE_PX, "yuv420p")
        picture.pts = 0
        return any(bytes(packet) for packet in (*codec.encode(picture), *codec.encode(None)))
    except (av.FFmpegError, ValueError):  # an unknown codec is a ValueError
        return False


def file_encoder(device: str, width: int, height: int, x264: dict[str, str]) -> tuple[str, dict[str, str]]:
    """Name and options of the encoder of a file: x264 with its own, or the GPU's at about the same quality."""
    fits = min(width, height) >= _SMALLEST_PX and max(width, height) <= _LARGEST_PX
    if fits and encodes_on_gpu(device):
        return NVENC, {"preset": "p5", "tune": "hq", "rc": "vbr", "cq": x264["crf"], "b": "0"}
    return "libx264", x264
