"""A client's session description (SDP, RFC 8866) and candidates, checked before aiortc sees them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from aiortc import RTCIceCandidate
from aiortc.sdp import SessionDescription, candidate_from_sdp

from talkinghead.errors import TalkingHeadError

MAX_SDP_BYTES = 64 * 1024
MAX_SECTIONS = 8
MAX_CANDIDATES = 64
MAX_CANDIDATE_BYTES = 512
_KINDS = ("audio", "video", "application")
_CANDIDATE = re.compile(r"^a=candidate:\S+ \S+ \S+ \S+ (?P<host>\S+) ")


class OfferError(TalkingHeadError):
    """The offer, or a candidate, cannot be used."""


@dataclass(frozen=True)
class Section:
    """A media section (m-line): kind "audio", "video" or "application"; direction as the client sees it."""

    kind: str
    mid: str
    direction: str | None

    @property
    def takes(self) -> bool:
        """The client wants media of this kind from us."""
        return self.direction in ("recvonly", "sendrecv")

    @property
    def gives(self) -> bool:
        """The client sends media of this kind."""
        return self.direction in ("sendonly", "sendrecv")


@dataclass(frozen=True)
class Offer:
    """A description that can be answered, and what is in it."""

    sdp: str
    sections: tuple[Section, ...]

    def first(self, kind: str) -> Section | None:
        """The section of this kind that is answered; there may be others."""
        return next((section for section in self.sections if section.kind == kind), None)


def read_offer(sdp: str, type_: str) -> Offer:
    """Checks an offer; raises OfferError, one line.

    Host names that only multicast DNS can resolve (".local", RFC 8828) are left out: the client reaches us, and is then known by
    its address. So is the end of the candidates: it would end the search when all that is left is such a name.
    """
    if type_ != "offer":
        raise OfferError(f'this is no offer but "{str(type_)[:20]}": send {{"sdp": ..., "type": "offer"}}')
    if not isinstance(sdp, str) or len(sdp.encode(errors="replace")) > MAX_SDP_BYTES:
        raise OfferError(f"the offer's SDP must be text of at most {MAX_SDP_BYTES // 1024} KiB")
    sdp = "\r\n".join(line for line in sdp.splitlines() if _is_of_use(line)) + "\r\n"
    try:
        description = SessionDescription.parse(sdp)
    except Exception:  # aiortc's parser fails in a dozen ways on what it does not expect
        raise OfferError("the offer's SDP cannot be read: send pc.localDescription as it is") from None
    media = description.media
    if not 0 < len(media) <= MAX_SECTIONS:
        raise OfferError(f"the offer has {len(media)} media sections: offer 1 to {MAX_SECTIONS}")
    for section in media:
        _check(section)
    mids = [section.rtp.muxId for section in media]
    bundled = next((group.items for group in description.group if group.semantic == "BUNDLE"), [])
    if len(set(mids)) < len(mids) or (len(mids) > 1 and set(mids) != set(bundled)):
        raise OfferError("the offer must bundle all its media on one connection (a=group:BUNDLE)")
    if sum(len(section.ice_candidates) for section in media) > MAX_CANDIDATES:
        raise OfferError(f"the offer has more than {MAX_CANDIDATES} candidates")
    return Offer(sdp, tuple(Section(m.kind, m.rtp.muxId, m.direction) for m in media))


def _is_of_use(line: str) -> bool:
    candidate = _CANDIDATE.match(line)
    return line.strip() != "a=end-of-candidates" and not (candidate and candidate["host"].endswith(".local"))


def _check(section: Any) -> None:
    """What aiortc would fail at later, or in a task of its own."""
    if section.kind not in _KINDS:
        raise OfferError(f'the offer has a section "{section.kind[:20]}": offer audio, video and a data channel only')
    if section.kind != "application" and section.direction is None:
        raise OfferError("a media section of the offer has no direction (a=recvonly, a=sendrecv, ...)")
    if section.dtls is None or not section.dtls.fingerprints or not (section.ice.usernameFragment and section.ice.password):
        raise OfferError("the offer has no fingerprint, no setup role or no ICE credentials: send pc.localDescription as it is")
    if section.kind != "application" and not section.rtcp_mux:
        raise OfferError("the offer must multiplex RTCP (a=rtcp-mux)")


def read_candidate(candidate: dict[str, Any]) -> RTCIceCandidate | None:
    """A candidate as a browser's RTCIceCandidate.toJSON gives it; None for one that is of no use here (the end of the candidates,
    ".local" names, TCP). Raises OfferError."""
    text, mid, index = candidate.get("candidate"), candidate.get("sdpMid"), candidate.get("sdpMLineIndex")
    if not isinstance(text, str) or len(text) > MAX_CANDIDATE_BYTES:
        raise OfferError(f'a candidate is text of at most {MAX_CANDIDATE_BYTES} bytes under "candidate"')
    if not text.strip():
        return None
    if not (isinstance(mid, str) or (isinstance(index, int) and not isinstance(index, bool))):
        raise OfferError("a candidate needs sdpMid or sdpMLineIndex")
    try:
        read = candidate_from_sdp(text.strip().removeprefix("candidate:"))
    except (AssertionError, IndexError, ValueError):
        raise OfferError("this is not a candidate") from None
    if read.protocol.lower() != "udp" or read.ip.endswith(".local"):
        return None
    read.sdpMid, read.sdpMLineIndex = mid if isinstance(mid, str) else None, index if isinstance(index, int) else None
    return read
