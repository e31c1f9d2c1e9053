"""A headless Chromium driven over its DevTools protocol (https://chromedevtools.github.io/devtools-protocol/)."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

_FLAGS = (
    "--headless=new",
    "--no-sandbox",  # as root, and in containers
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--window-size=1280,1000",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # whatever it wants of the internet, it does not find it
    # Peers on a machine that has only its loopback interface:
    "--allow-loopback-in-peer-connection",
    "--disable-features=WebRtcHideLocalIpsWithMdns",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--remote-debugging-port=0",
)
_START_S = 60.0


def find_chromium() -> str | None:
    """The browser's program, or None."""
    return next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)


class PageError(AssertionError):
    """A script threw in the page, or the browser refused a command."""


class Page:
    """One tab. Every call waits at most `timeout_s`; what the page's console says is kept in `console`."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, timeout_s: float) -> None:
        self._socket, self._timeout_s = socket, timeout_s
        self._numbers = itertools.count(1)
        self._replies: dict[int, asyncio.Future[Any]] = {}
        self._heard = asyncio.Event()
        self.console: list[str] = []
        self._reader = asyncio.create_task(self._read())

    async def call(self, method: str, **params: Any) -> Any:
        number = next(self._numbers)
        reply = self._replies[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": params})
        return await asyncio.wait_for(reply, self._timeout_s)

    async def evaluate(self, script: str) -> Any:
        """The value (JSON) of an expression; of a promise, what it resolves to."""
        answer = await self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, userGesture=False)
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise PageError(details.get("exception", {}).get("description") or details["text"])
        return answer["result"].get("value")

    async def until(self, script: str, timeout_s: float | None = None) -> Any:
        """Waits until an expression is true in the page, looked at on every tenth of a second; returns its value."""
        end = asyncio.get_running_loop().time() + (timeout_s or self._timeout_s)
        while not (value := await self.evaluate(script)):
            if asyncio.get_running_loop().time() > end:
                raise PageError(f"never became true: {script}\nconsole: {self.console}")
            await asyncio.sleep(0.1)
        return value

    async def before_scripts(self, script: str) -> None:
        """Runs a script in every page that is opened from now on, before its own."""
        await self.call("Page.addScriptToEvaluateOnNewDocument", source=script)

    async def open(self, url: str) -> None:
        await self.call("Page.navigate", url=url)
        await self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    async def click(self, selector: str) -> None:
        """A real press in the middle of an element: it counts as the user's gesture."""
        await self.drag(selector, (0.5, 0.5))

    async def drag(self, selector: str, *places: tuple[float, float]) -> None:
        """Press at the first place within an element (shares of its width and height), move, let go at the last."""
        await self.evaluate(f"document.querySelector({selector!r}).scrollIntoView({{block: 'center'}})")
        box = f"(b => [b.x, b.y, b.width, b.height])(document.querySelector({selector!r}).getBoundingClientRect())"
        left, top, width, height = await self.evaluate(box)
        points = [{"x": left + width * x, "y": top + height * y} for x, y in places]
        moves = [("mousePressed", points[0]), *(("mouseMoved", point) for point in points[1:]), ("mouseReleased", points[-1])]
        for kind, point in moves:
            await self.call("Input.dispatchMouseEvent", type=kind, button="left", buttons=1, clickCount=1, **point)

    async def press(self, key: str, code: int) -> None:
        for kind in ("keyDown", "keyUp"):
            await self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)

    async def choose_file(self, selector: str, path: Path) -> None:
        """As if the user had picked a file in the dialogue of an <input type=file>."""
        root = await self.call("DOM.getDocument")
        node = await self.call("DOM.querySelector", nodeId=root["root"]["nodeId"], selector=selector)
        await self.call("DOM.setFileInputFiles", nodeId=node["nodeId"], files=[str(path)])

    async def screenshot(self, path: Path) -> None:
        answer = await self.call("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(answer["data"]))

    async def close(self) -> None:
        self._reader.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._reader

    async def _read(self) -> None:
        async for packet in self._socket:
            message = packet.json()
            if "id" in message:
                reply = self._replies.pop(message["id"])
                if reply.done():  # given up
                    continue
                if "error" in message:
                    reply.set_exception(PageError(message["error"]["message"]))
                else:
                    reply.set_result(message["result"])
            else:
                self._note(message.get("method"), message.get("params", {}))

    def _note(self, method: str, params: dict[str, Any]) -> None:
        if method == "Runtime.consoleAPICalled":
            words = " ".join(str(a.get("value", a.get("description", ""))) for a in params["args"])
            self.console.append(f"{params['type']}: {words}")
        elif method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.console.append(f"exception: {details.get('exception', {}).get('description') or details['text']}")
        elif method == "Log.entryAdded":
            self.console.append(f"{params['entry']['level']}: {params['entry']['text']} {params['entry'].get('url', '')}")


@asynccontextmanager
async def browser(*flags: str, timeout_s: float = 30.0) -> AsyncIterator[Page]:
    """A browser of its own with an empty profile and one tab; it is gone afterwards."""
    program = find_chromium()
    assert program is not None, "no Chromium"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [program, *_FLAGS, *flags, f"--user-data-dir={profile}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            port = await _port(process, Path(profile) / "DevToolsActivePort")
            async with aiohttp.ClientSession() as http, _tab(http, port) as socket:
                page = Page(socket, timeout_s)
                for domain in ("Page", "Runtime", "Log", "DOM"):
                    await page.call(f"{domain}.enable")
                yield page
                await page.close()
        finally:
            _stop(process)


@asynccontextmanager
async def _tab(http: aiohttp.ClientSession, port: int) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    async with http.get(f"http://127.0.0.1:{port}/json/list") as answer:
        tabs = await answer.json()
    address = next(tab["webSocketDebuggerUrl"] for tab in tabs if tab["type"] == "page")
    async with http.ws_connect(address, max_msg_size=0) as socket:
        yield socket


async def _port(process: subprocess.Popen[bytes], file: Path) -> int:
    """The port that the browser chose; it writes it down when it listens."""

    async def written() -> int:
        while not (file.exists() and file.read_text().count("\n")):
            assert process.poll() is None, "Chromium ended at once"
            await asyncio.sleep(0.05)
        return int(file.read_text().splitlines()[0])

    return await asyncio.wait_for(written(), _START_S)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ends the browser and its helpers, which share its process group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
