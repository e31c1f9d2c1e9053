"""A client in a process of its own. It writes its offer as a line of JSON, reads the answer, and writes what it sees.

Options are one JSON object in the first argument; see `main`. Commands come as further lines: {"say": text} on the data channel,
{"end": true}.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from fractions import Fraction
from typing import Any

import aioice.ice
import av
import numpy as np
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCRtpReceiver, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError
from live.coded_session import read_code


def tell(**event: Any) -> None:
    print(json.dumps(event), flush=True)


class Tone(MediaStreamTrack):
    """A microphone: 440 Hz, stereo, in real time."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._start_s, self._count = time.monotonic(), 0

    async def recv(self) -> av.AudioFrame:
        await asyncio.sleep(self._start_s + self._count * 0.02 - time.monotonic())
        wave = 8000 * np.sin(2 * np.pi * 440 * (np.arange(960) + 960 * self._count) / 48000)
        frame = av.AudioFrame.from_ndarray(np.repeat(wave.astype(np.int16), 2)[None], format="s16", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = 48000, 960 * self._count, Fraction(1, 48000)
        self._count += 1
        return frame


async def watch(track: Any, every: int) -> None:
    """Tells of every so many pictures: how many, and for each [index, ms from making to here, pts, flash, arrival]."""
    seen: list[list[float]] = []
    try:
        while True:
            frame = await track.recv()
            now_s = time.monotonic()
            index, made_ms, flash = read_code(frame.to_ndarray()[: frame.height])
            seen.append([index, (now_s * 1000 - made_ms) % 65536, frame.pts, flash, now_s])
            if len(seen) % every == 0:
                tell(pictures=seen, width=frame.width)
                seen = []
    except MediaStreamError:
        tell(ended="video")


async def listen(track: Any, every: int) -> None:
    """Tells of every so many packets: for each [pts, samples, loudest, arrival, first loud sample or -1]."""
    heard: list[list[float]] = []
    try:
        while True:
            frame = await track.recv()
            now_s = time.monotonic()
            sound = np.abs(frame.to_ndarray().reshape(-1, 2)[:, 0].astype(int))
            loud = np.flatnonzero(sound > 3000)
            heard.append([frame.pts, len(sound), int(sound.max()), now_s, int(loud[0]) if len(loud) else -1])
            if len(heard) % every == 0:
                tell(packets=heard)
                heard = []
    except MediaStreamError:
        tell(ended="audio")


async def main(
    *,
    video: str | None = "recvonly",
    audio: str | None = "recvonly",
    channel: str | None = "control",
    codec: str | None = None,
    every: int = 40,
) -> None:
    """video, audio: directions of the offer. every: pictures, or packets, a line."""
    aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: ["127.0.0.1"]
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    tasks = []
    if video:
        transceiver = pc.addTransceiver("video", video)
        if codec:
            known = RTCRtpReceiver.getCapabilities("video").codecs
            transceiver.setCodecPreferences([c for c in known if c.mimeType.lower() in (f"video/{codec}", "video/rtx")])
    if audio:
        pc.addTransceiver(Tone() if audio != "recvonly" else "audio", audio)
    control = pc.createDataChannel(channel) if channel else None
    if control is not None:
        control.on("open", lambda: tell(open=True))
        control.on("message", lambda text: tell(said=json.loads(text)))

    @pc.on("track")
    def begun(track: Any) -> None:
        work = watch(track, every) if track.kind == "video" else listen(track, every)
        tasks.append(asyncio.ensure_future(work))

    pc.on("connectionstatechange", lambda: tell(state=pc.connectionState))
    await pc.setLocalDescription(await pc.createOffer())
    tell(sdp=pc.localDescription.sdp)
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        command = json.loads(line)
        if "answer" in command:
            await pc.setRemoteDescription(RTCSessionDescription(command["answer"], "answer"))
        elif "say" in command and control is not None:
            control.send(command["say"])
        elif "end" in command:
            break
    await pc.close()


if __name__ == "__main__":
    asyncio.run(main(**json.loads(sys.argv[1])))
