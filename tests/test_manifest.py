"""The manifest tells the truth about the shipped weights."""

from __future__ import annotations

import json

from talkinghead.runtime.weights import models_folder
from talkinghead.training.manifest import manifest_of


def test_hashes_and_sizes() -> None:
    models = models_folder()
    listed = json.loads((models / "manifest.json").read_text(encoding="utf-8"))
    assert listed == manifest_of(models)
    assert sum(file["bytes"] for file in listed["files"].values()) <= 60_000_000
    for folder in {name.split("/")[0] for name in listed["files"]}:
        assert (models / folder / "card.md").is_file()
