"""Who agreed to be shown, when and what for: kept with the session, and in files where the server is asked to."""

import hashlib
import re
from dataclasses import asdict
from pathlib import Path

import pytest

pytest.importorskip("aiohttp")

from aiohttp import FormData
from aiohttp.test_utils import TestClient
from live.fake_calls import Engine, converse
from live.test_uploads import YES, form, refused

from talkinghead.errors import OutputError
from talkinghead.live.server import STORE, ServeOptions
from talkinghead.offline.consent import read_consents


async def recorded(client: TestClient, *fields: tuple[str, bytes | str]) -> dict | None:
    response = await client.post("/sessions", data=form(*fields))
    assert response.status == 201, await response.text()
    return (await response.json())["consent"]


def test_a_session_keeps_who_agreed_and_what_for(engine: Engine) -> None:
    async def scenario(client: TestClient) -> None:
        photo = ("portrait", b"photo")
        said = await recorded(client, YES, ("who", " Ann\n Lee "), ("purpose", "a lesson" + "x" * 400), photo)
        assert said is not None
        assert said["portrait_sha256"] == hashlib.sha256(b"photo").hexdigest()
        assert (said["who"], said["purpose"]) == ("Ann Lee", "a lesson" + "x" * 192)
        assert said["when"].endswith("+00:00")
        unsaid = await recorded(client, photo, YES)
        assert unsaid is not None and "consent=yes" in unsaid["who"] and unsaid["purpose"]
        store = client.server.app[STORE]  # type: ignore[attr-defined]
        kept = [asdict(entry.consent) for entry in store._entries.values()]
        assert kept == [said, unsaid]
        await refused(client, 413, "/sessions", data=form(YES, ("who", "x" * 3000), photo))
        await refused(client, 422, "/sessions", data=form(("who", "Ann"), photo))
        data = FormData(default_to_multipart=True)
        for name, value in (("consent", b"yes"), ("who", b"\xff"), ("portrait", b"p")):
            data.add_field(name, value, filename="x", content_type="application/octet-stream")
        await refused(client, 400, "/sessions", data=data)

    converse(scenario, engine, ServeOptions(max_sessions=9))


def test_the_demo_portrait_needs_no_consent(engine: Engine) -> None:
    demo = (Path(__file__).parents[2] / "examples" / "data" / "portrait.jpg").read_bytes()

    async def scenario(client: TestClient) -> None:
        assert await recorded(client, ("portrait", demo)) is None
        await refused(client, 422, "/sessions", data=form(("portrait", demo), ("consent", "no")))
        await refused(client, 422, "/sessions", data=form(("portrait", demo + b"x")))

    converse(scenario, engine)
    assert engine.photos == [demo]


def test_records_are_kept_as_files(engine: Engine, tmp_path: Path) -> None:
    async def scenario(client: TestClient) -> None:
        for who in ("Ann", "Bo"):
            await recorded(client, YES, ("who", who), ("portrait", who.encode()))
        await refused(client, 422, "/sessions", data=form(YES, ("portrait", b"no face")))
        assert (await client.post("/sessions", json={})).status == 201

    converse(scenario, engine, ServeOptions(portrait=tmp_path / "own.jpg", consent_log=tmp_path, max_sessions=9))
    files = sorted(tmp_path.iterdir())
    assert all(re.fullmatch(r"consent-\d{8}T\d{6}Z-.{6}\.json", path.name) for path in files)
    records = [consent for path in files for consent in read_consents(path).items()]
    assert {(digest, consent.who) for digest, consent in records} == {
        (hashlib.sha256(who.encode()).hexdigest(), who) for who in ("Ann", "Bo")
    }


def test_no_session_without_the_record_that_should_be_kept(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, *_: object, **__: object) -> int:
        raise OSError(28, "No space left on device")

    async def scenario(client: TestClient) -> None:
        monkeypatch.setattr(Path, "write_text", full)
        message = await refused(client, 500, "/sessions", data=form(YES, ("portrait", b"photo")))
        assert "record of consent" in message and str(tmp_path) not in message
        assert len(client.server.app[STORE]) == 0  # type: ignore[attr-defined]

    converse(scenario, engine, ServeOptions(consent_log=tmp_path))
    assert engine.sessions[0].closed.is_set()
    assert list(tmp_path.iterdir()) == []


def test_the_folder_of_records_is_looked_at_first(engine: Engine, tmp_path: Path) -> None:
    async def scenario(client: TestClient) -> None:
        raise AssertionError("it must not start")

    with pytest.raises(OutputError, match="does not exist: create it"):
        converse(scenario, engine, ServeOptions(consent_log=tmp_path / "none"))
