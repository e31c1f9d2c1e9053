"""The motion network from its weights to ONNX.

talkinghead train motion_export --models models
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from talkinghead.motion.latent import LatentModel
from talkinghead.nets.load import filled, read_weights
from talkinghead.nets.motion import MotionNet
from talkinghead.training.export import export_shipped
from talkinghead.training.halves import save_halves

_MODES = "basis_dyn"


def save_weights(net: MotionNet, latent: LatentModel, path: Path) -> None:
    """Weights as float16, with the latent's modes that they were trained for."""
    save_halves(net, path, {_MODES: torch.from_numpy(latent.basis_dyn)}, exact=("waves",))  # angles: halves would turn them


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
