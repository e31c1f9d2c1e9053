"""The avatars' renderer and points on made-up meshes; skipped where numba is missing."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba")

from talkinghead.training.avatar_points import lip_faces, mend, nearest_on_faces
from talkinghead.training.avatars import Head, Posture, face_points, matrix_of, normals_of, pose_head
from talkinghead.training.raster import Lights, Mesh, project, rasterise, sample, shade

SIZE = (32, 32)
SQUARE = np.array([[0, 1, 2], [0, 2, 3]], np.int32)


def _square(z: float, half: float = 1.0) -> np.ndarray:
    """Corners (4, 3) in turn: top left, top right, low right, low left."""
    return np.array([[-half, half, z], [half, half, z], [half, -half, z], [-half, -half, z]])


def _head() -> Head:
    """A flat square face, an eye (vertices 4 to 6) and a foot (7); the only blendshape lifts vertex 0."""
    face = [[-0.1, 0.2, 0.1], [0.1, 0.2, 0.1], [0.1, 0.1, 0.1], [-0.1, 0.1, 0.1]]
    eye, foot = [[0.03, 0.16, 0.12], [0.04, 0.16, 0.12], [0.035, 0.17, 0.12]], [[0.0, -0.2, 0.0]]
    verts = np.array(face + eye + foot, np.float32)
    part = np.array([0, 0, 0, 0, 1, 1, 1, 0], np.int8)
    deltas = np.zeros((1, 8, 3), np.float16)
    deltas[0, 0, 1] = 0.05
    joints = np.array([[-0.035, 0.16, 0.1], [0.035, 0.165, 0.1], [0, 0.1, 0], [0, 0, 0]])
    faces = np.array([[0, 1, 2], [0, 2, 3], [4, 5, 6]], np.int32)
    corners, shares = np.tile([0, 1, 2], (478, 1)), np.tile(np.array([0.5, 0.25, 0.25], np.float32), (478, 1))
    return Head("made_up", verts, faces, np.zeros((8, 2)), part, ("body", "h_L_eye"), deltas, ("lift",), joints,
                np.zeros(3, bool), np.arange(8), (), corners, shares)  # fmt: skip


def test_nearer_face_wins_whatever_the_order() -> None:
    xyz = np.concatenate([_square(-3.0, 1.0), _square(-2.0, 0.2)])
    xy, inverse = project(xyz, 32.0, (16.0, 16.0))
    faces = np.concatenate([SQUARE, SQUARE + 4])
    for order in (faces, faces[::-1]):
        seen = rasterise(xy, inverse, order, SIZE)
        owner = np.where(seen.face >= 0, order[seen.face].min(-1) >= 4, -1)
        assert owner[16, 16] == 1 and owner[8, 8] == 0
        assert seen.face[0, 0] == -1  # the far square ends at 16 - 32 / 3 px
        assert seen.inverse[16, 16] == pytest.approx(0.5)


def test_triangles_share_an_edge_without_gap() -> None:
    xy, inverse = project(_square(-2.0, 0.5), 32.0, (16.0, 16.0))
    seen = rasterise(xy, inverse, SQUARE, SIZE)
    assert (seen.face[8:24, 8:24] >= 0).all() and (seen.face >= 0).sum() == 16 * 16


def test_barycentric_weights_are_perspective_correct() -> None:
    xyz = np.array([[-1.0, -1.0, -2.0], [1.0, -1.0, -2.0], [1.0, 2.0, -6.0], [-1.0, 2.0, -6.0]])
    xy, inverse = project(xyz, 20.0, (16.0, 16.0))
    seen = rasterise(xy, inverse, SQUARE, SIZE)
    ys, xs = np.nonzero(seen.face >= 0)
    place = (xyz[SQUARE[seen.face[ys, xs]]] * seen.bary[ys, xs][..., None]).sum(1)
    back, near = project(place, 20.0, (16.0, 16.0))
    assert np.allclose(seen.bary[ys, xs].sum(1), 1, atol=1e-5)
    assert np.allclose(back, np.stack([xs + 0.5, ys + 0.5], 1), atol=1e-3)
    assert np.allclose(near, seen.inverse[ys, xs], rtol=1e-4)


def test_texture_is_upright_and_not_mirrored() -> None:
    texture = np.zeros((2, 2, 3), np.uint8)
    texture[0, 0], texture[0, 1], texture[1, 0] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    assert np.allclose(sample(texture, 0.25, 0.25), [255, 0, 0])
    assert np.allclose(sample(texture, 0.5, 0.25), [127.5, 127.5, 0])
    xyz = _square(-2.0)
    uv = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    xy, inverse = project(xyz, 32.0, (16.0, 16.0))
    zeros = np.zeros(2, np.int32)
    mesh = Mesh(xyz, np.tile([0.0, 0.0, 1.0], (4, 1)), uv, np.ones(4), SQUARE, zeros, zeros, (texture,))
    lights = Lights(np.ones(3), np.array([[0.0, 0.0, 1.0, 0.0, 0.0, 0.0]]))
    picture = shade(mesh, rasterise(xy, inverse, SQUARE, SIZE), lights)
    tops = [picture[y, x].argmax() for y, x in ((7, 7), (7, 24), (24, 7))]
    assert tops == [0, 1, 2]
    red = sample(texture, 7.5 / 32, 7.5 / 32)[0] / 255
    assert picture[7, 7, 0] == pytest.approx(0.8 * red**2.2, abs=1e-3)


def test_shadow_falls_behind_a_screen() -> None:
    xyz = np.concatenate([_square(-3.0), _square(-2.0, 0.2)])
    faces = np.concatenate([SQUARE, SQUARE + 4])
    xy, inverse = project(xyz, 32.0, (16.0, 16.0))
    zeros, white = np.zeros(4, np.int32), np.full((2, 2, 3), 255, np.uint8)
    mesh = Mesh(xyz, np.tile([0.0, 0.0, 1.0], (8, 1)), np.zeros((8, 2)), np.ones(8), faces, zeros, zeros, (white,))
    way = np.array([0.6, 0.0, 0.8])
    lights = Lights(np.zeros(3), np.array([[*way, 1.0, 1.0, 1.0]]))
    picture = shade(mesh, rasterise(xy, inverse, faces, SIZE), lights)[..., 0]
    hidden = int(16 + 32 * -0.75 / 3)  # the screen's middle, moved against the light by one metre of depth
    assert picture[16, hidden] < 0.05 < 0.5 < picture[16, 25]


def test_posing_bends_the_neck_and_turns_the_eye() -> None:
    head = _head()
    assert np.allclose(pose_head(head, Posture(np.zeros(1))), head.verts)
    lifted = pose_head(head, Posture(head.weights(lift=1.0)))
    assert lifted[0, 1] - head.verts[0, 1] == pytest.approx(0.05, abs=1e-3)
    assert face_points(head, lifted)[0, 1] - face_points(head, head.verts)[0, 1] == pytest.approx(0.025, abs=1e-3)
    turned = pose_head(head, Posture(np.zeros(1), turn=np.array([0.0, 0.5, 0.0])))
    assert np.allclose(turned[:4], head.verts[:4] @ matrix_of(0.5, 0, 0).T, atol=1e-6)
    assert np.allclose(turned[7], head.verts[7])
    looked = pose_head(head, Posture(np.zeros(1), gaze_rad=(0.3, 0.2)))
    assert (looked[4:7, :2] > head.verts[4:7, :2]).all() and np.allclose(looked[:4], head.verts[:4])


def test_normals_face_outwards_and_rotation_signs() -> None:
    head = _head()
    assert normals_of(head, head.verts.astype(float))[4] == pytest.approx([0, 0, 1])
    assert normals_of(head, head.verts.astype(float))[2] == pytest.approx([0, 0, -1])  # wound the other way
    nose = np.array([0.0, 0.0, 1.0])
    assert (matrix_of(0.2, 0, 0) @ nose)[0] > 0 and (matrix_of(0, 0.2, 0) @ nose)[1] > 0
    assert (matrix_of(0, 0, 0.2) @ [0.0, 1.0, 0.0])[0] > 0


def test_nearest_place_on_faces() -> None:
    triangles = np.array([[[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[5, 0, 0], [6, 0, 0], [5, 1, 0]]], float)
    for point, which, place in (
        ([0.25, 0.25, 2.0], 0, [0.25, 0.25, 0]),  # above the inside
        ([0.5, -1.0, 0.0], 0, [0.5, 0, 0]),  # beside an edge
        ([7.0, -1.0, 0.0], 1, [6, 0, 0]),  # beyond a corner
    ):
        index, weights = nearest_on_faces(np.array(point), triangles)
        assert index == which and np.allclose(weights @ triangles[index], place)


def test_points_move_to_their_own_lip_and_eye() -> None:
    # Two lips that touch at y = 0, and an eyeball behind a lid; every point starts on the wrong surface.
    lips = [[-1, 0, 0], [1, 0, 0], [0, 1, 0], [-1, -0.01, 0], [1, -0.01, 0], [0, -1, 0]]
    eye = [[-1, 5, -0.1], [1, 5, -0.1], [0, 6, -0.1]]
    lid = [[-1, 5, 0], [1, 5, 0], [0, 6, 0]]
    verts = np.array(lips + eye + lid, np.float32)
    uv = np.zeros((12, 2), np.float32)
    uv[:3], uv[3:6] = (0.3255, 0.35), (0.3255, 0.37)
    parts = np.array([0] * 6 + [1] * 3 + [0] * 3)
    faces = np.arange(12, dtype=np.int32).reshape(4, 3)
    assert [mask.tolist() for mask in lip_faces(uv, faces)] == [
        [True, False, False, False],
        [False, True, False, False],
    ]
    corners = np.tile([6, 7, 8], (478, 1))
    corners[13], corners[14], corners[468:478] = [3, 4, 5], [0, 1, 2], [9, 10, 11]
    shares = np.tile(np.array([0.4, 0.4, 0.2], np.float32), (478, 1))
    new, weights = mend(verts, faces, uv, parts, ("skin", "h_R_eye h_L_eye"), corners, shares)
    assert new[13].tolist() == [0, 1, 2] and new[14].tolist() == [3, 4, 5]
    assert (new[468:478] == [6, 7, 8]).all()  # the iris lies on the eyeball
    assert new[33].tolist() == [9, 10, 11] and np.allclose(weights.sum(1), 1)  # a lid's corner on the skin
    assert corners[13].tolist() == [3, 4, 5]
