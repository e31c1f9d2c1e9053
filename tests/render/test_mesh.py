from __future__ import annotations

import numpy as np
import pytest

from talkinghead.render.mesh import Displacement, Mesh, delaunay
from talkinghead.render.patch import Window

SIZE_PX = 128


def grid(step_px: int = 16) -> np.ndarray:
    axis = np.arange(0, SIZE_PX + 1, step_px, dtype=np.float64)
    return np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)


def mesh(places: np.ndarray) -> Mesh:
    triangles = delaunay(places)
    return Mesh(places, triangles, np.zeros(len(triangles)), SIZE_PX)


def beside(found: Displacement, window: Window) -> np.ndarray:
    """Displacement (h, w, 2) px of each pixel."""
    return found.places(window) - np.dstack(window.grid())


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
    middle = beside(found, Window(50, 50, 78, 78))
    assert middle.shape == (28, 28, 2) and middle.dtype == np.float32
    assert np.abs(middle + shift).max() < 1e-3


def test_the_rectangle_is_where_something_moves() -> None:
    places = grid()
    one = int(np.flatnonzero((places == (64, 48)).all(axis=1))[0])
    target = places.copy()
    target[one] += (4, 2)
    found = mesh(places).displacement(target, np.zeros(len(places)))
    assert found is not None
    field = beside(found, found.area)
    x0, y0, x1, y1 = found.area.x0, found.area.y0, found.area.x1, found.area.y1
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
    assert beside(found, Window(40, 40, 42, 42))[0, 0] == pytest.approx((-10, -10) if upper == 0 else (40, 40), abs=1e-3)


def test_what_a_moved_rim_leaves_behind_comes_from_beyond_the_picture() -> None:
    places = grid(8)
    triangles = delaunay(places)
    rough = np.random.default_rng(2).normal(0, 6, places.shape)  # every triangle is drawn
    found = Mesh(places, triangles, np.zeros(len(triangles)), SIZE_PX, open_rim=True).displacement(
        places + (70.0, 0.0) + rough, np.zeros(len(places))
    )
    assert found is not None
    left = found.places(Window(found.area.x0, 16, 48, 112))
    assert left[..., 0].max() < 8


def test_displacement_stays_within_that_of_the_corners() -> None:
    places = grid()
    target = places + np.random.default_rng(2).normal(0, 12, places.shape)
    found = mesh(places).displacement(target, np.zeros(len(places)))
    assert found is not None
    assert np.abs(beside(found, found.area)).max() <= np.abs(target - places).max() + 1e-3


def test_a_part_is_the_same_as_that_part_of_all() -> None:
    places = grid()
    target = places + np.where(inner(places)[:, None], np.random.default_rng(4).normal(0, 2, places.shape), 0.0)
    found = mesh(places).displacement(target, np.zeros(len(places)))
    assert found is not None
    whole, part = found.places(found.area), Window(31, 42, 77, 95)
    x, y = found.area.x0, found.area.y0
    np.testing.assert_allclose(found.places(part), whole[42 - y : 95 - y, 31 - x : 77 - x], atol=1e-4)
    np.testing.assert_allclose(found.places(part, 2), 2 * found.places(part), atol=1e-4)


def drawn_wholly(monkeypatch: pytest.MonkeyPatch, places: np.ndarray, target: np.ndarray, depth: np.ndarray) -> np.ndarray:
    monkeypatch.setattr("talkinghead.render.mesh._MOST_STEEP", -1)
    found = mesh(places).displacement(target, depth)
    monkeypatch.undo()
    assert found is not None
    return beside(found, found.area)


def test_what_is_found_by_iteration_is_what_drawn_triangles_give(monkeypatch: pytest.MonkeyPatch) -> None:
    places = grid(8)
    x, y = (places - 64).T
    share = np.clip(1.3 - np.hypot(x, y) / 45, 0, 1)[:, None]
    turn = np.radians(8) * share[:, 0]
    target = places + share * (6, -4) + np.stack((-turn * y, turn * x), axis=1)
    near = np.abs(x) + np.abs(y) < 17
    target[near] += np.where(y[near, None] > 0, (0.0, 7.0), (0.0, 0.0))  # a mouth that opens
    depth = np.zeros(len(places))
    found = mesh(places).displacement(target, depth)
    assert found is not None
    off = np.linalg.norm(beside(found, found.area) - drawn_wholly(monkeypatch, places, target, depth), axis=2)
    assert np.quantile(off, 0.99) < 0.15 and off.max() < 0.6
    assert np.linalg.norm(beside(found, found.area), axis=2).max() > 8
