"""Options of STUN and TURN servers, loopback, life signs."""

import asyncio

import pytest

pytest.importorskip("aiortc")

from aiortc import RTCIceGatherer
from aiortc.rtcicetransport import connection_kwargs

from talkinghead.live.ice import IceConfig, IceError, IceServer, Link, configuration


def test_no_servers_given_means_none_contacted() -> None:
    assert configuration(IceConfig()).iceServers == []


def test_servers_reach_aiortc_as_they_were_given() -> None:
    config = IceConfig.parse(["stun:stun.example.org", "turn:user:pass%3Aword@relay.example.org:443?transport=tcp"])
    assert connection_kwargs(configuration(config).iceServers) == {
        "stun_server": ("stun.example.org", 3478),
        "turn_server": ("relay.example.org", 443),
        "turn_ssl": False,
        "turn_transport": "tcp",
        "turn_username": "user",
        "turn_password": "pass:word",
    }


def test_turns_is_tls_on_its_own_port() -> None:
    [server] = IceConfig.parse(["turns:user:pass@relay.example.org"]).servers
    assert server.url == "turns:relay.example.org:5349?transport=tcp"
    assert server.as_json() == {"urls": [server.url], "username": "user", "credential": "pass"}


def test_a_password_may_hold_an_at_sign() -> None:
    assert IceServer.parse("turn:u:p@ss@h").credential == "p@ss"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("host:3478", "no ICE server"),
        ("http://host", "no ICE server"),
        ("stuns:host", "no ICE server"),
        ("stun:", "no host"),
        ("stun:[::1]:3478", "IPv6"),
        ("stun:host:99999", "no port 99999"),
        ("stun:host:0", "no port 0"),
        ("stun:host?transport=udp", "neither user nor transport"),
        ("stun:me:secret@host", "neither user nor transport"),
        ("turn:host", "needs a user and a password"),
        ("turn:me@host", "needs a user and a password"),
        ("turn:me:secret@host?transport=tls", "cannot use transport tls"),
        ("turns:me:secret@host?transport=udp", "cannot use transport udp"),
    ],
)
def test_errors_name_the_fix_but_no_password(text: str, said: str) -> None:
    with pytest.raises(IceError, match=said) as raised:
        IceServer.parse(text)
    message = str(raised.value)
    assert "\n" not in message and "secret" not in message


def test_a_second_server_of_a_kind_is_refused_instead_of_ignored() -> None:
    with pytest.raises(IceError, match="only one TURN"):
        IceConfig.parse(["turn:a:b@c", "turns:a:b@d"])


def test_a_credential_is_not_shown() -> None:
    assert "hidden" not in repr(IceServer.parse("turn:user:hidden@host"))


def _hosts(loopback: bool) -> list[str]:
    async def gather() -> list[str]:
        gatherer = RTCIceGatherer(iceServers=[])
        Link(gatherer._connection, loopback=loopback)
        await gatherer.gather()
        hosts = [candidate.ip for candidate in gatherer.getLocalCandidates()]
        await gatherer._connection.close()
        return hosts

    return asyncio.run(gather())


def test_loopback_is_offered_when_asked_for_and_only_by_that_connection() -> None:
    assert _hosts(loopback=True).count("127.0.0.1") == 1
    assert "127.0.0.1" not in _hosts(loopback=False)


class _Connection:
    def __init__(self) -> None:
        self.got: list[tuple[object, ...]] = []

    def data_received(self, *args: object) -> None:
        self.got.append(args)

    def request_received(self, *args: object) -> None:
        self.got.append(args)


def test_a_link_knows_when_it_was_heard_from_and_swallows_empty_datagrams() -> None:
    now, connection = [10.0], _Connection()
    link = Link(connection, loopback=False, now=lambda: now[0])
    now[0] = 11.0
    connection.data_received(b"", 1)
    assert (link.heard_s, connection.got) == (10.0, [])
    connection.data_received(b"data", 1)
    assert (link.heard_s, connection.got) == (11.0, [(b"data", 1)])
    now[0] = 12.0
    connection.request_received("check", ("host", 1), "protocol")
    assert link.heard_s == 12.0 and len(connection.got) == 2


def test_an_aioice_without_the_place_for_loopback_is_named() -> None:
    with pytest.raises(IceError, match="pip install"):
        Link(_Connection(), loopback=True)
