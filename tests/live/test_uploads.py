"""What is sent is taken in with limits, and nothing of it stays."""

import asyncio
import tempfile
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("aiohttp")

from aiohttp import FormData
from aiohttp.test_utils import TestClient
from live.fake_calls import Engine, bearer, converse, until
from sounds import Sound, clicks

from talkinghead.live import uploads
from talkinghead.live.server import ServeOptions


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of temporary files."""
    folder = tmp_path / "kept"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def form(*fields: tuple[str, bytes | str], filename: str = "../../etc/passwd") -> FormData:
    data = FormData(default_to_multipart=True)
    for name, value in fields:
        if isinstance(value, bytes):
            data.add_field(name, value, filename=filename, content_type="image/jpeg")
        else:
            data.add_field(name, value)
    return data


YES = ("consent", "yes")


async def opened(client: TestClient) -> dict:
    response = await client.post("/sessions", data=form(YES, ("portrait", b"photo")))
    assert response.status == 201, await response.text()
    return await response.json()


async def refused(client: TestClient, status: int, path: str, **request: object) -> str:
    """The line of a refusal."""
    response = await client.post(path, **request)  # type: ignore[arg-type]
    assert response.status == status, await response.text()
    message = (await response.json())["error"]
    assert "\n" not in message
    return message


def test_a_portrait_in_either_order(engine: Engine) -> None:
    async def scenario(client: TestClient) -> None:
        for fields in ([YES, ("portrait", b"one")], [("portrait", b"two"), YES]):
            response = await client.post("/sessions", data=form(*fields))
            assert response.status == 201
            session = await response.json()
            assert session["notes"] == ["2 faces found"]
            assert response.headers["Location"] == f"/sessions/{session['id']}"

    converse(scenario, engine)
    assert engine.photos == [b"one", b"two"]


def test_no_portrait_without_consent(engine: Engine) -> None:
    async def scenario(client: TestClient) -> None:
        photo = ("portrait", b"photo")
        for fields in ([photo], [photo, ("consent", "no")], [("consent", "no"), photo], [("consent", ""), photo]):
            assert "permission" in await refused(client, 422, "/sessions", data=form(*fields))

    converse(scenario, engine)
    assert engine.photos == []


def test_forms_that_are_none(engine: Engine) -> None:
    async def scenario(client: TestClient) -> None:
        photo = ("portrait", b"photo")
        for fields in ([YES], [YES, photo, photo], [YES, photo, ("extra", "x")], [YES, YES, photo], [YES, ("portrait", b"")]):
            await refused(client, 400, "/sessions", data=form(*fields))
        kind = {"Content-Type": "multipart/form-data; boundary=x"}
        for body in (b"", b"--x", b"--x\r\n\r\n", b"no form", b"--x\r\nContent-Disposition: form-data\r\n\r\nx\r\n--x--\r\n"):
            await refused(client, 400, "/sessions", data=body, headers=kind)
        await refused(client, 400, "/sessions", data=b"x", headers={"Content-Type": "multipart/form-data"})
        await refused(client, 415, "/sessions", data=b"x", headers={"Content-Type": "image/jpeg"})

    converse(scenario, engine)
    assert engine.photos == []


@pytest.mark.parametrize("known_length", [True, False])
def test_too_large_is_cut_off(engine: Engine, kept: Path, monkeypatch: pytest.MonkeyPatch, known_length: bool) -> None:
    monkeypatch.setattr(uploads, "MAX_PORTRAIT_BYTES", 100_000)
    monkeypatch.setattr(uploads, "MAX_SOUND_BYTES", 100_000)

    async def pieces() -> object:
        for _ in range(30):
            yield b"x" * 10_000

    def body() -> object:
        return b"x" * 300_000 if known_length else pieces()

    async def scenario(client: TestClient) -> None:
        session = await opened(client)
        data = form(YES, ("portrait", b"x" * 300_000))
        assert "97 KB" in await refused(client, 413, "/sessions", data=data)
        path = f"/sessions/{session['id']}"
        assert "limit" in await refused(client, 413, f"{path}/audio", data=body(), headers=bearer(session))
        for name in ("text", "offer"):
            headers = {**bearer(session), "Content-Type": "application/json"}
            assert "128 KB" in await refused(client, 413, f"{path}/{name}", data=body(), headers=headers)
        headers = {**bearer(session), "Content-Type": "application/sdp"}
        assert "64 KB" in await refused(client, 413, f"{path}/whep", data=body(), headers=headers)

    converse(scenario, engine)
    assert list(kept.iterdir()) == []


def test_bodies_that_trickle_in(engine: Engine, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SMALL_S", "PORTRAIT_S", "SOUND_S"):
        monkeypatch.setattr(uploads, name, 0.05)

    async def scenario(client: TestClient) -> None:
        engine_session = await opened(client)
        for path, kind in (
            ("/sessions", "multipart/form-data; boundary=x"),
            ("/sessions", "application/json"),
            (f"/sessions/{engine_session['id']}/audio", "audio/wav"),
        ):
            head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\nContent-Type: {kind}\r\n"
            head += f"Authorization: Bearer {engine_session['token']}\r\n\r\n"
            reader, writer = await asyncio.open_connection(client.host, client.port)
            writer.write(head.encode() + b"-")
            assert b" 408 " in await reader.readline()
            writer.close()

    converse(scenario, engine)
    assert list(kept.iterdir()) == []


def test_compressed_bodies_are_not_unpacked(engine: Engine) -> None:
    async def scenario(client: TestClient) -> None:
        await refused(client, 415, "/sessions", data=b"x", headers={"Content-Encoding": "gzip"})

    converse(scenario, engine)


def test_json_that_is_none(engine: Engine) -> None:
    async def scenario(client: TestClient) -> None:
        session = await opened(client)
        path = f"/sessions/{session['id']}/text"
        kind = {**bearer(session), "Content-Type": "application/json"}
        for body in (b"{", b"[]", b"\xff", b'"text"', b"[" * 50_000):
            await refused(client, 400, path, data=body, headers=kind)
        for value in ({}, {"text": 5}, {"text": " \n"}, {"text": None}):
            await refused(client, 400, path, json=value, headers=bearer(session))
        await refused(client, 413, path, json={"text": "x" * 2001}, headers=bearer(session))
        await refused(client, 415, path, data=b'{"text": "x"}', headers={**bearer(session), "Content-Type": "text/plain"})
        for value in ({}, {"sdp": 5, "type": "offer"}, {"sdp": "v=0", "type": "answer"}, {"sdp": "", "type": "offer"}):
            await refused(client, 400, f"/sessions/{session['id']}/offer", json=value, headers=bearer(session))

    converse(scenario, engine)


def test_sound_is_spoken_and_deleted(engine: Engine, kept: Path, make_sound: Sound) -> None:
    sound = make_sound("a.wav", clicks(16_000), 16_000).read_bytes()

    async def scenario(client: TestClient) -> None:
        session = await opened(client)
        response = await client.post(f"/sessions/{session['id']}/audio", data=sound, headers=bearer(session))
        assert response.status == 202, await response.text()
        assert (await response.json())["seconds"] == pytest.approx(2.0, abs=0.01)
        await until(lambda: engine.sessions[0].ended_speech == 1)
        assert sum(map(len, engine.sessions[0].heard)) == 32_000
        await until(lambda: list(kept.iterdir()) == [])

    converse(scenario, engine)


def test_sound_that_cannot_be_used(engine: Engine, kept: Path, make_sound: Sound, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = make_sound("kept/secret.wav", clicks(16_000)[:, :8_000], 16_000)
    silent = make_sound("s.wav", np.zeros((1, 8_000), np.float32), 16_000).read_bytes()
    long = make_sound("l.wav", clicks(16_000), 16_000).read_bytes()
    monkeypatch.setattr(uploads, "MAX_SOUND_S", 1)

    async def scenario(client: TestClient) -> None:
        session = await opened(client)
        path = f"/sessions/{session['id']}/audio"
        hls = f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nfile:{secret}\n#EXT-X-ENDLIST\n".encode()
        concat = f"ffconcat version 1.0\nfile '{secret.name}'\n".encode()
        for status, body, words in (
            (400, b"", "send a sound"),
            (422, b"I am a letter", "this file is not a sound"),
            (422, hls, "this file is not a sound"),
            (422, concat, "this file is not a sound"),
            (422, silent, "this file is silent"),
            (422, long, "longer than"),
        ):
            message = await refused(client, status, path, data=body, headers=bearer(session))
            assert words in message
            assert str(kept) not in message

    converse(scenario, engine)
    assert list(kept.iterdir()) == [secret]
    assert engine.sessions[0].heard == []


def test_what_waits_is_bounded_and_dropped_by_an_interruption(engine: Engine, kept: Path, make_sound: Sound) -> None:
    sound = make_sound("a.wav", clicks(16_000), 16_000).read_bytes()

    async def scenario(client: TestClient) -> None:
        session = await opened(client)
        engine.sessions[0].room_s = 0.0
        path = f"/sessions/{session['id']}"
        for _ in range(4):
            response = await client.post(f"{path}/audio", data=sound, headers=bearer(session))
            assert response.status == 202
        assert "wait" in await refused(client, 429, f"{path}/audio", data=sound, headers=bearer(session))
        response = await client.post(f"{path}/interrupt", headers=bearer(session))
        assert (response.status, await response.json()) == (200, {"generation": 1})
        await until(lambda: list(kept.iterdir()) == [])
        assert engine.sessions[0].heard == []
        assert engine.sessions[0].ended_speech == 0
        engine.sessions[0].room_s = 120.0
        assert (await client.post(f"{path}/audio", data=sound, headers=bearer(session))).status == 202
        await until(lambda: engine.sessions[0].ended_speech == 1)

    converse(scenario, engine)


def test_closing_drops_what_waits(engine: Engine, kept: Path, make_sound: Sound) -> None:
    sound = make_sound("a.wav", clicks(16_000), 16_000).read_bytes()

    async def scenario(client: TestClient) -> None:
        session = await opened(client)
        engine.sessions[0].room_s = 0.0
        for _ in range(3):
            await client.post(f"/sessions/{session['id']}/audio", data=sound, headers=bearer(session))
        assert (await client.delete(f"/sessions/{session['id']}", headers=bearer(session))).status == 204
        await until(lambda: list(kept.iterdir()) == [])

    converse(scenario, engine)


def test_own_portrait_needs_no_body(engine: Engine, tmp_path: Path) -> None:
    async def scenario(client: TestClient) -> None:
        for request in ({}, {"json": {}}):
            response = await client.post("/sessions", **request)
            assert response.status == 201

    converse(scenario, engine, ServeOptions(portrait=tmp_path / "own.jpg"))
    assert engine.photos == [None, None]


def test_no_portrait_at_all(engine: Engine) -> None:
    async def scenario(client: TestClient) -> None:
        for path, body in (("/sessions", {}), ("/offer", {"sdp": "v=0", "type": "offer"})):
            assert "portrait" in await refused(client, 400, path, json=body)
        assert "portrait" in await refused(client, 400, "/whep", data=b"v=0", headers={"Content-Type": "application/sdp"})

    converse(scenario, engine)
