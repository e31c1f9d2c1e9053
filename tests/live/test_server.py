"""The HTTP interface: who may ask, what each address does, what a failure looks like."""

import asyncio
import logging

import numpy as np
import pytest

pytest.importorskip("aiohttp")

from aiohttp import FormData
from aiohttp.test_utils import TestClient
from live.fake_calls import OFFER, Engine, bearer, converse, opened, status, until

from talkinghead.errors import VoiceError
from talkinghead.live.ice import IceConfig
from talkinghead.live.server import ServeOptions


def test_a_call_from_offer_to_end(engine: Engine, own: ServeOptions) -> None:
    async def scenario(client: TestClient) -> None:
        session = await opened(client)
        path = f"/sessions/{session['id']}"
        response = await client.post(f"{path}/offer", json=OFFER, headers=bearer(session))
        assert (response.status, await response.json()) == (200, {"sdp": "answer to v=0", "type": "answer"})
        for candidate in ({"candidate": "candidate:1 1 udp 1 127.0.0.1 9 typ host", "sdpMid": "0"}, None):
            assert await status(client, "PATCH", f"{path}/offer", json={"candidate": candidate}, headers=bearer(session)) == 204
        assert engine.peers[0].candidates[1] is None
        assert await status(client, "PATCH", f"{path}/offer", json={"candidate": {}}, headers=bearer(session)) == 400
        assert await status(client, "PATCH", f"{path}/offer", json={"candidate": 5}, headers=bearer(session)) == 400
        assert await status(client, "DELETE", path, headers=bearer(session)) == 204
        assert await status(client, "DELETE", path, headers=bearer(session)) == 404
        assert engine.peers[0].closed == 1
        assert engine.sessions[0].closed.is_set()

    converse(scenario, engine, own)


def test_an_offer_is_enough(engine: Engine, own: ServeOptions) -> None:
    async def scenario(client: TestClient) -> None:
        call = await opened(client, "/offer", OFFER)
        assert {"sdp", "type", "session_id", "token", "notes"} == call.keys()
        assert await status(client, "POST", f"/sessions/{call['session_id']}/interrupt", headers=bearer(call)) == 200
        engine.peers[0].gone()
        await until(engine.sessions[0].closed.is_set)
        assert await status(client, "POST", "/offer", json={**OFFER, "sdp": "bad"}) == 400
        assert engine.sessions[1].closed.is_set()

    converse(scenario, engine, own)
    assert [session.started for session in engine.sessions] == [1, 1]


def test_tokens(engine: Engine, own: ServeOptions) -> None:
    async def scenario(client: TestClient) -> None:
        one, other = await opened(client), await opened(client)
        path = f"/sessions/{one['id']}"
        wrong = [{}, bearer(other), {"Authorization": one["token"]}, {"Authorization": f"Basic {one['token']}"}]
        for method, address in (
            ("DELETE", path),
            ("POST", f"{path}/offer"),
            ("PATCH", f"{path}/offer"),
            ("POST", f"{path}/audio"),
            ("POST", f"{path}/text"),
            ("POST", f"{path}/interrupt"),
            ("POST", f"{path}/whep"),
            ("POST", f"{path}/whip"),
            ("DELETE", f"{path}/whip/x"),
        ):
            for headers in wrong:
                response = await client.request(method, address, headers=headers)
                assert response.status == 401
                assert response.headers["WWW-Authenticate"] == "Bearer"
        assert await status(client, "POST", f"{path}/interrupt?token={one['token']}") == 401
        assert await status(client, "DELETE", "/sessions/nobody", headers=bearer(one)) == 404
        assert await status(client, "PATCH", f"{path}/offer", json={"candidate": None}, headers=bearer(one)) == 409

    converse(scenario, engine, own)


def test_full_and_overloaded(engine: Engine, own: ServeOptions) -> None:
    async def scenario(client: TestClient) -> None:
        session = await opened(client)
        await opened(client)
        response = await client.post("/sessions", data=b"x" * 1000)
        assert response.status == 503
        assert int(response.headers["Retry-After"]) > 0
        assert await status(client, "GET", "/healthz") == 200
        assert await status(client, "POST", f"/sessions/{session['id']}/offer", json=OFFER, headers=bearer(session)) == 200
        engine.sessions[0].level = 3
        response = await client.get("/healthz")
        assert response.status == 503
        assert (await response.json())["status"] == "overloaded"
        text = await (await client.get("/metrics")).text()
        assert 'talkinghead_sessions_refused_total{reason="full"} 1.0' in text
        assert "talkinghead_sessions_running 2.0" in text

    converse(scenario, engine, own)


