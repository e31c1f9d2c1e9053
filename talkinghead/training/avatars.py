"""The rigged 3-D avatars (VALID, MIT): loading, posing, their 478 points, and a cached set of renders.

    talkinghead train avatars --shared SHARED --cache CACHE

One ``.npz`` an avatar lies under ``CACHE/avatars``; n pictures of side 256 px:

* ``images`` uint8 (bytes,): JPEG files one after another; ``image_ends`` int64 (n,): where each ends
* ``points`` int16 (n, 478, 3): the mesh's own points, x, y, z over the picture's width, times ``POINT_SCALE``;
  z has mean 0
* ``teacher`` int16 (n, 478, 3): the teacher's points in the same way, zero where not ``found`` bool (n,);
  ``teacher_blendshapes`` uint8 (n, 52): its scores times 255
* ``foreground``, ``mouth`` uint8 (n, 256, 256): covered share of each pixel times 255: avatar, mouth's inside
* ``weights`` float16 (n, 96) with ``weight_names`` (96,); ``gaze_rad`` float32 (n, 2): right, up, in the head
* ``rotation`` float32 (n, 3, 3): canonical axes to picture axes; ``seed`` int

Rest space is the files' own: metres, x to the avatar's left (the picture's right), y up, z forwards, facing the camera.
"""

from __future__ import annotations

import argparse
import zlib
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from talkinghead.constants import POINTS
from talkinghead.motion.pose import rotation_from_vector
from talkinghead.training.avatar_points import mend
from talkinghead.training.track import POINT_SCALE, make_teacher, teach

PICTURE_AXES = np.diag([1.0, -1.0, -1.0])
"""From rest space (y up, z forwards) to picture axes (y down, z away from the camera); its own inverse."""
TEXTURE_PX = 1024
JPEG_QUALITY = 95
CHIN, FOREHEAD = 152, 10
_RIGHT_EYE, _LEFT_EYE, _HEAD, _NECK = range(4)
_NECK_BEND_M = (-0.01, 0.055)
"""Where along the neck the head's turn sets in, and where it is whole."""


@dataclass(frozen=True)
class Head:
    """One avatar at rest.

    verts (n, 3) m; faces (f, 3); uv (n, 2), v downwards; part (n,) index of part_names; deltas (k, n, 3) float16 m and
    their names; joints (4, 3): right eye, left eye, head, neck; hair (f,) bool: cards (opaque: their textures carry no
    alpha); welded (n,) id shared by vertices at one place (seams); textures (body, then hair if any); corners (478, 3)
    vertex ids and shares (478, 3) that carry the face points.
    """

    name: str
    verts: np.ndarray
    faces: np.ndarray
    uv: np.ndarray
    part: np.ndarray
    part_names: tuple[str, ...]
    deltas: np.ndarray
    delta_names: tuple[str, ...]
    joints: np.ndarray
    hair: np.ndarray
    welded: np.ndarray
    textures: tuple[np.ndarray, ...]
    corners: np.ndarray
    shares: np.ndarray

    def of_part(self, *needles: str) -> np.ndarray:
        """Which vertices (n,) belong to a part whose name holds one of the needles."""
        return np.isin(self.part, [i for i, name in enumerate(self.part_names) if any(k in name for k in needles)])

    def weights(self, **named: float) -> np.ndarray:
        """Blendshape weights (k,) from names."""
        out = np.zeros(len(self.delta_names), np.float32)
        for name, value in named.items():
            out[self.delta_names.index(name)] = value
        return out


@dataclass(frozen=True)
class Posture:
    """weights (k,) of the blendshapes; gaze_rad (right, up) in the head; turn (3,) rotation vector of the head."""

    weights: np.ndarray
    gaze_rad: tuple[float, float] = (0.0, 0.0)
    turn: np.ndarray | None = None


def _decoded(data: np.ndarray) -> np.ndarray:
    picture = cv2.imdecode(data, cv2.IMREAD_COLOR)
    if picture is None:
        raise ValueError("a picture is damaged")
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))


def head_names(shared: Path) -> list[str]:
    """Names of the avatars under ``shared/data/avatars``, sorted."""
    return sorted(path.stem for path in (shared / "data" / "avatars" / "heads").glob("*.npz"))


