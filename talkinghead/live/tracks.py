"""A session's frames as two tracks that stay in step."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from fractions import Fraction
from typing import Protocol

import av
import numpy as np
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from av.packet import Packet

from talkinghead.constants import FRAME_RATE_HZ, SIZE_PX
from talkinghead.live.codecs import AUDIO_CLOCK_HZ, PACKET_SAMPLES, VIDEO_CLOCK_HZ, SoundEncoder
from talkinghead.live.outlet import LiveFrame
from talkinghead.live.picture import video_frame
from talkinghead.live.sender import MediaClock
from talkinghead.live.times import FrameTimes

WAITING_PICTURES = 3
"""That wait for the encoder at most; then the oldest is dropped."""
WAITING_PACKETS = 20
"""Of sound that wait for the sender at most (200 ms); then the oldest is dropped."""
SOUND_SAMPLES = AUDIO_CLOCK_HZ // FRAME_RATE_HZ
_PICTURE_TICKS = VIDEO_CLOCK_HZ // FRAME_RATE_HZ
_FADE = 240  # samples, 5 ms
_REMEMBERED = 16


class SoundCutter:
    """Cuts the sound of 25 ms frames into Opus packets, which lie on multiples of their length on the output clock. A packet's
    pts is its first sample's place there.

    Where frames are missing the packet that was begun is filled up with silence, and the next one begins with the next frame. An
    interruption drops the packets that wait; the begun one goes on, into the fade that the session ends with.
    """

    def __init__(self) -> None:
        self.packets: deque[tuple[int, np.ndarray]] = deque(maxlen=WAITING_PACKETS)
        self._rest = np.zeros(0, np.float32)
        self._pts = 0
        self._generation = 0

    def push(self, frame: LiveFrame) -> int:
        """Takes a frame's sound (1200,) float32 at 48 kHz; returns how many packets were dropped for want of room."""
        start = frame.index * SOUND_SAMPLES
        if frame.generation != self._generation:
            self.packets.clear()
            self._generation = frame.generation
        dropped = 0
        if self._pts + len(self._rest) != start:
            if len(self._rest):
                dropped += self._cut(_ended(self._rest))
            before = start % PACKET_SAMPLES
            self._pts, self._rest = start - before, np.zeros(before, np.float32)
        return dropped + self._cut(np.concatenate([self._rest, frame.sound]))

    def _cut(self, sound: np.ndarray) -> int:
        dropped = 0
        whole = len(sound) // PACKET_SAMPLES * PACKET_SAMPLES
        for packet in sound[:whole].reshape(-1, PACKET_SAMPLES):
            dropped += len(self.packets) == WAITING_PACKETS
            self.packets.append((self._pts, packet))
            self._pts += PACKET_SAMPLES
        self._rest = sound[whole:]
        return dropped


def _ended(sound: np.ndarray) -> np.ndarray:
    """A packet's beginning, faded out and filled up with silence."""
    packet = np.zeros(PACKET_SAMPLES, np.float32)
    packet[: len(sound)] = sound
    faded = min(len(sound), _FADE)
    packet[len(sound) - faded : len(sound)] *= np.linspace(1, 0, faded, dtype=np.float32)
    return packet


class _FrameTrack(MediaStreamTrack):
    """A track that is fed; `recv` waits for something to send and raises MediaStreamError at the end, as aiortc expects."""

    def __init__(self) -> None:
        super().__init__()
        self._fed = asyncio.Event()

    def stop(self) -> None:
        """Ends the track; whoever waits in `recv` is woken."""
        super().stop()
        self._fed.set()

    async def _news(self) -> None:
        self._fed.clear()
        await self._fed.wait()

    def _check_live(self) -> None:
        if self.readyState != "live":
            raise MediaStreamError


class AudioTrack(_FrameTrack):
    """The sound of the frames, encoded: aiortc sends packets as they are, without the way through a thread."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._cutter, self._encoder = SoundCutter(), SoundEncoder()

    def put(self, frame: LiveFrame) -> int:
        """Takes a frame's sound; returns how many packets were dropped."""
        dropped = self._cutter.push(frame)
        self._fed.set()
        return dropped

    async def recv(self) -> Packet:
        """The next packet."""
        while not self._cutter.packets:
            self._check_live()
            await self._news()
        self._check_live()
        pts, sound = self._cutter.packets.popleft()
        return self._encoder.encode(sound, pts)


class VideoTrack(_FrameTrack):
    """The pictures of the frames; a frame that was not drawn is not sent."""

    kind = "video"

    def __init__(self, size_px: Callable[[], int] = lambda: SIZE_PX) -> None:
        """size_px: side of the picture to send, asked for each."""
        super().__init__()
        self._size_px = size_px
        self._generation = 0
        self._pictures: deque[LiveFrame] = deque()
        self._taken: deque[tuple[int, FrameTimes]] = deque(maxlen=_REMEMBERED)

    def put(self, frame: LiveFrame) -> int:
        """Takes a frame's picture; returns how many pictures were dropped, interrupted ones not counted."""
        if frame.generation != self._generation:
            self._generation = frame.generation
            self._pictures.clear()
        if frame.image is None:
            return 0
        full = len(self._pictures) == WAITING_PICTURES
        if full:
            self._pictures.popleft()
        self._pictures.append(frame)
        self._fed.set()
        return int(full)

    async def recv(self) -> av.VideoFrame:
        """The next picture."""
        while not self._pictures:
            self._check_live()
            await self._news()
        self._check_live()
        frame = self._pictures.popleft()
        assert frame.image is not None
        picture = video_frame(frame.image, self._size_px())  # quicker than to ask a thread for it
        picture.pts, picture.time_base = frame.index * _PICTURE_TICKS, Fraction(1, VIDEO_CLOCK_HZ)
        self._taken.append((picture.pts, frame.times))
        return picture

    def times(self, pts: int) -> FrameTimes | None:
        """The account of a picture that was handed out lately."""
        return next((times for at, times in self._taken if at == pts), None)


class FrameSource(Protocol):
    """An `Outlet`, of which only this is needed."""

    async def next(self) -> LiveFrame | None: ...


class Feed:
    """Reads one outlet and hands each frame's picture and sound to the two tracks together."""

    def __init__(self, audio: AudioTrack | None, video: VideoTrack | None, media: MediaClock) -> None:
        self._audio, self._video, self._media = audio, video, media

    async def run(
        self,
        outlet: FrameSource,
        seen: Callable[[LiveFrame], None] = lambda frame: None,
        dropped: Callable[[str, float], None] = lambda name, amount: None,
    ) -> None:
        """Until the outlet ends. ``seen`` is told each frame, ``dropped`` what found no room: ("drop_video",
        pictures) or ("drop_sound", seconds)."""
        while (frame := await outlet.next()) is not None:
            self._media.see(frame.index / FRAME_RATE_HZ, time.monotonic())
            if self._audio is not None and (lost := self._audio.put(frame)):
                dropped("drop_sound", lost * PACKET_SAMPLES / AUDIO_CLOCK_HZ)
            if self._video is not None and (lost := self._video.put(frame)):
                dropped("drop_video", lost)
            seen(frame)
