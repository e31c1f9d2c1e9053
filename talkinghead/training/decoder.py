"""Recipe of the decoder's networks: what the warp drew wrong round mouth and eyes is learned from the pictures that are right.

    talkinghead train decoder --shared SHARED --cache CACHE --part mouth|eye

Losses: weighted L1 (more inside lips and lids), L1 of the picture's differences, and the distance in the features of our own
landmark network of the same part; late, a patch discriminator with the hinge loss (Isola et al. 2017; Lim and Ye 2017). With a
teacher, larger networks trained before, also L1 and differences to what that draws (Hinton et al. 2015): all of a mouth, the
interior too that is hardly shown in speech.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from talkinghead.motion.latent import LatentModel
from talkinghead.nets.decoder import PARTS, PatchDecoder
from talkinghead.nets.face import PatchRefiner
from talkinghead.nets.load import filled_decoder, load_net, read_weights
from talkinghead.render.refine import RIM_PX
from talkinghead.runtime.onnx import OnnxEngine
from talkinghead.training.decoder_bank import Bank, Batch
from talkinghead.training.export import export_shipped
from talkinghead.training.halves import save_halves
from talkinghead.training.loop import Schedule, device, train

BATCH = {"mouth": 16, "eye": 32}
_INSIDE, _FLESH = 2.5, 1.0
"""More weight of the opening, and of lips or iris."""
_EDGES, _FEATURES, _FOOLED = 1.0, 0.25, 0.04
_TAUGHT = 1.0
"""Of the teacher's word beside the truth's."""
_WATCHED = 192
_CALIBRATION = 128
"""Training pairs by whose ranges the networks are made int8."""


def differences(x: Tensor) -> list[Tensor]:
    """Finite differences across and down of (n, c, h, w)."""
    return [x[..., 1:] - x[..., :-1], x[..., 1:, :] - x[..., :-1, :]]


def redrawn(net: nn.Module, batch: Batch) -> Tensor:
    """What a part's networks make of a batch (n, 3, h, w)."""
    made: Tensor = batch.drawn + net(batch.photo, batch.patch, batch.code)
    return made


