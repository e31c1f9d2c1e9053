"""Figures of drawn faces beside real ones: the arithmetic of `benchmarks/decoder.py`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from talkinghead.constants import POINTS
from talkinghead.motion.latent import EYES, LIPS, OUTER_LIPS
from talkinghead.render.eyes import LEFT_EYE, RIGHT_EYE
from talkinghead.render.layout import OPENING, OVAL

Figures = dict[str, float]
Box = tuple[slice, slice]

_MOUTH_PAD = 0.25
_EYE_PAD = 0.1
_LEAST_AREA_PX = 30.0
"""A ring that holds less has no inside: a mouth that is shut."""
_PERFECT_DB = 99.0
"""PSNR of pictures that do not differ at all."""
_RATIOS = ("mouth sharpness", "eye sharpness")
PARTS = {"all": tuple(range(POINTS)), "lips": LIPS, "eyes": EYES}


def box_round(points: np.ndarray, pad_px: float, size_px: int) -> Box:
    """Rows and columns of a square picture round points (n, 2) px, padded, at least one pixel."""
    low = np.clip(np.floor(points.min(0) - pad_px), 0, size_px - 1).astype(int)
    high = np.clip(np.ceil(points.max(0) + pad_px) + 1, low + 1, size_px).astype(int)
    return slice(low[1], high[1]), slice(low[0], high[0])


@dataclass(frozen=True)
class Regions:
    """Where a real face has its mouth and eyes: boxes; the face and what is between the lips: masks (s, s) bool."""

    mouth: Box
    eyes: tuple[Box, ...]
    face: np.ndarray
    inside: np.ndarray

    @classmethod
    def of(cls, points: np.ndarray, size_px: int = 512) -> Regions:
        """Of the real frame's points (478, 3) px: the mouth padded by a quarter of its width, each eye with its lids up to
        their folds padded by a tenth of its own, the face within its outline."""
        flat = points[:, :2].astype(np.float64)
        lips = flat[list(OUTER_LIPS)]
        boxes = []
        for eye in (LEFT_EYE, RIGHT_EYE):
            around = flat[list(eye.upper + eye.lower + eye.upper_fold + eye.lower_fold + eye.iris)]
            boxes.append(box_round(around, _EYE_PAD * float(np.ptp(around[:, 0])), size_px))
        mouth = box_round(lips, _MOUTH_PAD * float(np.ptp(lips[:, 0])), size_px)
        return cls(mouth, tuple(boxes), *(_filled(flat[list(ring)], size_px) for ring in (OVAL, OPENING)))


def _filled(ring: np.ndarray, size_px: int) -> np.ndarray:
    """(s, s) bool within points (n, 2) px."""
    mask = np.zeros((size_px, size_px), np.uint8)
    if cv2.contourArea(ring.astype(np.float32)) >= _LEAST_AREA_PX:  # else its outline alone would be filled
        cv2.fillPoly(mask, [np.round(ring).astype(np.int32)], 1)
    return mask.astype(bool)


def luma(image: np.ndarray) -> np.ndarray:
    """Grey levels (h, w) float32 of uint8 RGB, BT.601."""
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)


def sharpness(grey: np.ndarray, boxes: tuple[Box, ...]) -> float:
    """Variance of the Laplacian, mean over boxes of a picture (h, w): the usual measure of focus (Pech-Pacheco et al. 2000)."""
    edges = cv2.Laplacian(grey, cv2.CV_32F)
    return float(np.mean([edges[box].var() for box in boxes]))


def psnr_db(square_error: float) -> float:
    """PSNR of 8-bit pictures with that mean square error."""
    return float(10 * np.log10(255**2 / square_error)) if square_error > 255**2 / 10 ** (_PERFECT_DB / 10) else _PERFECT_DB


@dataclass
class Score:
    """Sums over the frames of one clip as one decoder draws them."""

    square: list[float] = field(default_factory=list)
    face_square: list[float] = field(default_factory=list)
    ssim: list[float] = field(default_factory=list)
    mouth: list[float] = field(default_factory=list)
    eyes: list[float] = field(default_factory=list)
    mouth_edges: list[tuple[float, float]] = field(default_factory=list)
    eye_edges: list[tuple[float, float]] = field(default_factory=list)
    flicker: list[float] = field(default_factory=list)
    inside: list[tuple[float, float]] = field(default_factory=list)

    def add(self, drawn: np.ndarray, real: np.ndarray, regions: Regions) -> None:
        """A frame (512, 512, 3) uint8 RGB beside the real one."""
        from skimage.metrics import structural_similarity

        apart = np.abs(drawn.astype(np.float32) - real)
        grey, other = luma(drawn), luma(real)
        self.square.append(float((apart**2).mean()))
        self.face_square.append(float((apart[regions.face] ** 2).mean()))
        self.ssim.append(float(structural_similarity(grey, other, data_range=255)))
        self.mouth.append(float(apart[regions.mouth].mean()))
        self.eyes.append(float(np.mean([apart[box].mean() for box in regions.eyes])))
        if regions.inside.any():
            of, to = drawn[regions.inside].astype(np.float32), real[regions.inside].astype(np.float32)
            self.inside.append((float(np.abs(of - to).mean()), float((of - to).mean())))
        self.mouth_edges.append((sharpness(grey, (regions.mouth,)), sharpness(other, (regions.mouth,))))
        self.eye_edges.append((sharpness(grey, regions.eyes), sharpness(other, regions.eyes)))

    def step(self, drawn: tuple[np.ndarray, np.ndarray], real: tuple[np.ndarray, np.ndarray], face: np.ndarray) -> None:
        """Two neighbouring frames; ``face`` (512, 512) bool."""
        made, true = (luma(b) - luma(a) for a, b in (drawn, real))
        self.flicker.append(float(np.abs(made - true)[face].mean()))

    def figures(self) -> Figures:
        """PSNR (of the mean square error over the frames) of the whole picture and within the face's outline, SSIM on luma
        (Wang et al. 2004, scikit-image's window of 7), L1 and flicker in grey levels, drawn sharpness over real; between open
        lips the L1, and by how much what is drawn is brighter on average."""

        def ratio(pairs: list[tuple[float, float]]) -> float:
            made, true = np.mean(pairs, 0)
            return float(made / max(true, 1e-9))

        off, brighter = (float(value) for value in np.mean(self.inside or [(np.nan, np.nan)], 0))
        return {
            "PSNR dB": psnr_db(float(np.mean(self.square))),
            "face PSNR dB": psnr_db(float(np.mean(self.face_square))),
            "SSIM": float(np.mean(self.ssim)),
            "mouth L1": float(np.mean(self.mouth)),
            "eye L1": float(np.mean(self.eyes)),
            "mouth sharpness": ratio(self.mouth_edges),
            "eye sharpness": ratio(self.eye_edges),
            "flicker": float(np.mean(self.flicker)) if self.flicker else float("nan"),
            "inside L1": off,
            "inside brighter by": brighter,
        }


def mean_of(rows: list[dict[str, Figures]]) -> dict[str, Figures]:
    """Means over clips, by column and figure, geometric of ratios; what is not a number does not count."""
    table: dict[str, Figures] = {}
    for column in rows[0] if rows else ():
        table[column] = {}
        for name in rows[0][column]:
            values = [row[column][name] for row in rows if np.isfinite(row[column][name])]
            if name in _RATIOS:
                values = [float(np.log(max(value, 1e-6))) for value in values]
            mean = float(np.mean(values)) if values else float("nan")
            table[column][name] = float(np.exp(mean)) if name in _RATIOS else mean
    return table


def gains(table: dict[str, Figures], still: str, warp: str, refined: str) -> Figures:
    """What matters of a set's means by column: with ``refined`` its mouth against the warp's and the still photo's, PSNR gained,
    sharpness; without it the warp's against the still photo's."""
    best = table.get(refined, table[warp])
    out = {}
    if refined in table:
        out["mouth L1 / warp (<= 0.75)"] = best["mouth L1"] / table[warp]["mouth L1"]
    out["mouth L1 / still (<= 0.6)"] = best["mouth L1"] / table[still]["mouth L1"]
    out["eye L1 / still"] = best["eye L1"] / table[still]["eye L1"]
    if refined in table:
        out["PSNR over warp dB (>= 1)"] = best["PSNR dB"] - table[warp]["PSNR dB"]
        out["face's"] = best["face PSNR dB"] - table[warp]["face PSNR dB"]
    out["PSNR over still dB"] = best["PSNR dB"] - table[still]["PSNR dB"]
    out["face's, over still"] = best["face PSNR dB"] - table[still]["face PSNR dB"]
    out["mouth sharpness (0.8-1.2)"] = best["mouth sharpness"]
    out["eye sharpness (0.8-1.2)"] = best["eye sharpness"]
    return out


def point_errors(shown: np.ndarray, wanted: np.ndarray, unit_px: float) -> Figures:
    """Mean distance in the picture of points (n, 478, 3) px from where they should be, by part of the face, % of a length."""
    far = 100 * np.linalg.norm((shown - wanted)[..., :2], axis=-1) / unit_px
    return {name: float(far[:, list(ids)].mean()) for name, ids in PARTS.items()}


def lips_apart(a: np.ndarray, b: np.ndarray, unit: float) -> float:
    """Mean distance of the lips of aligned faces (n, 478, 3), the median of each taken off (it belongs to the person), % of a
    length; NaN rows do not count."""
    u, v = (p[:, list(LIPS), :2] - np.nanmedian(p[:, list(LIPS), :2], 0) for p in (a, b))
    return float(100 * np.nanmean(np.linalg.norm(u - v, axis=-1)) / unit)


def network_gflop(model: Any) -> float:
    """10^9 floating-point operations (a multiply-add is two) of the convolutions and matrix products of an ONNX model, one
    picture a call: a dimension without a number counts as one."""
    import onnx

    shapes: dict[str, list[int]] = {}
    graph = onnx.shape_inference.infer_shapes(model).graph
    for value in (*graph.input, *graph.value_info, *graph.output):
        shapes[value.name] = [d.dim_value or 1 for d in value.type.tensor_type.shape.dim]
    for constant in graph.initializer:
        shapes[constant.name] = list(constant.dims)
    return 2e-9 * sum(_products(node, shapes) for node in graph.node)


def _products(node: Any, shapes: dict[str, list[int]]) -> float:
    """Multiplications of a node; integer kinds count the same. ValueError where a shape is not known."""
    kind = node.op_type.removeprefix("QLinear").removesuffix("Integer")
    if kind not in ("Conv", "ConvTranspose", "MatMul", "Gemm"):
        return 0.0
    weight = node.input[3 if node.op_type.startswith("QLinear") else 1]
    a, b, out = (shapes.get(name) for name in (node.input[0], weight, node.output[0]))
    if not a or not b or not out:
        raise ValueError(f"the shapes at {node.op_type} {node.name or node.output[0]} are not known")
    if kind == "Conv":  # each output sums over a group's channels and the kernel
        return float(np.prod(out) * np.prod(b[1:]))
    if kind == "ConvTranspose":  # each input spreads over a group's outputs and the kernel
        return float(np.prod(a) * np.prod(b[1:]))
    turned = any(option.name == "transA" and option.i for option in node.attribute)
    return float(np.prod(out) * (a[0] if turned else a[-1]))
