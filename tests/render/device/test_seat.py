"""Portraits drawn from many threads at once: who waits is drawn together, each gets its own frame."""

from __future__ import annotations

import gc
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from shipped import needs_networks

pytest.importorskip("torch")
pytest.importorskip("safetensors")

from talkinghead import networks as networks_module
from talkinghead.avatar import Avatar
from talkinghead.errors import EngineError
from talkinghead.networks import Networks, load_device_decoder
from talkinghead.render.device.seat import SharedDecoder

PHOTO = Path(__file__).resolve().parents[3] / "examples" / "data" / "portrait.jpg"
NOTHING: Any = None


class FakeDecoder:
    """A frame is as bright as its slot and latents say. It can be held, and fail."""

    def __init__(self) -> None:
        self.free, self.begun = threading.Event(), threading.Event()
        self.free.set()
        self.rows: list[int] = []
        self.removed: list[int] = []
        self.error: Exception | None = None

    def add(self, face: Any, points: Any, code: Any, borders: Any = None) -> int:
        return int(code)

    def remove(self, slot: int) -> None:
        self.removed.append(slot)

    def run(self, *, slot: np.ndarray, z_pose: np.ndarray, z_dyn: np.ndarray, form: str) -> dict[str, np.ndarray]:
        self.begun.set()
        assert self.free.wait(10)
        self.rows.append(len(slot))
        if self.error is not None:
            raise self.error
        bright = (10 * slot + z_pose[:, 0] + z_dyn[:, 0]).astype(np.uint8)
        return {"image": np.stack([np.full((2, 2, 3) if form == "rgb" else (3, 2), each) for each in bright])}


def frame(portrait: Any, number: int, form: str = "rgb") -> int:
    image = portrait.draw(np.full(6, number), np.zeros(4), form)
    assert image.shape == ((2, 2, 3) if form == "rgb" else (3, 2)) and (image == image.flat[0]).all()
    return int(image.flat[0])


def drawn_while_held(decoder: Any, forms: tuple[str, ...]) -> SharedDecoder:
    """Six portraits: the first is held while it is drawn, and the others, who ask for these forms, wait for it."""
    shared = SharedDecoder(decoder)
    portraits = [shared.seat(NOTHING, NOTHING, slot) for slot in range(6)]  # type: ignore[arg-type]
    decoder.free.clear()
    with ThreadPoolExecutor(6) as pool:
        first = pool.submit(frame, portraits[0], 0)
        assert decoder.begun.wait(10)
        others = [pool.submit(frame, portrait, k, forms[k % len(forms)]) for k, portrait in enumerate(portraits) if k]
        while len(shared._waiting) < 5:
            threading.Event().wait(0.001)
        decoder.free.set()
        assert [f.result(10) for f in (first, *others)] == [11 * k for k in range(6)]
    return shared


def test_who_waits_is_drawn_in_one_batch() -> None:
    decoder = FakeDecoder()
    shared = drawn_while_held(decoder, ("rgb",))
    assert decoder.rows == [1, 5] and shared.batches == 2


def test_who_wants_planes_is_drawn_apart_from_who_wants_colours() -> None:
    decoder = FakeDecoder()
    drawn_while_held(decoder, ("nv12", "rgb"))
    assert decoder.rows[0] == 1 and sorted(decoder.rows[1:]) == [2, 3]


def test_an_error_reaches_all_of_its_batch_and_none_later() -> None:
    decoder: Any = FakeDecoder()
    portrait = SharedDecoder(decoder).seat(NOTHING, NOTHING, 3)  # type: ignore[arg-type]
    decoder.error = EngineError("the GPU is gone")
    with pytest.raises(EngineError, match="gone"):
        frame(portrait, 1)
    decoder.error = None
    assert frame(portrait, 1) == 31


def test_a_portrait_that_nobody_holds_gives_its_place_back() -> None:
    decoder: Any = FakeDecoder()
    shared = SharedDecoder(decoder)
    kept, gone = (shared.seat(NOTHING, NOTHING, slot) for slot in (1, 2))  # type: ignore[arg-type]
    del gone
    gc.collect()
    assert decoder.removed == [2] and frame(kept, 0) == 10


@needs_networks
def test_an_avatar_is_drawn_by_it(monkeypatch: pytest.MonkeyPatch) -> None:
    networks = Networks.load(refine=False)
    avatar = Avatar.open(PHOTO, networks=networks)
    shared = load_device_decoder(networks.latent, "cpu", refine=False)
    other = Avatar(avatar.portrait, replace(networks, device_decoder=shared))
    latents = np.full(6, 0.02), np.full(len(avatar.portrait.z_dyn), 0.2)
    expected, got = avatar.draw(*latents), other.twin().draw(*latents)
    assert other.on_gpu and not avatar.on_gpu
    assert shared.batches == 1 and np.abs(got.astype(int) - expected).mean() < 0.5
    planes = other.twin().draw_planes(*latents)
    np.testing.assert_array_equal(planes[:512], cv2.cvtColor(got, cv2.COLOR_RGB2YUV_I420)[:512])


@needs_networks
@pytest.mark.parametrize(("device", "there"), [("cuda", True), ("cuda", False), ("cpu", True), ("tensorrt", True)])
def test_it_is_chosen_on_cuda_with_torch_alone(monkeypatch: pytest.MonkeyPatch, device: str, there: bool) -> None:
    monkeypatch.setattr(networks_module, "torch_has_cuda", lambda: there)
    monkeypatch.setattr(networks_module, "load_engine", lambda *given: None)
    monkeypatch.setattr(networks_module, "FaceReader", lambda *given: None)
    monkeypatch.setattr(networks_module.DecoderEngines, "load", lambda device: "engines")
    monkeypatch.setattr(networks_module, "load_device_decoder", lambda latent, refine: "frames")
    loaded, whole = Networks.load(device), device == "cuda" and there
    assert loaded.device_decoder == ("frames" if whole else None)
    assert loaded.decoder == "engines"  # for cut-outs at least


def test_nothing_of_it_is_imported_with_the_library() -> None:
    import subprocess

    code = "import sys, talkinghead.avatar; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
