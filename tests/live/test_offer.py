"""Session descriptions and candidates that cannot be used are refused in one line, before aiortc sees them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

pytest.importorskip("aiortc")

from aiortc import RTCConfiguration, RTCPeerConnection

from talkinghead.live.offer import MAX_CANDIDATES, MAX_SDP_BYTES, OfferError, read_candidate, read_offer

HOST = "a=candidate:1 1 udp 2130706431 192.0.2.7 50000 typ host"
MDNS = "a=candidate:2 1 udp 2130706431 0f3c3a5e-1111-2222-3333-444455556666.local 50001 typ host"


@pytest.fixture(scope="module")
def sdp() -> str:
    async def make() -> str:
        pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        pc.addTransceiver("audio", "sendrecv")
        pc.addTransceiver("video", "recvonly")
        pc.createDataChannel("control")
        await pc.setLocalDescription(await pc.createOffer())
        text = pc.localDescription.sdp
        await pc.close()
        return text

    return asyncio.run(make())


def test_an_offer_is_read_with_its_sections(sdp: str) -> None:
    offer = read_offer(sdp, "offer")
    audio, video = offer.first("audio"), offer.first("video")
    assert audio is not None and audio.takes and audio.gives
    assert video is not None and video.takes and not video.gives
    assert offer.first("application") is not None and offer.first("text") is None


def test_names_for_multicast_and_the_end_of_candidates_are_left_out(sdp: str) -> None:
    assert "a=end-of-candidates" in sdp
    offer = read_offer(sdp.replace("a=end-of-candidates", f"{HOST}\r\n{MDNS}\r\na=end-of-candidates"), "offer")
    assert HOST in offer.sdp and MDNS not in offer.sdp and "end-of-candidates" not in offer.sdp


def test_line_ends_may_be_of_any_kind(sdp: str) -> None:
    assert read_offer(sdp.replace("\r\n", "\n"), "offer").sections == read_offer(sdp, "offer").sections


def _without(start: str) -> Callable[[str], str]:
    return lambda sdp: "\r\n".join(line for line in sdp.splitlines() if not line.startswith(start)) + "\r\n"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda sdp: "", "0 media sections"),
        (lambda sdp: "v=0\r\n", "0 media sections"),
        (lambda sdp: "nonsense", "0 media sections"),
        (lambda sdp: sdp.replace("m=audio 9", "m=audio nine").replace("m=audio", "m=", 1), "cannot be read"),
        (lambda sdp: sdp.replace("a=setup:actpass", "a=setup:sideways"), "cannot be read"),
        (lambda sdp: sdp.replace("a=rtpmap:", "a=rtpmap:x"), "cannot be read"),
        (lambda sdp: sdp.replace("a=ssrc:", "a=ssrc:x"), "cannot be read"),
        (lambda sdp: sdp.replace("IN IP4", "IN IP9"), "cannot be read"),
        (lambda sdp: sdp + "a=x:" + "y" * MAX_SDP_BYTES, "at most 64 KiB"),
        (lambda sdp: sdp[: sdp.index("m=")] + 9 * sdp[sdp.index("m=audio") : sdp.index("m=video")], "9 media sections"),
        (lambda sdp: sdp.replace("m=video", "m=text"), '"text"'),
        (_without("a=group:BUNDLE"), "bundle"),
        (lambda sdp: sdp.replace("a=group:BUNDLE 0 1 2", "a=group:BUNDLE 0 1"), "bundle"),
        (lambda sdp: sdp.replace("a=mid:1", "a=mid:0"), "bundle"),
        (_without("a=recvonly"), "no direction"),
        (_without("a=rtcp-mux"), "rtcp-mux"),
        (_without("a=fingerprint"), "no fingerprint"),
        (_without("a=setup"), "no fingerprint, no setup role"),
        (_without("a=ice-pwd"), "no ICE credentials"),
        (lambda sdp: sdp.replace("a=end-of-candidates", "\r\n".join([HOST] * (MAX_CANDIDATES + 1))), "more than 64 candidates"),
    ],
)
def test_bad_offers_are_refused_in_one_line(sdp: str, change: Callable[[str], str], said: str) -> None:
    with pytest.raises(OfferError) as raised:
        read_offer(change(sdp), "offer")
    assert said in str(raised.value) and "\n" not in str(raised.value)


def test_only_offers_are_taken(sdp: str) -> None:
    with pytest.raises(OfferError, match="no offer"):
        read_offer(sdp, "answer")


@pytest.mark.parametrize("index", range(0, 4000, 37))
def test_a_damaged_offer_is_read_or_refused_but_nothing_else(sdp: str, index: int) -> None:
    try:
        read_offer(sdp[: index % len(sdp)] + sdp[index % len(sdp) + 5 :], "offer")
    except OfferError:
        return


def test_a_candidate_is_read_as_browsers_send_it() -> None:
    found = read_candidate({"candidate": HOST.removeprefix("a="), "sdpMid": "0", "sdpMLineIndex": 0, "usernameFragment": "x"})
    assert found is not None
    assert (found.ip, found.port, found.sdpMid, found.sdpMLineIndex) == ("192.0.2.7", 50000, "0", 0)


@pytest.mark.parametrize(
    "text", ["", MDNS.removeprefix("a="), "candidate:1 1 tcp 1518280447 192.0.2.7 9 typ host tcptype active"]
)
def test_candidates_that_are_of_no_use_are_left_out(text: str) -> None:
    assert read_candidate({"candidate": text, "sdpMid": "0"}) is None


@pytest.mark.parametrize(
    "candidate",
    [
        {},
        {"candidate": None, "sdpMid": "0"},
        {"candidate": 5, "sdpMid": "0"},
        {"candidate": "candidate:1 1 udp", "sdpMid": "0"},
        {"candidate": "candidate:1 one udp 1 192.0.2.7 50000 typ host", "sdpMid": "0"},
        {"candidate": "candidate:1 1 udp 1 192.0.2.7 port typ host", "sdpMid": "0"},
        {"candidate": HOST + " x" * 300, "sdpMid": "0"},
        {"candidate": HOST.removeprefix("a=")},
        {"candidate": HOST.removeprefix("a="), "sdpMid": 0},
        {"candidate": HOST.removeprefix("a="), "sdpMLineIndex": True},
    ],
)
def test_bad_candidates_are_refused(candidate: dict[str, object]) -> None:
    with pytest.raises(OfferError):
        read_candidate(candidate)
