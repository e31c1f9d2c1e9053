"""Recipe of the motion network: whole faces and heads from speech, by diffusion, hop by hop.

    talkinghead train motion --shared SHARED --cache CACHE --models models

Needs the speech encoder (``talkinghead train speech``) and the style (``talkinghead train motion_style``). Conditions are dropped
at random, so that each may be missing and speech can be guided; the past is made a little wrong, as the network's own will be.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from talkinghead.motion.denoiser import DYNAMICS, HOP_FRAMES, STATE, MotionScales
from talkinghead.motion.latent import POSE_SIZE, LatentModel
from talkinghead.motion.rest import LIP_PAIRS, gap_rows
from talkinghead.motion.style import Style
from talkinghead.nets.motion import MotionNet
from talkinghead.training import motion_export
from talkinghead.training.lip_space import LipLoss, lip_metric, rest_gaps
from talkinghead.training.loop import Schedule, train
from talkinghead.training.motion_bank import Act, Scales, Sequences, acts_of, silent_acts
from talkinghead.training.motion_data import SOURCES, hold_out, load_clips
from talkinghead.training.motion_state import Eyes
from talkinghead.training.motion_try import tried
from talkinghead.training.offsets import all_in_step
from talkinghead.training.speech import load_weights, material

PREDICTS = ("x0", "flow")
TEMPERATURES = (0.2, 0.7, 2.4)
GUIDANCE, LIVELINESS, ARTICULATION = 1.5, 0.2, 0.4
"""Chosen on people held out of training."""
_LIP_SHARE = 0.5
_GAP_SHARE = 0.3
_LEAST_T = 0.05
_START_SHARE = 0.3
"""Of hops, those that are trained at pure noise, where generation begins."""


def noised(y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Changes (b, n, HOP_SIZE) at random levels, the noise in them, and the levels (b, n, 1)."""
    t = _LEAST_T + (1 - _LEAST_T) * torch.rand(*y.shape[:2], 1, device=y.device)
    t = torch.where(torch.rand_like(t) < _START_SHARE, torch.ones_like(t), t)
    noise = torch.randn_like(y)
    return (1 - t) * y + t * noise, noise, t


def loss_of(scales: Scales, latent: LatentModel, predicts: str) -> Callable[[nn.Module, Any], Tensor]:
    """Squared error of the change, in its own units and, for the face, in points; and the error of the lips' opening. x0: of the
    change itself; flow: of the velocity noise - change, told through the same output."""
    unit = torch.from_numpy(scales.change[:, POSE_SIZE:].copy())
    spread = torch.from_numpy(scales.state[POSE_SIZE:].copy())
    lips = LipLoss(latent, rest_gaps(latent, np.zeros(latent.size_id)))
    metric = lips.metric

    def of(net: nn.Module, batch: list[dict[str, Tensor]]) -> Tensor:
        total = torch.zeros(())
        for part in batch:
            part = {k: v.to(metric.device) for k, v in part.items()}
            at, noise, t = noised(part["y"])
            made = net(part["change"], at, t, part["last"], part["conditions"], part["forget"]).float()
            off = (made - part["y"]) / (t if predicts == "flow" else 1.0)
            points = (off.unflatten(2, (HOP_FRAMES, STATE))[..., POSE_SIZE:] * unit) @ metric
            weight = (1 / t.clamp(min=0.2)) if predicts == "x0" else torch.ones_like(t)
            error = (1 - _LIP_SHARE) * off.square().mean(2, keepdim=True) + _LIP_SHARE * points.square().sum((2, 3))[..., None]
            last = (part["last"][..., POSE_SIZE:] * spread)[:, :, None]
            gaps = [lips.gaps(last + y.unflatten(2, (HOP_FRAMES, STATE))[..., POSE_SIZE:] * unit) for y in (made, part["y"])]
            total = total + (error * weight).mean() + _GAP_SHARE * (gaps[0] - gaps[1]).abs().mean()
        return total / len(batch)

    return of


def lips_share(latent: LatentModel, modes: np.ndarray) -> np.ndarray:
    """Matrix (D, D) that takes from z_dyn what the lips' modes (CURVES, D) tell, so that the rest leaves the lips alone."""
    metric = lip_metric(latent, eyes=1e-4)
    seen = np.linalg.qr((modes @ metric).T)[0]
    return (metric @ seen @ seen.T @ np.linalg.inv(metric)).T.astype(np.float32)


