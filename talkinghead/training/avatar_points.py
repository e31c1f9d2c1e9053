"""Mends how the avatars' 478 points hang on their meshes.

The data places every point on the surface nearest to it at rest. Where two surfaces touch, that is a toss-up: with
closed lips an inner point of the upper lip may hang on the lower one and then does not follow its own lip; lid points
hang on the eyeball, hidden parts of the iris on the lids. Here each such point moves to the nearest place of its own.
"""

from __future__ import annotations

import numpy as np

UPPER_INNER = (191, 80, 81, 82, 13, 312, 311, 310, 415)
LOWER_INNER = (95, 88, 178, 87, 14, 317, 402, 318, 324)
IRIS = {"R_eye": (468, 469, 470, 471, 472), "L_eye": (473, 474, 475, 476, 477)}
_LIPS_UV = (0.25, 0.40, 0.325, 0.40)
"""Where the lips lie in the body's texture (u from, to, v from, to): all the avatars share the layout."""
_SLIT_U, _SLIT_HALF_WIDTH, _SLIT_CORNER_V, _SLIT_SAG_V = 0.3255, 0.035, 0.3599, 0.0015
"""The slit between the lips there: a shallow bow, read off the open edge of the mesh."""


def nearest_on_faces(point: np.ndarray, triangles: np.ndarray) -> tuple[int, np.ndarray]:
    """The triangle of (f, 3, 3) nearest to a point (3,), and barycentric weights (3,) of the nearest place on it."""
    a, b, c = triangles[:, 0], triangles[:, 1], triangles[:, 2]
    best = np.full(len(triangles), np.inf)
    weights = np.zeros((len(triangles), 3))
    e1, e2, off = b - a, c - a, point - a
    g11, g12, g22 = (e1 * e1).sum(1), (e1 * e2).sum(1), (e2 * e2).sum(1)
    h1, h2 = (e1 * off).sum(1), (e2 * off).sum(1)
    area = np.maximum(g11 * g22 - g12**2, 1e-30)
    v, w = (g22 * h1 - g12 * h2) / area, (g11 * h2 - g12 * h1) / area
    candidates = [(np.stack([1 - v - w, v, w], 1), (v >= 0) & (w >= 0) & (v + w <= 1))]
    for i, j in ((0, 1), (1, 2), (2, 0)):
        edge = triangles[:, j] - triangles[:, i]
        along = ((point - triangles[:, i]) * edge).sum(1) / np.maximum((edge * edge).sum(1), 1e-30)
        share = np.zeros((len(triangles), 3))
        share[:, j] = np.clip(along, 0, 1)
        share[:, i] = 1 - share[:, j]
        candidates.append((share, np.ones(len(triangles), bool)))
    for share, valid in candidates:
        gap = np.linalg.norm((triangles * share[..., None]).sum(1) - point, axis=1)
        better = valid & (gap < best)
        best[better], weights[better] = gap[better], share[better]
    index = int(np.argmin(best))
    return index, weights[index]


def lip_faces(uv: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which faces (f,) belong to the upper and to the lower lip, by their place in the texture."""
    u, v = uv[faces].mean(1).T
    near = (u > _LIPS_UV[0]) & (u < _LIPS_UV[1]) & (v > _LIPS_UV[2]) & (v < _LIPS_UV[3])
    slit = _SLIT_CORNER_V + _SLIT_SAG_V * np.maximum(0, 1 - ((u - _SLIT_U) / _SLIT_HALF_WIDTH) ** 2)
    return near & (v < slit), near & (v >= slit)


def mend(
    verts: np.ndarray,
    faces: np.ndarray,
    uv: np.ndarray,
    parts: np.ndarray,
    part_names: tuple[str, ...],
    corners: np.ndarray,
    shares: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Vertex ids (478, 3) and shares (478, 3) with lip, lid and iris points on their own surfaces.

    verts (n, 3) at rest; faces (f, 3); uv (n, 2); parts (n,) index into part_names, 0 the skin.
    """
    corners, shares = corners.copy(), shares.astype(np.float32)
    rest = (verts[corners] * shares[..., None]).sum(1)
    part = parts[faces[:, 0]]
    skin = part == 0
    upper, lower = lip_faces(uv, faces)
    jobs = [(i, skin & upper) for i in UPPER_INNER] + [(i, skin & lower) for i in LOWER_INNER]
    for needle, points in IRIS.items():
        ball = np.isin(part, [k for k, name in enumerate(part_names) if needle in name])
        jobs += [(i, ball) for i in points]
    iris = {i for points in IRIS.values() for i in points}
    jobs += [(int(i), skin) for i in np.flatnonzero(parts[corners[:, 0]] != 0) if int(i) not in iris]
    for index, allowed in jobs:
        pool = faces[allowed]
        which, weights = nearest_on_faces(rest[index], verts[pool].astype(np.float64))
        corners[index], shares[index] = pool[which], weights
    return corners, shares
