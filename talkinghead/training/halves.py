"""Trained weights as they are shipped."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor, nn


def save_halves(net: nn.Module, path: Path, more: dict[str, Tensor] | None = None, exact: tuple[str, ...] = ()) -> None:
    """Write ``net``'s weights and ``more`` tensors as float16 safetensors; those named in ``exact`` as they are, even where the
    state does not hold them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {name: value.detach().cpu().half().contiguous() for name, value in (net.state_dict() | (more or {})).items()}
    kept = {name: getattr(net, name).detach().cpu().clone() for name in exact}
    save_file(tensors | kept, str(path))