def load_head(shared: Path, name: str, textured: bool = True) -> Head:
    """Read one avatar; without textures it is quicker."""
    folder = shared / "data" / "avatars"
    with np.load(folder / "landmarks478.npz") as data:
        corners, shares = data[f"{name}/vertex_ids"], data[f"{name}/bary"]
    with np.load(folder / "heads" / f"{name}.npz") as data:
        raw = {key: data[key] for key in data.files}
    textures = []
    for path in sorted((folder / "heads").glob(f"{name}_mat*.webp")) if textured else []:
        full = _decoded(np.fromfile(path, np.uint8))
        textures.append(cv2.resize(full, (TEXTURE_PX, TEXTURE_PX), interpolation=cv2.INTER_AREA))
    part_names = tuple(str(n) for n in raw["part_names"])
    faces = raw["faces"].astype(np.int32)
    corners, shares = mend(raw["verts"], faces, raw["uv"], raw["vert_part"], part_names, corners, shares)
    places = np.round(np.column_stack([raw["verts"].astype(np.float64) * 1e5, raw["vert_part"]])).astype(np.int64)
    return Head(
        name,
        raw["verts"],
        faces,
        raw["uv"],
        raw["vert_part"],
        part_names,
        raw["deltas"],
        tuple(str(n) for n in raw["delta_names"]),
        raw["joints"],
        raw["face_material"] > 0,
        np.unique(places, axis=0, return_inverse=True)[1].ravel().astype(np.int64),
        tuple(textures),
        corners,
        shares,
    )


