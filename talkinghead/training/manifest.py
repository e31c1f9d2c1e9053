"""models/manifest.json: sizes and hashes of the shipped weights.

talkinghead train manifest [--models models]
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

WEIGHT_SUFFIXES = (".onnx", ".npz", ".safetensors")


def manifest_of(models: Path) -> dict[str, dict[str, dict[str, str | int]]]:
    """``{"files": {"face/detector.onnx": {"sha256": ..., "bytes": ...}}}`` of a models folder."""
    files: dict[str, dict[str, str | int]] = {}
    for path in sorted(p for p in models.rglob("*") if p.suffix in WEIGHT_SUFFIXES):
        data = path.read_bytes()
        files[path.relative_to(models).as_posix()] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    return {"files": files}


def main(argv: list[str]) -> None:
    """Entry point of ``talkinghead train manifest``."""
    parser = argparse.ArgumentParser(prog="talkinghead train manifest", description=__doc__)
    parser.add_argument("--models", type=Path, default=Path("models"))
    args = parser.parse_args(argv)
    target = args.models / "manifest.json"
    target.write_text(json.dumps(manifest_of(args.models), indent=1) + "\n", encoding="utf-8")
    print(f"wrote {target}")
