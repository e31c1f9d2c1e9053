"""Pages of other places stay out; what every response says to browsers."""

from pathlib import Path

import pytest

pytest.importorskip("aiohttp")

from aiohttp.test_utils import TestClient
from live.fake_calls import Engine, converse, status

from talkinghead.live.server import ServeOptions


def test_pages_of_other_places(engine: Engine, own: ServeOptions) -> None:
    async def scenario(client: TestClient) -> None:
        home = f"http://127.0.0.1:{client.port}"
        for headers, expected in (
            ({}, 201),
            ({"Origin": home}, 201),
            ({"Origin": "null"}, 403),
            ({"Origin": "https://evil.example"}, 403),
            ({"Origin": f"http://127.0.0.1:{client.port + 1}"}, 403),
            ({"Origin": "http://evil.example", "Host": "evil.example"}, 403),  # DNS rebinding
            ({"Host": "evil.example"}, 403),
            ({"Host": "[::1]:8040", "Origin": "http://[::1]:8040"}, 201),
        ):
            engine.held = 9
            assert await status(client, "POST", "/sessions", json={}, headers=headers) == expected, headers
        response = await client.get("/healthz", headers={"Origin": "https://evil.example", "Host": "avatar"})
        assert response.status == 200
        assert "Access-Control-Allow-Origin" not in response.headers
        preflight = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
        assert await status(client, "OPTIONS", "/sessions", headers=preflight) == 403

    engine.held = 9
    converse(scenario, engine, own)


def test_allowed_origins(engine: Engine, tmp_path: Path) -> None:
    friend = {"Origin": "https://friend.example"}

    async def scenario(client: TestClient) -> None:
        response = await client.post("/sessions", json={}, headers=friend)
        assert response.status == 201
        assert response.headers["Access-Control-Allow-Origin"] == "https://friend.example"
        assert "Location" in response.headers["Access-Control-Expose-Headers"]
        assert response.headers["Vary"] == "Origin"
        response = await client.options("/sessions/x/offer", headers={**friend, "Access-Control-Request-Method": "PATCH"})
        assert response.status == 204
        assert "PATCH" in response.headers["Access-Control-Allow-Methods"]
        assert "Authorization" in response.headers["Access-Control-Allow-Headers"]
        behind_a_proxy = {"Origin": "https://friend.example", "Host": "friend.example"}
        assert await status(client, "POST", "/sessions", json={}, headers=behind_a_proxy) == 201
        assert await status(client, "POST", "/sessions", json={}, headers={"Origin": "https://friend.example.org"}) == 403
        refused = await client.get("/nowhere", headers=friend)
        assert refused.headers["Access-Control-Allow-Origin"] == "https://friend.example"

    converse(scenario, engine, ServeOptions(portrait=tmp_path / "own.jpg", allow_origins=("https://Friend.example/",)))


def test_headers_of_every_response(engine: Engine, own: ServeOptions) -> None:
    async def scenario(client: TestClient) -> None:
        for path in ("/", "/healthz", "/nowhere", "/static/index.html"):
            response = await client.get(path)
            assert "default-src 'none'" in response.headers["Content-Security-Policy"]
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert response.headers["Referrer-Policy"] == "no-referrer"
            assert "microphone=(self)" in response.headers["Permissions-Policy"]
            assert response.headers["Cache-Control"] in ("no-store", "no-cache")

    converse(scenario, engine, own)
