"""Picture and sound out by WHEP, sound in by WHIP."""

from pathlib import Path

import pytest

pytest.importorskip("aiohttp")

from aiohttp.test_utils import TestClient
from live.fake_calls import OFFER, SDP, Engine, bearer, converse, opened, status

from talkinghead.live import whip
from talkinghead.live.ice import IceConfig
from talkinghead.live.server import ServeOptions

FRAGMENT = (
    "a=ice-ufrag:abcd\r\na=ice-pwd:secret\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n"
    "a=candidate:1 1 udp 1 127.0.0.1 9 typ host\r\na=end-of-candidates\r\n"
)


def test_a_fragment() -> None:
    found = whip.parse_fragment(FRAGMENT)
    candidate = {"candidate": "candidate:1 1 udp 1 127.0.0.1 9 typ host", "sdpMid": "0", "sdpMLineIndex": 0}
    assert found == whip.Fragment((candidate,), True)
    assert whip.parse_fragment("m=audio 9 X 0\nm=video 9 X 0\na=candidate:1\n").candidates[0]["sdpMLineIndex"] == 1
    assert whip.parse_fragment("") == whip.Fragment((), False)


def test_whep_and_whip(engine: Engine, own: ServeOptions) -> None:
    async def scenario(client: TestClient) -> None:
        response = await client.post("/whep", data=b"v=0", headers=SDP)
        assert (response.status, await response.text()) == (201, "answer to v=0")
        assert response.content_type == "application/sdp"
        place, tag = response.headers["Location"], response.headers["ETag"]
        assert place.startswith("/whep/")
        kind = {"Content-Type": "application/trickle-ice-sdpfrag"}
        assert await status(client, "PATCH", place, data=FRAGMENT, headers={**kind, "If-Match": tag}) == 204
        assert [bool(candidate) for candidate in engine.peers[0].candidates] == [True, False]
        assert engine.peers[0].candidates[0]["sdpMid"] == "0"
        for headers, expected in (
            (kind, 428),
            ({**kind, "If-Match": '"other"'}, 412),
            ({**kind, "If-Match": "*"}, 422),
            ({**SDP, "If-Match": tag}, 415),
        ):
            assert await status(client, "PATCH", place, data=FRAGMENT, headers=headers) == expected
        assert await status(client, "GET", place) == 405
        assert await status(client, "PATCH", "/whep/call", data=FRAGMENT, headers={**kind, "If-Match": "*"}) == 404
        assert await status(client, "DELETE", place) == 200
        assert await status(client, "DELETE", place) == 404
        assert engine.sessions[0].closed.is_set()

        session = await opened(client)
        places = []
        for endpoint in ("whep", "whip"):
            path = f"/sessions/{session['id']}/{endpoint}"
            response = await client.post(path, data=b"v=0", headers={**SDP, **bearer(session)})
            assert response.status == 201
            places.append(response.headers["Location"])
            assert places[-1].startswith(path)
            assert await status(client, "DELETE", places[-1]) == 401
            response = await client.options(path)
            assert (response.status, response.headers["Accept-Post"]) == (204, "application/sdp")
        for place in places:
            assert await status(client, "DELETE", place, headers=bearer(session)) == 200
        assert not engine.sessions[1].closed.is_set()  # it waits for another peer
        assert await status(client, "POST", "/whep", data=b"bad", headers=SDP) == 400
        assert await status(client, "POST", "/whep", json=OFFER) == 415

    converse(scenario, engine, own)


def test_ice_servers_are_linked_to(engine: Engine, tmp_path: Path) -> None:
    ice = IceConfig.parse(["stun:stun.example", 'turn:a"b:c@turn.example'])

    async def scenario(client: TestClient) -> None:
        response = await client.post("/whep", data=b"v=0", headers=SDP)
        assert response.headers.getall("Link") == [
            '<stun:stun.example:3478>; rel="ice-server"',
            '<turn:turn.example:3478?transport=udp>; rel="ice-server"; '
            'username="a\\"b"; credential="c"; credential-type="password"',
        ]

    converse(scenario, engine, ServeOptions(portrait=tmp_path / "own.jpg", ice=ice))
