"""What `DeviceDecoder` needs of a portrait, from the layers that `render.warp` makes of it.

This is the one place that looks into those layers: both ways of drawing prepare a photo by the same code.
"""

from __future__ import annotations

import numpy as np

from talkinghead.constants import SIZE_PX
from talkinghead.errors import EngineError
from talkinghead.motion.latent import FaceCode, LatentModel
from talkinghead.motion.pose import HeadPose
from talkinghead.motion.rest import resting_dynamics
from talkinghead.render.device.bank import PreparedPortrait
from talkinghead.render.device.eyes import EYE_AREA_PX
from talkinghead.render.device.filters import gaussian
from talkinghead.render.device.mesh import STEPS
from talkinghead.render.device.mouth import MOUTH_AREA_PX
from talkinghead.render.device.scene import TEXTURES
from talkinghead.render.eyes import _LASH_THICKNESS
from talkinghead.render.flow import Flow
from talkinghead.render.layout import LOWER_LIP, UPPER_LIP
from talkinghead.render.mesh import Mesh
from talkinghead.render.mouth import MouthLayer
from talkinghead.render.raster import Canvas
from talkinghead.render.surround import Surround
from talkinghead.render.warp import WarpDecoder

_VERTICES, _TRIANGLES, _OUTER = 896, 1920, 400
_TEXELS = 3_840_000
_TOO_LARGE = "this portrait's mesh is larger than the GPU's decoder takes: use --device cpu"

Arrays = dict[str, np.ndarray]


def prepared(warp: WarpDecoder, code: FaceCode, latent: LatentModel, others: Arrays) -> PreparedPortrait:
    """The portrait that ``warp`` draws, coded as ``code``; ``others``: float constants of the networks."""
    floats = {**_head(warp, code, latent), **_outside(warp._surround, code.pose), **others}
    moved, ints = _mesh(warp._mesh)
    pictures = {**_photos(warp), **_eye_pictures(warp), **_mouth_pictures(warp._mouth)}
    floats.update(moved)
    floats.update(_eyes(warp, code.pose))
    floats.update(_mouth(warp._mouth, code.pose))
    texels, ints["textures"] = _listed([pictures[name] for name in TEXTURES])
    return PreparedPortrait({name: np.asarray(v, np.float32) for name, v in floats.items()}, ints, texels)


def _head(warp: WarpDecoder, code: FaceCode, latent: LatentModel) -> Arrays:
    pose = code.pose
    shape = latent.shape(code.z_id, resting_dynamics(latent, code)) + code.residual
    maps = [*(eye._head for eye in warp._eyes), warp._mouth._skull]
    means = [m._canonical.mean(axis=0) for m in maps]
    return {
        "rotation": pose.rotation,
        "offset": np.array((*pose.translation_px, pose.depth_px)),
        "scale": np.array((pose.scale_px,)),
        "canonical": shape,
        "rest": warp._rest,
        "inset": warp._inset,
        "rest_gap": np.broadcast_to(warp._mouth.rest_gap, len(UPPER_LIP)),
        "map_fit": np.stack([m._fit @ (m._canonical - mean) for m, mean in zip(maps, means, strict=True)]),
        "map_around": np.stack([m._fit @ m._around for m in maps]),
        "map_flat": np.stack([m._flat for m in maps]),
        "map_mean": np.stack(means),
        "map_middle": np.stack([m._middle for m in maps]),
    }


def _outside(surround: Surround, pose: HeadPose) -> Arrays:
    made = {
        "out_source": surround.source,
        "out_weight": surround.weight[:, None],
        "out_canonical": surround._canonical,
        "out_start": pose.apply(surround._canonical)[:, :2],
        "out_drag": surround._drag,
        "out_sway": surround.sway,
    }
    padded = {name: _padded(values, _OUTER) for name, values in made.items()}
    return {**padded, "oval": surround._oval, "out_pivot": surround._pivot[None]}


def _mesh(mesh: Mesh) -> tuple[Arrays, Arrays]:
    rim = () if mesh._open_rim else mesh._rim
    masks = {name: np.isin(np.arange(_VERTICES), numbers) for name, numbers in (("rim", rim), ("upper", mesh._upper))}
    by_triangle = {name: getattr(mesh, f"_{name}") for name in ("orientation", "sliver", "hidden", "layer")}
    by_triangle["real"] = np.ones(len(mesh.triangles))
    floats = {
        "source": _padded(mesh._source, _VERTICES),
        "by_place": _padded(mesh._by_place, _TRIANGLES, 1),
        **masks,
        **{name: _padded(values, _TRIANGLES) for name, values in by_triangle.items()},
    }
    ints = {"triangles": _padded(mesh.triangles, _TRIANGLES), "beside": _padded(mesh._beside, _TRIANGLES)}
    order, whole = np.argsort(mesh._layer, kind="stable"), (0, 0, SIZE_PX, SIZE_PX)
    for step in STEPS:
        flow = Flow(Canvas(SIZE_PX, step), mesh._source, mesh.triangles[order], whole)
        floats[f"weights_{step}"] = np.stack([w.reshape(-1) for w in flow._weights])
        ints[f"vertices_{step}"] = np.stack([v.reshape(-1) for v in flow._vertices])
    return floats, {name: values.astype(np.int32) for name, values in ints.items()}


