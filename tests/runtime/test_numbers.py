"""Every way of running the shipped networks against torch in float32, on random inputs.

Tolerances are shares of an output's largest value, some twice what was measured. ONNX files hold large matrices as int8 and the
painters' convolutions as int8, so that they differ from torch by more than arithmetic; noise is harder on int8 than faces are:
what int8 costs in pictures is told by `talkinghead bench quality`.
"""

from __future__ import annotations

import numpy as np
import pytest
from shipped import needs_networks

pytest.importorskip("torch")
pytest.importorskip("safetensors")
pytest.importorskip("onnx")

from networks import NETWORKS, error, expected, network, random_inputs

from talkinghead.runtime.onnx import BoundOnnxEngine, OnnxEngine, session
from talkinghead.runtime.settings import load_settings
from talkinghead.runtime.torch import TorchEngine
from talkinghead.runtime.typed import typed_model
from talkinghead.runtime.weights import int8_path

pytestmark = needs_networks

WEIGHTS = {"decoder/mouth": 0.05, "decoder/eye": 0.05, "speech/speech": 0.04, "motion/motion": 0.015}
"""What the ONNX files' int8 weights may cost; the others hold theirs as float16, as torch's do, or nearly."""
STEPS = {"decoder/mouth": 0.15, "decoder/eye": 0.3}
"""What int8 activations may cost besides, on noise."""
HALF = {"float16": 0.005, "bfloat16": 0.03}


@pytest.mark.parametrize("name", NETWORKS)
def test_onnx_runtime(name: str) -> None:
    assert error(name, OnnxEngine(network(name)).run(**random_inputs(name))) <= STEPS.get(name, WEIGHTS.get(name, 0.005))


@pytest.mark.parametrize("name", NETWORKS)
def test_onnx_runtime_bound_without_int8_activations(name: str) -> None:
    assert error(name, BoundOnnxEngine(network(name), "cpu").run(**random_inputs(name))) <= WEIGHTS.get(name, 0.005)


@pytest.mark.parametrize(("name", "tolerance"), [("speech/speech", 0.15), ("motion/motion", 0.07)])
def test_onnx_runtime_int8(name: str, tolerance: float) -> None:
    assert error(name, OnnxEngine(int8_path(network(name))).run(**random_inputs(name))) <= tolerance


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("precision", HALF)
def test_torch_in_half(name: str, precision: str) -> None:
    worst = error(name, TorchEngine(network(name), "cpu", precision).run(**random_inputs(name)))
    assert 0 < worst <= HALF[precision]


@pytest.mark.parametrize("name", NETWORKS)
def test_the_typed_file_is_the_float_file_in_half(name: str) -> None:
    path, inputs = network(name), random_inputs(name)
    typed = session(typed_model(path, "float16", load_settings(path).float32).SerializeToString(), name)
    whole = BoundOnnxEngine(path, "cpu").run(**inputs)
    half = dict(zip(whole, typed.run(list(whole), inputs), strict=True))
    assert 0 < max(float(np.abs(half[key] - whole[key]).max() / np.abs(whole[key]).max()) for key in whole) <= 0.005


@pytest.mark.parametrize("name", NETWORKS)
def test_rows_of_a_batch_do_not_meet(name: str) -> None:
    engine = TorchEngine(network(name), "cpu")
    alone = engine.run(**{key: value[1:] for key, value in random_inputs(name).items()})
    assert all(np.allclose(alone[key], expected(name)[key][1:], atol=1e-4, rtol=1e-4) for key in alone)
