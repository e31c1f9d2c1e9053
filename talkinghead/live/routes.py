"""The HTTP interface: what each address does. Everything about who may ask is in `guard`, about limits in `uploads`."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from talkinghead import __version__
from talkinghead.errors import OutputError, TalkingHeadError
from talkinghead.live import uploads, whip
from talkinghead.live.guard import Refusal
from talkinghead.live.metrics import CONTENT_TYPE, Metrics
from talkinghead.live.parts import Say
from talkinghead.live.speaking import check_turn, speak
from talkinghead.live.store import RETRY_AFTER_S, Entry, NoSession, SessionStore, TooManyPeers
from talkinghead.motion.controls import EMOTIONS
from talkinghead.offline.consent import ConsentLog
from talkinghead.speech.source import SpeechFile

log = logging.getLogger("talkinghead.live")

WEB = Path(__file__).parent / "web"
_CALL = "call"  # the name of the peer that /offer joins
_NO_PORTRAIT = "this server has no portrait of its own: POST /sessions with a photo, or start it with --portrait"


@dataclass(frozen=True)
class Routes:
    """The handlers, with what they work on. ``portrait``: the server has one of its own; ``consents``: where records are kept."""

    store: SessionStore
    metrics: Metrics
    say: Say | None
    portrait: bool
    ice_servers: list[dict[str, Any]]
    consents: ConsentLog | None = None

    def table(self) -> list[web.AbstractRouteDef]:
        """All routes."""
        session = "/sessions/{id}"
        table: list[web.AbstractRouteDef] = [
            web.get("/", self.page),
            web.get("/healthz", self.health),
            web.get("/metrics", self.figures),
            web.get("/config", self.config),
            web.post("/offer", self.offer_alone),
            web.post("/sessions", self.open),
            web.delete(session, self.end),
            web.post(f"{session}/offer", self.offer),
            web.patch(f"{session}/offer", self.candidate),
            web.post(f"{session}/audio", self.audio),
            web.post(f"{session}/text", self.text),
            web.post(f"{session}/interrupt", self.interrupt),
        ]
        for endpoint, post in (("/whep", self.watch_alone), (f"{session}/whep", self.join), (f"{session}/whip", self.join)):
            resource = f"{endpoint}/{{peer}}"
            table += [web.post(endpoint, post), web.options(endpoint, self.options)]
            table += [web.patch(resource, self.trickle), web.delete(resource, self.leave)]
        return [*table, web.static("/static", WEB)] if WEB.is_dir() else table

    # what the server is

    async def page(self, request: web.Request) -> web.StreamResponse:
        """GET /"""
        page = WEB / "index.html"
        if not page.is_file():
            raise Refusal(404, "this installation has no page: reinstall talkinghead")
        return web.FileResponse(page)

    async def health(self, request: web.Request) -> web.Response:
        """GET /healthz: 503 where another call would be felt by those that run."""
        busy = self.store.overloaded
        found = {"status": "overloaded" if busy else "ok", "sessions": len(self.store), "capacity": self.store.capacity}
        headers = {"Retry-After": str(RETRY_AFTER_S)} if busy else {}
        return web.json_response({**found, "version": __version__}, status=503 if busy else 200, headers=headers)

    async def figures(self, request: web.Request) -> web.Response:
        """GET /metrics"""
        return web.Response(body=self.metrics.text(), headers={"Content-Type": CONTENT_TYPE})

    async def config(self, request: web.Request) -> web.Response:
        """GET /config: what a page needs to know before it calls."""
        limits = {
            "upload_bytes": uploads.MAX_PORTRAIT_BYTES,
            "sound_bytes": uploads.MAX_SOUND_BYTES,
            "sound_s": uploads.MAX_SOUND_S,
            "text_characters": uploads.MAX_TEXT_CHARACTERS,
        }
        can = {"portrait": self.portrait, "voice": self.say is not None, "emotions": EMOTIONS}
        return web.json_response({**can, "version": __version__, "limits": limits, "ice_servers": self.ice_servers})

    # sessions

    async def open(self, request: web.Request) -> web.Response:
        """POST /sessions"""
        self.store.admit()  # a full server does not let a photo be sent first
        upload = await uploads.read_portrait(request)
        if upload is None and not self.portrait:
            raise Refusal(400, _NO_PORTRAIT)
        photo, consent = (None, None) if upload is None else (upload.photo, upload.consent)
        entry = await self.store.open(photo, consent=consent)
        await self._keep_consent(entry)
        body = {"id": entry.id, "token": entry.token, "notes": entry.notes, "expires_s": self.store.expire_s}
        body["consent"] = None if consent is None else asdict(consent)
        return web.json_response(body, status=201, headers={"Location": f"/sessions/{entry.id}"})

    async def _keep_consent(self, entry: Entry) -> None:
        """The record in a file, where the server keeps them; no session goes on without it."""
        if self.consents is None or entry.consent is None:
            return
        try:
            await asyncio.get_running_loop().run_in_executor(None, self.consents.keep, entry.consent, entry.shown)
        except OutputError as error:
            log.error("the consent to session %s was not kept: %s", entry.shown, error)
            await self.store.close(entry, "consent not kept")
            raise Refusal(500, "this server cannot keep the record of consent: tell those who run it") from None

    async def end(self, request: web.Request) -> web.Response:
        """DELETE /sessions/{id}"""
        await self.store.close(self._entry(request), "ended by the client")
        return web.Response(status=204)

    async def offer(self, request: web.Request) -> web.Response:
        """POST /sessions/{id}/offer"""
        entry = self._entry(request)
        sdp, kind = await self._answer(entry, _CALL, *uploads.description_of(await uploads.read_json(request)))
        return web.json_response({"sdp": sdp, "type": kind})

    async def offer_alone(self, request: web.Request) -> web.Response:
        """POST /offer: a session of the server's own portrait, which ends with its peer."""
        offer = uploads.description_of(await uploads.read_json(request))
        entry = await self._own_session()
        sdp, kind = await self._answer(entry, _CALL, *offer)
        session = {"session_id": entry.id, "token": entry.token, "notes": entry.notes}
        return web.json_response({"sdp": sdp, "type": kind, **session})

    async def candidate(self, request: web.Request) -> web.Response:
        """PATCH /sessions/{id}/offer"""
        entry = self._entry(request)
        body = await uploads.read_json(request)
        candidate = body.get("candidate", ...)
        if not isinstance(candidate, dict | None):
            raise Refusal(400, 'send a candidate: {"candidate": {...}}, null after the last')
        if _CALL not in entry.peers:
            raise Refusal(409, "there is no offer yet that this candidate belongs to")
        await self._add(entry, _CALL, candidate)
        return web.Response(status=204)

    async def audio(self, request: web.Request) -> web.Response:
        """POST /sessions/{id}/audio: the body is any sound file."""
        entry = self._entry(request)
        check_turn(entry)
        path = await uploads.save_sound(request)
        try:
            sound = await asyncio.get_running_loop().run_in_executor(None, _opened_sound, path)
            check_turn(entry)
            blocks, seconds = sound.blocks(), round(sound.duration_s, 3)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        speak(entry, blocks, 16_000, lambda: path.unlink(missing_ok=True))
        return web.json_response({"seconds": seconds}, status=202)

    async def text(self, request: web.Request) -> web.Response:
        """POST /sessions/{id}/text"""
        entry = self._entry(request)
        words, language = uploads.text_of(await uploads.read_json(request))
        if self.say is None:
            raise Refusal(501, 'this server has no voice: pip install "talkinghead[voice]" there, or send sound')
        check_turn(entry)
        sound, rate_hz = await asyncio.get_running_loop().run_in_executor(None, self.say, words, language)
        check_turn(entry)
        speak(entry, sound, rate_hz)
        return web.json_response({}, status=202)

    async def interrupt(self, request: web.Request) -> web.Response:
        """POST /sessions/{id}/interrupt"""
        entry = self._entry(request)
        generation = entry.session.interrupt()
        return web.json_response({"generation": generation})

    # WHIP and WHEP

    async def options(self, request: web.Request) -> web.Response:
        """OPTIONS of an endpoint"""
        return web.Response(status=204, headers=whip.ENDPOINT_HEADERS)

    async def watch_alone(self, request: web.Request) -> web.Response:
        """POST /whep: a session of the server's own portrait, which ends with its peer."""
        sdp = await uploads.read_sdp(request)
        return await self._created(request, await self._own_session(), sdp)

    async def join(self, request: web.Request) -> web.Response:
        """POST /sessions/{id}/whep or whip"""
        entry = self._entry(request)
        return await self._created(request, entry, await uploads.read_sdp(request))

    async def trickle(self, request: web.Request) -> web.Response:
        """PATCH of a peer"""
        entry, name = self._peer(request)
        fragment = await whip.read_fragment(request, name)
        for candidate in fragment.candidates:
            await self._add(entry, name, dict(candidate))
        if fragment.complete:
            await self._add(entry, name, None)
        return web.Response(status=204)

    async def leave(self, request: web.Request) -> web.Response:
        """DELETE of a peer"""
        await self.store.leave(*self._peer(request))
        return web.Response()  # RFC 9725 and the WHEP draft: 200

    # steps that several of them take

    def _entry(self, request: web.Request) -> Entry:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        return self.store.get(request.match_info["id"], token.strip() if scheme.lower() == "bearer" else "")

    def _peer(self, request: web.Request) -> tuple[Entry, str]:
        name = request.match_info["peer"]
        entry = self._entry(request) if "id" in request.match_info else self.store.with_peer(name)
        if name not in entry.peers or name == _CALL:
            raise NoSession("no such peer: it has left, or never was")
        return entry, name

    async def _own_session(self) -> Entry:
        if not self.portrait:
            raise Refusal(400, _NO_PORTRAIT)
        return await self.store.open(None, own=True)

    async def _created(self, request: web.Request, entry: Entry, sdp: str) -> web.Response:
        name = whip.resource_name()
        answer, _ = await self._answer(entry, name, sdp, "offer")
        return whip.created(request, name, answer, self.ice_servers)

    async def _answer(self, entry: Entry, name: str, sdp: str, kind: str) -> tuple[str, str]:
        try:
            return await self.store.answer(entry, name, sdp, kind)
        except (NoSession, TooManyPeers):
            raise
        except (asyncio.TimeoutError, TimeoutError):
            raise Refusal(504, "no answer could be made in time: do the ICE servers answer?") from None
        except TalkingHeadError as error:  # the peer does not take the offer
            raise Refusal(400, str(error)) from None

    async def _add(self, entry: Entry, name: str, candidate: dict | None) -> None:
        try:
            await entry.peers[name].peer.add_candidate(candidate)
        except (TalkingHeadError, ValueError, KeyError, TypeError):
            raise Refusal(400, "this is not a candidate") from None


def _opened_sound(path: Path) -> SpeechFile:
    """The sound of an upload; messages do not tell where it lies."""
    try:
        uploads.check_sound(path)
        return SpeechFile(path)
    except TalkingHeadError as error:
        raise type(error)(str(error).replace(str(path), "this file")) from None
