"""How far apart sound and picture are, found again where it is known."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

from talkinghead.training.sync import offset_ms, offsets_ms


def curve(seed: int, count: int = 400) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal(count + 40)
    return np.convolve(noise, np.hanning(11), "same")[20:-20]


@pytest.mark.parametrize("frames", [0, 3, -5, 11])
def test_the_offset_of_curves_is_found(frames: int) -> None:
    real = curve(1)
    heard = np.roll(real, frames) + 0.3 * curve(2)
    at_ms, r = offset_ms([(heard, real)])
    assert at_ms == pytest.approx(25 * frames, abs=8) and r > 0.9


def test_half_a_frame_is_found_too() -> None:
    fine = curve(3, 800)
    at_ms, _ = offset_ms([(fine[101:701:2], fine[104:704:2])])  # what is heard lies three half frames earlier: it is late
    assert at_ms == pytest.approx(37.5, abs=6)


class Told:
    """A reader whose curves are given."""

    def __init__(self, curves: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
        self._curves = curves

    def curves(self, clip: object) -> tuple[np.ndarray, np.ndarray]:
        return self._curves[clip.name]  # type: ignore[attr-defined]


def test_anchors_are_measured_by_person_and_doubtful_clips_left_alone() -> None:
    from types import SimpleNamespace as Some

    curves, clips = {}, []
    for who, frames in (("a", 2), ("b", 4), ("c", 2)):
        for k in range(30):
            real = curve(ord(who) * 100 + k, 48)
            curves[f"{who}{k}"] = np.roll(real, frames), real
            clips.append(Some(name=f"{who}{k}", identity=who, source="anchors"))
    curves["lost"] = curve(7, 300), curve(8, 300)
    curves["late"] = np.roll(curve(9, 300), 6), curve(9, 300)
    clips += [Some(name=name, identity=name, source="hq") for name in ("lost", "late")]
    found = offsets_ms(Told(curves), clips)  # type: ignore[arg-type]
    assert found["a0"] == found["a29"] == pytest.approx(50, abs=8)
    assert 65 < found["b0"] < 100  # thirty clips: drawn toward the usual 50 a little
    assert found["late"] == pytest.approx(150, abs=8)
    assert found["lost"] == 0.0
