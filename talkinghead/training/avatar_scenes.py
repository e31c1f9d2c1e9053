"""Random scenes for the avatars (expression, gaze, head turn, camera, light, background), and drawing one."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from talkinghead.motion.pose import rotation_from_vector, vector_from_rotation
from talkinghead.training.avatars import (
    CHIN,
    FOREHEAD,
    PICTURE_AXES,
    Head,
    Posture,
    face_points,
    matrix_of,
    normals_of,
    pose_head,
)
from talkinghead.training.raster import EYE, HAIR, MOUTH, SKIN, Lights, Mesh, project, rasterise, shade

SIZE_PX = 256
_OVERSAMPLE = 2
_FACE_SHARE = 0.46
"""Height of the face over the picture's side, and where its middle lies: as in the stills and clips."""
_MIDDLE = (0.5, 0.56)
_GAMMA = 2.2
_LIP_DEPTH_M = 0.022
"""Light from all round falls to 1 / e over this depth behind the lips."""

_OPEN = ("AE_AA", "AO_a", "Ax_E", "H_EST", "UH_OO", "UW_U", "MouthOpen", "Shout")
SPEECH = (*_OPEN, "FV", "KG", "MPB", "S", "SH_CH", "TD_I")
_PAIRS = {
    "smile": ("LsmileOpen", "RsmileOpen"),
    "grin": ("LsmileClose", "RsmileClose"),
    "sad": ("LmouthSad", "RmouthSad"),
    "lips_down": ("LlipDown", "RlipDown"),
    "lips_up": ("LlipUp", "RlipUp"),
    "disgust": ("Ldisgust", "Rdisgust"),
    "squint": ("Lsquint", "Rsquint"),
    "low_lid": ("LlowLid", "RlowLid"),
    "brow_up": ("LbrowUp", "RbrowUp"),
    "outer_brow_up": ("LLbrowUp", "RRbrowUp"),
    "brow_down": ("LbrowDown", "RbrowDown"),
    "outer_brow_down": ("LLbrowDown", "RRbrowDown"),
    "pity": ("Lpityful", "Rpityful"),
    "close": ("LeyeClose", "ReyeClose"),
    "wide": ("LeyeOpen", "ReyeOpen"),
    "blow": ("Lblow", "Rblow"),
    "nostril": ("Lnostril", "Rnostril"),
}


@dataclass(frozen=True)
class Scene:
    """posture of the head; orbit (3, 3) rest-space rotation of the whole body; distance_m of the camera; face_share of
    the picture's side; middle (x, y) of the face in the picture, 0..1; lights; gamma; background (s, s, 3) uint8."""

    posture: Posture
    orbit: np.ndarray
    distance_m: float
    face_share: float
    middle: tuple[float, float]
    lights: Lights
    gamma: float
    background: np.ndarray


@dataclass(frozen=True)
class Render:
    """A drawn scene: image (s, s, 3) uint8 RGB; points (478, 3) px, x right, y down, z away from the camera with mean
    0 and the scale of x; foreground and mouth (s, s) uint8, 255 = covered; rotation (3, 3) in picture axes."""

    image: np.ndarray
    points: np.ndarray
    foreground: np.ndarray
    mouth: np.ndarray
    rotation: np.ndarray


def _normal(rng: np.random.Generator, spread: float, limit: float) -> float:
    return float(np.clip(rng.normal(0, spread), -limit, limit))


def _add(head: Head, weights: np.ndarray, name: str, value: float) -> None:
    """Add to a shape, and to the teeth and tongue's own shape that goes with it."""
    for full in (name, f"t_{name}"):
        if full in head.delta_names:
            weights[head.delta_names.index(full)] += value


def _pair(head: Head, weights: np.ndarray, rng: np.random.Generator, key: str, value: float, skew: float = 0.12) -> None:
    """Add to the left and right twin, a little unevenly."""
    for name in _PAIRS[key]:
        _add(head, weights, name, float(np.clip(value * (1 + rng.normal(0, skew)), 0, 1)))


