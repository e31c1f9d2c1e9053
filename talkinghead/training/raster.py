"""A small z-buffer renderer in numba for training pictures: textured meshes, light per pixel, shadows.

Camera space everywhere: the camera sits at the origin and looks along -z, x is to the picture's right, y up, metres.
Only training imports this module (numba is no need of the library).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

_F = TypeVar("_F", bound=Callable[..., Any])

if TYPE_CHECKING:

    def njit(**_: Any) -> Callable[[_F], _F]: ...

else:
    from numba import njit

SKIN, EYE, MOUTH, HAIR = range(4)
"""Kinds of surface."""

# One row a kind: wrap of the diffuse light, strength and exponent of the highlight.
_FINISH = np.array([[0.30, 0.05, 14], [0.15, 0.55, 90], [0.20, 0.12, 40], [0.25, 0.06, 18]], np.float32)
_SHADOW_BIAS_M = 0.003
_SHADOW_SIDE_PX = 512


@dataclass(frozen=True)
class Mesh:
    """Triangles to draw.

    xyz (n, 3) camera space, m; normals (n, 3); uv (n, 2) with v downwards, (0, 0) the texture's top left corner;
    occlusion (n,) 0 dark to 1; faces (f, 3) int32; kind (f,) surface kind; sheet (f,) index into textures, each uint8
    (h, w, 3) sRGB.
    """

    xyz: np.ndarray
    normals: np.ndarray
    uv: np.ndarray
    occlusion: np.ndarray
    faces: np.ndarray
    kind: np.ndarray
    sheet: np.ndarray
    textures: tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Lights:
    """Ambient rgb, and directional lights (k, 6): unit direction towards the light, rgb. The first casts shadows."""

    ambient: np.ndarray
    suns: np.ndarray


@dataclass(frozen=True)
class Fragments:
    """What each pixel sees: face (h, w) int32, -1 where nothing; bary (h, w, 3) perspective-correct; inverse (h, w)."""

    face: np.ndarray
    bary: np.ndarray
    inverse: np.ndarray


def project(xyz: np.ndarray, focal_px: float, centre_px: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Pixel positions (n, 2), y down, and 1 / distance (n,) of camera-space points (n, 3), all before the camera."""
    inverse = 1 / -xyz[:, 2]
    xy = np.stack([centre_px[0] + focal_px * xyz[:, 0] * inverse, centre_px[1] - focal_px * xyz[:, 1] * inverse], 1)
    return xy, inverse


def rasterise(xy: np.ndarray, inverse: np.ndarray, faces: np.ndarray, size: tuple[int, int]) -> Fragments:
    """Nearest face of each pixel of a (height, width) picture.

    xy (n, 2) px with pixel centres at .5; inverse (n,) grows toward the camera: 1 / distance, which is linear over the
    screen. Both sides of a face show.
    """
    height, width = size
    face = np.full((height, width), -1, np.int32)
    bary = np.zeros((height, width, 3), np.float32)
    near = np.zeros((height, width), np.float32)
    _fill(xy.astype(np.float64), inverse.astype(np.float64), faces.astype(np.int32), face, bary, near)
    return Fragments(face, bary, near)


@njit(cache=True)
def _fill(
    xy: np.ndarray,
    inverse: np.ndarray,
    faces: np.ndarray,
    out_face: np.ndarray,
    out_bary: np.ndarray,
    near: np.ndarray,
) -> None:
    height, width = out_face.shape
    for f in range(faces.shape[0]):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        ax, ay, bx, by, cx, cy = xy[a, 0], xy[a, 1], xy[b, 0], xy[b, 1], xy[c, 0], xy[c, 1]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if abs(area) < 1e-9:
            continue
        x0, x1 = max(0, int(np.ceil(min(ax, bx, cx) - 0.5))), min(width - 1, int(np.floor(max(ax, bx, cx) - 0.5)))
        y0, y1 = max(0, int(np.ceil(min(ay, by, cy) - 0.5))), min(height - 1, int(np.floor(max(ay, by, cy) - 0.5)))
        for y in range(y0, y1 + 1):
            py = y + 0.5
            for x in range(x0, x1 + 1):
                px = x + 0.5
                u = ((bx - px) * (cy - py) - (by - py) * (cx - px)) / area
                v = ((cx - px) * (ay - py) - (cy - py) * (ax - px)) / area
                w = 1 - u - v
                if u < 0 or v < 0 or w < 0:
                    continue
                depth = u * inverse[a] + v * inverse[b] + w * inverse[c]
                if depth <= near[y, x]:
                    continue
                near[y, x] = depth
                out_face[y, x] = f
                out_bary[y, x, 0] = u * inverse[a] / depth
                out_bary[y, x, 1] = v * inverse[b] / depth
                out_bary[y, x, 2] = w * inverse[c] / depth


def sample(texture: np.ndarray, u: float, v: float) -> np.ndarray:
    """Colour (3,) of a texture (h, w, 3) at (u, v), v downwards, bilinear; wraps at the edges."""
    out = np.zeros(3, np.float32)
    _sample(np.ascontiguousarray(texture), u, v, out)
    return out


@njit(cache=True)
def _sample(texture: np.ndarray, u: float, v: float, out: np.ndarray) -> None:
    height, width = texture.shape[0], texture.shape[1]
    x, y = u * width - 0.5, v * height - 0.5
    x0, y0 = int(np.floor(x)), int(np.floor(y))
    fx, fy = x - x0, y - y0
    xa, xb, ya, yb = x0 % width, (x0 + 1) % width, y0 % height, (y0 + 1) % height
    for k in range(3):
        top = texture[ya, xa, k] * (1 - fx) + texture[ya, xb, k] * fx
        low = texture[yb, xa, k] * (1 - fx) + texture[yb, xb, k] * fx
        out[k] = top * (1 - fy) + low * fy