def _eyes(warp: WarpDecoder, pose: HeadPose) -> Arrays:
    eyes, (width, height) = warp._eyes, EYE_AREA_PX
    sigma = max(1.0, 0.012 * pose.scale_px)
    thick = max(2, round(_LASH_THICKNESS * pose.scale_px * 4))
    return {
        "eye_still": np.stack([eye._still for eye in eyes]),
        "eye_iris": np.stack([eye._iris for eye in eyes]),
        "eye_open": np.array([eye._open_px for eye in eyes]),
        "eye_covered": np.array([eye._covered for eye in eyes]),
        "eye_origin": np.stack([eye._window.origin for eye in eyes]),
        "eye_shade_down": gaussian(height, sigma, 0.6 * sigma),
        "eye_shade_across": gaussian(width, sigma),
        "lash_colour": _padded(np.stack([eye._lash_colour for eye in eyes]), 4, 1),
        "lash_radius": np.full(2, (thick + 1) / 8),
    }


def _mouth(mouth: MouthLayer, pose: HeadPose) -> Arrays:
    (width, height), sigma = MOUTH_AREA_PX, max(1.0, 0.014 * pose.scale_px)
    at = {n: mouth._points[n, :2] for n in (*UPPER_LIP, *LOWER_LIP)}
    across = at[UPPER_LIP[-1]] - at[UPPER_LIP[0]]
    origin = np.eye(3)
    origin[:2, 2] = mouth._window.origin
    jaw = mouth._canvas(at[14])
    to_photo = [jaw, jaw, origin, mouth._canvas(at[13]) if mouth._photo is None else origin]
    back = np.linalg.inv(np.stack(to_photo))
    return {
        "mouth_still": mouth._still,
        "mouth_photo": np.array((mouth._photo is not None,)),
        "mouth_toothy": np.array((mouth._toothy and mouth._photo is not None,)),
        "mouth_down": np.array((-across[1], across[0])) / max(float(np.hypot(*across)), 1e-6),
        "mouth_bottom": at[14],
        "mouth_height": np.array((max(float(np.linalg.norm(at[14] - at[13])), 2.0),)),
        "upper_rest": np.mean([at[n] for n in UPPER_LIP[3:8]], axis=0),
        "lip_rest": np.mean([at[n] for n in LOWER_LIP[4:7]], axis=0),
        "chin": mouth._chin.mean(axis=0, keepdims=True),
        "mouth_linear": back[:, :2, :2],
        "mouth_offset": back[:, :2, 2],
        "mouth_shade_down": gaussian(height, sigma, 0.7 * sigma),
        "mouth_shade_across": gaussian(width, sigma),
    }


def _photos(warp: WarpDecoder) -> Arrays:
    plain, shut = warp._plain._fine, warp._shut._fine
    base, plate = warp._base._fine, np.zeros((SIZE_PX, SIZE_PX, 3), np.uint8)
    if warp._person is not None:
        base, plate = warp._person._fine._fine, warp._person._plate
    return {"plate": plate, "base": base, "plain": plain, **{f"{name}_{k}": picture for name, picture in
            (("plain", plain), ("shut", shut)) for k in (0, 1)}}  # fmt: skip


def _eye_pictures(warp: WarpDecoder) -> Arrays:
    made = {f"sclera_{k}": eye._sclera for k, eye in enumerate(warp._eyes)}
    return {**made, **{f"disc_{k}": _with_alpha(eye._disc) for k, eye in enumerate(warp._eyes)}}


def _mouth_pictures(mouth: MouthLayer) -> Arrays:
    painted, nothing = mouth._textures, np.zeros((2, 2, 4))
    made = {"cavity": painted.cavity, "lower": _with_alpha(painted.lower)}
    if mouth._photo is None:
        return {**made, "low_part": nothing, "top_part": _with_alpha(painted.upper)}
    top, *low = (_with_alpha(part) for part in mouth._photo)
    return {**made, "low_part": low[0] if low else nothing, "top_part": top}


def _with_alpha(picture: np.ndarray) -> np.ndarray:
    """(h, w, 4) with alpha 0..1 -> 0..255."""
    return picture * np.array((1, 1, 1, 255), np.float32)


def _listed(pictures: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Texels and table of pictures (h, w, 3 or 4), 0 to 255; one that comes twice is kept once."""
    texels, table, start = np.zeros(_TEXELS, np.int32), np.zeros((len(pictures), 3), np.int32), 0
    known: dict[int, int] = {}
    for number, picture in enumerate(pictures):
        height, width = picture.shape[:2]
        if id(picture) not in known:
            four = np.full((height, width, 4), 255, np.uint8)
            four[..., : picture.shape[2]] = np.clip(np.rint(picture), 0, 255)
            if start + height * width > _TEXELS:
                raise EngineError(_TOO_LARGE)
            texels[start : start + height * width] = four.view(np.int32).ravel()
            known[id(picture)] = start
            start += height * width
        table[number] = known[id(picture)], width, height
    return texels, table


def _padded(array: np.ndarray, size: int, axis: int = 0) -> np.ndarray:
    """An array with zeros at the end of an axis."""
    if array.shape[axis] > size:
        raise EngineError(_TOO_LARGE)
    widths = [(0, 0)] * array.ndim
    widths[axis] = (0, size - array.shape[axis])
    return np.pad(array, widths)