def _mouth(head: Head, weights: np.ndarray, rng: np.random.Generator) -> None:
    kind = rng.choice(["speech", "rest", "smile", "jaw", "odd"], p=[0.58, 0.1, 0.12, 0.1, 0.1])
    if kind == "speech":
        names = rng.choice(SPEECH, 2, replace=False)
        first = float(rng.uniform(0.2, 1.0))
        for name, value in zip(names, (first, float(rng.uniform(0, 1.05 - first))), strict=True):
            value *= 0.6 if name == "Shout" else 1.0
            for full in ("MPB_Up", "MPB_Down") if name == "MPB" else (name,):
                _add(head, weights, full, value)
            if name == "MPB":
                weights[head.delta_names.index("t_MPB")] += value
    elif kind == "jaw":
        _add(head, weights, "MouthOpen", float(rng.uniform(0.1, 1)))
        _add(head, weights, str(rng.choice(["Ljaw", "Rjaw", "JawFront"])), float(rng.uniform(0, 0.5)))
    elif kind == "odd":
        key = str(rng.choice(["sad", "lips_down", "lips_up", "disgust", "blow", "nostril", "kiss", "chin"]))
        if key in _PAIRS:
            _pair(head, weights, rng, key, float(rng.uniform(0.2, 0.9)))
        else:
            _add(head, weights, {"kiss": "Kiss", "chin": "Chin"}[key], float(rng.uniform(0.3, 1)))
    if kind == "smile" or rng.uniform() < 0.2:
        value = float(rng.uniform(0.2, 1.0) if kind == "smile" else rng.uniform(0.1, 0.45))
        _pair(head, weights, rng, str(rng.choice(["smile", "grin"])), value)
    if rng.uniform() < 0.06:
        _add(head, weights, "OutMiddle_tg", float(rng.uniform(0.1, 0.5)))
    if rng.uniform() < 0.1 and kind != "odd":
        _add(head, weights, "Kiss", float(rng.uniform(0.1, 0.5)))


def random_posture(head: Head, rng: np.random.Generator) -> Posture:
    """Expression, gaze and head turn, mostly mild; all ranges are reached."""
    weights = np.zeros(len(head.delta_names), np.float32)
    _mouth(head, weights, rng)
    if rng.uniform() < 0.5:
        key = str(rng.choice(["brow_up", "outer_brow_up", "brow_down", "outer_brow_down", "pity"]))
        _pair(head, weights, rng, key, float(rng.uniform(0.1, 1)), 0.3)
    if rng.uniform() < 0.15:
        _pair(head, weights, rng, str(rng.choice(["squint", "low_lid"])), float(rng.uniform(0.1, 0.8)))
    far = rng.uniform() < 0.4
    right = _normal(rng, 0.3 if far else 0.08, 0.5)
    up = _normal(rng, 0.2 if far else 0.05, 0.35)
    closed = float(rng.choice([0, 0.15, 0.5, 1], p=[0.5, 0.2, 0.12, 0.18]))
    if 0 < closed < 1:
        closed *= float(rng.uniform(0.4, 1.6))
    closed = max(closed, min(0.5, -1.3 * up))  # lids follow the eyes
    wide = max(0.0, 1.2 * up) + (float(rng.uniform(0.2, 1)) if closed == 0 and rng.uniform() < 0.12 else 0.0)
    _pair(head, weights, rng, "close", closed, 0.0 if closed > 0.9 else 0.05)
    _pair(head, weights, rng, "wide", min(1.0, wide) if closed < 0.1 else 0.0, 0.05)
    wild = rng.uniform() < 0.35
    spread = np.deg2rad([20, 12, 11] if wild else [8, 5, 5])
    turn = matrix_of(*(_normal(rng, s, float(np.deg2rad(m))) for s, m in zip(spread, (40, 25, 25), strict=True)))
    return Posture(np.minimum(weights, 1.2), (right, up), vector_from_rotation(turn))


def random_lights(rng: np.random.Generator) -> Lights:
    """Ambient light, a key that casts shadows, and a weak fill, warm to cool."""

    def tint(spread: float) -> np.ndarray:
        warm = rng.normal(0, spread)
        return np.array([1 + warm, 1 + 0.15 * rng.normal(0, spread), 1 - warm])

    ambient = float(rng.uniform(0.3, 0.75))
    key = float(rng.uniform(0.4, 1.05)) * (1.2 - ambient)
    directions = []
    for spread in (0.7, 1.2):
        way = np.array([rng.normal(0, spread), rng.normal(0.35, 0.35), 1.0])
        directions.append(way / np.linalg.norm(way))
    suns = [np.concatenate([directions[0], key * tint(0.08)]), np.concatenate([directions[1], 0.3 * key * tint(0.12)])]
    return Lights(ambient * tint(0.06), np.array(suns))


