"""Networks to ONNX: opset 18, dynamic batch, weights stored as float16 (large matrices as int8) and widened when loaded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

OPSET = 18
_SMALL = 64
"""Tensors with fewer elements stay float32."""
_LARGE = 100_000
"""Matrices with as many elements become int8."""


def export_onnx(net: nn.Module, inputs: tuple[torch.Tensor, ...], names: list[str], outputs: list[str], path: Path) -> None:
    """Write ``net`` beside and rename; the first axis of every input and output is the batch."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part.onnx")
    axes = {name: {0: "batch"} for name in [*names, *outputs]}
    torch.onnx.export(
        net, inputs, str(part), input_names=names, output_names=outputs, dynamic_axes=axes, opset_version=OPSET, dynamo=False
    )
    model = onnx.load(str(part))
    shrink_weights(model)
    onnx.checker.check_model(model)
    onnx.save(model, str(part))
    part.replace(path)


def shrink_weights(model: onnx.ModelProto) -> None:
    """Store float32 weights as float16, and large matrices as int8 with a float scale for each row (output of a linear layer).

    Nodes in front of their use widen them: half the file or less, and the runtime folds them away when it loads the file.
    """
    graph = model.graph
    widening = []
    for tensor in list(graph.initializer):
        if tensor.data_type != TensorProto.FLOAT:
            continue
        values, name = numpy_helper.to_array(tensor), tensor.name
        if values.ndim == 2 and values.size >= _LARGE:
            scale = np.maximum(np.abs(values).max(1, keepdims=True), 1e-12) / 127
            tensor.CopyFrom(numpy_helper.from_array(np.round(values / scale).astype(np.int8), f"{name}.byte"))
            graph.initializer.append(numpy_helper.from_array(scale.astype(np.float32), f"{name}.scale"))
            widening.append(helper.make_node("Cast", [f"{name}.byte"], [f"{name}.wide"], to=TensorProto.FLOAT))
            widening.append(helper.make_node("Mul", [f"{name}.wide", f"{name}.scale"], [name]))
        elif values.size >= _SMALL and np.abs(values).max() < 6e4:
            tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}.half"))
            widening.append(helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT))
    nodes = list(graph.node)
    del graph.node[:]
    graph.node.extend(widening + nodes)
