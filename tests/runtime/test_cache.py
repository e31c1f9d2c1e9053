"""Plans under their key: kept, damaged, and where they lie."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import pytest

from talkinghead.errors import EngineError
from talkinghead.runtime.cache import PlanCache, PlanKey, cache_folder

KEY = PlanKey("decoder/mouth", "sm_90", "tensorrt 10.13", "abc", "float16")


def test_a_plan_is_found_under_its_whole_key_alone(tmp_path: Path) -> None:
    cache = PlanCache(tmp_path)
    cache.store(KEY, b"plan")
    assert cache.load(KEY) == b"plan"
    for field in fields(PlanKey):
        assert cache.load(replace(KEY, **{field.name: "other"})) is None, field.name


@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b[:-1] + b"x", lambda b: b"", lambda b: b[:32]])
def test_a_damaged_plan_is_removed(tmp_path: Path, damage) -> None:  # type: ignore[no-untyped-def]
    cache = PlanCache(tmp_path)
    path = cache.store(KEY, b"plan")
    path.write_bytes(damage(path.read_bytes()))
    assert cache.load(KEY) is None
    assert list(tmp_path.iterdir()) == []


def test_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TALKINGHEAD_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "talkinghead" / "plans"
    monkeypatch.setenv("TALKINGHEAD_CACHE", str(tmp_path / "mine"))
    assert cache_folder() == tmp_path / "mine"


def test_a_folder_that_cannot_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EngineError, match="TALKINGHEAD_CACHE"):
        PlanCache(tmp_path / "file").store(KEY, b"plan")
