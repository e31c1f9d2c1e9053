"""What stands before every route: who may ask, and what a failure looks like. Errors are JSON {"error": one line}."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import secrets
import socket
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from aiohttp import ClientPayloadError, web

from talkinghead.errors import PortraitError, SpeechError, TalkingHeadError, VoiceError
from talkinghead.live.store import RETRY_AFTER_S, BadToken, Full, NoSession, TooManyPeers

log = logging.getLogger("talkinghead.live")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_CHANGING = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_ALLOWED_METHODS = "GET, POST, PATCH, DELETE, OPTIONS"
_ALLOWED_HEADERS = "Authorization, Content-Type, If-Match"
_READABLE_HEADERS = "Location, ETag, Link, Retry-After, X-Request-Id"
_PREFLIGHT_KEPT_S = 600
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "media-src 'self' blob: mediastream:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Server": "talkinghead",
}


class Refusal(TalkingHeadError):
    """A request that is not served: an HTTP status, one line, and headers."""

    def __init__(self, status: int, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def refusal_of(error: Exception) -> Refusal | None:
    """The refusal that an expected failure means; None for an unexpected one."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, web.HTTPException):
        allow = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
        return Refusal(error.status, (error.reason or "refused").lower(), **allow)
    if isinstance(error, Full):
        return Refusal(503, str(error), Retry_After=str(RETRY_AFTER_S))
    if isinstance(error, BadToken):
        return Refusal(401, str(error), WWW_Authenticate="Bearer")
    if isinstance(error, asyncio.TimeoutError | TimeoutError):
        return Refusal(408, "this took too long: send it again, or over a faster line", Connection="close")
    if isinstance(error, ConnectionError | ClientPayloadError):
        return Refusal(400, "the request broke off")
    for kinds, status in (((NoSession,), 404), ((TooManyPeers,), 409), ((PortraitError, SpeechError, VoiceError), 422)):
        if isinstance(error, kinds):
            return Refusal(status, str(error))
    return Refusal(500, str(error)) if isinstance(error, TalkingHeadError) else None


@web.middleware
async def answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Any failure becomes one line of JSON; only the log sees a stack trace. Every request has an id."""
    number = secrets.token_hex(4)
    try:
        response = await handler(request)
    except Exception as error:
        refusal = refusal_of(error)
        # The route's pattern, not the path: that may hold a session's id.
        route = request.match_info.route.resource
        where = f"{request.method} {route.canonical if route is not None else '?'}"
        if refusal is None:
            log.exception("request %s failed: %s", number, where)
            refusal = Refusal(500, f"internal error: the server's log tells more about request {number}")
        else:
            log.debug("request %s refused: %s: %d %s", number, where, refusal.status, refusal)
        line = " ".join(str(refusal).split())
        response = web.json_response({"error": line}, status=refusal.status, headers=refusal.headers)
    if not response.prepared:
        response.headers["X-Request-Id"] = number
    return response


class Door:
    """Keeps web pages of other places out: they could reach a server on this machine through its user's browser.

    A request that changes something must come from a page of this server, or of ``origins`` ("*": any), or from no page at
    all (no Origin header). Its Host must be an address, localhost, this machine's name or a name in ``origins``, so that a
    foreign name that was made to point here (DNS rebinding) gets nowhere. Browsers are told what ``origins`` may read (CORS).
    """

    def __init__(self, origins: tuple[str, ...], host: str) -> None:
        self._any = "*" in origins
        self._origins = frozenset(origin.rstrip("/").lower() for origin in origins)
        named = (urlsplit(origin).hostname for origin in self._origins)
        self._hosts = {name for name in named if name} | {host.lower(), socket.gethostname().lower(), "localhost"}

    @web.middleware
    async def check(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """The middleware."""
        origin = request.headers.get("Origin", "").lower()
        if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
            return self._preflight(origin)
        if request.method in _CHANGING:
            self._let_in(request.host.lower(), origin)
        if request.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise Refusal(415, "compressed bodies are not accepted: send it as it is")
        return await handler(request)

    async def mark(self, request: web.Request, response: web.StreamResponse) -> None:
        """Signal handler: what every response says to browsers."""
        response.headers.update(_HEADERS)
        response.headers.setdefault("Cache-Control", "no-cache" if request.path.startswith("/static/") else "no-store")
        origin = request.headers.get("Origin", "")
        if self._listed(origin.lower()):
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Expose-Headers"] = _READABLE_HEADERS
        if self._origins:
            response.headers["Vary"] = "Origin"

    def _listed(self, origin: str) -> bool:
        return bool(origin) and (self._any or origin in self._origins)

    def _preflight(self, origin: str) -> web.Response:
        if not self._listed(origin):
            raise Refusal(403, "pages of other sites may not use this server: start it with --allow-origin to let them")
        allowed = {"Access-Control-Allow-Methods": _ALLOWED_METHODS, "Access-Control-Allow-Headers": _ALLOWED_HEADERS}
        return web.Response(status=204, headers={**allowed, "Access-Control-Max-Age": str(_PREFLIGHT_KEPT_S)})

    def _let_in(self, host: str, origin: str) -> None:
        if self._any:
            return
        if not self._is_ours(host):
            name = host[:80]
            raise Refusal(403, f"this server does not answer to {name!r}: start it with --allow-origin https://{name}")
        if origin and origin not in (f"http://{host}", f"https://{host}") and not self._listed(origin):
            raise Refusal(403, "pages of other sites may not use this server: start it with --allow-origin to let them")

    def _is_ours(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if name in self._hosts:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True
