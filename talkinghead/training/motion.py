"""Recipe of motion v1's lips: speech features to facial dynamics, learned with phones on a shared trunk.

    talkinghead train motion --shared SHARED --cache CACHE --out models/motion

Faces teach what lips do, by the distance of points, their speed, and the opening's concordance (which, unlike a squared error,
does not let the opening shrink when the sound leaves doubt). A hundred voices with phone labels teach the trunk to hear speech
instead of one microphone; on them the lips must also shut at p, b and m. Some people are held out of training for choosing.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from talkinghead.motion.latent import BROWS, EYES, LIPS, LatentModel
from talkinghead.motion.lips import LOOKAHEAD_FRAMES
from talkinghead.nets.motion import SpeechToFace, delayed
from talkinghead.speech.features import BANDS, SUB_FRAMES
from talkinghead.training.loop import Schedule, train
from talkinghead.training.motion_bank import CLOSED, Stream, face_streams, kept, load_spoken, phone_streams
from talkinghead.training.motion_data import Clip, fingerprint, load_clips
from talkinghead.training.motion_export import export, save_weights
from talkinghead.training.motion_report import figures, rows_of, say

SEGMENT = 96
FACES, VOICES = 16, 12
"""Segments a batch."""
SHARES = {"grid_s1": 0.25, "anchors": 0.5, "hq": 0.25}
_PAIRS = ((13, 14), (82, 87), (312, 317), (81, 178), (311, 402))
LIP_GAIN = 1.15
"""Held-out people of the sharp clips open half as wide without it, the others as wide as they should: between the two."""
_HELD_PEOPLE = {"anchors": 3, "hq": 3}
_HELD_CLIPS = 40
_LIP_WEIGHT, _FACE_WEIGHT, _EYE_WEIGHT = 1.0, 0.15, 0.03
_UNIT_FH = 0.01
_SHUT_FH = 0.006


def hold_out(clips: list[Clip], seed: int = 5) -> tuple[list[Clip], list[Clip]]:
    """(train, held out): whole people of anchors and hq, clips of the one GRID speaker."""
    rng = np.random.default_rng(seed)
    people: set[tuple[str, str]] = set()
    for source, count in _HELD_PEOPLE.items():
        names = sorted({c.identity for c in clips if c.source == source})
        people |= {(source, str(n)) for n in rng.choice(names, min(count, len(names) - 1), replace=False)}
    grid = sorted(c.name for c in clips if c.source == "grid_s1")
    some = {str(n) for n in rng.choice(grid, min(_HELD_CLIPS, len(grid) // 4), replace=False)} if grid else set()
    held = [c for c in clips if (c.source, c.identity) in people or c.name in some]
    chosen = {c.name for c in held}
    return [c for c in clips if c.name not in chosen], held


def rest_gaps(latent: LatentModel, z_id: np.ndarray) -> np.ndarray:
    """Vectors (15,) between the lips of a person at rest, face heights."""
    neutral = latent.mean + np.tensordot(z_id, latent.basis_id, 1)
    return np.concatenate([neutral[a] - neutral[b] for a, b in _PAIRS])


class FaceLoss(nn.Module):
    """Distances in point space. All faces in units of a hundredth of a face height."""

    metric: Tensor
    gap: Tensor
    typical: Tensor

    def __init__(self, latent: LatentModel, typical_gaps: np.ndarray) -> None:
        super().__init__()
        weight = np.full(len(latent.mean), _FACE_WEIGHT / 478)
        weight[[*EYES, *BROWS]] = _EYE_WEIGHT / 100
        weight[list(LIPS)] = _LIP_WEIGHT / len(LIPS)
        basis = latent.basis_dyn.astype(np.float64)
        square = np.einsum("apc,bpc,p->ab", basis, basis, weight) / _UNIT_FH**2
        self.register_buffer("metric", torch.tensor(np.linalg.cholesky(square + 1e-6 * np.eye(len(square))), dtype=torch.float32))
        gap = np.concatenate([basis[:, a] - basis[:, b] for a, b in _PAIRS], 1)
        self.register_buffer("gap", torch.tensor(gap, dtype=torch.float32))
        self.register_buffer("typical", torch.tensor(typical_gaps, dtype=torch.float32))

    def opening(self, z: Tensor, rest: Tensor) -> Tensor:
        """Inner-lip opening (b, n), hundredths of a face height."""
        apart = (rest + z @ self.gap).unflatten(-1, (5, 3))
        return (apart.square().sum(-1) + 1e-8).sqrt().mean(-1) / _UNIT_FH

    def forward(self, made: Tensor, real: Tensor, rest: Tensor) -> Tensor:
        off = (made - real) @ self.metric
        point = off.square().sum(-1).add(0.05).sqrt()
        speed = (off[:, 1:] - off[:, :-1]).square().sum(-1).add(0.01).sqrt()
        a, b = self.opening(made, rest), self.opening(real, rest)
        shut = 1 + 2 * (b < 0.25 * b.amax(1, keepdim=True))
        aperture = ((a - b).abs() * shut).mean()
        return point.mean() + 1.0 * speed.mean() + 0.3 * aperture + 1.0 * (1 - concordance(a, b)).mean()

    def shut(self, made: Tensor, closed: Tensor) -> Tensor:
        """How far lips stand open where they must be shut: made (b, n, D), closed (b, n) bool."""
        open_ = self.opening(made, self.typical.expand(*made.shape[:2], -1))
        return (F.relu(open_ - _SHUT_FH / _UNIT_FH) * closed).sum() / (closed.sum() + 1)


def concordance(a: Tensor, b: Tensor) -> Tensor:
    """Lin's concordance (b,) of curves (b, n): 1 when equal in shape, gain and mean."""
    da, db = a - a.mean(1, keepdim=True), b - b.mean(1, keepdim=True)
    spread = da.square().mean(1) + db.square().mean(1) + (a.mean(1) - b.mean(1)).square()
    return 2 * (da * db).mean(1) / (spread + 0.05)


