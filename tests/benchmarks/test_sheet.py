from __future__ import annotations

import csv
import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import cv2
import numpy as np
import pytest
from shipped import needs_networks

from talkinghead.motion.latent import LIDS_LEFT, LIDS_RIGHT, LatentModel
from talkinghead.motion.pose import HeadPose
from talkinghead.motion.rest import LID_PAIRS, LIP_PAIRS, gap_rows
from talkinghead.motion.style import Style
from talkinghead.runtime.weights import model_path

BENCHMARK = Path(__file__).resolve().parents[2] / "benchmarks" / "sheet.py"


@pytest.fixture(scope="module")
def sheet() -> ModuleType:
    spec = importlib.util.spec_from_file_location("benchmark_sheet", BENCHMARK)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def latent() -> LatentModel:
    return LatentModel.load(model_path("latent", "latent.npz"))


def test_expressions_do_what_they_are_called(sheet: ModuleType, latent: LatentModel) -> None:
    looks = {look.name: look.z_dyn for look in sheet.columns(latent, Style.load(model_path("motion", "style.npz")))}
    gap = {name: float((gap_rows(latent, LIP_PAIRS) @ z).mean()) for name, z in looks.items()}
    assert gap["neutral"] == 0 and gap["wide open"] > 0.12 and 0.03 < gap["smile, teeth"] < 0.07
    width = {n: float(np.tensordot(z, latent.basis_dyn[:, [61, 291], 0], 1) @ [-1, 1]) for n, z in looks.items()}
    assert width["smile, teeth"] > 0.05 and width["pucker"] < -0.06
    for name in ("wide open", "smile, teeth", "pucker"):
        lids = np.tensordot(looks[name], latent.basis_dyn[:, [*LIDS_LEFT, *LIDS_RIGHT], 1], 1)
        assert np.abs(lids).max() < 0.01


def test_a_turning_head_stands_on_its_neck(sheet: ModuleType) -> None:
    assert np.allclose(sheet.turned(1, 20)[:3], [0, np.radians(20), 0])
    tilted = sheet.turned(2, 20)
    assert tilted[3] > 0.2  # the face goes to the right as the head tilts clockwise
    assert sheet.turned(2, -20)[3] == pytest.approx(-tilted[3])


def write_table(folder: Path) -> None:
    folder.mkdir(parents=True)
    fields = ("file", "split", "identity", "face_height_px", "padding", "source_repo")
    rows = [(f"{s}{k}.jpg", "test", f"{s}{k // 2}", 100 + k, 0.0, s) for s in "ab" for k in range(20)]
    rows += [("seen.jpg", "train", "seen", 900, 0.0, "a"), ("padded.jpg", "test", "padded", 900, 0.4, "a")]
    with (folder / "stills.tsv").open("w", newline="") as handle:
        csv.writer(handle, delimiter="\t").writerows([fields, *rows])


def test_faces_are_of_the_test_split_one_a_person_and_repeatable(sheet: ModuleType, tmp_path: Path) -> None:
    write_table(tmp_path / "data" / "stills")
    names = [path.name for path in sheet.test_faces(tmp_path)]
    assert len(names) == 10 and names == [path.name for path in sheet.test_faces(tmp_path)]
    assert not {"seen.jpg", "padded.jpg"} & set(names)
    assert len({(n[0], int(n[1:-4]) // 2) for n in names}) == 10
    assert {n[0] for n in names} == {"a", "b"}
    assert names != [path.name for path in sheet.test_faces(tmp_path, seed=1)]


def test_kinds_are_pictures_of_the_train_split(sheet: ModuleType, tmp_path: Path) -> None:
    folder = tmp_path / "data" / "stills"
    folder.mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    for name, _ in sheet.KINDS.values():
        cv2.imwrite(str(folder / name), noise)
    pictures = dict(zip(sheet.KINDS, sheet.kinds(tmp_path), strict=True))
    assert all(picture.shape == (64, 64, 3) and picture.dtype == np.uint8 for picture in pictures.values())
    colour = {name: np.ptp(pictures[name].astype(int), axis=2).max() for name in ("black and white", "child")}
    assert colour["black and white"] == 0 < colour["child"]
    assert np.abs(pictures["painting"].astype(int) - pictures["child"]).mean() > 5


def test_wide_eyes_take_more_to_shut(sheet: ModuleType, latent: LatentModel) -> None:
    wide = latent.mean.copy()
    above = [pair[0] for pair in LID_PAIRS]
    wide[above, 1] -= 0.02
    pose = HeadPose(np.eye(3), np.array((256.0, 215.0)), 233.0)
    apart = [
        sheet.lids_apart(latent, SimpleNamespace(code=code, z_id=code.z_id, z_dyn=code.z_dyn))
        for code in (latent.encode(pose.apply(face)) for face in (latent.mean, wide))
    ]
    assert apart[0] == pytest.approx(1.0, abs=0.02) and apart[1] > 1.2


@needs_networks
def test_a_sheet_has_a_row_a_face_and_a_column_a_look(sheet: ModuleType, latent: LatentModel, tmp_path: Path) -> None:
    looks = sheet.columns(latent, Style.load(model_path("motion", "style.npz")))
    assert len(looks) == 10 and len(sheet.columns(latent, Style.load(model_path("motion", "style.npz")), roll=True)) == 12
    picture = sheet.sheet([sheet.EXAMPLE], looks[:3], 96, latent)
    assert picture.shape == (96 + 26, 3 * 96, 3) and picture.dtype == np.uint8
    neutral, wide = picture[26:, :96].astype(int), picture[26:, 96:192].astype(int)
    assert np.abs(wide - neutral).mean() > 0.5
    assert np.abs(wide - neutral)[:, :6].max() == 0
