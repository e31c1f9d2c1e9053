"""Training samples of the face network: labelled pictures, crops, canvases and augmentation.

Pictures come from stills, hq and grid_s1 video frames (never the anchors, whose pictures' terms are unclear) and avatar
renders; labels are the teacher's points.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from talkinghead.motion.latent import similarity
from talkinghead.portrait.detector import INPUT_PX as DETECTOR_INPUT_PX
from talkinghead.portrait.detector import STRIDE_PX as DETECTOR_STRIDE_PX
from talkinghead.portrait.patches import LANDMARK_INPUT_PX, apply_map, eye_map, mouth_map, roll_of, square_map
from talkinghead.training.track import frames_of, load_track, read_tsv

SIDE_PX = 384
SHARES = {"stills": 0.62, "hq": 0.14, "grid_s1": 0.07, "avatars": 0.17}
_FRAME_STEP = {"hq": 7, "grid_s1": 75}


@dataclass
class Labelled:
    """A picture (h, w, 3) uint8 RGB with the teacher's points (478, 3) in px."""

    image: np.ndarray
    points: np.ndarray
    source: str


def load_labelled(shared: Path, cache: Path, split: str) -> list[Labelled]:
    """Every labelled picture of a split; avatars count as train."""
    out: list[Labelled] = []
    for row in read_tsv(shared / "data" / "stills" / "stills.tsv"):
        if row["split"] == split:
            _add(out, shared / "data" / "stills" / row["file"], cache / "track" / "stills" / row["file"], "stills")
    for row in read_tsv(shared / "data" / "video" / "clips.tsv"):
        source = row["file"].split("/")[0]
        if row["split"] == split and source in _FRAME_STEP:
            path = shared / "data" / "video" / row["file"]
            _add(out, path, cache / "track" / "video" / row["file"], source, _FRAME_STEP[source])
    if split == "train":
        out.extend(_avatars(cache))
    return out


def _add(out: list[Labelled], path: Path, track_path: Path, source: str, step: int = 1) -> None:
    track = load_track(track_path.with_suffix(".npz"))
    for i, (image, _) in enumerate(frames_of(path)):
        if i % step == 0 and i < len(track["found"]) and track["found"][i]:
            zoom = min(1.0, SIDE_PX / image.shape[1])
            points = track["points"][i] * image.shape[1] * zoom
            if zoom < 1:
                image = cv2.resize(image, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_AREA)
                points[:, :2] += 0.5 * zoom - 0.5  # pixel centres at whole numbers
            out.append(Labelled(image, points.astype(np.float32), source))


def _avatars(cache: Path) -> list[Labelled]:
    from talkinghead.training.avatars import load_renders

    out = []
    for path in sorted((cache / "avatars").glob("*.npz")):
        renders = load_renders(path)
        for image, points, found in zip(renders["images"], renders["teacher"], renders["found"], strict=True):
            if found:
                out.append(Labelled(image, points * image.shape[1], "avatars"))
    return out


def negatives() -> list[np.ndarray]:
    """Pictures without a face that scikit-image packs, where it is installed, and plain textures."""
    rng = np.random.default_rng(0)
    out = [
        cv2.resize(rng.integers(0, 255, (k, k, 3), np.uint8), (512, 512), interpolation=cv2.INTER_CUBIC)
        for k in (3, 5, 9, 17, 40, 120)
    ]
    try:
        from skimage import data
    except ImportError:
        return out
    for name in (
        "coffee",
        "chelsea",
        "rocket",
        "brick",
        "grass",
        "gravel",
        "coins",
        "page",
        "text",
        "moon",
        "hubble_deep_field",
        "immunohistochemistry",
        "cell",
    ):
        try:
            image = getattr(data, name)()
        except Exception:  # a picture that this release does not pack
            continue
        image = np.stack([image] * 3, 2) if image.ndim == 2 else image[..., :3]
        out.append(np.ascontiguousarray(image.astype(np.uint8)))
    return out


