"""The matte by network and colours, with networks that say what a test wants, and with the shipped one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import synthetic_face as synthetic
from shipped import needs_networks
from synthetic_face import HAIR, SKIN, WALL, portrait

from talkinghead.constants import MATTE_PX
from talkinghead.motion.latent import LatentModel
from talkinghead.portrait.load import load_photo
from talkinghead.portrait.portrait import FaceReader
from talkinghead.render.layout import OVAL
from talkinghead.render.matte import cut_head
from talkinghead.render.matting import face_oval, load_matting, person_matte, see_person
from talkinghead.render.person import person_layers, trusted
from talkinghead.runtime.weights import model_path

EXAMPLE = Path(__file__).parents[2] / "examples" / "data" / "portrait.jpg"


class Says:
    """A network that sees a given person (512, 512), sure of it."""

    def __init__(self, person: np.ndarray, sure: float = 8.0) -> None:
        small = cv2.resize(person.astype(np.float32), (MATTE_PX, MATTE_PX), interpolation=cv2.INTER_AREA)
        self._logit, self.given = (sure * (2 * small - 1))[None, None], np.zeros(0)

    def run(self, picture: np.ndarray) -> dict[str, np.ndarray]:
        self.given = picture
        return {"logit": self._logit}


def matte_of(person: np.ndarray, face: np.ndarray, points: np.ndarray) -> Any:
    return person_matte(Says(person), face, points)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def points(canonical: np.ndarray) -> np.ndarray:
    return synthetic.pose().apply(canonical)


def overlap(found: np.ndarray, true: np.ndarray) -> float:
    return float((found & true).sum() / (found | true).sum())


def test_the_network_is_given_the_picture_and_the_face(canonical: np.ndarray, points: np.ndarray) -> None:
    face, person = portrait(canonical)
    says = Says(person)
    assert see_person(says, face, points).shape == (MATTE_PX, MATTE_PX)  # type: ignore[arg-type]
    assert says.given.shape == (1, 4, MATTE_PX, MATTE_PX) and says.given.dtype == np.float32
    small = cv2.resize(face, (MATTE_PX, MATTE_PX), interpolation=cv2.INTER_AREA)
    assert np.abs(says.given[0, :3].transpose(1, 2, 0) * 255 - small).max() < 1
    assert set(np.unique(np.round(says.given[0, 3], 2))) >= {0.0, 1.0}
    oval = face_oval(points, 512)
    assert oval[tuple(points[list(OVAL), :2].mean(axis=0).astype(int)[::-1])] == 255 and oval[:20].max() == 0


def test_hair_is_found_before_a_wall_of_its_colour(canonical: np.ndarray, points: np.ndarray) -> None:
    face, person = portrait(canonical, HAIR)
    matte = matte_of(person, face, points)
    by_colours = cut_head(face, points).alpha
    above = np.s_[:400]
    assert overlap(matte.alpha[above] > 0.5, person[above]) > 0.96 > overlap(by_colours[above] > 0.5, person[above]) + 0.02


def test_the_edge_is_that_of_the_picture_where_the_network_is_rough(canonical: np.ndarray, points: np.ndarray) -> None:
    face, person = portrait(canonical)
    rough = cv2.dilate(person.astype(np.uint8), np.ones((13, 13)))
    says = Says(rough, 1.5)
    matte = person_matte(says, face, points)  # type: ignore[arg-type]
    above = np.s_[:320]
    assert overlap(matte.alpha[above] > 0.5, person[above]) > 0.97 > overlap(rough[above] > 0, person[above]) + 0.02


def test_shoulders_are_the_network_s(canonical: np.ndarray, points: np.ndarray) -> None:
    face, person = portrait(canonical)
    wider = person.copy()
    wider[470:, 40:470] = True
    matte = matte_of(wider, face, points)
    assert matte.alpha[490:, 60:450].mean() > 0.8


def test_a_matte_is_unsure_where_network_and_colours_differ_and_nowhere_else(canonical: np.ndarray, points: np.ndarray) -> None:
    face, person = portrait(canonical)
    same = matte_of(person, face, points)
    assert same.unsure is not None and same.unsure[:400].max() < 0.05 and trusted(face, points, same)
    seen = person.copy()
    seen[120:200, 400:450] = True  # apart from the head, the colour of the wall
    other = matte_of(seen, face, points)
    assert other.unsure[160, 425] > 0.95 and other.unsure[160, 100] < 0.05
    most = seen | (np.arange(512)[None] > 380)
    assert not trusted(face, points, matte_of(most, face, points))


def test_more_of_the_wall_goes_along_where_the_matte_is_unsure(canonical: np.ndarray, points: np.ndarray) -> None:
    face, person = portrait(canonical)
    seen = person.copy()
    edge = int(np.flatnonzero(person[200]).max())
    seen[180:220, edge : edge + 24] = True
    layers = person_layers(face, points, Says(seen))  # type: ignore[arg-type]
    assert layers is not None
    left = int(np.flatnonzero(person[200]).min())
    assert layers.alpha[200, edge + 34] > 60 > layers.alpha[200, left - 34]


def test_a_face_that_fills_the_picture_has_no_background(canonical: np.ndarray) -> None:
    near = 256 + (synthetic.pose().apply(canonical) - 256) * 3.0
    everywhere = np.ones((512, 512), bool)
    assert person_layers(np.full((512, 512, 3), SKIN, np.uint8), near, Says(everywhere)) is None  # type: ignore[arg-type]


@needs_networks
def test_the_shipped_network_sees_a_person() -> None:
    portrait = FaceReader(LatentModel.load(model_path("latent", "latent.npz"))).read(load_photo(EXAMPLE))
    network = load_matting()
    seen = see_person(network, portrait.face, portrait.points)
    face = cv2.resize(face_oval(portrait.points, 512), (MATTE_PX, MATTE_PX), interpolation=cv2.INTER_AREA) == 255
    assert (seen[face] > 0).mean() > 0.99
    assert (seen[:40, :40] < 0).mean() > 0.9 and (seen[:40, -40:] < 0).mean() > 0.9


@needs_networks
@pytest.mark.parametrize("wall", [WALL, (90, 120, 60)])
def test_the_shipped_network_knows_even_a_drawn_head(
    canonical: np.ndarray, points: np.ndarray, wall: tuple[int, int, int]
) -> None:
    face, person = portrait(canonical, wall)
    matte = person_matte(load_matting(), face, points)
    assert overlap(matte.alpha[:400] > 0.5, person[:400]) > 0.93
