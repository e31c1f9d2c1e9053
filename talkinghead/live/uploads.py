"""What clients send, taken in with limits: nothing is kept beyond its use, and no name of a client ever becomes a path."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import av
from aiohttp import BodyPartReader, web

from talkinghead.errors import SpeechError
from talkinghead.live.guard import Refusal
from talkinghead.offline.consent import Consent, stated

MAX_PORTRAIT_BYTES = 12 << 20
MAX_PORTRAIT_PIXELS = 50_000_000
MAX_SOUND_BYTES = 50 << 20
MAX_SOUND_S = 600
SOUND_KINDS = "wav,w64,aiff,caf,au,flac,ogg,mp3,aac,ac3,eac3,amr,mov,matroska,webm,avi,asf,mpegts,mpeg,flv"
"""FFmpeg's names. No playlists among them (HLS, DASH, concat): those would read other files of this machine."""
MAX_TEXT_CHARACTERS = 2000
MAX_SDP_BYTES = 64 << 10
MAX_JSON_BYTES = 2 * MAX_SDP_BYTES  # JSON doubles every line break of an SDP
SMALL_S, PORTRAIT_S, SOUND_S = 10.0, 60.0, 180.0
"""Seconds that a body may take to arrive: small ones, pictures, sound."""
NO_CONSENT = "this person's permission is needed: send consent=yes to say \"I have this person's permission\""
_PIECE = 1 << 16
_MAX_PARTS = 4
_MAX_CONSENT_BYTES = 16
_MAX_STATEMENT_BYTES = 2000
_WHO, _PURPOSE = "the caller, who sent consent=yes", "a call"

T = TypeVar("T")


async def in_time(work: Awaitable[T], seconds: float) -> T:
    """Wait for a body; TimeoutError (408) where it trickles in too slowly."""
    return await asyncio.wait_for(work, seconds)


async def pieces_of(request: web.Request, limit: int) -> AsyncIterator[bytes]:
    """The body piece by piece; Refusal 413 as soon as it is known to be larger than ``limit`` bytes."""
    refusal = Refusal(413, f"too large: the limit is {_size(limit)}", Connection="close")
    if (request.content_length or 0) > limit:
        raise refusal
    received = 0
    async for piece in request.content.iter_chunked(_PIECE):
        received += len(piece)
        if received > limit:
            raise refusal
        yield piece


async def read_body(request: web.Request, limit: int) -> bytes:
    """A small body whole."""

    async def read() -> bytes:
        return b"".join([piece async for piece in pieces_of(request, limit)])

    return await in_time(read(), SMALL_S)


async def read_json(request: web.Request) -> dict[str, Any]:
    """A JSON object; Refusal 415 or 400 for anything else. No body at all is {}."""
    if not request.can_read_body:
        return {}
    if request.content_type != "application/json":
        raise Refusal(415, "send JSON with Content-Type: application/json")
    try:
        body = json.loads(await read_body(request, MAX_JSON_BYTES))
    except (ValueError, RecursionError):
        raise Refusal(400, "this is not JSON") from None
    if not isinstance(body, dict):
        raise Refusal(400, "send a JSON object")
    return body


def description_of(body: dict[str, Any]) -> tuple[str, str]:
    """sdp and type of an offer sent as JSON."""
    sdp, kind = body.get("sdp"), body.get("type", "offer")
    if not isinstance(sdp, str) or not sdp or kind != "offer":
        raise Refusal(400, 'send an offer: {"sdp": "v=0...", "type": "offer"}')
    if len(sdp) > MAX_SDP_BYTES:
        raise Refusal(413, f"too large an SDP: the limit is {_size(MAX_SDP_BYTES)}")
    return sdp, kind


def text_of(body: dict[str, Any]) -> tuple[str, str]:
    """The text to be spoken, and its language (BCP 47)."""
    text, language = body.get("text"), body.get("language", "en")
    if not isinstance(text, str) or not text.strip():
        raise Refusal(400, 'send what to say: {"text": "..."}')
    if len(text) > MAX_TEXT_CHARACTERS:
        raise Refusal(413, f"too long a text: the limit is {MAX_TEXT_CHARACTERS} characters")
    if not isinstance(language, str):
        raise Refusal(400, 'a language is a code such as "en" or "de"')
    return text, language


async def read_sdp(request: web.Request, kind: str = "application/sdp") -> str:
    """A body of WHIP or WHEP; Refusal 415 or 400 for anything else."""
    if request.content_type != kind:
        raise Refusal(415, f"send Content-Type: {kind}", Accept=kind)
    try:
        return (await read_body(request, MAX_SDP_BYTES)).decode()
    except UnicodeDecodeError:
        raise Refusal(400, "this is not an SDP") from None


