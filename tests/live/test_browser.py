"""Calls as users make them: the real server in a process of its own, and a real Chromium."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import sys
import time
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

pytest.importorskip("aiohttp")
pytest.importorskip("aiortc")
pytest.importorskip("prometheus_client")

from live.calls import errors, opened, phase, slide, start, video
from live.chromium import Page, find_chromium
from shipped import needs_networks

pytestmark = [needs_networks, pytest.mark.skipif(find_chromium() is None, reason="needs Chromium")]
DATA = Path(__file__).parents[2] / "examples" / "data"
SERVE = """
import logging, sys
from pathlib import Path
from talkinghead.live.ice import IceConfig
from talkinghead.live.server import ServeOptions, serve
logging.basicConfig(level=logging.INFO)
options = ServeOptions(port=0, portrait=Path(sys.argv[1]), ice=IceConfig(loopback=True), max_sessions=4)
serve(options, tell=lambda line: print(line, flush=True))
"""
WARM_UP_S = 120
MOUTH = "[48, 64, 36, 28]"
"""x, y, width, height of the demo portrait's mouth in a picture of 128 px, with room for the chin."""
LOOK = """
window.look = async (frames, [x, y, width, height]) => {  // how much the pixels of a part of the picture change, in grey levels
  const video = document.querySelector("#video");
  const canvas = Object.assign(document.createElement("canvas"), { width: 128, height: 128 });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const sum = new Float64Array(width * height), squares = new Float64Array(width * height);
  for (let count = 0; count < frames; count++) {
    await new Promise((done) => video.requestVideoFrameCallback(done));
    context.drawImage(video, 0, 0, 128, 128);
    const { data } = context.getImageData(x, y, width, height);
    sum.forEach((_, k) => {
      const grey = (data[4 * k] + data[4 * k + 1] + data[4 * k + 2]) / 3;
      sum[k] += grey;
      squares[k] += grey * grey;
    });
  }
  const spread = squares.map((s, k) => Math.sqrt(Math.max(0, s / frames - (sum[k] / frames) ** 2)));
  return spread.reduce((a, b) => a + b) / spread.length;
};
"""


class Server:
    """`talkinghead serve` with the demo portrait, on a port of its own choice; what it says and logs goes to a file."""

    def __init__(self, log: Path) -> None:
        self._log = log
        with log.open("w") as output:
            line = [sys.executable, "-c", SERVE, str(DATA / "portrait.jpg")]
            self._process = subprocess.Popen(line, stdout=output, stderr=subprocess.STDOUT)
        self.url = self._ready()

    def _ready(self) -> str:
        end = time.monotonic() + WARM_UP_S
        while (found := re.search(r"(http://\S+) is ready", self.said)) is None:
            assert self._process.poll() is None, self.said
            assert time.monotonic() < end, self.said
            time.sleep(0.1)
        return found[1]

    @property
    def said(self) -> str:
        return self._log.read_text()

    def sessions(self) -> int:
        """How many it has now."""
        return self.figure("sessions_running")

    def figure(self, name: str) -> int:
        """One of Prometheus' figures."""
        with urlopen(f"{self.url}metrics", timeout=30) as answer:
            found = re.search(rf"^talkinghead_{re.escape(name)} (\S+)$", answer.read().decode(), re.MULTILINE)
        assert found is not None, name
        return round(float(found[1]))

    async def empty(self) -> list[str]:
        """Waits until no session is left; returns how each of all that there were has ended."""
        end = time.monotonic() + 30
        while (opened := self.figure("sessions_total")) > len(ends := re.findall(r"session \S+ ended: ([a-z ]+)", self.said)):
            assert time.monotonic() < end, f"{opened} sessions were opened, and these have ended: {ends}"
            await asyncio.sleep(0.1)
        assert self.sessions() == 0
        return ends

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            assert self._process.wait(30) == 0, self.said
        finally:
            self._process.kill()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("server") / "log")
    yield server
    server.stop()


def in_loop(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, 200))


async def state(page: Page, name: str) -> None:
    await page.until(f"document.querySelector('#state').dataset.state === {name!r}")


def test_every_picture_sent_is_decoded(server: Server) -> None:
    async def run() -> None:
        async with opened(server.url) as page:
            sent_before = server.figure('stage_seconds_count{stage="send"}')
            await start(page)
            first = await video(page)
            await page.until(f"inbound('video').then(s => s.framesDecoded >= {first['framesDecoded'] + 60})")
            last = await video(page)
            sent = server.figure('stage_seconds_count{stage="send"}') - sent_before
            assert sent >= 60
            # The last pictures may still be on their way, or in the jitter buffer.
            assert last["framesDecoded"] >= 0.97 * sent - 10
            assert last["framesReceived"] - last["framesDecoded"] <= 10
            level = (await page.until("messages.findLast(m => m.type === 'stats')"))["level"]
            assert last["frameWidth"] == last["frameHeight"]
            starved = level >= 2  # only then is the size halved
            assert last["frameWidth"] == 512 or (starved and last["frameWidth"] == 256)
            await page.click("#end")
            await phase(page, "start")
            await server.empty()
            assert errors(page) == []

    in_loop(run())


def test_the_mouth_moves_with_the_sound_and_stops(server: Server) -> None:
    async def run() -> None:
        async with opened(server.url) as page:
            await page.evaluate(LOOK + "0")
            await start(page)
            # Without the head's own motion what changes round the mouth is the mouth.
            await slide(page, "#pose_scale", 0)
            await page.evaluate(f"look(20, {MOUTH})")  # the head comes to rest
            idle = await page.evaluate(f"look(20, {MOUTH})")
            assert await page.evaluate("loudness(300)") < 0.001
            await page.choose_file("#sound", DATA / "speech.ogg")
            await state(page, "speaking")
            await page.until("loudness(200).then(level => level > 0.01)")
            spoken = await page.evaluate(f"look(20, {MOUTH})")
            assert spoken > 2 * idle + 1
            assert await page.evaluate("document.querySelector('#state').dataset.state") == "speaking"

            await page.press("Escape", 27)
            await page.until("messages.some(m => m.type === 'state' && m.generation === 1)")
            await state(page, "idle")
            await page.until("loudness(100).then(level => level < 0.001)")
            assert await page.evaluate("loudness(1000)") < 0.001  # the rest of the recording does not come back
            await page.evaluate(f"look(10, {MOUTH})")  # the lips close
            assert await page.evaluate(f"look(20, {MOUTH})") < 0.6 * spoken
            await page.click("#end")
            await phase(page, "start")
            await server.empty()

    in_loop(run())


def test_a_photo_of_ones_own_and_leaving_the_page(server: Server) -> None:
    async def run() -> None:
        async with opened(server.url) as page:
            await page.choose_file("#photo", DATA / "portrait.jpg")
            await page.until("!document.querySelector('#preview').hidden")
            await page.click("#consent")
            await start(page)
            await page.until("inbound('video').then(s => s.framesDecoded >= 20)")
            assert server.sessions() == 1
            await page.call("Page.navigate", url="about:blank")
            # The page said so, or its connection's end came first: nobody had to find out from its silence.
            assert (await server.empty())[-1] in ("ended by the client", "peer gone")

    in_loop(run())
