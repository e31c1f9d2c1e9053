"""How a connection finds its way (ICE): STUN and TURN servers by option, loopback for a single machine, life signs.

aiortc contacts a public STUN server when it is told nothing; here no server means none. It is imported only where a connection is
made, so that options can be read without the live extra.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from talkinghead.errors import TalkingHeadError

if TYPE_CHECKING:
    from aiortc import RTCConfiguration

LOOPBACK = "127.0.0.1"
_PORTS = {"stun": 3478, "turn": 3478, "turns": 5349}
_FORMS = "stun:HOST[:PORT], turn:USER:PASSWORD@HOST[:PORT][?transport=udp|tcp] or turns:USER:PASSWORD@HOST[:PORT]"
_ADDRESS = re.compile(r"(?P<host>[A-Za-z0-9._-]+)(:(?P<port>[0-9]{1,5}))?(\?transport=(?P<transport>[a-z]+))?")


class IceError(TalkingHeadError):
    """A STUN or TURN server is not given as it should be, or this machine has no address to offer."""


@dataclass(frozen=True)
class IceServer:
    """A STUN server, or a TURN relay with its long-term credential (RFC 7064, RFC 7065)."""

    url: str
    username: str | None = None
    credential: str | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, text: str) -> IceServer:
        """From an option such as ``stun:host:3478`` or ``turn:user:password@host:3478?transport=tcp``; percent signs in user and
        password are decoded. Raises IceError."""
        scheme, _, rest = text.strip().partition(":")
        login, at, address = rest.rpartition("@")
        user, colon, password = login.partition(":")
        shown = f"{scheme}:{'...@' if at else ''}{address}"  # never the password
        if scheme not in _PORTS:
            raise IceError(f"no ICE server: {shown}: give {_FORMS}")
        found = _ADDRESS.fullmatch(address)
        if found is None:
            raise IceError(f"{shown} has no host that can be used (IPv6 addresses cannot): give {_FORMS}")
        port, transport = int(found["port"] or _PORTS[scheme]), found["transport"]
        if not 0 < port < 65536:
            raise IceError(f"{shown}: there is no port {port}: give one from 1 to 65535")
        if scheme == "stun":
            if at or transport:
                raise IceError(f"{shown}: a STUN server has neither user nor transport: give stun:HOST[:PORT]")
            return cls(f"stun:{found['host']}:{port}")
        if not (user and colon and password):
            raise IceError(f"{shown} needs a user and a password: give {scheme}:USER:PASSWORD@HOST[:PORT]")
        transport = transport or ("tcp" if scheme == "turns" else "udp")
        if transport not in (("tcp",) if scheme == "turns" else ("udp", "tcp")):
            raise IceError(f"{shown}: {scheme} cannot use transport {transport}: give {_FORMS}")
        return cls(f"{scheme}:{found['host']}:{port}?transport={transport}", unquote(user), unquote(password))

    def as_json(self) -> dict[str, Any]:
        """As browsers take it (RTCIceServer). The credential is in it."""
        login = {"username": self.username, "credential": self.credential} if self.username else {}
        return {"urls": [self.url], **login}


@dataclass(frozen=True)
class IceConfig:
    """servers: at most one STUN and one TURN server, more are of no use to aiortc. loopback: also offer 127.0.0.1, for tests and
    for browsers on this machine only."""

    servers: tuple[IceServer, ...] = ()
    loopback: bool = False

    def __post_init__(self) -> None:
        kinds = [server.url[:4] for server in self.servers]
        for kind in ("stun", "turn"):
            if kinds.count(kind) > 1:
                raise IceError(f"only one {kind.upper()} server can be used: leave the others out")

    @classmethod
    def parse(cls, servers: Iterable[str] = (), *, loopback: bool = False) -> IceConfig:
        """From options, see `IceServer.parse`."""
        return cls(tuple(IceServer.parse(text) for text in servers), loopback)


def configuration(config: IceConfig) -> RTCConfiguration:
    """What aiortc is told: these servers and no other."""
    from aiortc import RTCConfiguration, RTCIceServer

    return RTCConfiguration([RTCIceServer(s.url, username=s.username, credential=s.credential) for s in config.servers])


class Link:
    """Watches one connection's transport (an `aioice.Connection`) from before it gathers its addresses.

    aiortc tells of a peer that vanished after 30 s (six checks of consent, RFC 7675). But every peer sends something every few
    seconds: receiver reports, sound, checks of its own.
    """

    def __init__(self, connection: Any, *, loopback: bool, now: Callable[[], float] = time.monotonic) -> None:
        """now: seconds; raises IceError where aioice has no place for our loopback address."""
        self._now = now
        self.heard_s = now()
        """When anything came from the peer."""
        if loopback:
            gather = getattr(connection, "get_component_candidates", None)
            if gather is None:
                raise IceError('this aioice cannot be made to use loopback: pip install "aioice>=0.9,<0.14"')
            connection.get_component_candidates = self._with_loopback(gather)
        connection.data_received = self._noting(connection.data_received)
        connection.request_received = self._noting(connection.request_received)

    def _with_loopback(self, gather: Callable[..., Any]) -> Callable[..., Any]:
        async def gather_more(component: int, addresses: list[str], *args: Any, **options: Any) -> Any:
            return await gather(component, [*addresses, *([] if LOOPBACK in addresses else [LOOPBACK])], *args, **options)

        return gather_more

    def _noting(self, handle: Callable[..., None]) -> Callable[..., None]:
        def noted(message: Any, *args: Any) -> None:
            if message == b"":  # anyone may send an empty datagram; aiortc's DTLS transport would end of it
                return
            self.heard_s = self._now()
            handle(message, *args)

        return noted
