"""Calls in a browser, as tests see them: the connection's counters, the messages of the data channel, what is in the picture."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from live.chromium import Page, browser

_RECORD = """
window.peers = [];
window.messages = [];
window.RTCPeerConnection = class extends RTCPeerConnection {
  constructor(...options) { super(...options); peers.push(this); }
  createDataChannel(...options) {
    const channel = super.createDataChannel(...options);
    channel.addEventListener("message", ({ data }) => messages.push({ ...JSON.parse(data), at: performance.now() }));
    return channel;
  }
};
window.inbound = async (kind) => {
  const report = await peers.at(-1).getStats();
  const found = [...report.values()].find((s) => s.type === "inbound-rtp" && s.kind === kind);
  return found ? { ...found } : {};
};
window.loudness = async (ms) => {  // root mean square of what was played in the next so many milliseconds, 1 is full scale
  const before = await inbound("audio");
  await new Promise((done) => setTimeout(done, ms));
  const after = await inbound("audio");
  const seconds = after.totalSamplesDuration - before.totalSamplesDuration;
  return seconds > 0 ? Math.sqrt((after.totalAudioEnergy - before.totalAudioEnergy) / seconds) : 0;
};
"""
START_S = 60.0


@asynccontextmanager
async def opened(url: str, *flags: str) -> AsyncIterator[Page]:
    """The page in a browser of its own, ready to start."""
    async with browser(*flags) as page:
        await page.before_scripts(_RECORD)
        await page.open(url)
        await phase(page, "start")
        yield page


async def phase(page: Page, *names: str, timeout_s: float = START_S) -> str:
    """Waits until the page is in one of these phases."""
    wanted = " || ".join(f"document.body.dataset.phase === {name!r}" for name in names)
    return await page.until(f"({wanted}) && document.body.dataset.phase", timeout_s)


async def start(page: Page) -> None:
    """Press Start, until there is a picture. A server that is busy for a moment is asked again, as its users would."""
    await page.click("#start")
    while await phase(page, "call", "full") == "full":
        await page.until("!document.querySelector('#veil-text').textContent.includes(' s.')", START_S)  # the countdown is over
        await page.click("#veil-go")
        await phase(page, "connecting", "call")


async def shown(page: Page, selector: str) -> bool:
    return await page.evaluate(f"document.querySelector({selector!r}).checkVisibility()")


async def slide(page: Page, selector: str, value: float) -> None:
    """Put a slider somewhere."""
    script = f"(e => {{ e.value = {value}; e.dispatchEvent(new Event('input')); }})(document.querySelector({selector!r}))"
    await page.evaluate(script)


async def text(page: Page, selector: str) -> str:
    return await page.evaluate(f"document.querySelector({selector!r}).innerText")


async def status(page: Page, words: str) -> None:
    """Waits until the line of status says this."""
    await page.until(f"document.querySelector('#status').textContent.includes({words!r})")


async def video(page: Page) -> dict[str, Any]:
    """The counters of the incoming pictures (RTCInboundRtpStreamStats)."""
    return await page.evaluate("inbound('video')")


def errors(page: Page) -> list[str]:
    """What the console complains of, except refusals by the server, which browsers always log."""
    complaints = ("error:", "warning:", "exception:", "assert:")
    return [line for line in page.console if line.startswith(complaints) and "the server responded with a status" not in line]
