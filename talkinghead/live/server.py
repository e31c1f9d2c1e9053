"""`talkinghead serve`: calls over HTTP and WebRTC."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import logging
import signal
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from talkinghead.errors import TalkingHeadError
from talkinghead.live.guard import Door, answer_errors
from talkinghead.live.ice import IceConfig
from talkinghead.live.metrics import Metrics
from talkinghead.live.parts import Parts, real_parts
from talkinghead.live.routes import Routes
from talkinghead.live.store import EXPIRE_S, SessionStore
from talkinghead.offline.consent import ConsentLog

log = logging.getLogger("talkinghead.live")

STORE: web.AppKey[SessionStore] = web.AppKey("store", SessionStore)
_UNFINISHED_S = 2.0
"""How long a request may go on after the server was told to stop."""


class ServeError(TalkingHeadError):
    """The server cannot start: port in use, address not of this machine, certificate unreadable."""


@dataclass(frozen=True)
class ServeOptions:
    """How to serve. ``portrait``: the server's own, so that POST /offer is enough for a call. ``max_sessions`` None: measured
    at the start. ``allow_origins``: pages of other places that may use this server, such as https://example.org, or "*".
    ``tls_cert``, ``tls_key``: PEM files. ``consent_log``: a folder for the records of consent to photos that are sent."""

    host: str = "127.0.0.1"
    port: int = 8040
    portrait: Path | None = None
    ice: IceConfig = IceConfig()
    max_sessions: int | None = None
    allow_origins: tuple[str, ...] = ()
    device: str = "cpu"
    codec: str | None = None
    bitrate_bps: int = 2_500_000
    tls_cert: Path | None = None
    tls_key: Path | None = None
    expire_s: float = EXPIRE_S
    consent_log: Path | None = None


def make_app(options: ServeOptions, parts: Parts | None = None) -> web.Application:
    """The application; it warms up when it is started, before a request is taken. ``parts`` replaces the real engine."""
    metrics = Metrics()
    parts = parts or real_parts(options, metrics.observe_batch)
    store = SessionStore(parts.open_session, parts.make_peer, expire_s=options.expire_s, observer=metrics.observe)
    metrics.watch(lambda: len(store), lambda: store.capacity, lambda: store.queued_s)
    door = Door(options.allow_origins, options.host)
    app = web.Application(middlewares=[answer_errors, door.check])
    app[STORE] = store
    consents = None if options.consent_log is None else ConsentLog(options.consent_log)
    ice_servers = [server.as_json() for server in options.ice.servers]
    app.add_routes(Routes(store, metrics, parts.say, options.portrait is not None, ice_servers, consents).table())
    app.on_response_prepare.append(door.mark)

    async def running(app: web.Application) -> AsyncIterator[None]:
        held = await asyncio.get_running_loop().run_in_executor(None, parts.warm_up)
        store.capacity = held if options.max_sessions is None else options.max_sessions
        yield
        await asyncio.get_running_loop().run_in_executor(None, parts.close)

    async def closing(app: web.Application) -> None:  # before requests that still run are waited for
        await store.close_all()

    app.cleanup_ctx.append(running)
    app.on_shutdown.append(closing)
    return app


def _tell(line: str) -> None:
    print(line, flush=True)


def serve(options: ServeOptions, tell: Callable[[str], None] = _tell) -> None:
    """Serve until Ctrl-C or SIGTERM; ``tell`` gets the lines for the user. Blocking.

    The port is taken first (a port in use is told at once), then everything is warmed up, then it listens.
    Raises ServeError, OutputError (the folder of consents), and what warming up raises (PortraitError, EngineError).
    """
    tls = _tls(options)
    with _bound(options.host, options.port) as sock:
        asyncio.run(_serve(options, sock, tls, tell))


async def _serve(options: ServeOptions, sock: socket.socket, tls: ssl.SSLContext | None, tell: Callable[[str], None]) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()

    def stopped() -> None:
        stop.set()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)  # a second one is not asked politely any more

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped)
    app = make_app(options)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_UNFINISHED_S, auto_decompress=False)
    try:
        await runner.setup()
        if not stop.is_set():
            await web.SockSite(runner, sock, ssl_context=tls).start()
            _announce(options, sock, tls is not None, app[STORE].capacity, tell)
        await stop.wait()
    finally:
        await runner.cleanup()


def _announce(options: ServeOptions, sock: socket.socket, tls: bool, capacity: int, tell: Callable[[str], None]) -> None:
    port = sock.getsockname()[1]
    host = f"[{options.host}]" if ":" in options.host else options.host
    calls = f"{capacity} call{'' if capacity == 1 else 's'} at a time"
    if not tls and not _is_loopback(sock):
        tell("note: over plain http browsers give no microphone to pages of other machines: add --tls-cert and --tls-key")
    tell(f"http{'s' if tls else ''}://{host}:{port}/ is ready for {calls}; Ctrl-C ends it")


def _is_loopback(sock: socket.socket) -> bool:
    return ipaddress.ip_address(sock.getsockname()[0].partition("%")[0]).is_loopback


def _bound(host: str, port: int) -> socket.socket:
    """A socket that has the port, but does not listen yet."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except (socket.gaierror, UnicodeError):
        raise ServeError(f"no such address: {host}: give --host an address of this machine, e.g. 127.0.0.1") from None
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        return sock
    except OSError as error:
        sock.close()
        raise ServeError(_not_bound(error, host, port)) from None


def _not_bound(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} of {host} is in use: end what uses it, or give another one with --port"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{host} is not an address of this machine: give --host one that is, or 0.0.0.0 for all"
    if error.errno == errno.EACCES:
        return f"no permission for port {port}: give one above 1023 with --port"
    return f"cannot listen on {host} port {port}: {error.strerror or error}"


def _tls(options: ServeOptions) -> ssl.SSLContext | None:
    if options.tls_cert is None and options.tls_key is None:
        return None
    if options.tls_cert is None:
        raise ServeError("--tls-key needs --tls-cert as well")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(options.tls_cert, options.tls_key)
    except (OSError, ssl.SSLError, ValueError) as error:
        raise ServeError(f"the certificate cannot be used ({error}): give PEM files with --tls-cert and --tls-key") from None
    return context
