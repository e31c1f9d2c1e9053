"""Recipe of the face network: detector, landmarks, mouth and eye refiners, with MediaPipe FaceLandmarker as the teacher.

    talkinghead train face --shared SHARED --cache CACHE --out models/face [--part detector|landmarks|mouth|eye]

Needs the tracks (``talkinghead train track``), the latent (its mean face) and the avatar renders.
Each part is resumed from CACHE/face/PART.pt and exported to ONNX when it is done.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from talkinghead.motion.latent import LatentModel, mirror_map
from talkinghead.nets.face import FaceDetector, FaceLandmarks, PatchRefiner
from talkinghead.portrait.detector import INPUT_PX as DETECTOR_INPUT_PX
from talkinghead.portrait.patches import (
    EYE_INPUT_PX,
    EYE_POINTS_RIGHT,
    LANDMARK_INPUT_PX,
    MOUTH_INPUT_PX,
    MOUTH_POINTS,
    apply_map,
    face_map,
)
from talkinghead.training.export import export_onnx
from talkinghead.training.face_data import Labelled, Sampler, load_labelled, negatives, stream
from talkinghead.training.halves import save_halves
from talkinghead.training.latent import point_weights
from talkinghead.training.loop import Schedule, device, train

SCHEDULES = {
    "detector": (Schedule(2_400), 32),
    "landmarks": (Schedule(8_000), 48),
    "mouth": (Schedule(4_000), 48),
    "eye": (Schedule(3_500), 48),
}
_PATCH = {"mouth": (MOUTH_INPUT_PX, MOUTH_POINTS), "eye": (EYE_INPUT_PX, EYE_POINTS_RIGHT)}
_DEPTH_WEIGHT = 0.3


def _pixels(batch: Tensor) -> Tensor:
    x = batch.to(device(), non_blocking=True).permute(0, 3, 1, 2).float() / 255
    return x.contiguous(memory_format=torch.channels_last)


def detector_loss(net: nn.Module, batch: list[Tensor]) -> Tensor:
    """Penalty-reduced focal loss on the heat map (Zhou et al. 2019) and L1 on offset and log size."""
    out, target = net(_pixels(batch[0])).float(), batch[1].to(device())
    logit, heat = out[:, 0], target[:, 0]
    p = torch.sigmoid(logit).clamp(1e-5, 1 - 1e-5)
    peak = heat > 0.999
    focal = torch.where(peak, -((1 - p) ** 2) * p.log(), -((1 - heat) ** 4) * p**2 * (1 - p).log())
    count = peak.sum().clamp_min(1)
    error = (out[:, 1:] - target[:, 1:4]).abs() * target[:, 4:]
    return focal.sum() / count + 0.3 * error.sum() / target[:, 4].sum().clamp_min(1)


def landmark_loss(net: nn.Module, batch: list[Tensor]) -> Tensor:
    """Weighted L1 of points in px (depth less) and the presence logit."""
    points, presence = net(_pixels(batch[0]))
    target, here = batch[1].to(device()), batch[2].to(device()).float()
    weight = torch.as_tensor(point_weights(), dtype=torch.float32, device=device())
    error = ((points - target).abs() * torch.tensor([1, 1, _DEPTH_WEIGHT], device=device())).sum(2)
    per_face = (error * weight / weight.mean()).mean(1) * here
    return per_face.sum() / here.sum().clamp_min(1) + F.binary_cross_entropy_with_logits(presence, here)


def patch_loss(net: nn.Module, batch: list[Tensor]) -> Tensor:
    """Mean distance in px."""
    return (net(_pixels(batch[0])) - batch[1].to(device())).square().sum(2).add(0.01).sqrt().mean()


def _shape_modes(pool: list[Labelled], mean: np.ndarray, count: int) -> tuple[Tensor, Tensor]:
    """Mean and principal modes of the points as they lie in landmark crops, for the last layer's start."""
    crops = np.stack([apply_map(face_map(p.points, mean, LANDMARK_INPUT_PX), p.points) for p in pool])
    middle = crops.mean(0)
    _, values, vectors = np.linalg.svd((crops - middle).reshape(len(crops), -1), full_matrices=False)
    modes = vectors[:count] * values[:count, None] / np.sqrt(len(crops))
    modes = modes.reshape(-1, 478, 3)
    x = middle[:, :2] - middle[:, :2].mean(0)  # crops are loose: shift, turn and zoom are modes too
    flat = np.zeros_like(middle[:, :1])
    turn = np.concatenate([np.stack([-x[:, 1], x[:, 0]], 1), flat], 1) * 0.25
    zoom = np.concatenate([x, middle[:, 2:]], 1) * 0.1
    shift = np.stack([np.tile([4.0, 0, 0], (478, 1)), np.tile([0, 4.0, 0], (478, 1))])
    modes[-4:] = np.stack([turn, zoom, *shift])
    return torch.tensor(middle, dtype=torch.float32), torch.tensor(modes, dtype=torch.float32)


