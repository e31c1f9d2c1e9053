"""A caller in a process of its own, for `benchmarks/calls.py`: it joins a server, sends sound, and keeps what comes back.

    python benchmarks/call_client.py '{"url": ..., "out": ..., "talk": [[1.0, 0.3], ...], ...}'

Clocks are `time.monotonic`, which all processes of a machine share.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import aiohttp
import aioice.ice
import av
import cv2
import numpy as np
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription, rtcrtpreceiver
from aiortc.jitterbuffer import JitterFrame
from aiortc.mediastreams import MediaStreamError

_PACKET_S, _RATE_HZ = 0.02, 48_000
SPEECH = Path(__file__).resolve().parents[1] / "examples" / "data" / "speech.ogg"


@dataclass
class Kept:
    """What a call was: pictures [arrival s, pts], packets [arrival s, pts, root mean square], begun [s] of each burst of sound
    as its first packet was handed to the network, interrupts [s], faces: luma (h, w) uint8 with the picture's number."""

    asked_s: float = 0.0
    pictures: list[tuple[float, int]] = field(default_factory=list)
    packets: list[tuple[float, int, float]] = field(default_factory=list)
    begun: list[float] = field(default_factory=list)
    interrupts: list[float] = field(default_factory=list)
    faces: list[tuple[int, np.ndarray]] = field(default_factory=list)


SYLLABLES_S = (6.58, 7.66, 1.42, 6.16)
"""Where open syllables begin in the packaged recording."""


@lru_cache(maxsize=1)
def recording() -> np.ndarray:
    """The packaged recording (n,) float32; read once, however many syllables a long call takes of it."""
    with av.open(str(SPEECH)) as box:
        to_ears = av.AudioResampler("fltp", "mono", _RATE_HZ)
        parts = [part.to_ndarray()[0] for frame in box.decode(audio=0) for part in to_ears.resample(frame)]
    return np.concatenate(parts)


def syllable(seconds: float, which: int) -> np.ndarray:
    """So much of the packaged recording (n,) float32 from an open syllable on, begun and ended within 5 ms."""
    begin = round(SYLLABLES_S[which % len(SYLLABLES_S)] * _RATE_HZ)
    sound = recording()[begin : begin + round(seconds * _RATE_HZ)]
    edge = np.minimum(np.arange(len(sound)), np.arange(len(sound))[::-1]) / (0.005 * _RATE_HZ)
    return (np.clip(edge, 0, 1) * sound).astype(np.float32)


