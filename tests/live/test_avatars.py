"""A server on a GPU: its sessions share batches, whoever fails ends alone, and nothing stays of those that have ended."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("onnxruntime")
pytest.importorskip("aiortc")
pytest.importorskip("prometheus_client")

from live.test_metrics import values
from shipped import needs_networks
from sounds import babble

from talkinghead.live import avatars as avatars_module
from talkinghead.live.admission import measure
from talkinghead.live.avatars import AvatarSource
from talkinghead.live.codecs import H264Encoder, VideoSettings
from talkinghead.live.metrics import Metrics
from talkinghead.live.session import LiveSession
from talkinghead.networks import Networks, load_device_decoder
from talkinghead.offline.watermark import find_mark
from talkinghead.runtime.onnx import OnnxEngine
from talkinghead.runtime.weights import model_path

pytestmark = needs_networks
PATIENCE_S = 30.0
PHOTO = Path(__file__).parents[2] / "examples" / "data" / "portrait.jpg"


class Breakable(OnnxEngine):
    """Refuses sessions that carry NaN."""

    def run(self, **inputs: Any) -> dict[str, np.ndarray]:
        made = super().run(**inputs)
        if any(np.isnan(value).any() for value in made.values()):
            raise FloatingPointError("one of these rows is broken")
        return made


@pytest.fixture
def on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """The float files, on the CPU, as if it were a GPU."""
    speech, motion = (Breakable(model_path(name, f"{name}.onnx")) for name in ("speech", "motion"))
    networks = replace(Networks.load(), speech=speech, motion=motion)
    monkeypatch.setattr(avatars_module.Networks, "load", lambda device: networks)
    monkeypatch.setattr(avatars_module, "choose_device", lambda device: "cuda")


def until(true: Callable[[], bool]) -> None:
    limit_s = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < limit_s
        time.sleep(0.01)


def test_sessions_of_a_gpu_share_batches_and_end_without_a_trace(on_a_gpu: None, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "talkinghead.live.session")  # a record would hold what the failed session held
    metrics = Metrics()
    source = AvatarSource(PHOTO, "cuda", metrics.observe_batch)
    source.load()
    speech, motion, _, _ = source._networks.batchers
    sessions = [LiveSession(source.open(None), seed=k) for k in range(3)]
    assert (speech.sessions, motion.sessions) == (3, 3)
    for session in sessions:
        session.start()
        session.push_audio(babble(1.0))
    until(lambda: all("wait_ms" in session.stats() and session.stats()["fps"] > 0 for session in sessions))
    faulty = sessions.pop()
    faulty._session._generator._denoiser.last[:] = np.nan
    until(lambda: faulty.closed)
    assert isinstance(faulty.failure, FloatingPointError)
    until(lambda: speech.sessions == 2)
    for session in sessions:
        outlet = session.subscribe()
        assert outlet.get(PATIENCE_S) is not None and session.failure is None and not session.closed
        session.close()
    faulty.close()
    assert (speech.sessions, motion.sessions, speech.held, motion.held) == (0, 0, 0, 0)
    told = values(metrics)
    for network in ("speech", "motion", "mouth", "eye"):
        batches = told[f"talkinghead_batch_rows_count{{network={network}}}"]
        assert batches > 0 and told[f"talkinghead_batch_seconds_count{{network={network}}}"] == batches
        assert told[f"talkinghead_batch_wait_seconds_count{{network={network}}}"] >= batches
    source.close()


def test_a_call_drawn_on_a_gpu_gets_marked_planes(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("safetensors")
    networks = Networks.load(refine=False)
    networks = replace(networks, device_decoder=load_device_decoder(networks.latent, "cpu", refine=False))
    monkeypatch.setattr(avatars_module.Networks, "load", lambda device: networks)
    source = AvatarSource(PHOTO)
    source.load()
    avatar = source.open(None)
    shown = []
    with LiveSession(avatar) as session:
        outlet = session.subscribe()
        while len(shown) < 3:
            live = outlet.get(PATIENCE_S)
            assert live is not None
            if live.image is not None:
                assert live.image.shape == (768, 512) and live.image.dtype == np.uint8
                shown.append(cv2.cvtColor(live.image, cv2.COLOR_YUV2RGB_NV12))
    assert find_mark(shown).marked
    assert cv2.PSNR(shown[0], avatar.portrait.face) > 25
    assert measure(source.sample(), H264Encoder(VideoSettings())).encode_ms > 0


def test_on_the_cpu_each_session_runs_by_itself() -> None:
    source = AvatarSource(None)
    assert source._networks.batchers == ()
    assert not source.prepare()
    source.close()