def shade(mesh: Mesh, seen: Fragments, lights: Lights) -> np.ndarray:
    """Linear-light picture (h, w, 3) float32, zero where nothing is seen."""
    out = np.zeros((*seen.face.shape, 3), np.float32)
    sun = lights.suns[0, :3].astype(np.float64)
    across = np.cross([0.0, 1.0, 0.0] if abs(sun[1]) < 0.9 else [1.0, 0.0, 0.0], sun)
    across /= np.linalg.norm(across)
    basis = np.stack([across, np.cross(sun, across), sun])
    in_light = mesh.xyz @ basis.T
    shown = in_light[np.unique(mesh.faces[seen.face[seen.face >= 0]])]
    if len(shown) == 0:
        return out
    low, high, side = shown.min(0), shown.max(0), _SHADOW_SIDE_PX
    scale = side / max(high[0] - low[0], high[1] - low[1])
    flat = (in_light[:, :2] - low[:2]) * scale
    shadow = rasterise(flat, in_light[:, 2] - low[2] + 1e-3, mesh.faces, (side, side))
    xyz, normals = np.ascontiguousarray(mesh.xyz, np.float32), np.ascontiguousarray(mesh.normals, np.float32)
    uv, occlusion = np.ascontiguousarray(mesh.uv, np.float32), np.ascontiguousarray(mesh.occlusion, np.float32)
    frame = np.concatenate([basis.ravel(), low - [0, 0, 1e-3], [scale]]).astype(np.float32)
    for index, texture in enumerate(mesh.textures):
        _shade(
            xyz, normals, uv, occlusion, mesh.faces, mesh.kind, mesh.sheet == index, texture, seen.face, seen.bary,
            lights.ambient.astype(np.float32), lights.suns.astype(np.float32), _FINISH, shadow.inverse, frame, out,
        )  # fmt: skip
    return out


@njit(cache=True, fastmath=True)
def _lit(p: np.ndarray, shadow: np.ndarray, frame: np.ndarray) -> float:
    """Share of the first sun's light that reaches point p: 3 x 3 looks into the shadow map."""
    x = (frame[0] * p[0] + frame[1] * p[1] + frame[2] * p[2] - frame[9]) * frame[12]
    y = (frame[3] * p[0] + frame[4] * p[1] + frame[5] * p[2] - frame[10]) * frame[12]
    height = frame[6] * p[0] + frame[7] * p[1] + frame[8] * p[2] - frame[11]
    clear = 0.0
    for dy in range(-1, 2):
        for dx in range(-1, 2):
            xi = min(max(int(np.floor(x)) + dx, 0), shadow.shape[1] - 1)
            yi = min(max(int(np.floor(y)) + dy, 0), shadow.shape[0] - 1)
            over = shadow[yi, xi] - height
            clear += 1.0 - min(max(over / _SHADOW_BIAS_M - 1.0, 0.0), 1.0)
    return clear / 9


@njit(cache=True, fastmath=True)
def _shade(
    xyz: np.ndarray, normals: np.ndarray, uv: np.ndarray, occlusion: np.ndarray, faces: np.ndarray, kinds: np.ndarray,
    mine: np.ndarray, texture: np.ndarray, face: np.ndarray, bary: np.ndarray, ambient: np.ndarray, suns: np.ndarray,
    finish: np.ndarray, shadow: np.ndarray, frame: np.ndarray, out: np.ndarray,
) -> None:  # fmt: skip
    colour, p, n = np.zeros(3, np.float32), np.zeros(3, np.float32), np.zeros(3, np.float32)
    for y in range(face.shape[0]):
        for x in range(face.shape[1]):
            f = face[y, x]
            if f < 0 or not mine[f]:
                continue
            u, v, dark = 0.0, 0.0, 0.0
            p[:] = 0
            n[:] = 0
            for k in range(3):
                i, share = faces[f, k], bary[y, x, k]
                u += share * uv[i, 0]
                v += share * uv[i, 1]
                dark += share * occlusion[i]
                for d in range(3):
                    p[d] += share * xyz[i, d]
                    n[d] += share * normals[i, d]
            _sample(texture, u, v, colour)
            wrap, shine, power = finish[kinds[f], 0], finish[kinds[f], 1], finish[kinds[f], 2]
            far = np.sqrt((p * p).sum())
            length = np.sqrt((n * n).sum()) + 1e-9
            if (n * p).sum() > 0:  # seen from behind: cards have two sides
                length = -length
            n /= length
            clear = _lit(p, shadow, frame)
            for k in range(3):
                light = ambient[k] * (0.8 + 0.2 * n[1])
                gloss = 0.0
                for s in range(suns.shape[0]):
                    facing, half, norm = 0.0, 0.0, 0.0
                    for d in range(3):
                        h = suns[s, d] - p[d] / far
                        facing += n[d] * suns[s, d]
                        half += n[d] * h
                        norm += h * h
                    reach = suns[s, 3 + k] * (clear if s == 0 else 1.0)
                    light += reach * max(0.0, (facing + wrap) / (1 + wrap))
                    if facing > 0 and half > 0:
                        gloss += reach * shine * (half / np.sqrt(norm)) ** power
                out[y, x, k] = dark * (light * (colour[k] / 255) ** 2.2 + gloss)
