"""The shipped networks from their weights: which module an ONNX file was exported from, and how it is called."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from talkinghead.constants import POINTS
from talkinghead.errors import EngineError
from talkinghead.nets.decoder import PARTS, PatchDecoder
from talkinghead.nets.face import FaceDetector, FaceLandmarks, PatchRefiner
from talkinghead.nets.motion import INPUTS, OUTPUTS, MotionNet, MotionStep
from talkinghead.nets.speech import SpeechNet, StreamingSpeech

_Net = TypeVar("_Net", bound=nn.Module)
_FACE_PX = {"detector": (320, 320), "landmarks": (128, 128), "mouth": (96, 72), "eye": (64, 48)}
_TAIL = ("code", "shape", "points", "presence")
_PYRAMID = ("v4", "v8")
_TRAINING_ONLY = ("basis_dyn", "lip_modes")
"""What the files tell of the latent that they were trained for."""


@dataclass(frozen=True)
class ShippedNet:
    """A module in evaluation mode; names of its inputs and outputs in their order; an example of its inputs, batch 1 or 2; the
    children that it always runs in float32."""

    module: nn.Module
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    example: tuple[Tensor, ...]
    float32: tuple[str, ...] = ()


def load_net(path: Path) -> ShippedNet:
    """The network of which ``path`` (``models/motion/motion.onnx``) is the ONNX form, from the safetensors beside it.

    EngineError when there is no such network, or its weights are missing or damaged."""
    room, name = path.parent.name, path.name.split(".")[0]
    part = name.removesuffix("_appearance")
    weights = path.with_name(f"{part}.safetensors")
    try:
        return _net(room, name, part, read_weights(weights)[0])
    except EngineError:
        raise
    except Exception as error:  # safetensors and torch raise many types for damaged files
        raise EngineError(f"cannot load {weights.name}: reinstall talkinghead ({type(error).__name__})") from error


def read_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """A safetensors file in float32: the network's weights, and what the file tells of the latent that it was trained for."""
    tensors = {k: v.float() if v.is_floating_point() else v for k, v in load_file(str(path)).items()}
    told = {k: tensors.pop(k) for k in _TRAINING_ONLY if k in tensors}
    return tensors, told


def filled(net: _Net, tensors: dict[str, Tensor]) -> _Net:
    """The network with these weights, in evaluation mode."""
    net.load_state_dict(tensors)
    return net.eval()


def filled_decoder(part: str, tensors: dict[str, Tensor]) -> PatchDecoder:
    """A part's decoder of the widths that its weights have."""
    layers = ("appearance.stem.0", "painter.stem", "painter.down_4", "painter.down_8")
    appearance, half, quarter, eighth = (len(tensors[f"{name}.bias"]) for name in layers)
    return filled(PatchDecoder(part, (appearance, half, quarter, eighth)), tensors)


def _net(room: str, name: str, part: str, tensors: dict[str, Tensor]) -> ShippedNet:
    if room == "face" and name in _FACE_PX:
        return _face(name, tensors)
    if room == "decoder" and part in PARTS:
        decoder = filled_decoder(part, tensors)
        photo, inputs = decoder.examples()
        if name != part:
            return ShippedNet(decoder.appearance, ("photo",), _PYRAMID, (photo,))
        return ShippedNet(decoder.painter, ("patch", "code", *_PYRAMID), ("change",), inputs)
    if (room, name) == ("speech", "speech"):
        speech = StreamingSpeech(filled(SpeechNet(), tensors)).eval()
        return ShippedNet(speech, ("rows", "past"), ("features", "later"), speech.example())
    if (room, name) == ("motion", "motion"):
        motion = MotionStep(filled(MotionNet(), tensors)).eval()
        return ShippedNet(motion, INPUTS, OUTPUTS, motion.example())
    raise EngineError(f"torch knows no network {room}/{name}: use --device cpu")


def _face(name: str, tensors: dict[str, Tensor]) -> ShippedNet:
    width, height = _FACE_PX[name]
    example = (torch.zeros(1, 3, height, width),)
    if name == "detector":
        detector = FaceDetector(len(tensors["to_8.0.1.bias"]))
        return ShippedNet(filled(detector, tensors), ("image",), ("map",), example)
    trunk = len(tensors["trunk.0.1.bias"])
    if name == "landmarks":
        assert len(tensors["points.bias"]) == 3 * POINTS
        return ShippedNet(filled(FaceLandmarks(trunk), tensors), ("image",), ("points", "presence"), example, _TAIL)
    refiner = PatchRefiner(len(tensors["points.bias"]) // 2, (width, height), trunk)
    return ShippedNet(filled(refiner, tensors), ("image",), ("points",), example, _TAIL)
