"""Shipped ONNX files as GPUs take them: plain float32 weights, and of that a strongly typed form in half precision.

Files are shipped small: weights as float16 or int8 that are widened when loaded, convolutions of the painters in int8 for
processors. Here weights are widened at once and the rounding of activations is taken out. The half form keeps what needs the
range or the steps of float32 as it is; inputs and outputs stay float32. Types stand in the file, so that TensorRT 10 and 11 take
the same file and no builder flag decides on precision.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from talkinghead.errors import EngineError

_FIX = 'pip install "talkinghead[gpu]"'


def _onnx() -> Any:
    try:
        import onnx
    except ImportError as error:
        raise EngineError(f"running networks on a GPU needs the package onnx: {_FIX}") from error
    return onnx


def float_model(path: Path) -> Any:
    """The file as an ``onnx.ModelProto`` in float32 throughout; EngineError when it cannot be read."""
    onnx = _onnx()
    try:
        model = onnx.load(str(path))
    except Exception as error:  # of the file system, or of the parser for damaged files
        raise EngineError(f"cannot load {path.name}: reinstall talkinghead ({type(error).__name__})") from error
    graph = model.graph
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    folded, renamed, kept = dict[str, np.ndarray](), dict[str, str](), []
    for node in graph.node:
        for i, name in enumerate(node.input):
            node.input[i] = renamed.get(name, name)
        known = [folded.get(name, constants.get(name)) for name in node.input]
        if node.op_type in ("Cast", "Mul", "DequantizeLinear") and all(value is not None for value in known):
            folded[node.output[0]] = _value(node, known)
        elif node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            renamed[node.output[0]] = node.input[0]
            if _rectifies(node, known):
                renamed[node.output[0]] = f"{node.output[0]}.rectified"
                kept.append(onnx.helper.make_node("Relu", [node.input[0]], [renamed[node.output[0]]]))
        else:
            kept.append(node)
    if any(output.name in renamed or output.name in folded for output in graph.output):
        raise EngineError(f"{path.name} ends in a quantised tensor: export it again")
    used = {name for node in kept for name in node.input}
    values = {name: value for name, value in {**constants, **folded}.items() if name in used}
    del graph.node[:], graph.initializer[:]
    graph.node.extend(kept)
    graph.initializer.extend(onnx.numpy_helper.from_array(value, name) for name, value in values.items())
    del graph.value_info[:]
    return model


def _rectifies(node: Any, known: list[Any]) -> bool:
    """Whether a node rounds to bytes whose zero stands for 0, which nothing negative is left by."""
    return node.op_type == "QuantizeLinear" and known[2] is not None and known[2].dtype == np.uint8 and not known[2].any()


def _value(node: Any, known: list[Any]) -> np.ndarray:
    """What a node makes of constants."""
    if node.op_type == "Cast":
        (to,) = (a.i for a in node.attribute if a.name == "to")
        return known[0].astype(_onnx().helper.tensor_dtype_to_np_dtype(to))
    if node.op_type == "Mul":
        return np.asarray(known[0] * known[1])
    value, scale = known[0], known[1]
    zero = known[2] if len(known) > 2 else np.zeros_like(scale, value.dtype)
    if scale.ndim:  # by channel
        axis = next((a.i for a in node.attribute if a.name == "axis"), 1)
        shape = [-1 if k == axis % value.ndim else 1 for k in range(value.ndim)]
        scale, zero = scale.reshape(shape), zero.reshape(shape)
    return ((value.astype(np.int32) - zero.astype(np.int32)) * scale).astype(np.float32)


def typed_model(path: Path, precision: str, keep: tuple[str, ...] = ()) -> Any:
    """`float_model`, for ``precision`` "float16" with all but the operators ``keep`` in half; inputs and outputs float32."""
    model = float_model(path)
    if precision == "float32":
        return model
    if precision != "float16":
        raise EngineError(f"unknown precision '{precision}' of {path.name}: use float32 or float16")
    try:
        from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16
    except ImportError as error:
        raise EngineError(f"half precision needs onnxruntime: {_FIX}") from error
    blocked = [*DEFAULT_OP_BLOCK_LIST, *keep]
    return convert_float_to_float16(model, keep_io_types=True, op_block_list=blocked)
