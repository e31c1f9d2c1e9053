"""Training of the speech encoder: masks that leave loudness and voice alone, batches, weights read back, the export."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("safetensors")

from talkinghead.motion.latent import LatentModel  # noqa: E402
from talkinghead.nets.speech import SpeechNet  # noqa: E402
from talkinghead.runtime.onnx import OnnxEngine  # noqa: E402
from talkinghead.runtime.weights import model_path  # noqa: E402
from talkinghead.speech.encoder import CURVES, LOOKAHEAD_FRAMES, NECK, SPEECH_FEATURES, SpeechEncoder  # noqa: E402
from talkinghead.speech.features import BANDS, FEATURES, SUB_FRAMES, SpeechFrames  # noqa: E402
from talkinghead.training.lip_space import LipLoss, lip_modes, rest_gaps  # noqa: E402
from talkinghead.training.sound_bank import SILENCE, Spoken, Stream  # noqa: E402
from talkinghead.training.speech import (  # noqa: E402
    FACES,
    SEGMENT,
    VOICES,
    _warped,
    batches,
    export,
    features_of,
    held_voices,
    load_weights,
    loss_of,
    masked,
    save_weights,
)

MEL = BANDS * SUB_FRAMES
"""Columns of bands; behind them loudness and voice."""
SPOKEN = sum(VOICES.values())


@pytest.fixture(scope="module")
def latent() -> LatentModel:
    return LatentModel.load(model_path("latent", "latent.npz"))


@pytest.fixture(scope="module")
def net() -> SpeechNet:
    torch.manual_seed(0)
    return SpeechNet().eval()


def streams(latent: LatentModel, count: int = 3, frames: int = 700) -> dict[str, list[list[Stream]]]:
    rng = np.random.default_rng(0)

    def rows() -> np.ndarray:
        return rng.random((frames, FEATURES)).astype(np.float16)

    def face(source: str) -> Stream:
        z = rng.standard_normal((frames, latent.size_dyn)).astype(np.float16)
        return Stream(source, rows(), z, np.zeros((frames, 6)), np.zeros((frames, 15), np.float16), np.array([0]))

    def voice() -> Stream:
        x = rows()
        return Stream("speech", x, phones=(x[:, 0] * 38).astype(np.int8))  # read off the first band

    faces = [face(s) for s in ("grid_s1", "anchors", "hq") for _ in range(count)]
    alone = {kind: [[voice()]] for kind in VOICES if kind != "voices"}
    return {"faces": [faces], "voices": [[voice() for _ in range(count)]], **alone}


def test_another_throat_moves_bands_a_little_and_nothing_else() -> None:
    torch.manual_seed(0)
    bell = torch.exp(-0.5 * ((torch.arange(BANDS) - 20.0) / 3) ** 2)
    rows = torch.cat([bell, bell, torch.rand(2)]).expand(64, 7, -1).clone()
    before = rows.clone()
    made = _warped(rows)
    assert made.shape == rows.shape and torch.equal(rows, before)
    assert torch.equal(made[..., MEL:], rows[..., MEL:])
    torch.testing.assert_close(made[..., :BANDS], made[..., BANDS:MEL])  # both windows alike
    peak = made[:, 0, :BANDS].argmax(1).float()
    assert 17 <= peak.min() < 20 < peak.max() <= 23
    assert made.min() >= 0 and made.max() <= 1


def test_a_level_spectrum_stays_level() -> None:
    rows = torch.full((8, 5, FEATURES), 1.5)
    torch.testing.assert_close(_warped(rows), rows)


def test_masks_silence_a_stretch_and_a_range_alone() -> None:
    torch.manual_seed(0)
    rows = torch.full((64, 90, FEATURES), 1.0)
    made = masked(rows)
    assert made.shape == rows.shape and (rows == 1).all()
    hidden = made == 0
    torch.testing.assert_close(made[~hidden], torch.ones_like(made[~hidden]))
    for one in hidden:
        stretch = one.all(1)
        assert stretch.sum() <= 6 and stretch.int().diff().abs().sum() <= 2
        bands = one[~stretch].all(0)
        assert (one[~stretch] == bands).all()
        assert not bands[MEL:].any()  # loudness and voice
        assert torch.equal(bands[:BANDS], bands[BANDS:MEL]) and bands[:BANDS].sum() <= 12
    assert hidden[..., 0].any() and hidden.any(2).all(1).any()


def test_batches_hold_faces_and_voices(latent: LatentModel) -> None:
    batch = next(batches(streams(latent), np.random.default_rng(0)))
    assert batch["rows"].shape == (FACES, SEGMENT, FEATURES)
    assert batch["z"].shape == (FACES, SEGMENT, latent.size_dyn) and batch["gaps"].shape == (FACES, SEGMENT, 15)
    assert batch["spoken"].shape == (SPOKEN, SEGMENT, FEATURES)
    assert batch["phones"].shape == (SPOKEN, SEGMENT) and batch["phones"].dtype == torch.int64
    off = (batch["spoken"][..., 0] * 38 - batch["phones"]).abs()
    assert off.max() < 1.1  # phones are those of their rows


def test_without_faces_phones_alone_are_taught(latent: LatentModel) -> None:
    batch = next(batches(streams(latent), np.random.default_rng(0), faces=0))
    assert set(batch) == {"spoken", "phones"}
    batch["phones"] %= 40
    fresh, loss = SpeechNet(), LipLoss(latent, rest_gaps(latent, np.zeros(latent.size_id)))
    loss_of(loss, torch.eye(latent.size_dyn)[:CURVES])(fresh, batch).backward()
    assert fresh.trunk[0].wide.weight.grad is not None and float(fresh.trunk[0].wide.weight.grad.abs().max()) > 0
    assert all(p.grad is None for p in (*fresh.lips.parameters(), *fresh.curves.parameters()))


def test_the_loss_is_less_for_who_knows(latent: LatentModel) -> None:
    batch = next(batches(streams(latent), np.random.default_rng(0)))
    batch["phones"] %= 40
    modes = torch.eye(latent.size_dyn)[:CURVES]
    batch["z"] = 0.5 * torch.randn(FACES, SEGMENT, CURVES) @ modes
    of = loss_of(LipLoss(latent, rest_gaps(latent, np.zeros(latent.size_id))), modes)

    class Knowing(torch.nn.Module):
        def __init__(self, delay: int, knows: float) -> None:
            super().__init__()
            self.delay, self.knows = delay, knows

        def forward(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            curves = torch.cat([batch["z"][..., :CURVES], torch.zeros(SPOKEN, SEGMENT, CURVES)])
            said = torch.nn.functional.one_hot(batch["phones"], 40).float()
            scores = 8 * torch.cat([torch.zeros(FACES, SEGMENT, 40), said])
            curves, scores = (torch.roll(self.knows * x, self.delay, 1) for x in (curves, scores))
            return torch.cat([torch.zeros(len(rows), SEGMENT, NECK), curves], 2), scores

    in_time, too_early, silent = (float(of(Knowing(*how), batch)) for how in ((LOOKAHEAD_FRAMES, 1.0), (0, 1.0), (0, 0.0)))
    assert in_time < 0.7 * min(too_early, silent)


def test_lips_that_move_where_nobody_speaks_cost_something(latent: LatentModel) -> None:
    batch = next(batches(streams(latent), np.random.default_rng(0)))
    batch["phones"] = torch.where(torch.arange(SPOKEN)[:, None] < 4, SILENCE, 1 + batch["phones"] % 39)
    loss = LipLoss(latent, rest_gaps(latent, np.zeros(latent.size_id)))
    modes = torch.from_numpy(lip_modes(latent, np.random.default_rng(0).standard_normal((400, latent.size_dyn))))

    def cost(quiet: float) -> float:
        curves = torch.zeros(FACES + SPOKEN, SEGMENT, CURVES)
        curves[FACES : FACES + 4, ::2, 0] = quiet
        features = torch.cat([torch.zeros(FACES + SPOKEN, SEGMENT, NECK), curves], 2)
        return float(loss_of(loss, modes)(lambda rows: (features, torch.zeros(len(rows), SEGMENT, 40)), batch))

    assert max(cost(3.0), cost(-3.0)) > cost(0.0) + 0.01


def test_some_voices_are_held_out() -> None:
    spoken = [Spoken(str(k), np.zeros(0), np.zeros(1), np.zeros(1, np.int8)) for k in range(60)]
    train, held = held_voices(spoken)
    assert len(train) + len(held) == 60 and 2 <= len(held) <= 6
    assert not {s.speaker for s in train} & {s.speaker for s in held}


def test_features_are_for_the_frames_they_tell_of(net: SpeechNet) -> None:
    rows = np.random.default_rng(0).random((30, FEATURES)).astype(np.float16)
    features, phones = features_of(net, rows)
    assert features.shape == (30 - LOOKAHEAD_FRAMES, SPEECH_FEATURES) and phones.shape == (30 - LOOKAHEAD_FRAMES, 40)
    with torch.no_grad():
        whole, _ = net(torch.from_numpy(rows.astype(np.float32))[None])
    np.testing.assert_allclose(features, whole[0, LOOKAHEAD_FRAMES:], atol=1e-6)


def test_weights_are_read_back_and_the_export_is_that_network(net: SpeechNet, latent: LatentModel, tmp_path: Path) -> None:
    modes = np.random.default_rng(0).standard_normal((CURVES, latent.size_dyn)).astype(np.float32)
    save_weights(net, latent, modes, tmp_path / "speech" / "speech.safetensors")
    again, same_modes, basis = load_weights(tmp_path / "speech" / "speech.safetensors")
    np.testing.assert_allclose(same_modes, modes, atol=2e-3)
    np.testing.assert_allclose(basis, latent.basis_dyn, atol=1e-4)
    rng = np.random.default_rng(0)
    rows = 2 * rng.random((100, FEATURES)).astype(np.float32)
    rows[:, -1] = 1
    expected, _ = features_of(net, rows)
    np.testing.assert_allclose(features_of(again, rows)[0], expected, atol=0.02)
    export(tmp_path / "speech")
    for name, tolerance in (("speech.onnx", 0.03), ("speech.int8.onnx", 0.06)):
        encoder = SpeechEncoder(OnnxEngine(tmp_path / "speech" / name))
        parts = [encoder.push_rows(SpeechFrames(rows[k : k + 9], rows[k : k + 9, -1])) for k in range(0, 100, 9)]
        streamed, gate = (np.concatenate([getattr(p, name) for p in parts]) for name in ("features", "gate"))
        np.testing.assert_allclose(streamed, gate[:, None] * expected, atol=tolerance)