def _build(part: str, pool: list[Labelled], mean: np.ndarray, sampler: Sampler) -> nn.Module:
    if part == "detector":
        return FaceDetector()
    if part == "landmarks":
        net = FaceLandmarks()
        net.set_basis(*_shape_modes(pool, mean, 96))
        return net
    size_px, keep = _PATCH[part]
    refiner = PatchRefiner(len(keep), size_px)
    refiner.set_mean(torch.tensor(np.mean([sampler.patch(part, size_px, keep)[1] for _ in range(200)], 0)))
    return refiner


def _sample_maker(part: str, pool: list[Labelled], mean: np.ndarray, backgrounds: list[np.ndarray]) -> Any:
    twins = mirror_map(mean)

    def make(seed: int) -> Any:
        sampler = Sampler(pool, mean, twins, backgrounds, seed)
        if part == "detector":
            return sampler.canvas
        if part == "landmarks":
            return sampler.landmarks
        size_px, keep = _PATCH[part]
        return lambda: sampler.patch(part, size_px, keep)

    return make


def _checker(part: str, held_out: list[Labelled], mean: np.ndarray) -> Any:
    """A line with the error on train-split people kept out of training, % of inter-ocular distance."""
    make = _sample_maker(part, held_out, mean, negatives())(999)
    samples = [make() for _ in range(256)]

    def check(net: nn.Module) -> str:
        with torch.no_grad():
            batch = [torch.as_tensor(np.stack(c)) for c in zip(*samples, strict=True)]
            if part == "detector":
                return f"held-out loss {detector_loss(net, batch):.4f}"
            out = net(_pixels(batch[0]))
            here = batch[2].bool() if part == "landmarks" else torch.ones(len(samples), dtype=torch.bool)
            points = (out[0] if part == "landmarks" else out).cpu()[here]
            target = batch[1][here]
            error = (points - target)[..., :2].norm(dim=2).mean(1)
            eye = (target[:, 33, :2] - target[:, 263, :2]).norm(dim=1) if part == "landmarks" else torch.ones(len(error))
            return f"held-out error {100 * (error / eye).mean():.2f} " + (
                "% of inter-ocular" if part == "landmarks" else "px/100"
            )

    return check


def train_part(part: str, shared: Path, cache: Path, out: Path, workers: int) -> None:
    """Train one part, resume its checkpoint, export it."""
    mean = LatentModel.load(out.parent / "latent" / "latent.npz").mean
    pool = load_labelled(shared, cache, "train")
    people = [i for i, p in enumerate(pool) if p.source == "stills"][::12]  # kept out: to watch, not to train
    held_out = [pool[i] for i in people]
    apart = set(people)
    pool = [p for i, p in enumerate(pool) if i not in apart]
    print(f"{part}: {len(pool)} pictures, {len(held_out)} kept out")
    backgrounds = negatives()
    make = _sample_maker(part, pool, mean, backgrounds)
    schedule, batch = SCHEDULES[part]
    net = _build(part, pool, mean, Sampler(pool, mean, mirror_map(mean), backgrounds, 0))
    loss = {"detector": detector_loss, "landmarks": landmark_loss}.get(part, patch_loss)
    batches = stream(make, batch, workers, seed=1)
    checkpoint = cache / "face" / f"{part}.pt"
    trained = train(net, batches, loss, schedule, checkpoint, _checker(part, held_out, mean))
    export_part(part, trained, out)


def export_part(part: str, net: nn.Module, out: Path) -> None:
    """Write one part's weights (float16 safetensors) and ONNX."""
    names = {"detector": ["map"], "landmarks": ["points", "presence"]}.get(part, ["points"])
    size = {"detector": (DETECTOR_INPUT_PX, DETECTOR_INPUT_PX), "landmarks": (LANDMARK_INPUT_PX, LANDMARK_INPUT_PX)}.get(
        part
    ) or _PATCH[part][0]
    save_halves(net, out / f"{part}.safetensors")
    export_onnx(net.cpu().float().eval(), (torch.zeros(1, 3, size[1], size[0]),), ["image"], names, out / f"{part}.onnx")


def main(argv: list[str]) -> None:
    """Entry point of ``talkinghead train face``."""
    parser = argparse.ArgumentParser(prog="talkinghead train face", description=__doc__)
    parser.add_argument("--shared", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("models/face"))
    parser.add_argument("--part", choices=list(SCHEDULES), action="append", help="default: all, one after another")
    parser.add_argument("--workers", type=int, default=1, help="loader processes")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args(argv)
    cv2.setNumThreads(1)  # a pool of threads does not survive the fork of the loaders
    torch.manual_seed(0)
    torch.set_num_threads(args.threads)
    for part in args.part or SCHEDULES:
        train_part(part, args.shared, args.cache, args.out, args.workers)
