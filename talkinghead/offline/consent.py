"""Who agreed to be animated, when and what for: records bound to the portrait's bytes, kept beside the videos.

A record is one JSON object in a file `consent.json`:

    {"consents": [{"portrait_sha256": "...", "who": "Ann Lee", "purpose": "course videos", "when": "2026-01-31T12:00:00+00:00"}]}
"""

from __future__ import annotations

import datetime
import hashlib
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from talkinghead.errors import ConsentError
from talkinghead.offline.target import PartFile, check_parent, output_error

FILE_NAME = "consent.json"
EXEMPT = frozenset({"a591276c03b306fdb6349df120b86c7c74e113dfc0f86acfc432851b9491f41c"})
"""SHA-256 of portraits that need none: the demo's (NASA, public domain)."""
_LONGEST = 200
_MAX_BYTES = 16_000_000

Ask = Callable[[str], str]
"""Shows a question and returns the line that was typed."""


@dataclass(frozen=True)
class Consent:
    """One record. portrait_sha256: of the picture file; when: ISO 8601 with time zone."""

    portrait_sha256: str
    who: str
    purpose: str
    when: str


def portrait_hash(photo: str | Path) -> str | None:
    """SHA-256 of a picture file's bytes; None where it cannot be read (the dub tells why)."""
    try:
        return hashlib.sha256(Path(photo).read_bytes()).hexdigest()
    except OSError:
        return None


def read_consents(path: str | Path) -> dict[str, Consent]:
    """The records of a file by portrait. ConsentError, one line, where it is no such file."""
    path = Path(path)
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ConsentError(f"{path} is too large for a file of consents")
        entries = json.loads(path.read_text(encoding="utf-8"))["consents"]
        found = [Consent(**{name: str(entry[name]) for name in Consent.__dataclass_fields__}) for entry in entries]
    except OSError as error:
        raise ConsentError(f"cannot read {path}: {error.strerror or error}: check the path") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        wanted = '{"consents": [{"portrait_sha256": ..., "who": ..., "purpose": ..., "when": ...}]}'
        raise ConsentError(f"{path} is no file of consents: it must be JSON like {wanted}") from None
    empty = next((consent for consent in found if not (consent.who.strip() and consent.purpose.strip())), None)
    if empty is not None:
        raise ConsentError(f"{path}: the consent for {empty.portrait_sha256[:12]} does not say who agreed and what for")
    return {consent.portrait_sha256.lower(): consent for consent in found}


def missing(photos: Iterable[str | Path], folder: Path, file: Path | None = None) -> list[str]:
    """Those of the photos, each once, that have no record: neither in ``file`` nor beside the videos in ``folder``.

    With a file, only the file counts. Photos that cannot be read are not listed.
    """
    known = _beside(folder) if file is None else read_consents(file)
    hashes = {str(photo): portrait_hash(photo) for photo in photos}
    return [photo for photo, found in hashes.items() if found is not None and found not in EXEMPT and found not in known]


def ask_consent(photo: Path, folder: Path, ask: Ask) -> Consent:
    """Ask for a record and keep it in ``folder``. ConsentError where there is no permission, or no answer."""
    digest = portrait_hash(photo)
    if digest is None:
        raise ConsentError(f"cannot read {photo}: check the path")
    known = _beside(folder)
    try:
        if ask(f"Does the person in {photo.name} agree to be animated? [y/N] ").strip().lower() not in ("y", "yes"):
            raise ConsentError(f"no video without the consent of the person in {photo.name}: ask first, or use another photo")
        who, purpose = (ask(question).strip()[:_LONGEST] for question in ("Who agreed (name): ", "What for: "))
    except EOFError:
        raise ConsentError("the question of consent was not answered: run again, or give --consent FILE") from None
    if not (who and purpose):
        raise ConsentError("a consent must say who agreed and what for: run again")
    consent = Consent(digest, who, purpose, _now())
    _write({**known, digest: consent}, folder / FILE_NAME)
    return consent


def stated(portrait: bytes, who: str, purpose: str) -> Consent | None:
    """The record of what a client states now of a picture file's bytes; None for those that need none."""
    digest = hashlib.sha256(portrait).hexdigest()
    return None if digest in EXEMPT else Consent(digest, _line(who), _line(purpose), _now())


class ConsentLog:
    """Keeps records as files of their own in a folder, each such as `read_consents` reads."""

    def __init__(self, folder: Path) -> None:
        """Raises OutputError where the folder cannot be written."""
        self._folder = check_parent(folder / FILE_NAME).parent

    def keep(self, consent: Consent, name: str) -> Path:
        """Write a record; ``name`` tells those of one second apart. The file appears whole. Raises OutputError."""
        moment = re.sub(r"\W", "", consent.when.partition("+")[0])
        path = self._folder / f"consent-{moment}Z-{name}.json"
        _write({consent.portrait_sha256: consent}, path)
        return path


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")


def _line(text: str) -> str:
    return " ".join(text.split())[:_LONGEST]


def _beside(folder: Path) -> dict[str, Consent]:
    path = folder / FILE_NAME
    return read_consents(path) if path.exists() else {}


def _write(consents: dict[str, Consent], path: Path) -> None:
    part = PartFile(path)
    try:
        text = json.dumps({"consents": [asdict(consent) for consent in consents.values()]}, indent=1, ensure_ascii=False)
        part.path.write_text(text + "\n", encoding="utf-8")
        part.commit()
    except OSError as error:
        raise output_error(path, error) from error
    finally:
        part.discard()
