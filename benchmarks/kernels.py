"""How many kernels a frame is on a GPU, counted without one: operators as they are, and what Inductor makes of them.

    python benchmarks/kernels.py [--batch 1] [--form nv12]

Needs torch and a C++ compiler; takes some minutes. Operators that only look at a tensor otherwise are not counted; Inductor's
kernels are counted as it makes them for this processor.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch._inductor.metrics
from torch.utils._python_dispatch import TorchDispatchMode

from talkinghead.avatar import Avatar
from talkinghead.networks import Networks
from talkinghead.render.device.decoder import FORMS, DeviceDecoder
from talkinghead.render.device.fusing import inductor

PHOTO = Path(__file__).resolve().parent.parent / "examples" / "data" / "portrait.jpg"
_PRODUCTS = ("convolution", "bmm", "mm", "addmm", "baddbmm")
"""Operators that stay calls of a library."""


class Counted(TorchDispatchMode):
    """Counts operators below autograd that make a tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.called: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        if not func.is_view and func._schema.name != "aten::_unsafe_view":
            self.called[func._schema.name.split("::")[1]] += 1
        return made


def main() -> None:
    """Count and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=1, help="frames drawn at once")
    parser.add_argument("--form", choices=FORMS, default="nv12")
    args = parser.parse_args()
    networks = Networks.load()
    device, portrait = DeviceDecoder(networks.latent, device="cpu"), Avatar.open(PHOTO, networks=networks).portrait
    slots = torch.full((args.batch,), device.add(portrait.face, portrait.points, portrait.code))
    rng = np.random.default_rng(0)
    z_pose, z_dyn = (
        torch.tensor(spread * rng.standard_normal((args.batch, size)), dtype=torch.float32)
        for spread, size in ((0.05, 6), (0.5, networks.latent.size_dyn))
    )
    given = [slots, z_pose, z_dyn]

    def frames(values: list[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        return (device._frames(values, args.form, False),)

    with torch.no_grad():
        with Counted() as counted:
            (expected,) = frames(given)
        print(f"operators as they are: {counted.called.total()}", flush=True)
        torch._inductor.metrics.reset()
        (drawn,) = inductor(frames)(given)
    products = sum(counted.called[name] for name in _PRODUCTS)
    print(f"fused: {torch._inductor.metrics.generated_kernel_count} kernels, and {products} products and convolutions")
    apart = (drawn.int() - expected).abs()
    print(f"bytes that differ: {int((apart > 0).sum())} of {drawn.numel()}, the largest by {int(apart.max())}")


if __name__ == "__main__":
    main()
