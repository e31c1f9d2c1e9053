"""The page in a real browser against a server whose avatar is a quick fake: every state that a user can meet."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("aiohttp")
pytest.importorskip("aiortc")
pytest.importorskip("prometheus_client")

from live.calls import errors, opened, phase, shown, slide, start, status, text, video
from live.chromium import find_chromium
from live.fakes import tone
from live.studio import PHOTO, served
from sounds import Sound

pytestmark = pytest.mark.skipif(find_chromium() is None, reason="needs Chromium")


def in_loop(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, 150))


def test_a_photo_needs_consent_and_its_advice_is_shown(tmp_path: Path) -> None:
    photo = tmp_path / "mine.jpg"
    photo.write_bytes(PHOTO.read_bytes() + b"x")  # the demo's own needs no consent

    async def run() -> None:
        async with served(portrait=False) as (studio, url), opened(url) as page:
            await page.click("#start")
            assert "photo" in await text(page, "#problem")
            await page.choose_file("#photo", photo)
            await page.until("!document.querySelector('#preview').hidden")
            await page.click("#start")
            assert "consent" in await text(page, "#problem")
            assert studio.photos == []
            await page.click("#consent")
            await start(page)
            assert studio.photos == [photo.read_bytes()]
            (kept,) = [entry.consent for entry in studio.store._entries.values()]
            assert kept is not None and "has agreed to appear in synthetic video" in kept.who
            assert "2 faces" in await text(page, "#advice")
            assert await shown(page, "#synthetic")
            await page.click("#end")
            await phase(page, "start")
            await studio.until(lambda: len(studio.store) == 0)
            assert errors(page) == []

    in_loop(run())


def test_a_photo_that_cannot_be_used() -> None:
    async def run() -> None:
        async with served(portrait=False) as (studio, url), opened(url) as page:
            studio.refusal = "no face found in the picture: use a photo that shows one face from the front"
            await page.choose_file("#photo", PHOTO)
            await page.until("!document.querySelector('#preview').hidden")
            await page.click("#consent")
            await page.click("#start")
            await page.until("document.querySelector('#refusal').checkVisibility()")
            assert "No face found" in (await text(page, "#refusal")).replace("no face", "No face")
            assert await shown(page, "#start")
            await page.choose_file("#photo", Path(__file__))
            await page.until("document.querySelector('#refusal').textContent.includes('not a picture')")

    in_loop(run())


def test_a_full_server_is_asked_again_on_request() -> None:
    async def run() -> None:
        async with served(capacity=1) as (studio, url), opened(url) as page:
            studio.store.capacity = 0
            await page.click("#start")
            await phase(page, "full")
            assert "A place may be free in" in await text(page, "#veil")
            assert await page.evaluate("document.activeElement.id") == "veil-go"
            studio.store.capacity = 1
            await page.click("#veil-go")
            await phase(page, "call")

    in_loop(run())


def test_a_lost_call_is_offered_again() -> None:
    async def run() -> None:
        async with served() as (studio, url), opened(url) as page:
            await start(page)
            studio.sessions[0].close()
            await phase(page, "lost")
            assert "lost" in await text(page, "#veil-title")
            assert await shown(page, "#synthetic")
            await page.click("#veil-go")
            await phase(page, "call")
            assert len(studio.sessions) == 2

    in_loop(run())


def test_an_unsteady_network() -> None:
    async def run() -> None:
        async with served() as (_, url), opened(url) as page:
            await start(page)
            for state, then in (("disconnected", "unsteady"), ("connected", "call"), ("failed", "lost")):
                told = f"Object.defineProperty(peers[0], 'connectionState', {{ value: {state!r}, configurable: true }}); "
                await page.evaluate(told + "peers[0].onconnectionstatechange()")
                assert await page.evaluate("document.body.dataset.phase") == then

    in_loop(run())


def test_controls_reach_the_avatar() -> None:
    async def run() -> None:
        async with served() as (studio, url), opened(url) as page:
            await start(page)
            (session,) = studio.sessions
            await page.drag("#pad", (0.5, 0.5), (0.75, 0.25))
            await slide(page, "#pose_scale", 2)
            await page.click("#emotions label:nth-child(2)")
            await studio.until(lambda: session.controls.emotion == "happy")
            assert session.controls.pose_scale == 2
            assert session.controls.gaze == pytest.approx((15, 15), abs=1)
            await page.press("ArrowLeft", 37)  # still the emotions: radios move with the arrows
            await studio.until(lambda: session.controls.emotion == "neutral")
            await page.evaluate("document.querySelector('#gaze-x').focus()")
            await page.press("Home", 36)
            await page.press("ArrowUp", 38)
            await studio.until(lambda: session.controls.gaze == (0, 1))
            await page.click("#reset")
            await studio.until(lambda: session.controls.pose_scale == 1 and session.controls.gaze == (0, 0))
            assert errors(page) == []

    in_loop(run())


def test_dragging_sends_at_most_twenty_messages_a_second() -> None:
    async def run() -> None:
        async with served() as (studio, url), opened(url) as page:
            await start(page)
            await page.evaluate(
                "peers[0].sent = async () => [...(await peers[0].getStats()).values()]"
                ".find(s => s.type === 'data-channel').messagesSent"
            )
            before = await page.evaluate("peers[0].sent()")
            await page.evaluate("""(async (slider) => {
                const end = performance.now() + 1000;
                while (performance.now() < end) {
                    slider.value = 0.5 + Math.random();
                    slider.dispatchEvent(new Event("input"));
                    await new Promise((done) => setTimeout(done, 2));
                }
                slider.value = 1.5;
                slider.dispatchEvent(new Event("input"));
            })(document.querySelector("#distance"))""")
            await studio.until(lambda: studio.sessions[0].controls.distance == 1.5)  # the last value always arrives
            assert 2 <= await page.evaluate("peers[0].sent()") - before <= 22

    in_loop(run())


def test_sound_file_text_and_interruption(make_sound: Sound) -> None:
    path = make_sound("words.wav", tone(20.0)[None], 16_000)

    async def run() -> None:
        async with served(voice=True) as (studio, url), opened(url) as page:
            await start(page)
            await page.choose_file("#sound", path)
            await status(page, "Speaking words.wav")
            await page.until("document.querySelector('#state').dataset.state === 'speaking'")
            await page.until("loudness(100).then(level => level > 0.05)")
            note = "video.addEventListener('volumechange', () => { window.hushed ||= video.muted; })"
            await page.evaluate(f"(video => {note})(document.querySelector('#video'))")
            await page.press("Escape", 27)
            await page.until("window.hushed")  # at once, whatever the jitter buffer still holds
            await page.until("document.querySelector('#state').dataset.state === 'idle'")
            await page.until("loudness(100).then(level => level < 0.001)")
            assert await page.evaluate("loudness(1000)") < 0.001  # and what waited does not come back
            await page.until("!document.querySelector('#video').muted")
            await page.evaluate("document.querySelector('#text').focus()")
            await page.call("Input.insertText", text="Hello there")
            await page.press("Enter", 13)
            await studio.until(lambda: studio.said == [("Hello there", "en")])
            await page.until("document.querySelector('#text').value === ''")
            await page.choose_file("#sound", Path(__file__))
            await page.until("document.querySelector('#status').classList.contains('bad')")

    in_loop(run())


def test_the_microphone_speaks_and_the_avatar_listens(make_sound: Sound) -> None:
    path = make_sound("voice.wav", tone(5.0, 48_000)[None], 48_000)

    async def run() -> None:
        async with served() as (studio, url), opened(url, f"--use-file-for-fake-audio-capture={path}") as page:
            await start(page)
            (avatar,) = studio.avatars
            assert max(avatar.sessions[0].heard) < 0.01
            await page.click("#microphone")
            await page.until("document.querySelector('#microphone').getAttribute('aria-pressed') === 'true'")
            await studio.until(lambda: max(avatar.sessions[0].heard) > 0.02)
            await page.click("#listen")
            await page.until("document.querySelector('#state').dataset.state === 'listening'")
            await studio.until(lambda: max(avatar.sessions[0].heard) < 0.01)
            await page.click("#microphone")
            await status(page, "microphone is off")
            await page.until("peers[0].getSenders().every(sender => !sender.track)")

    in_loop(run())


def test_a_refused_microphone_is_explained() -> None:
    async def run() -> None:
        async with served() as (_, url), opened(url) as page:
            await start(page)
            for name, words in (("NotAllowedError", "blocked"), ("NotFoundError", "No microphone")):
                await page.evaluate(
                    f"navigator.mediaDevices.getUserMedia = async () => {{ throw new DOMException('', {name!r}); }}; 0"
                )
                await page.click("#microphone")
                await status(page, words)
            await page.evaluate("Object.defineProperty(window, 'isSecureContext', {value: false}); 0")
            await page.click("#microphone")
            await status(page, "https")

    in_loop(run())


def test_measurements_are_shown() -> None:
    async def run() -> None:
        async with served() as (_, url), opened(url) as page:
            await start(page)
            await page.click("#stats")
            await page.until("document.querySelector('#overlay').innerText.includes('512 × 512')")
            await page.until("/Decoded\\s+[1-9]/.test(document.querySelector('#overlay').innerText)")
            await page.until("/A\\/V skew\\s+sound [−+][0-9.]+ ms/.test(document.querySelector('#overlay').innerText)")
            await page.until("/Drawing\\s+[0-9.]+ ms/.test(document.querySelector('#overlay').innerText)")
            assert (await video(page))["frameWidth"] == 512

    in_loop(run())


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_the_picture_stays_where_it_is(width: int) -> None:
    """No layout jump, and nothing wider than the window, from the first photo to the call."""
    frame = "(b => [b.x, b.y, b.width, b.height])(document.querySelector('#frame').getBoundingClientRect())"

    async def run() -> None:
        async with served() as (_, url), opened(url) as page:
            await page.call(
                "Emulation.setDeviceMetricsOverride", width=width, height=844, deviceScaleFactor=1, mobile=width < 500
            )
            before = await page.evaluate(frame)
            await start(page)
            await page.evaluate("scrollTo(0, 0)")
            assert await page.evaluate(frame) == before
            await page.click("#stats")
            await page.evaluate("scrollTo(0, 0)")
            assert await page.evaluate(frame) == before
            assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            right = "document.querySelector('#call-panel').getBoundingClientRect().right"
            boxes = "[...document.querySelectorAll('#call-panel *')].map(e => e.getBoundingClientRect().right)"
            assert await page.evaluate(f"Math.max(...{boxes}) <= {right}")

    in_loop(run())
