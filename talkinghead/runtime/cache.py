"""Plans of networks compiled for one GPU, kept between runs under a key of all that a plan depends on."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from talkinghead.errors import EngineError

_FOLDER_VARIABLE = "TALKINGHEAD_CACHE"
_DIGEST_BYTES = 32


@dataclass(frozen=True)
class PlanKey:
    """network: its name, e.g. decoder/mouth; architecture: of the GPU, e.g. sm_90; builder: module and version; weights: SHA-256
    of the ONNX file; settings: precision and batches."""

    network: str
    architecture: str
    builder: str
    weights: str
    settings: str

    @property
    def filename(self) -> str:
        """A name that tells the network, and the whole key by its hash."""
        digest = hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()
        return f"{self.network.replace('/', '-')}-{digest[:24]}.plan"


def cache_folder() -> Path:
    """``TALKINGHEAD_CACHE`` where set, else ``plans`` in the user's cache folder (XDG Base Directory Specification)."""
    chosen = os.environ.get(_FOLDER_VARIABLE)
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "talkinghead" / "plans"


def file_hash(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


class PlanCache:
    """A folder of plans. Each file begins with the digest of the rest, so that a damaged one is known before it is loaded."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or cache_folder()

    def load(self, key: PlanKey) -> bytes | None:
        """The plan, or None; a damaged one is removed."""
        path = self._folder / key.filename
        try:
            held = path.read_bytes()
        except OSError:
            return None
        digest, plan = held[:_DIGEST_BYTES], held[_DIGEST_BYTES:]
        if plan and hashlib.sha256(plan).digest() == digest:
            return plan
        self.remove(key)
        return None

    def store(self, key: PlanKey, plan: bytes) -> Path:
        """Write beside and rename; EngineError when the folder cannot be written."""
        path = self._folder / key.filename
        part = path.with_name(f"{path.name}.{os.getpid()}.part")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            part.write_bytes(hashlib.sha256(plan).digest() + plan)
            part.replace(path)
        except OSError as error:
            with suppress(OSError):
                part.unlink()
            raise EngineError(
                f"cannot keep plans in {self._folder}: set {_FOLDER_VARIABLE} to a folder that can be written ({error.strerror})"
            ) from error
        return path

    def remove(self, key: PlanKey) -> None:
        """Forget a plan that does not load."""
        (self._folder / key.filename).unlink(missing_ok=True)