@dataclass(frozen=True)
class Upload:
    """A photo that was sent, and what the client states of the consent to it; None where it needs none."""

    photo: bytes
    consent: Consent | None


async def read_portrait(request: web.Request) -> Upload | None:
    """The photo of a new session: a form with portrait and consent, or JSON {} (None: the server's own portrait).

    The form may state who agreed and the purpose. Refusal 422 without consent, but for portraits that need none: before the
    picture is read where a refused consent comes first, and in any case before it is looked at.
    """
    if request.content_type != "multipart/form-data":
        await read_json(request)
        return None
    try:
        return await in_time(_portrait_form(request), PORTRAIT_S)
    except (ValueError, RuntimeError, AssertionError, EOFError):  # what aiohttp raises for forms that are none
        raise Refusal(400, "this form cannot be read: send multipart/form-data with portrait and consent") from None


async def _portrait_form(request: web.Request) -> Upload:
    limits = {"portrait": MAX_PORTRAIT_BYTES, "consent": _MAX_CONSENT_BYTES}
    limits |= dict.fromkeys(("who", "purpose"), _MAX_STATEMENT_BYTES)
    fields: dict[str, bytes] = {}
    reader = await request.multipart()
    while (part := await reader.next()) is not None:
        name = part.name if isinstance(part, BodyPartReader) else None
        if not isinstance(part, BodyPartReader) or name not in limits or name in fields or len(fields) >= _MAX_PARTS:
            raise Refusal(400, "send one portrait and consent=yes, who and purpose if you like, nothing else", Connection="close")
        if name == "portrait" and fields.get("consent", b"yes") != b"yes":
            raise Refusal(422, NO_CONSENT, Connection="close")
        fields[name] = await _part(part, limits[name])
    photo = fields.get("portrait", b"")
    who, purpose = (fields.get(name, b"").decode() or stand_in for name, stand_in in (("who", _WHO), ("purpose", _PURPOSE)))
    consent = stated(photo, who, purpose)
    if fields.get("consent", b"yes" if consent is None else b"") != b"yes":
        raise Refusal(422, NO_CONSENT)
    if not photo:
        raise Refusal(400, "send a photo in the form's field portrait")
    return Upload(photo, consent)


async def _part(part: BodyPartReader, limit: int) -> bytes:
    kept = bytearray()
    while piece := await part.read_chunk(_PIECE):
        kept += piece
        if len(kept) > limit:
            raise Refusal(413, f"too large a {part.name}: the limit is {_size(limit)}", Connection="close")
    return bytes(kept)


async def save_sound(request: web.Request) -> Path:
    """The body in a private file of its own, which the caller deletes."""
    descriptor, name = tempfile.mkstemp(prefix="talkinghead-", suffix=".sound")
    path = Path(name)

    async def save() -> int:
        size = 0
        async for piece in pieces_of(request, MAX_SOUND_BYTES):
            file.write(piece)
            size += len(piece)
        return size

    try:
        with os.fdopen(descriptor, "wb") as file:
            size = await in_time(save(), SOUND_S)
        if not size:
            raise Refusal(400, "send a sound file as the body")
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return path


def check_sound(path: Path) -> None:
    """SpeechError for a sound of no kind in `SOUND_KINDS` or longer than `MAX_SOUND_S`. Nothing is decoded. Blocking."""
    known_s = 0.0
    try:
        for length_s in _packets_s(path):
            known_s += length_s
            if known_s > MAX_SOUND_S:
                raise SpeechError(f"this sound is longer than {MAX_SOUND_S // 60} minutes: send it in parts")
    except (av.FFmpegError, OSError, ValueError):
        raise SpeechError("this file is not a sound or video that can be read: send WAV, MP3, Ogg or MP4") from None


def _packets_s(path: Path) -> Iterator[float]:
    """Length of each packet of a file's sound, seconds."""
    options: dict[str, Any] = {"container_options": {"protocol_whitelist": "file", "format_whitelist": SOUND_KINDS}}
    if int(av.__version__.split(".")[0]) < 19:  # from 19 on, tags in a wrong encoding are no error any more
        options["metadata_errors"] = "replace"
    with av.open(f"file:{path}", **options) as container:
        stream = container.streams.best("audio")
        for packet in container.demux(stream) if stream is not None else ():
            yield float((packet.duration or 0) * (packet.time_base or 0))


def _size(limit: int) -> str:
    return f"{limit >> 20} MB" if limit >= 1 << 20 else f"{limit >> 10} KB" if limit >= 1 << 10 else f"{limit} bytes"