class Microphone(MediaStreamTrack):
    """Silence with bursts of speech, in real time, in packets of 20 ms."""

    kind = "audio"

    def __init__(self, bursts: list[list[float]], kept: Kept) -> None:
        """bursts: [begin, length] in seconds since the first packet."""
        super().__init__()
        self._kept, self._count, self._start_s = kept, 0, 0.0
        last_s = max((begin + length for begin, length in bursts), default=0.0)
        self._sound = np.zeros(round((last_s + 1) / _PACKET_S) * 960, np.float32)
        self._first = set()
        for which, (begin, length) in enumerate(bursts):
            at = round(begin / _PACKET_S)
            self._first.add(at)
            made = syllable(length, which)
            self._sound[960 * at : 960 * at + len(made)] = made

    async def recv(self) -> av.AudioFrame:
        self._start_s = self._start_s or time.monotonic()
        await asyncio.sleep(self._start_s + self._count * _PACKET_S - time.monotonic())
        part = self._sound[960 * self._count : 960 * (self._count + 1)]
        part = np.pad(part, (0, 960 - len(part)))
        frame = av.AudioFrame.from_ndarray((32767 * part).astype(np.int16)[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = _RATE_HZ, 960 * self._count, Fraction(1, _RATE_HZ)
        if self._count in self._first:
            self._kept.begun.append(time.monotonic())
        self._count += 1
        return frame


class WholePictures:
    """In place of aiortc's jitter buffer for pictures: one is whole with the packet that carries its marker (RFC 6184, section
    5.1), as browsers have it. aiortc's waits for the first packet of the next picture, 25 ms more."""

    def __init__(self) -> None:
        self._waiting: dict[int, Any] = {}
        self._next: int | None = None

    def add(self, packet: Any) -> tuple[bool, JitterFrame | None]:
        """aiortc's interface: whether a keyframe must be asked for, and the picture that is whole now."""
        number = packet.sequence_number
        if self._next is None:
            self._next = number
        if (number - self._next) & 0xFFFF >= 0x8000:
            return False, None  # older than what was given
        self._waiting[number] = packet
        if len(self._waiting) > 256:  # one was lost for good
            self._waiting, self._next = {}, None
            return True, None
        found = []
        while (part := self._waiting.get((self._next + len(found)) & 0xFFFF)) is not None:
            found.append(part)
            if part.marker:
                for done in found:
                    del self._waiting[done.sequence_number]
                self._next = (part.sequence_number + 1) & 0xFFFF
                return False, JitterFrame(data=b"".join(x._data for x in found), timestamp=part.timestamp)
        return False, None


class _Blind:
    """In place of a decoder: the picture comes, and is not looked at."""

    def decode(self, encoded: Any) -> list[av.VideoFrame]:
        frame = av.VideoFrame(16, 16, "yuv420p")
        frame.pts, frame.time_base = encoded.timestamp, Fraction(1, 90_000)
        return [frame]


def blind() -> None:
    """From now on this process decodes no pictures: it stands for callers elsewhere."""
    known = rtcrtpreceiver.get_decoder
    rtcrtpreceiver.get_decoder = lambda codec: _Blind() if codec.mimeType.startswith("video/") else known(codec)


async def see(track: Any, kept: Kept, looks: list[list[float]]) -> None:
    """Keep every picture's arrival; of those in the spans ``looks`` (seconds since the call was asked for) the picture itself."""
    try:
        while True:
            frame = await track.recv()
            now_s = time.monotonic()
            kept.pictures.append((now_s, frame.pts))
            if any(a <= now_s - kept.asked_s < b for a, b in looks):
                kept.faces.append((len(kept.pictures) - 1, frame.to_ndarray()[: frame.height].copy()))
    except MediaStreamError:
        return


async def hear(track: Any, kept: Kept) -> None:
    """Keep every packet's arrival and loudness."""
    try:
        while True:
            frame = await track.recv()
            sound = frame.to_ndarray().astype(np.float32) / 32768
            kept.packets.append((time.monotonic(), frame.pts, float(np.sqrt(np.mean(sound**2)))))
    except MediaStreamError:
        return


async def call(
    url: str,
    *,
    seconds: float,
    talk: list[list[float]] | None = None,
    speak: str = "",
    interrupts: list[float] | None = None,
    looks: list[list[float]] | None = None,
) -> Kept:
    """One call by POST /offer. talk: bursts for the microphone, seconds since the first packet. speak: a sound file that is sent
    to be spoken, again after each of ``interrupts``, which are seconds since the call was asked for."""
    kept, tasks = Kept(), []
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    video = pc.addTransceiver("video", "recvonly")
    video.receiver.__dict__["_RTCRtpReceiver__jitter_buffer"] = WholePictures()
    pc.addTransceiver(Microphone(talk, kept) if talk else "audio", "sendrecv" if talk else "recvonly")
    control = pc.createDataChannel("control")
    pc.on(
        "track", lambda t: tasks.append(asyncio.ensure_future(see(t, kept, looks or []) if t.kind == "video" else hear(t, kept)))
    )
    kept.asked_s = time.monotonic()
    await pc.setLocalDescription(await pc.createOffer())
    async with aiohttp.ClientSession(url) as http:
        async with http.post("/offer", json={"sdp": pc.localDescription.sdp, "type": "offer"}) as answer:
            told = await answer.json()
            if answer.status != 200:
                raise SystemExit(f"the server refused the call: {told}")
        await pc.setRemoteDescription(RTCSessionDescription(told["sdp"], told["type"]))
        mine = {"Authorization": f"Bearer {told['token']}"}
        sound = Path(speak).read_bytes() if speak else b""
        for stop_s in [*(interrupts or []), seconds]:
            if sound:
                async with http.post(f"/sessions/{told['session_id']}/audio", data=sound, headers=mine) as answer:
                    assert answer.status == 202, await answer.text()
            await asyncio.sleep(kept.asked_s + stop_s - time.monotonic())
            if stop_s < seconds:
                kept.interrupts.append(time.monotonic())
                control.send(json.dumps({"type": "interrupt"}))
                await asyncio.sleep(1.2)
    await pc.close()
    await asyncio.gather(*tasks)
    return kept


async def calls(options: dict[str, Any]) -> list[Kept]:
    """So many calls at a time."""
    count = options.pop("count", 1)
    return await asyncio.gather(*(call(**options) for _ in range(count)))


def main() -> None:
    """Options are those of `call`, and: out, an .npz file for what was kept; count, calls at a time; blind."""
    options = json.loads(sys.argv[1])
    out, unseeing = Path(options.pop("out")), options.pop("blind", False)
    aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: ["127.0.0.1"]
    if unseeing:
        blind()
    arrays: dict[str, np.ndarray] = {}
    for k, kept in enumerate(asyncio.run(calls(options))):
        arrays[f"{k}.asked"], arrays[f"{k}.begun"] = np.array([kept.asked_s]), np.array(kept.begun)
        arrays[f"{k}.pictures"] = np.array(kept.pictures).reshape(-1, 2)
        arrays[f"{k}.packets"] = np.array(kept.packets).reshape(-1, 3)
        arrays[f"{k}.interrupts"] = np.array(kept.interrupts)
        if kept.faces:
            size = max(face.shape for _, face in kept.faces)  # under load pictures come at half the size
            arrays[f"{k}.face_of"] = np.array([number for number, _ in kept.faces])
            arrays[f"{k}.faces"] = np.stack([cv2.resize(face, size[::-1]) for _, face in kept.faces])
    np.savez(out, **arrays)


if __name__ == "__main__":
    main()
