"""Generate the motion of whole clips in one batch, in torch: quick figures while training."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from talkinghead.motion.denoiser import (
    CACHE_SHAPE,
    FLAGS,
    HOP_FRAMES,
    LASTING_SIZES,
    LEVELS,
    STATE,
    WINDOW,
    MotionScales,
    frame_conditions,
    guided,
    homeward,
    hop_conditions,
)
from talkinghead.motion.latent import POSE_SIZE, LatentModel
from talkinghead.nets.motion import MotionNet
from talkinghead.speech.encoder import SPEECH_FEATURES
from talkinghead.training.motion_bank import encoded
from talkinghead.training.motion_data import Clip
from talkinghead.training.motion_report import figures, rows_of, say
from talkinghead.training.motion_state import Eyes, eyes_of


def roll(net: MotionNet, numbers: MotionScales, conditions: np.ndarray, seed: int = 0) -> np.ndarray:
    """Motion (b, n * HOP_FRAMES, STATE) of clips from conditions (b, n, CONDITIONS), from rest, hop by hop as `Denoiser` does."""
    count, hops = conditions.shape[:2]
    noise = np.random.default_rng(seed).standard_normal((hops, count, HOP_FRAMES, STATE)) @ numbers.noise.T
    told = torch.from_numpy(conditions)
    rows = 2 if numbers.guidance else 1
    keys = values = torch.zeros(rows * count, *CACHE_SHAPE)
    unseen = torch.ones(rows * count, WINDOW)
    last, unit, spread = torch.zeros(count, STATE), torch.from_numpy(numbers.change.ravel()), torch.from_numpy(numbers.state)
    guidance = torch.from_numpy(guided(numbers))
    made = []
    net = net.eval()

    def run(change: Tensor, level: float, k: int) -> tuple[Tensor, Tensor, Tensor]:
        both = torch.cat([told[:, k], without(told[:, k])][:rows])
        t = torch.full((rows * count, 1), level)
        return net.step(change.repeat(rows, 1), t, (last / spread).repeat(rows, 1), both, keys, values, unseen)

    with torch.no_grad():
        for k in range(hops):
            change = torch.from_numpy(noise[k].reshape(count, -1)).float()
            for level, lower in zip(LEVELS, (*LEVELS[1:], 0.0), strict=True):
                out = run(change, level, k)[0]
                clean = out[:count] + guidance * (out[:count] - out[-count:])
                change = clean + lower / level * (change - clean)
            _, new_keys, new_values = run(change, 0.0, k)
            keys, values = (
                torch.cat([cache[:, :, :, 1:], own[:, :, :, None]], 3) for cache, own in ((keys, new_keys), (values, new_values))
            )
            unseen = torch.cat([unseen[:, 1:], torch.zeros(rows * count, 1)], 1)
            frames, kept = homeward((last[:, None] + (change * unit).unflatten(1, (HOP_FRAMES, STATE))).numpy(), numbers)
            last = torch.from_numpy(kept)
            made.append(frames)
    return np.concatenate(made, 1)


def without(conditions: Tensor) -> Tensor:
    """Conditions (b, CONDITIONS) with speech unknown."""
    blank = np.zeros((1, 1), np.float32)
    frames = frame_conditions(np.ones((1, HOP_FRAMES, _SPEECH)), np.zeros((1, HOP_FRAMES, 2)), np.zeros((1, HOP_FRAMES, 1)))
    only_speech = hop_conditions(frames, np.repeat(blank, _LASTING, 1), np.eye(len(FLAGS), dtype=np.float32)[:1])
    return conditions * torch.from_numpy(1 - only_speech).float()


def conditions_of(net: nn.Module, clip: Clip, latent: LatentModel, count: int) -> np.ndarray:
    """Conditions (count, CONDITIONS) of a clip's sound with the real person's eyes, an ordinary performance asked for."""
    speech = encoded(net, rows_of(clip).rows)
    gaze, lids = eyes_of(latent, clip.z_dyn)
    frames = frame_conditions(*(_fitted(x, count * HOP_FRAMES) for x in (speech, gaze, lids[:, None])))
    lasting = np.zeros((count, _LASTING), np.float32)
    given = np.ones((count, len(FLAGS)), np.float32)
    return hop_conditions(frames.reshape(count, HOP_FRAMES, -1), lasting, given)


def _fitted(values: np.ndarray, count: int) -> np.ndarray:
    """Rows (n, k) cut or filled up with the last one to (count, k)."""
    return values[np.minimum(np.arange(count), len(values) - 1)]


def tried(net: nn.Module, numbers: MotionScales, hearing: nn.Module, latent: LatentModel, eyes: Eyes, clips: list[Clip]) -> str:
    """Figures of clips in one line: lips against real ones, size of the head's steps against real ones, and seams."""
    assert isinstance(net, MotionNet)
    hops = max(len(c.z_dyn) for c in clips) // HOP_FRAMES + 1
    made = roll(net, numbers, np.stack([conditions_of(hearing, c, latent, hops) for c in clips]))
    codes = {c.name: made[i, : len(c.z_dyn), POSE_SIZE:] for i, c in enumerate(clips)}
    steps, real, seams = [], [], []
    for i, clip in enumerate(clips):
        pose = np.degrees(made[i, : len(clip.z_dyn), :3])
        step = np.linalg.norm(np.diff(pose, axis=0), axis=1)
        steps.append(step.mean())
        seams.append(np.median(step[1::HOP_FRAMES]) / np.median(step))
        real.append(np.linalg.norm(np.diff(np.degrees(clip.z_pose[:, :3]), axis=0), axis=1).mean())
    head = f"head step {np.mean(steps):.2f} (real {np.mean(real):.2f}) deg, seam {np.mean(seams):.2f}"
    spread = np.degrees(made[..., :3].std((0, 1))).round(1)
    return f"{say(figures(latent, clips, lambda clip: codes[clip.name]))} {head}, sd {spread}"


_SPEECH = SPEECH_FEATURES + 2
_LASTING = sum(LASTING_SIZES)