def test_max_sessions_overrides_what_was_measured(engine: Engine, own: ServeOptions) -> None:
    async def scenario(client: TestClient) -> None:
        health = await (await client.get("/healthz")).json()
        assert (health["status"], health["sessions"], health["capacity"]) == ("ok", 0, 5)

    converse(scenario, engine, ServeOptions(max_sessions=5))


def test_failures_tell_nothing_of_the_inside(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(client: TestClient) -> None:
        for photo, expected in ((b"broken", 500), (b"no face", 422)):
            form = FormData({"consent": "yes"})
            form.add_field("portrait", photo, filename="a.jpg")
            response = await client.post("/sessions", data=form)
            body = await response.text()
            assert response.status == expected
            assert "secret" not in body
            assert "Traceback" not in body
            if expected == 500:
                assert response.headers["X-Request-Id"] in body
                assert response.headers["X-Request-Id"] in caplog.text
        assert await status(client, "GET", "/nowhere") == 404
        assert await status(client, "GET", "/sessions") == 405
        assert await status(client, "GET", "/static/../server.py") == 404
        assert await status(client, "GET", "/static/%2e%2e/server.py") == 404

    converse(scenario, engine)
    assert "secret detail" in caplog.text


def test_config_tells_the_page_what_there_is(engine: Engine, own: ServeOptions) -> None:
    ice = IceConfig.parse(["stun:stun.example:3478", "turn:me:pass%40word@turn.example"])

    async def scenario(client: TestClient) -> None:
        config = await (await client.get("/config")).json()
        assert (config["portrait"], config["voice"]) == (False, False)
        assert config["limits"]["upload_bytes"] == 12 << 20
        assert "neutral" in config["emotions"]
        assert [server["urls"] for server in config["ice_servers"]] == [
            ["stun:stun.example:3478"],
            ["turn:turn.example:3478?transport=udp"],
        ]
        assert config["ice_servers"][1]["credential"] == "pass@word"

    converse(scenario, engine, ServeOptions(ice=ice))


def test_text_is_spoken(engine: Engine, own: ServeOptions) -> None:
    def say(text: str, language: str) -> tuple[object, int]:
        if language != "en":
            raise VoiceError(f"no voice for {language}: try en")
        return iter([np.full(24_000, 0.1, np.float32)] * len(text.split())), 24_000

    engine.say = say  # type: ignore[assignment]

    async def scenario(client: TestClient) -> None:
        session = await opened(client)
        path = f"/sessions/{session['id']}/text"
        assert await status(client, "POST", path, json={"text": "hello there"}, headers=bearer(session)) == 202
        await until(lambda: engine.sessions[0].ended_speech == 1)
        assert sum(map(len, engine.sessions[0].heard)) == 48_000
        assert await status(client, "POST", path, json={"text": "hallo", "language": "xx"}, headers=bearer(session)) == 422

    converse(scenario, engine, own)


def test_text_without_a_voice(engine: Engine, own: ServeOptions) -> None:
    async def scenario(client: TestClient) -> None:
        session = await opened(client)
        assert (
            await status(client, "POST", f"/sessions/{session['id']}/text", json={"text": "hi"}, headers=bearer(session)) == 501
        )

    converse(scenario, engine, own)


def test_the_end_closes_everything(engine: Engine, own: ServeOptions, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "talkinghead.live")

    async def scenario(client: TestClient) -> None:
        await opened(client, "/offer", OFFER)
        await opened(client)

    converse(scenario, engine, own)
    assert all(session.closed.is_set() for session in engine.sessions)
    assert engine.peers[0].closed == 1
    assert len([m for m in caplog.messages if "ended: server closed" in m and "1 pictures drawn" in m]) == 2
    assert len([m for m in caplog.messages if "median latency 150 ms" in m]) == 1


def test_a_slow_answer_does_not_hold_others_up(engine: Engine, own: ServeOptions) -> None:
    async def scenario(client: TestClient) -> None:
        slow = asyncio.ensure_future(client.post("/offer", json={**OFFER, "sdp": "slow"}))
        await until(lambda: bool(engine.peers))
        assert await status(client, "POST", "/offer", json=OFFER) == 200
        slow.cancel()

    converse(scenario, engine, own)
