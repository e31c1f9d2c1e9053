"""The motion network from its weights to ONNX.

talkinghead train motion_export --models models
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from safetensors.torch import save_file

from talkinghead.motion.latent import LatentModel
from talkinghead.nets.load import filled, read_weights
from talkinghead.nets.motion import MotionNet
from talkinghead.training.export import export_shipped

_MODES = "basis_dyn"


def save_weights(net: MotionNet, latent: LatentModel, path: Path) -> None:
    """Weights as float16, with the latent's modes that they were trained for."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {name: value.detach().cpu().half().contiguous() for name, value in net.state_dict().items()}
    tensors["waves"] = net.waves.detach().cpu().clone()  # angles: halves would turn them
    save_file({**tensors, _MODES: torch.from_numpy(latent.basis_dyn).half().contiguous()}, str(path))


def load_weights(path: Path) -> MotionNet:
    """The network."""
    return filled(MotionNet(), read_weights(path)[0])


def export(folder: Path) -> None:
    """Write ``motion.onnx`` and ``motion.int8.onnx`` from ``motion.safetensors``."""
    export_shipped(folder / "motion.onnx", int8=True)


def main(argv: list[str]) -> None:
    """Entry point of ``talkinghead train motion_export``."""
    parser = argparse.ArgumentParser(prog="talkinghead train motion_export", description=__doc__)
    parser.add_argument("--models", type=Path, default=Path("models"))
    args = parser.parse_args(argv)
    export(args.models / "motion")
    print(f"wrote {args.models / 'motion' / 'motion.onnx'}")