def turn_about(points: np.ndarray, joint: np.ndarray, vector: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Points (n, 3) turned about a joint by a rotation vector (3,), each by its own share (n,) of the angle."""
    angle = float(np.linalg.norm(vector))
    if angle < 1e-9:
        return points
    axis, off = vector / angle, points - joint
    sine, cosine = np.sin(angle * share)[:, None], np.cos(angle * share)[:, None]
    along = (off @ axis)[:, None] * axis
    return np.asarray(joint + off * cosine + np.cross(axis, off) * sine + along * (1 - cosine))


def pose_head(head: Head, posture: Posture) -> np.ndarray:
    """Vertices (n, 3) in m, float64: blendshapes, then gaze, then the head's turn, which fades down the neck."""
    verts = head.verts.astype(np.float64)
    for index in np.flatnonzero(posture.weights):
        verts += head.deltas[index].astype(np.float32) * posture.weights[index]
    right, up = posture.gaze_rad
    look = np.array([-up, right, 0.0])
    for needle, joint in (("R_eye", _RIGHT_EYE), ("L_eye", _LEFT_EYE)):
        mine = head.of_part(needle)
        verts[mine] = turn_about(verts[mine], head.joints[joint], look, np.ones(int(mine.sum())))
    if posture.turn is None:
        return verts
    # The ramp leans forwards, so that the chin turns whole while the throat's root stays.
    off = head.verts - head.joints[_NECK]
    ramp = np.clip((off[:, 1] + 0.5 * off[:, 2] - _NECK_BEND_M[0]) / (_NECK_BEND_M[1] - _NECK_BEND_M[0]), 0, 1)
    return turn_about(verts, head.joints[_NECK], posture.turn, ramp**2 * (3 - 2 * ramp))


def face_points(head: Head, verts: np.ndarray) -> np.ndarray:
    """The 478 points (478, 3) on vertices (n, 3), in their space."""
    return np.asarray((verts[head.corners] * head.shares[..., None]).sum(1))


def normals_of(head: Head, verts: np.ndarray) -> np.ndarray:
    """Smooth unit normals (n, 3); vertices split at texture seams share theirs."""
    a, b, c = (verts[head.faces[:, k]] for k in range(3))
    flat = np.cross(b - a, c - a)
    count = int(head.welded.max()) + 1
    ids = head.welded[head.faces]
    total = np.stack([sum(np.bincount(ids[:, k], flat[:, d], count) for k in range(3)) for d in range(3)], 1)
    return np.asarray((total / (np.linalg.norm(total, axis=1, keepdims=True) + 1e-12))[head.welded])


def neutral_and_modes(shared: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each avatar, sorted by name: neutral points (478, 3) and blendshape offsets (96, 478, 3), float32.

    Canonical axes (x to the picture's right, y down, z negative toward the camera), in face heights (forehead point 10
    to chin point 152 is 1), the neutral points' mean at the origin. Names of the offsets: ``Head.delta_names``.
    """
    out = []
    for name in head_names(shared):
        head = load_head(shared, name, textured=False)
        rest = face_points(head, head.verts.astype(np.float64))
        height = float(np.linalg.norm(rest[FOREHEAD] - rest[CHIN]))
        moved = (head.deltas[:, head.corners].astype(np.float32) * head.shares[..., None]).sum(2)
        neutral = (rest - rest.mean(0)) @ PICTURE_AXES / height
        out.append((neutral.astype(np.float32), (moved @ PICTURE_AXES / height).astype(np.float32)))
        assert out[-1][0].shape == (POINTS, 3)
    return out


def matrix_of(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """Rest-space rotation (3, 3): yaw turns to the picture's right, pitch up, roll clockwise as seen; radians."""
    turns = ([0, yaw, 0], [-pitch, 0, 0], [0, 0, -roll])
    y, p, r = (rotation_from_vector(np.array(t, float)) for t in turns)
    return np.asarray(y @ p @ r)


def _jpeg(image: np.ndarray) -> np.ndarray:
    done, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not done:
        raise RuntimeError("OpenCV could not write a JPEG")
    return np.asarray(data, np.uint8).ravel()


def _scaled(points: np.ndarray) -> np.ndarray:
    return np.clip(np.round(points * POINT_SCALE), -32768, 32767).astype(np.int16)


def _is_done(target: Path, count: int, seed: int) -> bool:
    if not target.exists():
        return False
    with np.load(target) as data:
        return len(data["found"]) == count and int(data["seed"]) == seed


def _write_head(job: tuple[Path, Path, str, int, int]) -> str:
    from talkinghead.training.avatar_scenes import draw, random_scene  # numba: only for drawing

    shared, target, name, count, seed = job
    cv2.setNumThreads(1)
    head = load_head(shared, name)
    teacher = make_teacher(shared / "models" / "face_landmarker.task")
    jpegs = []
    rows: dict[str, list[np.ndarray]] = {}
    for index in range(count):
        scene = random_scene(head, np.random.default_rng([seed, zlib.crc32(name.encode()), index]))
        render = draw(head, scene)
        answer = teach(teacher, render.image)
        points, scores = (np.zeros((POINTS, 3)), np.zeros(52)) if answer is None else answer
        jpegs.append(_jpeg(render.image))
        row = {
            "points": _scaled(render.points / render.image.shape[1]),
            "teacher": _scaled(points),
            "found": np.array(answer is not None),
            "teacher_blendshapes": np.round(scores * 255).astype(np.uint8),
            "foreground": render.foreground,
            "mouth": render.mouth,
            "weights": scene.posture.weights.astype(np.float16),
            "gaze_rad": np.array(scene.posture.gaze_rad, np.float32),
            "rotation": render.rotation,
        }
        for key, value in row.items():
            rows.setdefault(key, []).append(value)
    teacher.close()
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_suffix(".part.npz")
    known: dict[str, Any] = {"weight_names": np.array(head.delta_names), "seed": np.array(seed)}
    ends = np.cumsum([len(j) for j in jpegs]).astype(np.int64)
    stacked: dict[str, Any] = {key: np.stack(values) for key, values in rows.items()}
    np.savez_compressed(beside, images=np.concatenate(jpegs), image_ends=ends, **stacked, **known)
    beside.replace(target)
    return name


def write_renders(shared: Path, cache: Path, per_head: int = 60, seed: int = 0, workers: int = 1) -> None:
    """Write ``cache/avatars/HEAD.npz`` for every avatar (layout: top of this file). The same seed gives the same
    pictures; files that are there with the same count and seed are kept. Needs numba and MediaPipe."""
    jobs = [(shared, cache / "avatars" / f"{name}.npz", name, per_head, seed) for name in head_names(shared)]
    todo = [job for job in jobs if not _is_done(job[1], per_head, seed)]
    print(f"drawing {len(todo)} of {len(jobs)} avatars, {per_head} pictures each")
    if workers == 1:
        for job in todo:
            print(f"  {_write_head(job)}", flush=True)
        return
    with ProcessPoolExecutor(workers) as pool:
        for name in pool.map(_write_head, todo):
            print(f"  {name}", flush=True)


def load_renders(path: Path) -> dict[str, np.ndarray]:
    """A cached avatar: images uint8 (n, 256, 256, 3) RGB; points and teacher float32 (n, 478, 3) over the picture's
    width; the other fields as stored."""
    with np.load(path) as data:
        out = {key: data[key] for key in data.files}
    pieces = np.split(out["images"], out.pop("image_ends")[:-1])
    out["images"] = np.stack([_decoded(p) for p in pieces])
    for key in ("points", "teacher"):
        out[key] = out[key].astype(np.float32) / POINT_SCALE
    return out


def main(argv: list[str]) -> None:
    """Entry point of ``talkinghead train avatars``."""
    parser = argparse.ArgumentParser(prog="talkinghead train avatars", description=__doc__)
    parser.add_argument("--shared", type=Path, required=True, help="folder with data/ and models/")
    parser.add_argument("--cache", type=Path, required=True, help="folder that gets avatars/")
    parser.add_argument("--per-head", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    args = parser.parse_args(argv)
    write_renders(args.shared, args.cache, args.per_head, args.seed, args.workers)
