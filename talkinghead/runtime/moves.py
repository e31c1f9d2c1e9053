"""Small ONNX models that move rows about on a GPU, where ONNX Runtime has no other way to do it."""

from __future__ import annotations

from typing import Any

from talkinghead.errors import EngineError

_OPSET, _IR_VERSION = 18, 9
_MOVES = {
    "append": (("past", "newest"), "later"),  # caches (b, ..., n, w) and (b, ..., w)
    "take": (("rows", "index"), "taken"),
    "put": (("rows", "index", "new"), "later"),
}


def move_model(name: str) -> bytes:
    """The serialised model of "append", "take" or "put"; EngineError without the package onnx."""
    try:
        from onnx import TensorProto, helper
    except ImportError as error:
        raise EngineError('running networks on a GPU needs the package onnx: pip install "talkinghead[gpu]"') from error
    takes, gives = _MOVES[name]

    def told(tensor: str) -> Any:
        return helper.make_tensor_value_info(tensor, TensorProto.INT64 if tensor == "index" else TensorProto.FLOAT, None)

    def number(name: str, value: int) -> Any:
        return helper.make_tensor(name, TensorProto.INT64, [1], [value])

    if name == "append":
        constants = [number("one", 1), number("end", 2**62), number("axis", -2)]
        nodes = [
            helper.make_node("Slice", ["past", "one", "end", "axis"], ["younger"]),
            helper.make_node("Unsqueeze", ["newest", "axis"], ["entry"]),
            helper.make_node("Concat", ["younger", "entry"], ["later"], axis=-2),
        ]
    elif name == "take":
        constants, nodes = [], [helper.make_node("Gather", ["rows", "index"], ["taken"])]
    else:
        constants = [number("axis", 1)]
        nodes = [
            helper.make_node("Unsqueeze", ["index", "axis"], ["column"]),
            helper.make_node("ScatterND", ["rows", "column", "new"], ["later"]),
        ]
    graph = helper.make_graph(nodes, name, [told(tensor) for tensor in takes], [told(gives)], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION)
    return bytes(model.SerializeToString())
