from __future__ import annotations

from collections.abc import Callable
from types import ModuleType


def clip(lag_ms: float, step_deg: float) -> dict[str, dict[str, float]]:
    return {
        "against_real": {"aperture_lag_ms": lag_ms},
        "generated": {"pose_step_deg": step_deg},
        "real": {"pose_step_deg": 2 * step_deg},
    }


def test_a_column_over_all_clips_stands_beside_those_of_the_sets(script: Callable[[str], ModuleType]) -> None:
    quality = script("quality")
    rows = {"grid/a.mp4": clip(-20, 0.2), "grid/b.mp4": clip(-10, 0.2), "hq/c.mp4": clip(60, 0.5)}
    lines = quality.table(rows).splitlines()
    cells = {line.split(" | ")[0][2:]: line[:-2].split(" | ")[1:] for line in lines}
    assert cells["generated (real)"] == ["grid (2 clips)", "hq (1 clips)", "all (3 clips)"]
    assert cells["aperture_lag_ms, median"] == ["-15", "60", "-10"]
    assert cells["pose_step_deg"] == ["0.20 (0.40)", "0.50 (1.00)", "0.30 (0.60)"]
    assert "all" not in quality.table({"hq/c.mp4": clip(60, 0.5)})
