"""The same batch on a Ray cluster of this machine gives the same videos, bit for bit."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from offline.test_batch import TESTS, listed, packets
from shipped import needs_networks
from sounds import Sound, babble

from talkinghead.errors import BatchError
from talkinghead.offline import ray_pool
from talkinghead.offline.batch import run_batch
from talkinghead.offline.jobs import read_manifest
from talkinghead.offline.pool import LocalPool


def test_without_ray_the_fix_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_pool, "find_spec", lambda name: None)
    with pytest.raises(BatchError, match=r"talkinghead\[ray\]"):
        ray_pool.RayPool("auto")


@needs_networks
def test_a_local_cluster_gives_the_same_videos(tmp_path: Path, make_sound: Sound, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(TESTS.parent), os.environ.get("PYTHONPATH", "")]))
    photo = TESTS.parent / "examples" / "data" / "portrait.jpg"
    make_sound("s.wav", babble(1.5)[None], 16_000)
    (tmp_path / "bad.wav").write_text("no sound")
    rows = [f"{photo},s.wav,a.mp4,1", f"{photo},s.wav,b.mp4,2", f"{photo},bad.wav,c.mp4"]
    for name, make in (("local", lambda: LocalPool(1)), ("ray", lambda: ray_pool.RayPool("auto", 2))):
        (tmp_path / name).mkdir()
        jobs, _ = read_manifest(listed(tmp_path, *rows), tmp_path / name)
        pool = make()
        try:
            result = run_batch(jobs, pool)
        finally:
            pool.close()
        assert (result.done, len(result.failures)) == (2, 1), result.failures
        assert "bad.wav is not a sound" in result.failures[0].reason
    for name in ("a.mp4", "b.mp4"):
        assert packets(tmp_path / "local" / name) == packets(tmp_path / "ray" / name)
    assert packets(tmp_path / "ray" / "a.mp4") != packets(tmp_path / "ray" / "b.mp4")