def shown(made: Tensor, kept: Tensor, batch: Batch) -> Tensor:
    """Of what was made (n, 3, h, w) that which will be shown: of a mouth's interior as much gives way to ``kept`` (n, 3, h, w) as
    `interior_kept` keeps."""
    share = batch.kept * F.max_pool2d(batch.patch[:, 3:4], RIM_PX, 1, RIM_PX // 2)
    return made + (kept - made) * share


class Features(nn.Module):
    """The first layers of our landmark network of the part, frozen: patch (n, 3, h, w) in 0..1 -> two feature maps."""

    def __init__(self, part: str, face: Path) -> None:
        super().__init__()
        tensors = {k: v.float() for k, v in load_file(str(face / f"{part}.safetensors")).items()}
        self.size_px = {"mouth": (96, 72), "eye": (64, 48)}[part]
        net = PatchRefiner(len(tensors["points.bias"]) // 2, self.size_px)
        net.load_state_dict(tensors, strict=False)
        self.near, self.far = net.trunk[:3].eval(), net.trunk[3:5].eval()
        self.requires_grad_(False)

    def train(self, mode: bool = True) -> Features:
        """Always in inference mode: its norms are not to move."""
        return super().train(False)

    def forward(self, patch: Tensor) -> tuple[Tensor, Tensor]:
        spare = (patch.shape[2] - patch.shape[3] * self.size_px[1] // self.size_px[0]) // 2
        small = F.interpolate(patch[:, :, spare : patch.shape[2] - spare], size=self.size_px[::-1], mode="bilinear")
        near = self.near(small - 0.5)
        return near, self.far(near)


class Discriminator(nn.Sequential):
    """(n, 3, h, w) -> how real each region looks, (n, 1, h/8, w/8)."""

    def __init__(self, width: int = 24) -> None:
        layers: list[nn.Module] = []
        for inputs, outputs in ((3, width), (width, 2 * width), (2 * width, 3 * width)):
            layers += [nn.utils.parametrizations.spectral_norm(nn.Conv2d(inputs, outputs, 4, 2, 1)), nn.LeakyReLU(0.2)]
        super().__init__(*layers, nn.utils.parametrizations.spectral_norm(nn.Conv2d(3 * width, 1, 3, 1, 1)))


class Loss:
    """The training loss. The discriminator has its own optimiser, and begins anew when a training resumes."""

    def __init__(self, part: str, face: Path, adversarial_after: int, step: int = 0, taught: bool = False) -> None:
        self._features, self._after, self.step, self._taught = Features(part, face), adversarial_after, step, taught
        self._judge = Discriminator().to(device())
        self._features.to(device())
        self._optimiser = torch.optim.Adam(self._judge.parameters(), 2e-4, betas=(0.5, 0.9))

    def __call__(self, net: nn.Module, batch: Batch) -> Tensor:
        """Loss of a batch."""
        batch = batch.to(device())
        # What will not be seen teaches nothing: not to draw it well, nor to draw it harder so that the rest of it suffices.
        whole = redrawn(net, batch).float()
        made = shown(whole, batch.true, batch)
        weight = (1 + _INSIDE * batch.patch[:, 3:4] + _FLESH * batch.patch[:, 4:5]) * batch.weight
        off = _apart(made, batch.true, weight, batch.weight)
        if self._taught:
            off = off + _TAUGHT * _apart(whole, batch.taught, weight, batch.weight)
        seen = torch.stack([(a - b).abs().mean() for a, b in zip(self._features(made), self._features(batch.true), strict=True)])
        total = off + _FEATURES * seen.sum()
        self.step += 1
        if self.step <= self._after:
            return total
        sharp = batch.sharp
        if int(sharp.sum()) < 2:
            return total
        real, fake = batch.true[sharp], made[sharp]
        self._teach(real, fake.detach())
        return total - _FOOLED * self._judge(fake * 2 - 1).float().mean()

    def _teach(self, real: Tensor, fake: Tensor) -> None:
        loss = F.relu(1 - self._judge(real * 2 - 1)).float().mean() + F.relu(1 + self._judge(fake * 2 - 1)).float().mean()
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self._optimiser.step()


def _apart(made: Tensor, true: Tensor, weight: Tensor, of_pair: Tensor) -> Tensor:
    """L1 of pictures (n, 3, h, w) by weights (n, 1, h, w), and of their differences by those of the pairs (n, 1, 1, 1)."""
    edges = torch.stack([(a - b).abs().mean((1, 2, 3)) for a, b in zip(differences(made), differences(true), strict=True)])
    return ((made - true).abs() * weight).mean() + _EDGES * (edges.sum(0) * of_pair.flatten()).mean()


class Teacher:
    """Larger networks of a part, as ONNX files in a folder: their make does not matter, V_app is handed on as it is."""

    def __init__(self, part: str, folder: Path) -> None:
        self._appearance, self._painter = (OnnxEngine(folder / f"{name}.onnx") for name in (f"{part}_appearance", part))

    def __call__(self, photo: np.ndarray, patch: np.ndarray, code: np.ndarray) -> np.ndarray:
        """Change (n, h, w, 3), 1 being white, to patches (n, c, h, w) of photos (n, c, h, w)."""
        given = self._appearance.run(photo=photo)
        return self._painter.run(patch=patch, code=code, **given)["change"].transpose(0, 2, 3, 1)


def watch(bank: Bank) -> Callable[[nn.Module], str]:
    """Figures on people held out: L1 against the warp's, and sharpness against the real one's, the warp's in brackets."""
    batch = bank.held(_WATCHED)

    def check(net: nn.Module) -> str:
        if batch is None:
            return "nobody held out"
        with torch.no_grad():
            at = batch.to(device())
            made = shown(redrawn(net, at), at.drawn, at).clamp(0, 1).float().cpu()
        inside = (batch.patch[:, 3:4] + batch.patch[:, 4:5]).clamp(0, 1)
        words = []
        for kind in sorted(set(batch.kinds)):
            of = torch.tensor([k == kind for k in batch.kinds])
            box = F.max_pool2d(inside[of], 17, 1, 8)
            off, warp = ((((x - batch.true).abs()[of] * box).sum() / box.sum()).item() for x in (made, batch.drawn))
            sharp, before, real = ((_detail(x[of]) * box).sum((1, 2, 3)) for x in (made, batch.drawn, batch.true))
            ratio, was = ((x / real).log().mean().exp().item() for x in (sharp, before))
            words.append(f"{kind} L1 {255 * off / 3:.2f} {off / warp:.2f} sharp {ratio:.2f} ({was:.2f});")
        return " ".join(words)

    return check


def _detail(x: Tensor) -> Tensor:
    grey = x.mean(1, keepdim=True)
    kernel = torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]])[None, None]
    return F.conv2d(grey, kernel, padding=1).square()


