"""The decoder's recipe: the loss falls, its judge learns, figures say what they should, and the export says what torch says."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("safetensors")

from decoder_shards import OFF, write_shard  # noqa: E402

from talkinghead.motion.latent import LatentModel  # noqa: E402
from talkinghead.nets.decoder import PARTS, PatchDecoder  # noqa: E402
from talkinghead.render.refine import KEPT, Refiner, interior_kept  # noqa: E402
from talkinghead.runtime.onnx import BoundOnnxEngine, OnnxEngine  # noqa: E402
from talkinghead.runtime.weights import model_path  # noqa: E402
from talkinghead.training.decoder import (  # noqa: E402
    Features,
    Loss,
    Teacher,
    batches,
    differences,
    export,
    fill,
    load_weights,
    redrawn,
    shown,
    watch,
)
from talkinghead.training.decoder_bank import Bank, Batch, _batch, _row  # noqa: E402
from talkinghead.training.halves import save_halves  # noqa: E402

SMALL = (16, 8, 16, 24)
FACE = model_path("face", "mouth.safetensors").parent


@pytest.fixture(scope="module")
def banks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bank]:
    latent, folder = LatentModel.load(model_path("latent", "latent.npz")), tmp_path_factory.mktemp("pairs")
    write_shard(folder / "hq" / "a.npz", "hq", 1.0, latent.size_dyn)
    write_shard(folder / "hq" / "b.npz", "hq", 2.0, latent.size_dyn, held=True)
    return {part: Bank(folder, part, latent) for part in PARTS}


def learned(net: PatchDecoder, loss: Loss, batch: Batch, steps: int) -> list[float]:
    """The loss of every step."""
    optimiser = torch.optim.Adam(net.parameters(), 3e-3)
    course = []
    for _ in range(steps):
        total = loss(net, batch)
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
        course.append(float(total.detach()))
    return course


@pytest.mark.parametrize("part", PARTS)
def test_the_loss_falls(banks: dict[str, Bank], part: str) -> None:
    torch.manual_seed(0)
    course = learned(PatchDecoder(part, SMALL), Loss(part, FACE, 100), next(batches(banks[part], 3)), 15)
    assert np.isfinite(course).all()
    assert course[-1] < 0.8 * course[0]


def test_a_perfect_picture_has_no_loss(banks: dict[str, Bank]) -> None:
    batch = banks["mouth"].held(4)
    right, loss = Right(batch), Loss("mouth", FACE, 100)
    assert float(loss(right, batch)) == pytest.approx(0, abs=1e-4)
    assert float(loss(PatchDecoder("mouth", SMALL), batch).detach()) > 0.1


def test_the_opening_counts_for_more_and_soft_pairs_for_less(banks: dict[str, Bank]) -> None:
    batch = banks["mouth"].held(1)
    half = batch.patch.shape[3] // 2
    totals = []
    for side in (slice(0, half), slice(half, None)):  # left is covered
        wrong = Right(batch)
        wrong.change[..., side] = 0
        totals.append(float(Loss("mouth", FACE, 100)(wrong, batch)))
    assert totals[0] > 2 * totals[1]
    light = replace(batch, weight=0.5 * batch.weight)
    wrong = Right(batch)
    wrong.change[:] = 0
    assert float(Loss("mouth", FACE, 100)(wrong, light)) < float(Loss("mouth", FACE, 100)(wrong, batch))


def test_a_mouth_is_watched_as_it_will_be_drawn(tmp_path: Path) -> None:
    latent = LatentModel.load(model_path("latent", "latent.npz"))
    for number, width in enumerate((1.0, 1.12, 1.3)):
        write_shard(tmp_path / "hq" / f"{number}.npz", "hq", 1.0 + number, latent.size_dyn, held=number > 0, width=width)
        write_shard(tmp_path / "teeth" / f"{number}.npz", "teeth", 1.0 + number, latent.size_dyn, held=True, width=width)
    batch = Bank(tmp_path, "mouth", latent).held(6)
    assert batch is not None and len(set(batch.kept.flatten().tolist())) == 3
    change = torch.rand(batch.true.shape, generator=torch.Generator().manual_seed(0)) - 0.5
    made = shown(redrawn(Right(batch, change), batch), batch.drawn, batch) - batch.drawn
    for k, (row, code) in enumerate(zip(made, batch.code, strict=True)):
        width = (1.0, 1.12, 1.3)[round(float(code[-3])) - 1]
        wanted = interior_kept(change[k : k + 1].permute(0, 2, 3, 1).numpy(), batch.patch[k : k + 1].numpy(), width)
        np.testing.assert_allclose(row.permute(1, 2, 0).numpy(), wanted[0], atol=1e-6)


def test_an_interior_that_is_kept_does_not_make_the_network_draw_harder(tmp_path: Path) -> None:
    latent = LatentModel.load(model_path("latent", "latent.npz"))
    write_shard(tmp_path / "hq" / "a.npz", "hq", 1.0, latent.size_dyn, width=1.0)
    write_shard(tmp_path / "hq" / "b.npz", "hq", 2.0, latent.size_dyn, width=1.0, held=True)
    batch = Bank(tmp_path, "mouth", latent).held(2)
    assert batch is not None and float(batch.kept.min()) == pytest.approx(KEPT)
    batch = replace(batch, kept=0 * batch.kept + 0.85)
    right = batch.true - batch.drawn
    losses = [float(Loss("mouth", FACE, 100)(Right(batch, gain * right), batch)) for gain in (0.0, 1.0, 2.0)]
    assert losses[1] == pytest.approx(0, abs=1e-4) and min(losses[0], losses[2]) > 0.05
    inside = right * (batch.patch[:, 3:4] > 0)
    hidden = float(Loss("mouth", FACE, 100)(Right(batch, right + inside), batch))
    seen = float(Loss("mouth", FACE, 100)(Right(batch, right + inside), replace(batch, kept=0 * batch.kept)))
    assert 0 < hidden < 0.4 * seen


def test_a_teacher_is_heard_beside_the_truth_and_of_all_that_is_hardly_shown(banks: dict[str, Bank]) -> None:
    batch = banks["mouth"].held(2)
    assert batch is not None
    right, wrong = Right(batch), Right(batch, 0.5 * (batch.true - batch.drawn))
    taught = replace(batch, taught=batch.drawn + 0.5 * (batch.true - batch.drawn), kept=0 * batch.kept + 1)
    losses = {
        name: float(Loss("mouth", FACE, 100, taught=heard)(net, taught))
        for name, net, heard in (("own way", right, False), ("alone", right, True), ("taught", wrong, True))
    }
    assert losses["own way"] == pytest.approx(0, abs=1e-4) and losses["alone"] > 0.05
    inner = Right(batch, wrong.change * (batch.patch[:, 3:4] == 0) + right.change * (batch.patch[:, 3:4] > 0))
    assert float(Loss("mouth", FACE, 100, taught=True)(inner, taught)) > losses["taught"]


@pytest.mark.parametrize("part", PARTS)
def test_networks_teach_what_they_draw(part: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = PatchDecoder(part, SMALL).eval()
    torch.nn.init.normal_(net.painter.out.weight, std=0.1)
    save_halves(net, tmp_path / "decoder" / f"{part}.safetensors")
    export(part, tmp_path / "decoder")
    latent = LatentModel.load(model_path("latent", "latent.npz"))
    write_shard(tmp_path / "pairs" / "hq" / "a.npz", "hq", 1.0, latent.size_dyn)
    bank = Bank(tmp_path / "pairs", part, latent)
    untaught = bank.draw(4)
    assert torch.equal(untaught.taught, untaught.true)
    bank.teach(Teacher(part, tmp_path / "decoder"))
    taught = [pairs for sources in bank._train.values() for pairs in sources]
    for pairs in taught:
        row = _batch([_row(pairs, k) for k in range(len(pairs.code))])
        with torch.no_grad():
            made = redrawn(load_weights(part, tmp_path / "decoder" / f"{part}.safetensors"), row).clamp(0, 1)
        assert (row.taught - made).abs().max() < 0.01 and (row.taught - row.drawn).abs().max() > 0.02


def test_weights_are_taken_as_far_as_they_fit(tmp_path: Path) -> None:
    torch.manual_seed(0)
    narrow, other, wide = (PatchDecoder("eye", widths) for widths in (SMALL, SMALL, (16, 8, 32, 24)))
    save_halves(narrow, tmp_path / "eye.safetensors")
    for net in (other, wide):
        fill(net, tmp_path / "eye.safetensors")
    given = {name: p.half().float() for name, p in narrow.state_dict().items()}
    assert all(torch.allclose(p, given[name], atol=1e-3) for name, p in other.state_dict().items())
    assert torch.allclose(wide.painter.stem.weight, given["painter.stem.weight"], atol=1e-3)
    assert wide.painter.down_4.weight.shape != narrow.painter.down_4.weight.shape


def test_the_judge_comes_late_and_learns(banks: dict[str, Bank]) -> None:
    torch.manual_seed(0)
    loss, net, batch = Loss("eye", FACE, 2), PatchDecoder("eye", SMALL), banks["eye"].draw(4)
    start = [p.detach().clone() for p in loss._judge.parameters()]

    def moved() -> bool:
        return any((a != b).any() for a, b in zip(start, loss._judge.parameters(), strict=True))

    learned(net, loss, batch, 2)
    assert not moved()
    course = learned(net, loss, batch, 3)
    assert moved() and np.isfinite(course).all() and loss.step == 5


def test_a_training_that_goes_on_keeps_its_judge_waiting_no_longer(banks: dict[str, Bank]) -> None:
    loss = Loss("eye", FACE, 2, step=7)
    before = next(iter(loss._judge.parameters())).detach().clone()
    learned(PatchDecoder("eye", SMALL), loss, banks["eye"].draw(2), 1)
    assert (next(iter(loss._judge.parameters())) != before).any()


@pytest.mark.parametrize("part", PARTS)
def test_features_are_of_the_shipped_network_and_frozen(part: str) -> None:
    from safetensors.torch import load_file

    features = Features(part, FACE)
    features.train()
    assert not features.training and not any(p.requires_grad for p in features.parameters())
    stored = load_file(str(FACE / f"{part}.safetensors"))["trunk.0.0.weight"].float()
    assert torch.equal(next(features.near.parameters()), stored)
    torch.manual_seed(0)
    width_px, height_px, _ = PARTS[part]
    patch = torch.rand(2, 3, height_px, width_px, requires_grad=True)
    near, far = features(patch)
    size_px = features.size_px
    assert near.shape[2:] == (size_px[1] // 4, size_px[0] // 4) and far.shape[2:] == (size_px[1] // 8, size_px[0] // 8)
    far.sum().backward()
    assert patch.grad is not None and patch.grad.abs().sum() > 0


def test_differences_see_edges_both_ways() -> None:
    picture = torch.arange(12.0).reshape(1, 1, 3, 4)
    across, down = differences(picture)
    assert across.shape == (1, 1, 3, 3) and (across == 1).all()
    assert down.shape == (1, 1, 2, 4) and (down == 4).all()


class Right(torch.nn.Module):
    """Knows the answer, or gives always this one."""

    def __init__(self, batch: Batch, change: torch.Tensor | None = None) -> None:
        super().__init__()
        self.change = batch.true - batch.drawn if change is None else change

    def forward(self, *_: torch.Tensor) -> torch.Tensor:
        return self.change


def test_figures_tell_nothing_done_from_all_done(banks: dict[str, Bank]) -> None:
    bank = banks["mouth"]
    check, batch = watch(bank), bank.held(192)
    found = [re.fullmatch(r"hq L1 ([\d.]+) ([\d.]+) sharp ([\d.]+) \(([\d.]+)\);", check(net)) for net in
             (PatchDecoder("mouth", SMALL), Right(batch))]  # fmt: skip
    nothing, everything = ([float(x) for x in match.groups()] for match in found if match is not None)
    assert nothing[0] == pytest.approx(0.9 * OFF, abs=1.5)  # the mean of the three colours
    assert nothing[1] == 1 and nothing[2] == nothing[3]
    assert everything[:2] == [0, 0] and everything[2] == 1


@pytest.mark.parametrize("part", PARTS)
def test_saved_loaded_and_exported_is_the_same_network(part: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = PatchDecoder(part, SMALL).eval()
    for name, parameter in net.named_parameters():  # what starts at nought
        if "out." in name or "film.2" in name or "second" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    save_halves(net, tmp_path / "decoder" / f"{part}.safetensors")
    loaded = load_weights(part, tmp_path / "decoder" / f"{part}.safetensors")
    assert loaded.widths == SMALL and not loaded.training
    export(part, tmp_path / "decoder")
    appearance, painter = (OnnxEngine(tmp_path / "decoder" / f"{part}{kind}.onnx") for kind in ("_appearance", ""))
    width_px, height_px, _ = PARTS[part]
    for count in (1, 3):
        photo, patch = torch.rand(2, count, 5, height_px, width_px)
        code = torch.randn(count, net.examples()[1][1].shape[1])
        with torch.no_grad():
            change, true = loaded(photo, patch, code), net(photo, patch, code)
        found = Refiner(appearance, painter, photo.numpy()).change(patch.numpy(), code.numpy())
        np.testing.assert_allclose(found, change.numpy().transpose(0, 2, 3, 1), atol=2e-3)
        assert (change - true).abs().max() < 0.01 * true.abs().max()
        assert true.abs().max() > 0.1


@pytest.mark.parametrize("part", PARTS)
def test_int8_stays_in_bytes_and_floats_come_back_from_it(part: str, banks: dict[str, Bank], tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = PatchDecoder(part, SMALL).eval()
    for name, parameter in net.named_parameters():
        if "out." in name or "film.2" in name or "second" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    path = tmp_path / "decoder" / f"{part}.onnx"
    save_halves(net, path.with_suffix(".safetensors"))
    batch = banks[part].draw(4)
    export(part, path.parent, batch)
    graph = onnx.load(str(path)).graph
    makers = {name: node.op_type for node in graph.node for name in node.output}
    rounded = [makers[node.input[0]] for node in graph.node if node.op_type == "QuantizeLinear" and node.input[0] in makers]
    assert rounded.count("Conv") >= 10 and "Relu" not in rounded
    loaded = load_weights(part, path.with_suffix(".safetensors"))
    with torch.no_grad():
        pyramid = loaded.appearance(batch.photo)
        true = loaded.painter(batch.patch, batch.code, *pyramid).numpy()
    given = dict(zip(("patch", "code", "v4", "v8"), (x.numpy() for x in (batch.patch, batch.code, *pyramid)), strict=True))
    for engine, share in ((OnnxEngine(path), 0.1), (BoundOnnxEngine(path, "cpu"), 0.05)):
        assert np.abs(engine.run(**given)["change"] - true).max() <= share * np.abs(true).max() > 0
