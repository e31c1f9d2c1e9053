"""The report tells whole weights from damaged and missing ones."""

import hashlib
import json
from pathlib import Path

import pytest

from talkinghead.doctor import Finding, examine


def weights(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Finding]:
    monkeypatch.setenv("TALKINGHEAD_MODELS", str(folder))
    return {finding.name: finding for finding in examine() if finding.name.startswith("weights")}


def test_weights_are_held_against_the_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "face").mkdir()
    for name in ("good", "bad"):
        (tmp_path / "face" / f"{name}.onnx").write_bytes(name.encode())
    digest = hashlib.sha256(b"good").hexdigest()
    files = {f"face/{name}.onnx": {"sha256": digest} for name in ("good", "bad", "gone")}
    (tmp_path / "manifest.json").write_text(json.dumps({"files": files}))
    found = weights(tmp_path, monkeypatch)
    good = found["weights face/good.onnx"]
    assert (good.value, good.good) == (digest[:12], True)
    assert (found["weights face/bad.onnx"].value, found["weights face/bad.onnx"].good) == ("damaged", False)
    assert (found["weights face/gone.onnx"].value, found["weights face/gone.onnx"].good) == ("missing", False)


@pytest.mark.parametrize("content", [None, "no json", "[]", '{"files": {"a": "b"}}'])
def test_a_manifest_that_is_missing_or_strange(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None) -> None:
    if content is not None:
        (tmp_path / "manifest.json").write_text(content)
    found = weights(tmp_path, monkeypatch)
    assert not found["weights"].good


def test_python_packages_and_encoders_are_listed() -> None:
    found = {finding.name: finding for finding in examine()}
    for name in ("python", "talkinghead", "numpy", "av", "runtime", "encoder libx264", "encoder aac"):
        assert name in found
    assert found["encoder libx264"].good
