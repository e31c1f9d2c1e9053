"""The lips network from its weights to ONNX, for the latent in use.

    talkinghead train motion_export --models models

z_dyn counts the latent's modes. When the latent is fitted anew, the modes change; the weights (``lips.safetensors``) keep those
they were trained with, and this command turns the network's last layer to the new ones and writes ``lips.onnx``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from talkinghead.motion.latent import LatentModel
from talkinghead.nets.motion import SpeechToFace, StreamingFace
from talkinghead.training.export import export_onnx

_MODES = "basis_dyn"


def save_weights(net: SpeechToFace, latent: LatentModel, path: Path) -> None:
    """Weights as float16, with the modes that they were trained for."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {name: value.detach().cpu().half().contiguous() for name, value in net.state_dict().items()}
    save_file({**tensors, _MODES: torch.from_numpy(latent.basis_dyn).half().contiguous()}, str(path))


def load_weights(path: Path) -> tuple[SpeechToFace, np.ndarray]:
    """The network, and the modes (D, 478, 3) of its codes."""
    tensors = {name: value.float() for name, value in load_file(str(path)).items()}
    modes = tensors.pop(_MODES).numpy()
    net = SpeechToFace()
    net.load_state_dict(tensors)
    return net.eval(), modes


def basis_change(modes: np.ndarray, latent: LatentModel) -> np.ndarray:
    """Matrix (D, K) from codes of ``modes`` (K, 478, 3) to those of a latent: the identity when they are the same."""
    own = latent.basis_dyn.reshape(latent.size_dyn, -1).astype(np.float64)
    other = modes.reshape(len(modes), -1).astype(np.float64)
    if own.shape == other.shape and np.abs(own - other).max() < 1e-5:
        return np.eye(len(own))
    weighted = own * np.repeat(latent.precision.astype(np.float64), 3)
    return np.linalg.solve(weighted @ own.T + 1e-6 * np.eye(len(own)), weighted @ other.T)


def rebase(net: SpeechToFace, modes: np.ndarray, latent: LatentModel) -> None:
    """Turn the network's codes from ``modes`` to the latent's, in place."""
    change = torch.from_numpy(basis_change(modes, latent)).float()
    with torch.no_grad():
        net.leave.weight.copy_(torch.einsum("dk,kcw->dcw", change, net.leave.weight))
        if net.leave.bias is not None:
            net.leave.bias.copy_(change @ net.leave.bias)


def export(folder: Path, latent: LatentModel) -> None:
    """Write ``lips.onnx`` from ``lips.safetensors`` for a latent; the weights keep the latent's modes from then on."""
    net, modes = load_weights(folder / "lips.safetensors")
    rebase(net, modes, latent)
    save_weights(net, latent, folder / "lips.safetensors")
    streaming = StreamingFace(net.eval()).eval()
    export_onnx(streaming, streaming.example(), ["rows", "past"], ["z_dyn", "later"], folder / "lips.onnx")


def main(argv: list[str]) -> None:
    """Entry point of ``talkinghead train motion_export``."""
    parser = argparse.ArgumentParser(prog="talkinghead train motion_export", description=__doc__)
    parser.add_argument("--models", type=Path, default=Path("models"))
    args = parser.parse_args(argv)
    export(args.models / "motion", LatentModel.load(args.models / "latent" / "latent.npz"))
    print(f"wrote {args.models / 'motion' / 'lips.onnx'}")
