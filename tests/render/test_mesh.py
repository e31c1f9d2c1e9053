from __future__ import annotations

import numpy as np
import pytest

from talkinghead.render.mesh import Mesh, delaunay

SIZE_PX = 128


def grid(step_px: int = 16) -> np.ndarray:
    axis = np.arange(0, SIZE_PX + 1, step_px, dtype=np.float64)
    return np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)


def mesh(places: np.ndarray) -> Mesh:
    triangles = delaunay(places)
    return Mesh(places, triangles, np.zeros(len(triangles)), SIZE_PX)


def inner(places: np.ndarray) -> np.ndarray:
    return ((places > 20) & (places < 108)).all(axis=1)


def test_nothing_moves_nothing() -> None:
    places = grid()
    assert mesh(places).displacement(places.copy(), np.zeros(len(places))) is None


@pytest.mark.parametrize("shift", [(5.0, 0.0), (0.0, -3.5), (2.25, 4.75)])
def test_a_shifted_middle_comes_from_where_it_was(shift: tuple[float, float]) -> None:
    places = grid()
    target = places + np.where(inner(places)[:, None], shift, 0.0)
    found = mesh(places).displacement(target, np.zeros(len(places)))
    assert found is not None
    field, (x0, y0, x1, y1) = found
    assert field.shape == (y1 - y0, x1 - x0, 2) and field.dtype == np.float32
    middle = field[50 - y0 : 78 - y0, 50 - x0 : 78 - x0]
    assert np.abs(middle + shift).max() < 1e-3


def test_the_rectangle_is_where_something_moves() -> None:
    places = grid()
    one = int(np.flatnonzero((places == (64, 48)).all(axis=1))[0])
    target = places.copy()
    target[one] += (4, 2)
    found = mesh(places).displacement(target, np.zeros(len(places)))
    assert found is not None
    field, (x0, y0, x1, y1) = found
    assert 40 <= x0 <= 48 and 24 <= y0 <= 32 and 80 <= x1 <= 88 and 64 <= y1 <= 72
    y, x = np.unravel_index(np.linalg.norm(field, axis=2).argmax(), field.shape[:2])
    assert np.hypot(x + x0 - 68, y + y0 - 50) < 4
    assert np.abs(field[0]).max() < 0.3 and np.abs(field[:, -1]).max() < 0.3


@pytest.mark.parametrize(("layers", "depths", "upper"), [((0, 1), (0, 0), 1), ((1, 0), (0, 0), 0), ((0, 0), (-5, 5), 0)])
def test_a_higher_layer_or_a_nearer_triangle_covers(layers: tuple[int, int], depths: tuple[int, int], upper: int) -> None:
    one = np.array(((20.0, 20.0), (60.0, 20.0), (20.0, 60.0)))
    source = np.concatenate((one, one + (50, 50)))
    places = np.concatenate((one + (10, 10), one + (10, 10)))
    pair = Mesh(source, np.array(((0, 1, 2), (3, 4, 5))), np.array(layers), SIZE_PX)
    found = pair.displacement(places, np.repeat(np.array(depths, np.float64), 3))
    assert found is not None
    field, (x0, y0, _, _) = found
    assert field[40 - y0, 40 - x0] == pytest.approx((-10, -10) if upper == 0 else (40, 40), abs=1e-3)


def test_displacement_stays_within_that_of_the_corners() -> None:
    places = grid()
    target = places + np.random.default_rng(2).normal(0, 12, places.shape)
    found = mesh(places).displacement(target, np.zeros(len(places)))
    assert found is not None
    assert np.abs(found[0]).max() <= np.abs(target - places).max() + 1e-3
