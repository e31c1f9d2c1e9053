"""One training loop for every recipe: AdamW, warm-up and cosine, running mean of the weights, checkpoints, resume."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

_WARM_UP_STEPS = 200
_AVERAGE_DECAY = 0.999


@dataclass(frozen=True)
class Schedule:
    """How long and how fast: steps of the cosine, top learning rate, seconds between checkpoints, and an earlier stop."""

    steps: int
    rate: float = 2e-3
    weight_decay: float = 0.02
    checkpoint_s: float = 120.0
    stop: int | None = None


def device() -> torch.device:
    """The GPU when there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def train(
    net: nn.Module,
    batches: Iterator[Any],
    loss_of: Callable[[nn.Module, Any], Tensor],
    schedule: Schedule,
    checkpoint: Path,
    check: Callable[[nn.Module], str] | None = None,
) -> nn.Module:
    """Train ``net`` and return the running mean of its weights.

    A checkpoint beside is taken up where it stands, and written every few minutes; Ctrl-C keeps it. ``check`` is called with the
    mean network then and its words are printed.
    """
    where = device()
    halves = where.type == "cuda" or _multiplies_halves()
    net = net.to(where, memory_format=torch.channels_last)  # type: ignore[call-overload]
    mean = copy.deepcopy(net).eval()
    optimiser = torch.optim.AdamW(net.parameters(), schedule.rate, weight_decay=schedule.weight_decay, betas=(0.9, 0.98))
    step = 0
    if checkpoint.exists():
        state = torch.load(checkpoint, map_location=where, weights_only=True)
        net.load_state_dict(state["net"])
        mean.load_state_dict(state["mean"])
        optimiser.load_state_dict(state["optimiser"])
        step = state["step"]
        print(f"resuming {checkpoint.name} at step {step}")
    last = schedule.steps if schedule.stop is None else min(schedule.stop, schedule.steps)
    began, first, saved, seen = time.monotonic(), step, time.monotonic(), 0.0
    try:
        while step < last:
            for group in optimiser.param_groups:
                group["lr"] = _rate(step, schedule)
            net.train()
            with torch.autocast(where.type, dtype=torch.bfloat16, enabled=halves):
                loss = loss_of(net, next(batches))
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimiser.step()
            step += 1
            _follow(mean, net, min(_AVERAGE_DECAY, (1 + step) / (10 + step)))
            seen = 0.98 * seen + 0.02 * loss.item() if step > first + 1 else loss.item()
            if time.monotonic() - saved > schedule.checkpoint_s:
                _save(checkpoint, net, mean, optimiser, step)
                left = (time.monotonic() - began) / (step - first) * (last - step) / 60
                note = check(mean) if check else ""
                print(f"{checkpoint.stem} step {step}/{last} loss {seen:.4f} {note} {left:.0f} min left", flush=True)
                saved = time.monotonic()
    finally:
        _save(checkpoint, net, mean, optimiser, step)
    if check:
        print(f"{checkpoint.stem} done: {check(mean)}", flush=True)
    return mean


def _multiplies_halves() -> bool:
    """Whether the processor has instructions for bfloat16: without them it is several times slower than float32."""
    flags = Path("/proc/cpuinfo")
    return flags.exists() and bool({"avx512_bf16", "amx_bf16", "bf16"} & set(flags.read_text(encoding="utf-8").split()))


def _rate(step: int, schedule: Schedule) -> float:
    warm = min(1.0, (step + 1) / _WARM_UP_STEPS)
    return schedule.rate * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / schedule.steps)))


def _follow(mean: nn.Module, net: nn.Module, decay: float) -> None:
    with torch.no_grad():
        for a, b in zip(mean.state_dict().values(), net.state_dict().values(), strict=True):
            if a.dtype.is_floating_point:
                a.lerp_(b, 1 - decay)
            else:
                a.copy_(b)


def _save(path: Path, net: nn.Module, mean: nn.Module, optimiser: torch.optim.Optimizer, step: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    torch.save({"net": net.state_dict(), "mean": mean.state_dict(), "optimiser": optimiser.state_dict(), "step": step}, part)
    part.replace(path)
