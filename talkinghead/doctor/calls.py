"""What calls need: packages, the encoders as a call opens them, ports and addresses."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from fractions import Fraction
from importlib import import_module
from typing import Any

import numpy as np

from talkinghead.constants import SIZE_PX
from talkinghead.doctor.finding import Finding, installed

DEFAULT_PORT = 8040

_PACKAGES = ("aiortc", "aiohttp", "prometheus-client")
_FIX = 'pip install "talkinghead[live]"'
_CODECS = {"H.264": ("video/H264", 90_000), "VP8": ("video/VP8", 90_000), "Opus": ("audio/opus", 48_000)}


def call_findings() -> list[Finding]:
    """The packages of the extra `live`; where all are there, encoders, ports and addresses too."""
    found = {name: installed(name) for name in _PACKAGES}
    packages = [Finding(name, value or "not installed", bool(value), _FIX, optional=True) for name, value in found.items()]
    if not all(found.values()):
        return packages
    codecs = [_codec(name, *codec) for name, codec in _CODECS.items()]
    return [*packages, *codecs, _udp_port(), _addresses(), _server_port()]


def _codec(name: str, mime: str, rate_hz: int) -> Finding:
    """Encode one frame as a call does."""
    label = f"call codec {name}"
    try:
        parameters = import_module("aiortc").RTCRtpCodecParameters(mimeType=mime, clockRate=rate_hz)
        encoder = import_module("aiortc.codecs").get_encoder(parameters)
        frame = _picture() if mime.startswith("video") else _sound(rate_hz)
        payloads, _ = encoder.encode(frame)
    except Exception as error:  # whatever FFmpeg's libraries and aiortc raise: the report goes on
        why = " ".join(f"{type(error).__name__}: {error}".split())
        return Finding(label, f"does not open ({why})", False, 'pip install --force-reinstall "talkinghead[live]"')
    return Finding(label, f"opened, {sum(map(len, payloads))} bytes for a first frame")


def _picture() -> Any:
    av = import_module("av")
    frame = av.VideoFrame.from_ndarray(np.full((SIZE_PX, SIZE_PX, 3), 128, np.uint8), format="rgb24").reformat(format="yuv420p")
    frame.pts, frame.time_base = 0, Fraction(1, 90_000)
    return frame


def _sound(rate_hz: int) -> Any:
    av = import_module("av")
    frame = av.AudioFrame.from_ndarray(np.zeros((1, rate_hz // 10), np.int16), format="s16", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = rate_hz, 0, Fraction(1, rate_hz)
    return frame


def _udp_port() -> Finding:
    """Calls send pictures and sound from UDP ports that the system picks."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("0.0.0.0", 0))
            port = probe.getsockname()[1]
    except OSError as error:
        return Finding("udp ports", f"none can be bound ({error.strerror})", False, "allow UDP in the firewall or the sandbox")
    return Finding("udp ports", f"can be bound ({port} was)")


def _addresses() -> Finding:
    """Where a caller could reach this machine: ICE host candidates (RFC 8445), without loopback."""
    try:
        hosts: Callable[..., list[str]] = import_module("aioice.ice").get_host_addresses
        found = [address for address in hosts(use_ipv4=True, use_ipv6=True) if not address.startswith("127.")]
    except (ImportError, AttributeError, OSError, TypeError) as error:
        return Finding("call addresses", f"cannot be listed ({type(error).__name__}: {error})", False, _FIX)
    if found:
        return Finding("call addresses", f"{', '.join(found)} (callers behind other routers need a TURN server)")
    only = "only loopback: browsers on this machine can call, others cannot"
    return Finding("call addresses", only, False, "connect a network for calls from elsewhere", optional=True)


def _server_port() -> Finding:
    label = f"port {DEFAULT_PORT}"
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            if os.name == "posix":  # as the server does; elsewhere this option would let two servers share the port
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", DEFAULT_PORT))
    except OSError as error:
        fix = "end what uses it, or give `talkinghead serve` another --port"
        return Finding(label, f"taken ({error.strerror})", False, fix, optional=True)
    return Finding(label, "free")