def shutting(latent: LatentModel) -> np.ndarray:
    """The least change (D,) of the face, as the lips' points see it, that widens the lips' gap by a face height."""
    row = gap_rows(latent, LIP_PAIRS).mean(0).astype(np.float64)
    metric = lip_metric(latent)
    square = metric @ metric.T
    step = np.linalg.solve(square + 1e-3 * np.trace(square) / len(row) * np.eye(len(row)), row)
    return (step / (row @ step)).astype(np.float32)


def noise_of(scales: Scales, lips: np.ndarray, temperatures: tuple[float, float, float] = TEMPERATURES) -> np.ndarray:
    """Starting noise of a frame (STATE, STATE), of other temperature for lips, the rest of the face, and the head. Few steps of
    denoising lose spread; a temperature above one gives it back."""
    of_lips, of_face, of_head = temperatures
    unit = scales.change[0, POSE_SIZE:]
    mixed = of_head * np.eye(STATE)
    mixed[POSE_SIZE:, POSE_SIZE:] = of_face * np.eye(STATE - POSE_SIZE)
    mixed[POSE_SIZE:, POSE_SIZE:] += (of_lips - of_face) * lips * unit[None] / unit[:, None]  # in the units of changes
    return mixed.astype(np.float32)


def batches(buckets: list[Sequences]) -> Iterator[list[dict[str, Tensor]]]:
    """One batch of each length, again and again."""
    while True:
        yield [bucket.draw() for bucket in buckets]


def main(argv: list[str]) -> None:
    """Entry point of ``talkinghead train motion``."""
    parser = argparse.ArgumentParser(prog="talkinghead train motion", description=__doc__)
    parser.add_argument("--shared", type=Path, required=True, help="folder with data/")
    parser.add_argument("--cache", type=Path, required=True, help="folder of `talkinghead train track`")
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--name", default="motion", help="names the checkpoint")
    parser.add_argument("--steps", type=int, default=8000, help="length of the learning rate's course")
    parser.add_argument("--stop", type=int, default=2250, help="stop at this step: people held out are followed less well after")
    parser.add_argument("--copies", type=int, default=6, help="disguises of the sound, those of `talkinghead train speech`")
    parser.add_argument("--predicts", choices=PREDICTS, default="x0")
    parser.add_argument("--rate", type=float, default=6e-4, help="top learning rate")
    parser.add_argument("--init", type=Path, help="weights to go on from, a motion.safetensors")
    args = parser.parse_args(argv)
    torch.manual_seed(0)
    latent = LatentModel.load(args.models / "latent" / "latent.npz")
    assert latent.size_dyn == DYNAMICS
    eyes = Eyes.of(Style.load(args.models / "motion" / "style.npz"), latent)
    hearing, modes, _ = load_weights(args.models / "speech" / "speech.safetensors")
    clips = all_in_step(load_clips(args.shared, args.cache, latent, "train", SOURCES), args.cache)
    chosen, held = hold_out(clips)
    usual = np.mean([c.z_dyn.mean(0) for c in chosen if c.audible], 0)
    bank = material(args.shared, args.cache, latent, [c for c in chosen if c.audible], args.copies, only="faces")
    silent = list(silent_acts(chosen, latent, eyes, usual))
    copies: list[list[Act]] = []
    for streams in bank["faces"]:
        copies.append([*acts_of(streams, hearing, latent, eyes, usual), *silent])
    print(f"{len(copies[0])} clips in {len(copies)} disguises", flush=True)
    scales = Scales.of(copies[0])
    lips = lips_share(latent, modes)
    numbers = MotionScales(
        scales.state, scales.change, noise_of(scales, lips), lips, modes, shutting(latent), LIVELINESS, ARTICULATION, GUIDANCE
    )
    few = [c for i, c in enumerate(c for c in held if c.audible) if c.source == "hq" or i % 5 == 0]

    def check(net: nn.Module) -> str:
        return tried(net, numbers, hearing, latent, eyes, few)

    feed = batches([Sequences(copies, latent, scales, i) for i in range(2)])
    schedule = Schedule(args.steps, rate=args.rate, checkpoint_s=300.0, stop=args.stop)
    checkpoint = args.cache / "checkpoints" / f"{args.name}.pt"
    begun = motion_export.load_weights(args.init) if args.init else MotionNet()
    net = train(begun, feed, loss_of(scales, latent, args.predicts), schedule, checkpoint, check)
    assert isinstance(net, MotionNet)
    folder = args.models / "motion"
    motion_export.save_weights(net.cpu(), latent, folder / "motion.safetensors")
    numbers.save(folder / "motion.npz")
    motion_export.export(folder)
    print(f"wrote {folder / 'motion.safetensors'}, motion.npz and motion.onnx")
