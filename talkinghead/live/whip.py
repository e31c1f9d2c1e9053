"""WHIP (RFC 9725), sound in, and WHEP (draft-ietf-wish-whep), picture and sound out: an SDP offer by POST, and nothing else.

Each peer is a resource of its own, named by its Location: PATCH sends candidates (RFC 8840), DELETE ends it. ICE restarts are
not supported. The address of a resource cannot be guessed; below /sessions/{id} the session's token is needed as well.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass

from aiohttp import web

from talkinghead.live.guard import Refusal
from talkinghead.live.uploads import read_sdp

SDP = "application/sdp"
FRAGMENT = "application/trickle-ice-sdpfrag"
ENDPOINT_HEADERS = {"Accept-Post": SDP, "Allow": "POST, OPTIONS"}


def resource_name() -> str:
    """A new peer's name."""
    return secrets.token_urlsafe(32)


def entity_tag(name: str) -> str:
    """The ETag of a peer's ICE session. There is one for each peer, since ICE is never restarted."""
    return f'"{hashlib.sha256(name.encode()).hexdigest()[:16]}"'


def created(request: web.Request, name: str, answer: str, ice_servers: list[dict]) -> web.Response:
    """201 with the answer; the ICE servers are linked to (RFC 9725, 4.6)."""
    headers = {"Location": f"{request.path}/{name}", "ETag": entity_tag(name), "Accept-Patch": FRAGMENT}
    response = web.Response(status=201, text=answer, content_type=SDP, headers=headers)
    for server in ice_servers:
        for url in server["urls"]:
            response.headers.add("Link", _link(url, server))
    return response


def _link(url: str, server: dict) -> str:
    link = f'<{url}>; rel="ice-server"'
    if "username" in server:
        link += f'; username="{_quoted(server["username"])}"; credential="{_quoted(server.get("credential", ""))}"'
        link += '; credential-type="password"'
    return link


def _quoted(text: str) -> str:
    return "".join(f"\\{c}" if c in '"\\' else c for c in text if c.isprintable())


@dataclass(frozen=True)
class Fragment:
    """What a trickle fragment brings: candidates as a browser's `RTCIceCandidate.toJSON` gives them, and whether they are all."""

    candidates: tuple[dict[str, str | int], ...]
    complete: bool


def parse_fragment(text: str) -> Fragment:
    """Read an SDP fragment (RFC 8840, 9): a=mid and a=candidate under m= lines, a=end-of-candidates."""
    candidates: list[dict[str, str | int]] = []
    mid, line_index, complete = "", -1, False
    for line in text.splitlines():
        name, _, value = line.strip().partition(":")
        if line.startswith("m="):
            line_index, mid = line_index + 1, str(line_index + 1)
        elif name == "a=mid":
            mid = value
        elif name == "a=candidate":
            candidates.append({"candidate": f"candidate:{value}", "sdpMid": mid, "sdpMLineIndex": max(line_index, 0)})
        complete = complete or name == "a=end-of-candidates"
    return Fragment(tuple(candidates), complete)


async def read_fragment(request: web.Request, name: str) -> Fragment:
    """The fragment of a PATCH, whose precondition is checked as RFC 9725, 4.3, asks."""
    matched = request.headers.get("If-Match")
    if matched is None:
        raise Refusal(428, "send the ETag of the answer as If-Match")
    if matched.strip() == "*":
        raise Refusal(422, "ICE restarts are not supported: DELETE this and POST a new offer")
    if entity_tag(name) not in (tag.strip() for tag in matched.split(",")):
        raise Refusal(412, "this ETag is not that of the answer")
    return parse_fragment(await read_sdp(request, FRAGMENT))
