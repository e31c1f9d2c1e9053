"""Proof of origin: a signed C2PA manifest in the file, and a watermark in its pictures.

The manifest (C2PA 2.2, https://spec.c2pa.org) says that the video is synthetic (IPTC's trainedAlgorithmicMedia), which version of
talkinghead made it and with which weights. It is bound to the file's bytes: any change shows. It is lost when a site encodes
the video anew; the watermark is for that. The library c2pa-python (extra `provenance`) writes and checks it.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from talkinghead import __version__
from talkinghead.errors import ProvenanceError
from talkinghead.offline.certificate import Certificate, own, self_made
from talkinghead.offline.watermark import Watermarker
from talkinghead.runtime.weights import models_folder

SYNTHETIC = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
WEIGHTS_LABEL = "org.talkinghead.weights"
SIGNED_TYPES = {".mp4": "video/mp4", ".mov": "video/quicktime", ".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg"}
"""File name ending -> type that can carry a manifest."""
MISSING = 'no C2PA manifest was written: pip install "talkinghead[provenance]"'
SELF_MADE = "the C2PA manifest is signed with a self-made certificate: give your own with --certificate and --certificate-key"
_SETTINGS: dict[str, dict[str, Any]] = {
    # Nothing is fetched from anywhere, and no list of certificates is trusted but what the user asks for.
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False, "verify_after_sign": False},
    "builder": {"thumbnail": {"enabled": False}},
    "core": {"backing_store_memory_threshold_in_mb": 16},
}
_HASHED_WHOLE_BYTES = 16_000_000
_BLOCK_KB = 4096
"""A larger file is hashed in such blocks (C2PA 2.2, Merkle tree of a BMFF file): whole, it would be read into memory."""
_log = logging.getLogger("talkinghead.provenance")


@dataclass(frozen=True)
class Marks:
    """Which marks a video gets. Both are on; turning one off is logged.

    watermark, manifest: as they say; certificate, key: PEM files of a certificate of one's own.
    """

    watermark: bool = True
    manifest: bool = True
    certificate: str = ""
    key: str = ""

    def __post_init__(self) -> None:
        if bool(self.certificate) != bool(self.key):
            raise ProvenanceError("a certificate needs its key: give both --certificate and --certificate-key")


@dataclass
class Provenance:
    """The marks of one video, ready to be made. ``notes``: remarks for the user.

    Raises ProvenanceError where the user's own certificate cannot be used.
    """

    marks: Marks
    path: Path
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.marker = Watermarker() if self.marks.watermark else None
        self._certificate: Certificate | None = None
        off = [name for name in ("watermark", "manifest") if not getattr(self.marks, name)]
        if off:
            _log.warning("%s: made without %s, as asked for", self.path, " and ".join(off))
        if not self.marks.manifest:
            return
        if find_spec("c2pa") is None:
            if self.marks.certificate:
                raise ProvenanceError('--certificate needs c2pa-python: pip install "talkinghead[provenance]"')
            self.notes.append(MISSING)
        elif self.path.suffix.lower() not in SIGNED_TYPES:
            kind = f"{self.path.suffix} files" if self.path.suffix else "PNG sequences"
            self.notes.append(f"{kind} cannot carry a C2PA manifest: use .mp4 or .mov for one")
        elif self.marks.certificate:
            self._certificate = own(self.marks.certificate, self.marks.key)
        else:
            self._certificate = self_made()
            self.notes.append(SELF_MADE)

    @property
    def signs(self) -> bool:
        """Whether `seal` has a manifest to write."""
        return self._certificate is not None

    def seal(self, plain: Path, sealed: Path) -> None:
        """Copy the finished file ``plain`` to ``sealed`` with the signed manifest in it."""
        assert self._certificate is not None
        sign(plain, sealed, self._certificate, manifest(self.path.name))


def manifest(title: str) -> dict[str, Any]:
    """What the C2PA manifest says, as JSON."""
    generator = {"name": "talkinghead", "version": __version__}
    created = {"action": "c2pa.created", "digitalSourceType": SYNTHETIC, "softwareAgent": generator}
    return {
        "claim_generator_info": [generator],
        "title": title,
        "assertions": [
            {"label": "c2pa.actions.v2", "data": {"actions": [created]}},
            {"label": WEIGHTS_LABEL, "data": {"sha256": weight_hashes()}},
        ],
    }


def weight_hashes() -> dict[str, str]:
    """SHA-256 of the networks that make a video, by file."""
    listed = json.loads((models_folder() / "manifest.json").read_text(encoding="utf-8"))["files"]
    return {name: entry["sha256"] for name, entry in listed.items() if not name.endswith(".safetensors")}


def sign(plain: Path, sealed: Path, certificate: Certificate, claims: dict[str, Any]) -> None:
    """Copy ``plain`` to the existing file ``sealed``, with the claims in it, signed."""
    import c2pa

    algorithm = getattr(c2pa.C2paSigningAlg, certificate.algorithm.upper())
    info = c2pa.C2paSignerInfo(algorithm, certificate.chain, certificate.key, None)
    kind = SIGNED_TYPES[sealed.suffix.lower()]
    blocks = {"merkle_tree_chunk_size_in_kb": _BLOCK_KB} if plain.stat().st_size > _HASHED_WHOLE_BYTES else {}
    try:
        with (
            c2pa.Context.from_dict({**_SETTINGS, "core": {**_SETTINGS["core"], **blocks}}) as context,
            c2pa.Signer.from_info(info) as signer,
            c2pa.Builder(claims, context) as builder,
            plain.open("rb") as source,
            sealed.open("r+b") as target,
        ):
            builder.sign(signer, kind, source, target)
    except c2pa.C2paError as error:
        raise ProvenanceError(
            f"the manifest cannot be signed ({_short(error)}): check the certificate, or use --no-c2pa"
        ) from error


@dataclass(frozen=True)
class Origin:
    """What a file's manifest says.

    generator: name and version of the program; synthetic: whether it says so; weights: SHA-256 by file, of talkinghead's own;
    signer: whose certificate; intact: the file is as it was signed; trusted: the certificate is vouched for; faults: what is not.
    """

    generator: str
    synthetic: bool
    weights: dict[str, str]
    signer: str
    intact: bool
    trusted: bool
    faults: tuple[str, ...]


def read_origin(path: Path) -> Origin | None:
    """The manifest of a file, checked; None where there is none. ProvenanceError without c2pa-python."""
    if find_spec("c2pa") is None:
        raise ProvenanceError('C2PA manifests cannot be looked for: pip install "talkinghead[provenance]"')
    import c2pa

    kind = SIGNED_TYPES.get(path.suffix.lower())
    if kind is None:
        return None
    try:
        with (
            c2pa.Context.from_dict(_SETTINGS) as context,
            path.open("rb") as file,
            c2pa.Reader(kind, file, context=context) as reader,
        ):
            found = json.loads(reader.json())
    except (c2pa.C2paError, OSError) as error:
        if "ManifestNotFound" in type(error).__name__ or "ManifestNotFound" in str(error):
            return None
        return Origin("", False, {}, "", False, False, (_short(error),))
    return _origin(found)


def _origin(found: dict[str, Any]) -> Origin:
    active = found["manifests"][found["active_manifest"]]
    assertions = {entry["label"]: entry["data"] for entry in active.get("assertions", [])}
    actions = [action for label, data in assertions.items() if label.startswith("c2pa.actions") for action in data["actions"]]
    results = found.get("validation_results", {}).get("activeManifest", {})
    faults = tuple(sorted({entry["code"] for entry in results.get("failure", [])}))
    generators = active.get("claim_generator_info") or [{"name": active.get("claim_generator", "")}]
    return Origin(
        generator=f"{generators[0].get('name', '')} {generators[0].get('version', '')}".strip(),
        synthetic=any(action.get("digitalSourceType") == SYNTHETIC for action in actions),
        weights=assertions.get(WEIGHTS_LABEL, {}).get("sha256", {}),
        signer=active.get("signature_info", {}).get("issuer") or "",
        intact=not [fault for fault in faults if fault != "signingCredential.untrusted"],
        trusted=found.get("validation_state") == "Trusted",
        faults=faults,
    )


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__
