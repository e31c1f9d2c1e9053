"""The style: read back as saved, turned into codes of the latent in use."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from talkinghead.errors import EngineError
from talkinghead.motion.controls import EMOTIONS
from talkinghead.motion.latent import IRIS_LEFT, IRIS_RIGHT, LIDS_LEFT, LIDS_RIGHT, LIPS, LatentModel
from talkinghead.motion.style import Style
from talkinghead.runtime.weights import model_path


@pytest.fixture(scope="module")
def latent() -> LatentModel:
    return LatentModel.load(model_path("latent", "latent.npz"))


@pytest.fixture(scope="module")
def style() -> Style:
    return Style.load(model_path("motion", "style.npz"))


def moved(latent: LatentModel, code: np.ndarray) -> np.ndarray:
    return np.tensordot(code, latent.basis_dyn, 1)


def lid_gap(face: np.ndarray) -> float:
    return float(np.mean([np.linalg.norm(face[lids[4]] - face[lids[12]]) for lids in (LIDS_LEFT, LIDS_RIGHT)]))


def test_a_style_is_read_back(style: Style, tmp_path: Path) -> None:
    style.save(tmp_path / "new" / "style.npz")
    again = Style.load(tmp_path / "new" / "style.npz")
    assert again.blinks_per_min == style.blinks_per_min
    np.testing.assert_allclose(again.blink_curve, style.blink_curve, atol=1e-6)
    for name, shape in style.shapes.items():
        np.testing.assert_allclose(again.shapes[name], shape, atol=1e-6)


def test_a_damaged_file_is_one_clear_line(style: Style, tmp_path: Path) -> None:
    (tmp_path / "style.npz").write_bytes(b"not a zip")
    with pytest.raises(EngineError, match="reinstall"):
        Style.load(tmp_path / "style.npz")
    with pytest.raises(EngineError, match="reinstall"):
        Style.load(tmp_path / "none.npz")
    short = Style(style.blink_curve, 20.0, {name: shape[:400] for name, shape in style.shapes.items()})
    short.save(tmp_path / "short.npz")
    with pytest.raises(EngineError, match="damaged"):
        Style.load(tmp_path / "short.npz")


def test_a_blink_is_natural(style: Style) -> None:
    assert 10 <= style.blinks_per_min <= 30
    curve = style.blink_curve
    assert curve.max() == 1 and 0.1 <= len(curve) / 40 <= 0.6
    assert np.argmax(curve) < len(curve) / 2  # shuts faster than it opens
    assert max(curve[0], curve[-1]) < 0.1


def test_codes_move_what_they_should(style: Style, latent: LatentModel) -> None:
    codes = style.codes(latent)
    assert set(codes) == {"blink", "gaze_right", "gaze_up", *EMOTIONS}
    assert not codes["neutral"].any()
    faces = {name: latent.mean + moved(latent, code) for name, code in codes.items()}
    assert lid_gap(faces["blink"]) < 0.3 * lid_gap(latent.mean)
    assert lid_gap(faces["surprised"]) > 1.1 * lid_gap(latent.mean)
    irises = [*IRIS_LEFT, *IRIS_RIGHT]
    right, up = (faces[name][irises].mean(0) - latent.mean[irises].mean(0) for name in ("gaze_right", "gaze_up"))
    assert right[0] > 4 * abs(right[1]) and -up[1] > 4 * abs(up[0])
    for name in ("blink", "gaze_right", "gaze_up"):
        still = np.abs(moved(latent, codes[name])[list(LIPS)]).max()
        assert still < 0.15 * np.abs(moved(latent, codes[name])).max(), name


def test_emotions_are_told_apart(style: Style, latent: LatentModel) -> None:
    codes = [style.codes(latent)[name] for name in EMOTIONS[1:]]
    unit = np.stack([code / np.linalg.norm(code) for code in codes])
    assert (unit @ unit.T - np.eye(len(unit))).max() < 0.6