def random_background(rng: np.random.Generator, side: int) -> np.ndarray:
    """(side, side, 3) uint8: a plain gradient, blurred blobs of colour or blurred noise."""

    def near(colour: np.ndarray | float, spread: float) -> np.ndarray:
        return np.clip(colour + rng.normal(0, spread) + rng.normal(0, 0.4 * spread, 3), 0, 255)

    base = near(float(rng.uniform(10, 240)), 40)
    other = near(base, 45)
    angle = rng.uniform(0, 2 * np.pi)
    ys, xs = np.mgrid[0:side, 0:side] / side - 0.5
    ramp = np.clip(0.5 + xs * np.cos(angle) + ys * np.sin(angle), 0, 1)[..., None]
    out = (base * (1 - ramp) + other * ramp).astype(np.float32)
    kind = rng.choice(["plain", "blobs", "noise"], p=[0.3, 0.45, 0.25])
    if kind == "blobs":
        for _ in range(int(rng.integers(3, 14))):
            colour = tuple(float(c) for c in near(base, 60))
            x, y = (int(v) for v in rng.integers(0, side, 2))
            if rng.uniform() < 0.5:
                cv2.circle(out, (x, y), int(rng.integers(side // 16, side // 3)), colour, -1)
            else:
                w, h = (int(v) for v in rng.integers(side // 16, side // 2, 2))
                cv2.rectangle(out, (x, y), (x + w, y + h), colour, -1)
        out = cv2.GaussianBlur(out, (0, 0), float(rng.uniform(0.004, 0.06)) * side)
    elif kind == "noise":
        coarse = int(rng.integers(4, 40))
        grain = rng.normal(0, rng.uniform(8, 30), (coarse, coarse, 1))
        grain = grain + rng.normal(0, rng.uniform(2, 12), (coarse, coarse, 3))
        out += cv2.resize(grain.astype(np.float32), (side, side), interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.clip(out + rng.normal(0, 1.5, out.shape), 0, 255).astype(np.uint8))


def random_scene(head: Head, rng: np.random.Generator, side_px: int = SIZE_PX) -> Scene:
    """A whole scene from one stream of random numbers; side_px: of the picture."""
    orbit = matrix_of(_normal(rng, 0.1, 0.25), _normal(rng, 0.06, 0.15), _normal(rng, 0.03, 0.08))
    return Scene(
        random_posture(head, rng),
        orbit,
        float(np.exp(rng.uniform(np.log(0.5), np.log(1.8)))),
        _FACE_SHARE * float(np.exp(_normal(rng, 0.06, 0.15))),
        (_MIDDLE[0] + _normal(rng, 0.02, 0.06), _MIDDLE[1] + _normal(rng, 0.015, 0.04)),
        random_lights(rng),
        _GAMMA * float(np.exp(_normal(rng, 0.08, 0.2))),
        random_background(rng, side_px),
    )


def _occlusion(head: Head) -> np.ndarray:
    """How much of the light from all round reaches each vertex at rest: little deep in the mouth."""
    lips = face_points(head, head.verts.astype(np.float64))[[13, 14], 2].mean()
    deep = np.exp(-np.maximum(0, lips - head.verts[:, 2] - 0.006) / _LIP_DEPTH_M)
    return np.asarray(np.where(head.of_part("Teeth"), 0.9 * deep + 0.02, 1.0))


def _kinds(head: Head) -> np.ndarray:
    kind = np.full(len(head.verts), SKIN, np.int32)
    kind[head.of_part("_eye", "gland")] = EYE
    kind[head.of_part("Teeth")] = MOUTH
    out = kind[head.faces[:, 0]]
    out[head.hair] = HAIR
    return np.asarray(out)


def _smaller(picture: np.ndarray) -> np.ndarray:
    whole, side = picture.astype(np.float32), len(picture) // _OVERSAMPLE
    return np.asarray(cv2.resize(whole, (side, side), interpolation=cv2.INTER_AREA))


def draw(head: Head, scene: Scene) -> Render:
    """Draw a scene of one avatar, as large as its background."""
    side_px = len(scene.background)
    verts = pose_head(head, scene.posture)
    points = face_points(head, verts)
    middle = (points[FOREHEAD] + points[CHIN]) / 2
    away = np.array([0, 0, -scene.distance_m])
    normals = normals_of(head, verts) @ scene.orbit.T
    verts, points = (verts - middle) @ scene.orbit.T + away, (points - middle) @ scene.orbit.T + away
    height_m = float(np.linalg.norm(points[FOREHEAD] - points[CHIN]))
    focal = scene.face_share * scene.distance_m / height_m  # over the picture's side
    big = side_px * _OVERSAMPLE
    xy, inverse = project(verts, focal * big, (scene.middle[0] * big, scene.middle[1] * big))
    mesh = Mesh(verts, normals, head.uv, _occlusion(head), head.faces, _kinds(head), head.hair.astype(np.int32), head.textures)
    seen = rasterise(xy, inverse, head.faces, (big, big))
    light = _smaller(shade(mesh, seen, scene.lights))
    covered = _smaller(seen.face >= 0)
    inside = _smaller((seen.face >= 0) & (mesh.kind[seen.face] == MOUTH))
    behind = (scene.background.astype(np.float32) / 255) ** scene.gamma
    picture = np.clip(light + behind * (1 - covered[..., None]), 0, 1) ** (1 / scene.gamma)
    px, _ = project(points, focal * side_px, (scene.middle[0] * side_px, scene.middle[1] * side_px))
    depth = -(points[:, 2] - points[:, 2].mean()) * focal * side_px / scene.distance_m
    turn = np.eye(3) if scene.posture.turn is None else rotation_from_vector(scene.posture.turn)
    return Render(
        np.round(picture * 255).astype(np.uint8),
        np.column_stack([px, depth]).astype(np.float32),
        np.round(covered * 255).astype(np.uint8),
        np.round(inside * 255).astype(np.uint8),
        (PICTURE_AXES @ scene.orbit @ turn @ PICTURE_AXES).astype(np.float32),
    )
