"""Networks to ONNX: opset 18, dynamic batch, weights stored as float16 (large matrices as int8) and widened when loaded.

Given inputs to calibrate by, convolutions are computed in int8 instead (QDQ format: ONNX QuantizeLinear and DequantizeLinear),
but for the last one, whose steps would be seen. Networks of linear layers that run a row or two at a time wait for their weights:
for processors they get a second file whose linear layers are int8 throughout (`int8_path`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from talkinghead.nets.load import load_net
from talkinghead.runtime.weights import int8_path

OPSET = 18
_SMALL = 64
"""Tensors with fewer elements stay float32."""
_LARGE = 100_000
"""Matrices with as many elements become int8."""


def export_onnx(
    net: nn.Module,
    inputs: tuple[torch.Tensor, ...],
    names: list[str],
    outputs: list[str],
    path: Path,
    calibration: list[dict[str, np.ndarray]] | None = None,
    int8: bool = False,
) -> None:
    """Write ``net`` beside and rename; the first axis of every input and output is the batch. ``calibration``: inputs by name, by
    whose ranges convolutions become int8. ``int8``: write `int8_path` as well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part.onnx")
    axes = {name: {0: "batch"} for name in [*names, *outputs]}
    torch.onnx.export(
        net, inputs, str(part), input_names=names, output_names=outputs, dynamic_axes=axes, opset_version=OPSET, dynamo=False
    )
    if int8:
        bytewise = part.with_suffix(".int8.onnx")
        quantise_linear(part, bytewise)
        _finish(bytewise, int8_path(path), shrink=True)
    if calibration is not None:
        quantise(part, calibration)
    _finish(part, path, shrink=calibration is None)


def export_shipped(path: Path, **options: Any) -> None:
    """`export_onnx` of the network whose ONNX form ``path`` is, from the safetensors beside it."""
    net = load_net(path)
    export_onnx(net.module, net.example, list(net.inputs), list(net.outputs), path, **options)


def _finish(part: Path, path: Path, shrink: bool) -> None:
    model = onnx.load(str(part))
    if shrink:
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


def quantise(path: Path, calibration: list[dict[str, np.ndarray]]) -> None:
    """Make a file's convolutions int8, weights by channel, in place; those whose result is an output's pixels stay float32."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._left = iter(calibration)

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self._left, None)

    graph = onnx.load(str(path)).graph
    seen = {name for node in graph.node if node.op_type == "DepthToSpace" for name in node.input}
    seen |= {name for node in graph.node if node.op_type == "Split" and set(node.output) & seen for name in node.input}
    last = [node.name for node in graph.node if node.op_type == "Conv" and set(node.output) & seen]
    quantize_static(
        str(path),
        str(path),
        Reader(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        op_types_to_quantize=["Conv"],
        nodes_to_exclude=last,
        reduce_range=True,  # sums of two products overflow 16 bits on processors without VNNI
    )
    model = onnx.load(str(path))
    keep_in_bytes(model)
    onnx.save(model, str(path))


def keep_in_bytes(model: onnx.ModelProto) -> None:
    """Take out of a model with int8 convolutions what needs not be widened, in place: less work and less rounding.

    A rectifier before rounding to bytes whose zero stands for 0 is no work at all, since they hold nothing negative: nor is the
    rounding between it and a convolution needed, which is then done once. Bytes are enlarged as bytes.
    """
    graph = model.graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    makers = {name: node for node in graph.node for name in node.output}
    users = {name: [node for node in graph.node if name in node.input] for name in makers}

    def before(node: onnx.NodeProto, kind: str) -> onnx.NodeProto | None:
        """What makes the first input of a node, if it is of this kind and nothing else uses it."""
        maker = makers.get(node.input[0])
        return maker if maker is not None and maker.op_type == kind and len(users[node.input[0]]) == 1 else None

    gone: list[str] = []
    for rounding in [node for node in graph.node if node.op_type == "QuantizeLinear"]:
        relu = before(rounding, "Relu")
        if relu is None or constants[rounding.input[2]].any():
            continue
        gone += relu.output
        rounding.input[0] = relu.input[0]
        wide = before(relu, "DequantizeLinear")
        byte = None if wide is None else before(wide, "QuantizeLinear")
        if wide is not None and byte is not None and before(byte, "Conv") is not None:
            gone += [*wide.output, *byte.output]
            rounding.input[0] = byte.input[0]
    nodes = []
    for node in graph.node:
        if node.output[0] in gone:
            continue
        nodes.append(node)
        wide = before(node, "DequantizeLinear") if node.op_type == "Resize" else None
        if wide is not None:
            (result,) = node.output
            node.output[0], byte_name = f"{result}.large", f"{result}.byte"
            nodes.append(helper.make_node("QuantizeLinear", [node.output[0], *wide.input[1:]], [byte_name], f"{result}.rounded"))
            nodes.append(helper.make_node("DequantizeLinear", [byte_name, *wide.input[1:]], [result], f"{result}.widened"))
    used = {name for node in nodes for name in node.input}
    initializers = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(nodes)
    graph.initializer.extend(initializers)


def quantise_linear(path: Path, out: Path) -> None:
    """Write a file's linear layers in int8, weights by output, what they are given by the range of the moment.

    Unsigned weights: products of signed ones overflow 16 bits on processors without VNNI, or have to do with seven bits."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(
        str(path), str(out), op_types_to_quantize=["MatMul", "Gemm"], per_channel=True, weight_type=QuantType.QUInt8
    )
