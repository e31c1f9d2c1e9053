"""Networks to ONNX: opset 18, dynamic batch, weights stored as float16 and widened when the session is made."""

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


def export_onnx(net: nn.Module, inputs: tuple[torch.Tensor, ...], names: list[str], outputs: list[str], path: Path) -> None:
    """Write ``net`` beside and rename; the first axis of every input and output is the batch."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part.onnx")
    axes = {name: {0: "batch"} for name in [*names, *outputs]}
    torch.onnx.export(
        net, inputs, str(part), input_names=names, output_names=outputs, dynamic_axes=axes, opset_version=OPSET, dynamo=False
    )
    model = onnx.load(str(part))
    halve_weights(model)
    onnx.checker.check_model(model)
    onnx.save(model, str(part))
    part.replace(path)


def halve_weights(model: onnx.ModelProto) -> None:
    """Store float32 weights as float16 with a Cast in front of their use: half the file, folded away by the runtime."""
    graph = model.graph
    casts = []
    for tensor in graph.initializer:
        if tensor.data_type != TensorProto.FLOAT:
            continue
        values = numpy_helper.to_array(tensor)
        if values.size < _SMALL or np.abs(values).max() > 6e4:
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}.half"))
        casts.append(helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT, name=f"{name}.widen"))
    nodes = list(graph.node)
    del graph.node[:]
    graph.node.extend(casts + nodes)
