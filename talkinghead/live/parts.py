"""What the server is assembled from: sessions, peers, a voice. Tests put simpler ones in their place."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from talkinghead.errors import VoiceError

if TYPE_CHECKING:
    from talkinghead.live.avatars import AvatarSource
    from talkinghead.live.server import ServeOptions
    from talkinghead.networks import BatchObserver

log = logging.getLogger("talkinghead.live")


class SessionLike(Protocol):
    """What the server needs of a `LiveSession`."""

    def start(self) -> None: ...
    def close(self) -> None: ...
    def push_audio(self, pcm: np.ndarray, rate: int = ..., *, generation: int | None = ...) -> bool: ...
    def end_of_speech(self) -> None: ...
    def interrupt(self) -> int: ...
    @property
    def generation(self) -> int: ...
    @property
    def queued_s(self) -> float: ...
    @property
    def level(self) -> int: ...


class PeerLike(Protocol):
    """What the server needs of a `Peer`."""

    async def answer(self, sdp: str, type_: str = ...) -> tuple[str, str]: ...
    async def add_candidate(self, candidate: dict | None) -> None: ...
    async def close(self) -> None: ...


Observer = Callable[[str, float], None]
"""Told what happened and how much of it, such as ("draw_ms", 14.2); called from any thread."""
OpenSession = Callable[[bytes | None, Observer], tuple[SessionLike, tuple[str, ...]]]
"""A portrait's bytes (None: the server's own) and whom to report to -> a session that is not started, and remarks for the user.
Blocking."""
MakePeer = Callable[[SessionLike, Observer, Callable[[], None]], PeerLike]
"""A session, whom to report to, and what to call when the peer is gone -> its peer."""
Say = Callable[[str, str], tuple[Iterator[np.ndarray], int]]
"""Text and its language (BCP 47) -> pieces of mono float32 sound, and their rate in Hz. Blocking; raises VoiceError."""


@dataclass(frozen=True)
class Parts:
    """What a server runs on. ``warm_up`` loads and runs everything once and returns how many sessions this machine holds;
    ``close`` comes after the last session."""

    open_session: OpenSession
    make_peer: MakePeer
    warm_up: Callable[[], int]
    say: Say | None = None
    close: Callable[[], None] = lambda: None


def real_parts(options: ServeOptions, observer: BatchObserver) -> Parts:
    """The engine, WebRTC and the voice. The observer is told of batches, on a GPU."""
    from talkinghead.live.avatars import AvatarSource
    from talkinghead.live.codecs import AUDIO_CLOCK_HZ, PACKET_SAMPLES, tune
    from talkinghead.live.peer import Peer
    from talkinghead.live.session import LiveSession
    from talkinghead.runtime.nvenc import encodes_on_gpu

    if encodes_on_gpu(options.device):
        tune(gpu=True)
    source = AvatarSource(options.portrait, options.device, observer)

    def open_session(photo: bytes | None, observer: Observer) -> tuple[SessionLike, tuple[str, ...]]:
        avatar = source.open(photo)
        return LiveSession(avatar, observer=observer), avatar.portrait.notes

    def make_peer(session: Any, observer: Observer, gone: Callable[[], None]) -> PeerLike:
        def told(name: str, value: float) -> None:  # peers count packets where sessions count seconds
            observer(name, value * PACKET_SAMPLES / AUDIO_CLOCK_HZ if name == "drop_sound" else value)

        rate_bps = options.bitrate_bps
        return Peer(session, options.ice, codec=options.codec, bitrate_bps=rate_bps, on_closed=gone, observer=told)

    return Parts(open_session, make_peer, lambda: _warm_up(source, options), _speech(), source.close)


def _warm_up(source: AvatarSource, options: ServeOptions) -> int:
    from talkinghead.live.admission import available_cores, measure, sessions_held
    from talkinghead.live.codecs import H264Encoder, VideoSettings, Vp8Encoder
    from talkinghead.runtime.nvenc import encodes_on_gpu

    source.load()
    settings = VideoSettings(options.bitrate_bps, gpu=encodes_on_gpu(options.device))
    encoder = (Vp8Encoder if options.codec == "vp8" else H264Encoder)(settings)
    sample, cores = source.sample(), available_cores()
    cost = measure(sample, encoder)
    if source.prepare():
        cost = measure(sample, encoder)
    held = sessions_held(cost, cores)
    figures = f"{cost.hop_ms:.1f} ms a hop, {cost.draw_ms:.1f} ms to draw, {cost.encode_ms:.1f} ms to encode a picture"
    log.info("a call costs %.2f of %.1f cores (%s): room for %d", cost.cores(), cores, figures, held)
    return held


def _speech() -> Say | None:
    """espeak-ng; None where it is not installed."""
    from talkinghead.speech.voice import Voice

    def say(text: str, language: str) -> tuple[Iterator[np.ndarray], int]:
        voice = Voice.open(language)
        return voice.speak(text), voice.rate_hz

    try:
        Voice.open()
    except VoiceError as error:
        log.info("no voice: %s", error)
        return None
    return say
