"""The shipped networks, random inputs for them, and the answer of torch in float32."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

from talkinghead.runtime.torch import TorchEngine
from talkinghead.runtime.weights import model_path

NETWORKS = (
    "face/detector", "face/landmarks", "face/mouth", "face/eye", "speech/speech", "motion/motion",
    "decoder/mouth_appearance", "decoder/mouth", "decoder/eye_appearance", "decoder/eye",
)  # fmt: skip
_UNIT = ("image", "photo", "patch", "t")
"""Inputs between 0 and 1."""


def network(name: str) -> Path:
    """Path of the float file."""
    room, part = name.split("/")
    return model_path(room, f"{part}.onnx")


@cache
def random_inputs(name: str, batch: int = 2) -> dict[str, np.ndarray]:
    """Noise in each input's range; half of the past is unseen."""
    from talkinghead.nets.load import load_net

    net, random = load_net(network(name)), np.random.default_rng(0)
    made = {}
    for key, example in zip(net.inputs, net.example, strict=True):
        shape = (batch, *example.shape[1:])
        values = random.random(shape) if key in _UNIT else random.standard_normal(shape)
        made[key] = np.float32(np.arange(shape[-1]) < shape[-1] // 2) + 0 * values if key == "unseen" else values
    return {key: value.astype(np.float32) for key, value in made.items()}


@cache
def expected(name: str) -> dict[str, np.ndarray]:
    """Torch, float32."""
    return TorchEngine(network(name), "cpu").run(**random_inputs(name))


def error(name: str, got: dict[str, np.ndarray]) -> float:
    """The largest difference from `expected` as a share of that output's largest value; worst of the outputs."""
    wanted = expected(name)
    assert got.keys() == wanted.keys()
    assert all(got[key].shape == wanted[key].shape and got[key].dtype == np.float32 for key in wanted)
    return max(float(np.abs(got[key] - wanted[key]).max() / np.abs(wanted[key]).max()) for key in wanted)