def load_weights(part: str, path: Path) -> PatchDecoder:
    """A part's networks; their widths are read from the file."""
    return filled_decoder(part, read_weights(path)[0])


def fill(net: nn.Module, path: Path) -> None:
    """Take those weights of a safetensors file whose names and sizes are the network's."""
    own = net.state_dict()
    net.load_state_dict({k: v for k, v in read_weights(path)[0].items() if k in own and v.shape == own[k].shape}, strict=False)


def export(part: str, folder: Path, batch: Batch | None = None) -> None:
    """Write ``{part}_appearance.onnx`` and ``{part}.onnx`` from ``{part}.safetensors``. By a batch's ranges the painter, which
    runs every frame, is made int8; without it stays float32."""
    export_shipped(folder / f"{part}_appearance.onnx")
    painter = folder / f"{part}.onnx"
    net, names = load_weights(part, painter.with_suffix(".safetensors")), load_net(painter).inputs
    rows = None if batch is None else [dict(zip(names, row, strict=True)) for row in _rows(net, batch)]
    export_shipped(painter, calibration=rows)


def _rows(net: PatchDecoder, batch: Batch) -> Iterator[list[np.ndarray]]:
    """The painter's inputs, a row of a batch at a time."""
    with torch.no_grad():
        pyramid = net.appearance(batch.photo)
    for i in range(len(batch.code)):
        yield [x[i : i + 1].numpy() for x in (batch.patch, batch.code, *pyramid)]


def batches(bank: Bank, count: int) -> Iterator[Batch]:
    """Batches without end."""
    while True:
        yield bank.draw(count)


def main(argv: list[str]) -> None:
    """Entry point of ``talkinghead train decoder``."""
    parser = argparse.ArgumentParser(prog="talkinghead train decoder", description=__doc__)
    parser.add_argument("--shared", type=Path, help="not needed: all is in the cache")
    parser.add_argument("--cache", type=Path, required=True, help="folder of `talkinghead train decoder_data`")
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--part", choices=tuple(PARTS), required=True)
    parser.add_argument(
        "--widths",
        type=int,
        nargs=4,
        metavar="W",
        help="of the appearance at 1/2 of the patch, of the painter at 1/2, 1/4 and 1/8: wider draws better and costs more",
    )
    parser.add_argument("--teacher", type=Path, metavar="FOLDER", help="learn from the networks there too, e.g. wider ones")
    parser.add_argument("--name", help="names the checkpoint")
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--rate", type=float, default=1.5e-3, help="top learning rate")
    parser.add_argument("--init", type=Path, help="weights to begin with, as far as they fit: a safetensors file")
    parser.add_argument("--adversarial-after", type=int, default=4000, help="step at which the discriminator begins")
    args = parser.parse_args(argv)
    torch.manual_seed(0)
    latent = LatentModel.load(args.models / "latent" / "latent.npz")
    bank = Bank(args.cache / "decoder", args.part, latent)
    print(bank.told(), flush=True)
    checkpoint = args.cache / "checkpoints" / f"{args.name or 'decoder_' + args.part}.pt"
    begun: dict[str, Any] = torch.load(checkpoint, weights_only=True) if checkpoint.exists() else {"step": 0}
    loss = Loss(args.part, args.models / "face", args.adversarial_after, int(begun["step"]), args.teacher is not None)
    schedule = Schedule(args.steps, rate=args.rate, checkpoint_s=150.0)
    begun_with = PatchDecoder(args.part, args.widths and tuple(args.widths))
    if args.init is not None:
        fill(begun_with, args.init)
    if args.teacher is not None:
        bank.teach(Teacher(args.part, args.teacher))
    net = train(begun_with, batches(bank, BATCH[args.part]), loss, schedule, checkpoint, watch(bank))
    assert isinstance(net, PatchDecoder)
    folder = args.models / "decoder"
    save_halves(net.cpu(), folder / f"{args.part}.safetensors")
    export(args.part, folder, bank.draw(_CALIBRATION))
    print(f"wrote {args.part}.safetensors, {args.part}_appearance.onnx and {args.part}.onnx in {folder}")