def batches(copies: list[tuple[list[Stream], list[Stream]]], rng: np.random.Generator) -> Iterator[dict[str, Tensor]]:
    """Segments without end: sources by `SHARES`, streams by length, disguised copies at random."""
    pools = [{s: [x for x in faces if x.source == s and len(x.rows) > SEGMENT] for s in SHARES} for faces, _ in copies]
    voices = [[x for x in spoken if len(x.rows) > SEGMENT] for _, spoken in copies if spoken]
    names = [s for s in SHARES if pools[0][s]]
    odds = np.array([SHARES[s] for s in names]) / sum(SHARES[s] for s in names)
    lengths = [{s: np.array([len(x.rows) for x in pool[s]], float) for s in names} for pool in pools]
    while True:
        cut: dict[str, list[np.ndarray]] = {"rows": [], "z": [], "gaps": [], "spoken": [], "phones": []}
        for _ in range(FACES):
            copy, source = int(rng.integers(len(pools))), names[rng.choice(len(names), p=odds)]
            weight = lengths[copy][source]
            x = pools[copy][source][rng.choice(len(weight), p=weight / weight.sum())]
            at = slice(start := int(rng.integers(0, len(x.rows) - SEGMENT + 1)), start + SEGMENT)
            assert x.z_dyn is not None and x.gaps is not None
            for name, values in (("rows", x.rows), ("z", x.z_dyn), ("gaps", x.gaps)):
                cut[name].append(values[at])
        for _ in range(VOICES):
            pool = voices[int(rng.integers(len(voices)))]
            x = pool[int(rng.integers(len(pool)))]
            start = int(rng.integers(0, min(len(x.rows), len(x.phones)) - SEGMENT + 1))  # type: ignore[arg-type]
            cut["spoken"].append(x.rows[start : start + SEGMENT])
            cut["phones"].append(x.phones[start : start + SEGMENT])  # type: ignore[index]
        stacked = {k: torch.from_numpy(np.stack(v)) for k, v in cut.items()}
        yield {k: v.long() if k == "phones" else v.float() for k, v in stacked.items()}


def masked(rows: Tensor) -> Tensor:
    """Rows (b, n, FEATURES) with a stretch of time and a range of bands silenced here and there, so that none is leaned on."""
    rows = rows.clone()
    count, length = rows.shape[:2]
    for i in range(count):
        low, wide = int(torch.randint(0, BANDS, ())), int(torch.randint(0, 13, ()))
        for window in range(SUB_FRAMES):
            rows[i, :, BANDS * window + low : BANDS * window + min(BANDS, low + wide)] = 0
        start, long = int(torch.randint(0, length, ())), int(torch.randint(0, 7, ()))
        rows[i, start : start + long] = 0
    return rows