def photometric(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Random light, colour, blur, noise, compression and occlusion, same shape, uint8. Look-up tables keep it cheap."""
    x = cv2.LUT(image, _tone_curve(rng))
    if rng.random() < 0.12:
        x = cv2.cvtColor(cv2.cvtColor(x, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    h, w = x.shape[:2]
    if rng.random() < 0.2:
        light = np.linspace(rng.uniform(0.3, 1.2), rng.uniform(0.3, 1.2), w, dtype=np.float32)[None].repeat(h, 0)
        light = light if rng.random() < 0.6 else np.ascontiguousarray(cv2.resize(light.T, (w, h)))
        x = cv2.multiply(x, cv2.merge([light] * 3), dtype=cv2.CV_8U)
    if rng.random() < 0.15:
        size = rng.uniform(0.1, 0.35, 2)
        top, left = int(rng.uniform(0, h)), int(rng.uniform(0, w))
        x[top : top + int(size[0] * h), left : left + int(size[1] * w)] = rng.integers(0, 256, 3)
    if rng.random() < 0.25:
        x = cv2.GaussianBlur(x, (0, 0), float(rng.uniform(0.5, h / 45)))
    elif rng.random() < 0.2:
        zoom = rng.uniform(0.2, 0.7)
        x = cv2.resize(cv2.resize(x, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_AREA), (w, h))
    if rng.random() < 0.3:
        noise = np.empty(x.shape, np.int16)
        cv2.setRNGSeed(int(rng.integers(2**31)))
        cv2.randn(noise, (0.0, 0.0, 0.0), (float(rng.uniform(2, 20)),) * 3)  # type: ignore[call-overload]
        x = cv2.add(x, noise, dtype=cv2.CV_8U)
    if rng.random() < 0.15:
        packed = cv2.imencode(".jpg", x, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(15, 70))])[1]
        x = np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR))
    return x


def _tone_curve(rng: np.random.Generator) -> np.ndarray:
    """A look-up table (256, 1, 3) of random exposure, gamma and tint; sometimes as dark as a badly lit room."""
    x = np.linspace(0, 1, 256, dtype=np.float32)[:, None].repeat(3, 1)
    if rng.random() < 0.8:
        x = x ** math.exp(rng.normal(0, 0.25)) * math.exp(rng.normal(0, 0.15)) + rng.normal(0, 0.05)
    if rng.random() < 0.12:
        x = x * rng.uniform(0.15, 0.5)
    if rng.random() < 0.4:
        x = x * np.exp(rng.normal(0, 0.12, 3)).astype(np.float32)
    return np.clip(x * 255, 0, 255).astype(np.uint8)[:, None]


def warp(image: np.ndarray, affine: np.ndarray, size_px: tuple[int, int], fill: np.ndarray | None = None) -> np.ndarray:
    """The picture through an affine map; shrinking is preceded by a blur. Outside: replicated, or ``fill`` where given."""
    zoom = math.sqrt(abs(np.linalg.det(affine[:, :2])))
    if zoom < 0.6:
        image = cv2.GaussianBlur(image, (0, 0), 0.4 / zoom)
    if fill is None:
        return cv2.warpAffine(image, affine, size_px, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return cv2.warpAffine(image, affine, size_px, fill.copy(), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_TRANSPARENT)


class Sampler:
    """Random training samples; one object a worker process, with a generator of its own."""

    def __init__(
        self, pool: list[Labelled], mean: np.ndarray, twins: np.ndarray, backgrounds: list[np.ndarray], seed: int
    ) -> None:
        self.mean, self.twins, self.backgrounds = mean, twins, backgrounds
        self.rng = np.random.default_rng(seed)
        self.by_source = {s: [p for p in pool if p.source == s] for s in SHARES}
        self.by_source = {s: p for s, p in self.by_source.items() if p}
        share = np.array([SHARES[s] for s in self.by_source])
        self.share = share / share.sum()

    def pick(self) -> tuple[np.ndarray, np.ndarray]:
        """A picture and its points, mirrored half of the time."""
        pool = self.by_source[list(self.by_source)[self.rng.choice(len(self.share), p=self.share)]]
        one = pool[self.rng.integers(len(pool))]
        if self.rng.random() < 0.5:
            return one.image, one.points
        points = one.points[self.twins] * np.array([-1, 1, 1], np.float32)
        points[:, 0] += one.image.shape[1] - 1
        return np.ascontiguousarray(one.image[:, ::-1]), points

    def landmarks(self) -> tuple[np.ndarray, np.ndarray, float]:
        """(128, 128, 3) uint8, points (478, 3), 1.0 where a face is well framed (0.0: points mean nothing)."""
        rng = self.rng
        if rng.random() < 0.08:
            return photometric(self._nothing(LANDMARK_INPUT_PX), rng), np.zeros((478, 3), np.float32), 0.0
        image, points = self.pick()
        pose = similarity(self.mean, points)
        box = points[:468, :2]
        centre = (box.min(0) + box.max(0)) / 2 + rng.normal(0, 0.05, 2) * pose.scale_px
        loose = rng.random() < 0.5  # half as after detection, half as in tracking
        angle = roll_of(pose) + (rng.uniform(-0.65, 0.65) if loose else rng.normal(0, 0.08))
        side = 1.6 * pose.scale_px * math.exp(rng.normal(0, 0.12 if loose else 0.05))
        affine = square_map(centre, side, angle, LANDMARK_INPUT_PX)
        crop = photometric(warp(image, affine, (LANDMARK_INPUT_PX, LANDMARK_INPUT_PX)), rng)
        return crop, apply_map(affine, points).astype(np.float32), 1.0

    def patch(self, kind: str, size_px: tuple[int, int], keep: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """A patch round the mouth or the right eye and its points (n, 2), framed as roughly as the landmark network would."""
        rng = self.rng
        image, points = self.pick()
        pose = similarity(self.mean, points)
        rough = points + rng.normal(0, pose.scale_px * 0.012, (1, 3)) * [1, 1, 0]  # moved, not turned: the pose stays
        affine = mouth_map(rough, pose, size_px) if kind == "mouth" else eye_map(rough, pose, size_px, left=False)
        turn, zoom = rng.normal(0, 0.06), math.exp(rng.normal(0, 0.06))
        middle = (np.array(size_px) - 1) / 2
        c, s = math.cos(turn) * zoom, math.sin(turn) * zoom
        wobble = np.array([[c, s], [-s, c]])
        shift = middle - wobble @ middle + rng.normal(0, 1.5, 2)
        affine = np.concatenate([wobble @ affine[:, :2], (wobble @ affine[:, 2] + shift)[:, None]], 1)
        crop = photometric(warp(image, affine, size_px), rng)
        return crop, apply_map(affine, points[list(keep)])[:, :2].astype(np.float32)

    def _nothing(self, size: int) -> np.ndarray:
        """A square without a face."""
        rng = self.rng
        if rng.random() < 0.5:
            image = self.backgrounds[rng.integers(len(self.backgrounds))]
            side = int(rng.uniform(0.15, 1.0) * min(image.shape[:2]))
            top, left = rng.integers(0, image.shape[0] - side + 1), rng.integers(0, image.shape[1] - side + 1)
            return cv2.resize(image[top : top + side, left : left + side], (size, size), interpolation=cv2.INTER_AREA)
        image, points = self.pick()  # a corner of a portrait, clear of the face
        box = points[:468, :2]
        edge = image.shape[0]
        spaces = [
            (0, 0, edge, box[:, 1].min()),
            (0, box[:, 1].max(), edge, edge),
            (0, 0, box[:, 0].min(), edge),
            (box[:, 0].max(), 0, edge, edge),
        ]
        x0, y0, x1, y1 = (max(0, int(v)) for v in spaces[rng.integers(4)])
        side = max(8, int(min(x1 - x0, y1 - y0) * rng.uniform(0.6, 1.0)))
        top = int(rng.uniform(y0, max(y0 + 1, y1 - side)))
        left = int(rng.uniform(x0, max(x0 + 1, x1 - side)))
        piece = image[top : top + side, left : left + side]
        return cv2.resize(piece, (size, size)) if piece.size else np.zeros((size, size, 3), np.uint8)

    def canvas(self) -> tuple[np.ndarray, np.ndarray]:
        """A detector picture (320, 320, 3) and its targets (5, 40, 40): heat, offset x, y, log size, weight of the last three."""
        rng, size = self.rng, DETECTOR_INPUT_PX
        canvas = self._nothing(size)
        faces: list[tuple[float, float, float]] = []
        for _ in range(int(rng.choice([0, 1, 2, 3], p=[0.1, 0.65, 0.15, 0.1]))):
            image, points = self.pick()
            pose = similarity(self.mean, points)
            height = math.exp(rng.uniform(math.log(14), math.log(240)))
            where = rng.uniform(0.1, 0.9, 2) * size
            turn = rng.normal(0, 0.3)
            box = points[:468, :2]
            middle = (box.min(0) + box.max(0)) / 2
            affine = square_map(middle, size * pose.scale_px / height, turn, size)
            affine[:, 2] += where - (size - 1) / 2
            if any(math.hypot(where[0] - x, where[1] - y) < 0.8 * (height + h) for x, y, h in faces):
                continue
            replicate = not faces and rng.random() < 0.45
            canvas = warp(image, affine, (size, size), None if replicate else canvas)
            faces.append((float(where[0]), float(where[1]), height))
        return photometric(canvas, rng), detector_target(faces)


def detector_target(faces: list[tuple[float, float, float]]) -> np.ndarray:
    """Targets (5, 40, 40) of faces (centre x, y, height in px)."""
    cells = DETECTOR_INPUT_PX // DETECTOR_STRIDE_PX
    out = np.zeros((5, cells, cells), np.float32)
    rows, columns = np.mgrid[:cells, :cells]
    for x, y, height in faces:
        u, v = x / DETECTOR_STRIDE_PX - 0.5, y / DETECTOR_STRIDE_PX - 0.5
        spread = max(0.7, height / DETECTOR_STRIDE_PX * 0.10)
        heat = np.exp(-((columns - u) ** 2 + (rows - v) ** 2) / (2 * spread**2)).astype(np.float32)
        i, j = round(v), round(u)
        if not (0 <= i < cells and 0 <= j < cells):
            continue
        heat[i, j] = 1.0
        out[0] = np.maximum(out[0], heat)
        near = (abs(columns - j) <= 1) & (abs(rows - i) <= 1)
        out[1][near], out[2][near] = (u - columns)[near], (v - rows)[near]
        out[3][near], out[4][near] = math.log(height / DETECTOR_STRIDE_PX), 1.0
    return out


def stream(make: Callable[[int], Callable[[], tuple[np.ndarray, ...]]], batch: int, workers: int, seed: int):  # type: ignore[no-untyped-def]
    """An endless loader of batches of samples; ``make(seed)`` gives a worker its sample function."""
    import torch

    class Endless(torch.utils.data.IterableDataset):  # type: ignore[type-arg]
        def __iter__(self):  # type: ignore[no-untyped-def]
            cv2.setNumThreads(1)
            info = torch.utils.data.get_worker_info()
            draw = make(seed * 1000 + (info.id if info else 0))
            while True:
                yield draw()

    return iter(
        torch.utils.data.DataLoader(Endless(), batch_size=batch, num_workers=workers, prefetch_factor=4 if workers else None)
    )
