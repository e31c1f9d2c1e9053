"""The motion network from its weights to ONNX.

talkinghead train motion_export --models models
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from talkinghead.motion.latent import LatentModel
from talkinghead.nets.motion import MotionNet, MotionStep
from talkinghead.training.export import export_onnx

_MODES = "basis_dyn"
INPUTS = ["change", "t", "last", "conditions", "keys", "values", "unseen"]
OUTPUTS = ["made", "new_keys", "new_values"]


def save_weights(net: MotionNet, latent: LatentModel, path: Path) -> None:
    """Weights as float16, with the latent's modes that they were trained for."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {name: value.detach().cpu().half().contiguous() for name, value in net.state_dict().items()}
    tensors["waves"] = net.waves.detach().cpu().clone()  # angles: halves would turn them
    save_file({**tensors, _MODES: torch.from_numpy(latent.basis_dyn).half().contiguous()}, str(path))


def load_weights(path: Path) -> MotionNet:
    """The network."""
    tensors = {name: value.float() for name, value in load_file(str(path)).items()}
    tensors.pop(_MODES)
    net = MotionNet()
    net.load_state_dict(tensors)
    return net.eval()


def export(folder: Path) -> None:
    """Write ``motion.onnx`` and ``motion.int8.onnx`` from ``motion.safetensors``."""
    step = MotionStep(load_weights(folder / "motion.safetensors")).eval()
    export_onnx(step, step.example(), INPUTS, OUTPUTS, folder / "motion.onnx", int8=True)


def main(argv: list[str]) -> None:
    """Entry point of ``talkinghead train motion_export``."""
    parser = argparse.ArgumentParser(prog="talkinghead train motion_export", description=__doc__)
    parser.add_argument("--models", type=Path, default=Path("models"))
    args = parser.parse_args(argv)
    export(args.models / "motion")
    print(f"wrote {args.models / 'motion' / 'motion.onnx'}")