def loss_of(loss: FaceLoss) -> Any:
    """The training loss: faces, phones, and closure of voices without a face."""

    def of(net: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        made, phones = net(masked(torch.cat([batch["rows"], batch["spoken"]])))
        made, count = made.float(), len(batch["rows"])
        labels = delayed(batch["phones"])
        heard = F.cross_entropy(phones[count:].float().transpose(1, 2), labels, ignore_index=-1, label_smoothing=0.05)
        face = loss(made[:count], delayed(batch["z"]), batch["gaps"])
        closed = torch.isin(labels, torch.tensor(CLOSED))
        middle = closed & torch.roll(closed, 1, 1) & torch.roll(closed, -1, 1)
        return face + 1.0 * heard + 0.15 * loss.shut(made[count:], middle)

    return of


def predict(net: nn.Module, clips: list[Clip]) -> dict[str, np.ndarray]:
    """z_dyn (n, D) of clips by name, from whole sounds."""
    codes = {}
    with torch.no_grad():
        for clip in clips:
            z = net(torch.from_numpy(rows_of(clip).rows)[None])[0][0].numpy()
            codes[clip.name] = z[LOOKAHEAD_FRAMES:][: len(clip.z_dyn)]
    return codes


def material(
    shared: Path, cache: Path, latent: LatentModel, clips: list[Clip], copies: int
) -> list[tuple[list[Stream], list[Stream]]]:
    """Disguised copies of faces and, as there is far more of them, half as many of the voices; cached."""
    gaps_of = {c.name: rest_gaps(latent, c.z_id) for c in clips}
    spoken = None
    made = []
    for copy in range(copies):
        paths = [cache / "motion_bank" / f"{kind}.{copy}.npz" for kind in (f"faces.{fingerprint(latent)}", "voices")]
        if spoken is None and not (paths[0].exists() and (paths[1].exists() or copy >= (copies + 1) // 2)):
            spoken = load_spoken(shared)
        spoken_now = spoken or []
        rng = np.random.default_rng(100 + copy)
        babble = np.concatenate([np.zeros(1), *(s.sound[: 10 * 16_000] for s in spoken_now)]).astype(np.float32)
        faces = kept(paths[0], face_streams(clips, gaps_of, rng, babble))
        made.append((faces, kept(paths[1], phone_streams(spoken_now, rng, babble)) if copy < (copies + 1) // 2 else []))
        print(f"copy {copy + 1} of {copies}: {len(faces)} face streams, {len(made[-1][1])} voice streams", flush=True)
    return made


def main(argv: list[str]) -> None:
    """Entry point of ``talkinghead train motion``."""
    parser = argparse.ArgumentParser(prog="talkinghead train motion", description=__doc__)
    parser.add_argument("--shared", type=Path, required=True, help="folder with data/")
    parser.add_argument("--cache", type=Path, required=True, help="folder of `talkinghead train track`")
    parser.add_argument("--out", type=Path, default=Path("models/motion"))
    parser.add_argument("--latent", type=Path, default=Path("models/latent/latent.npz"))
    parser.add_argument("--name", default="motion", help="names the checkpoint")
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--copies", type=int, default=5)
    args = parser.parse_args(argv)
    torch.manual_seed(0)
    latent = LatentModel.load(args.latent)
    chosen, held = hold_out(load_clips(args.shared, args.cache, latent, "train", SHARES, audible=True))
    copies = material(args.shared, args.cache, latent, chosen, args.copies)
    loss = FaceLoss(latent, np.mean([rest_gaps(latent, c.z_id) for c in chosen], 0))
    few = [c for i, c in enumerate(held) if c.source != "anchors" or i % 4 == 0]

    def check(net: nn.Module) -> str:
        codes = predict(net, few)
        return say(figures(latent, few, lambda clip: codes[clip.name]))

    schedule = Schedule(args.steps, rate=1.5e-3)
    feed = batches(copies, np.random.default_rng(0))
    net = train(SpeechToFace(), feed, loss_of(loss), schedule, args.cache / "checkpoints" / f"{args.name}.pt", check)
    assert isinstance(net, SpeechToFace)
    with torch.no_grad():
        net.leave.weight *= LIP_GAIN
        if net.leave.bias is not None:
            net.leave.bias *= LIP_GAIN
    save_weights(net.cpu(), latent, args.out / "lips.safetensors")
    export(args.out, latent)
    print(f"wrote {args.out / 'lips.safetensors'} and lips.onnx")
