"""Recipe of the speech encoder: phones and lip curves learned together.

    talkinghead train speech --shared SHARED --cache CACHE --out models/speech

A hundred voices with phone labels, in six languages, synthetic voices with exact phone times, and music and noise in which
nobody speaks teach the trunk to hear speech instead of one microphone (``--phones-only``: nothing else); faces teach what lips
do, by the distance of points, their speed and the opening's concordance. On the voices without a face the lips must shut at p, b,
m, and open at vowels as usual; where nobody speaks they stay shut. Some people are held out of training for choosing.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from talkinghead.motion.latent import LatentModel
from talkinghead.nets.load import filled, read_weights
from talkinghead.nets.speech import SpeechNet, delayed
from talkinghead.speech.encoder import LOOKAHEAD_FRAMES, NECK
from talkinghead.speech.features import BANDS, SUB_FRAMES
from talkinghead.training.export import export_shipped
from talkinghead.training.halves import save_halves
from talkinghead.training.lip_space import LipLoss, lip_modes, rest_gaps
from talkinghead.training.loop import Schedule, train
from talkinghead.training.motion_data import SOURCES, Clip, fingerprint, hold_out, load_clips
from talkinghead.training.motion_report import VOWELS, closure_recall, figures, rows_of, say
from talkinghead.training.offsets import all_in_step
from talkinghead.training.sound_augment import Behind
from talkinghead.training.sound_bank import (
    CLOSED,
    HELD_FILE,
    SILENCE,
    Spoken,
    Stream,
    face_streams,
    kept,
    load_spoken,
    phone_streams,
)
from talkinghead.training.sounds import made_up
from talkinghead.training.synthetic import MBROLA, OWN, synthesise

SEGMENT = 96
FACES = 16
VOICES = {"voices": 12, "synthetic": 4, "diphones": 8, "sounds": 4}
"""Segments a batch, of faces and of each kind of voices without one, or of what is no voice."""
SHARES = {"grid_s1": 0.28, "anchors": 0.60, "hq": 0.12}
_SYNTHETIC_MIN = 150.0
"""Of espeak-ng's own voices, and of its diphones'."""
_SOUNDS_MIN, _BEHIND_MIN = 60.0, 15.0
"""Of made-up sounds in which nobody speaks, and of others behind voices."""
_BEHIND = "behind"
_MODES, _BASIS = "lip_modes", "basis_dyn"
_UNSHUT, _NARROW, _QUIET = 0.5, 1.0, 0.2


def held_voices(spoken: list[Spoken]) -> tuple[list[Spoken], list[Spoken]]:
    """(train, held out) files."""
    return [x for i, x in enumerate(spoken) if i % HELD_FILE], spoken[::HELD_FILE]


def material(
    shared: Path, cache: Path, latent: LatentModel, clips: list[Clip], copies: int, only: str = ""
) -> dict[str, list[list[Stream]]]:
    """Disguised copies of faces and, as there is far more of them, half as many of the voices; cached. ``only``: one kind."""
    who = hashlib.sha256("".join(f"{c.name} {len(c.z_dyn)} {len(c.sound)}\n" for c in clips).encode()).hexdigest()[:12]
    gaps_of = {c.name: rest_gaps(latent, c.z_id) for c in clips}
    names = {"faces": f"faces.{fingerprint(latent)}.{who}", **{kind: kind for kind in VOICES}}
    wanted = [
        (copy, kind, cache / "sound_bank" / f"{name}.{copy}.npz")
        for copy in range(copies)
        for kind, name in names.items()
        if kind == (only or kind) and (kind == "faces" or copy < (copies + 1) // 2)
    ]
    missing = any(not path.exists() for _, _, path in wanted)
    sets = _spoken(shared, cache, {kind for _, kind, _ in wanted}) if missing else {}
    voices, music = ([s.sound[: 10 * 16_000] for s in sets.get(kind, [])] for kind in ("voices", _BEHIND))
    behind = Behind(*(np.concatenate([np.zeros(1), *some]).astype(np.float32) for some in (voices, music)))
    made: dict[str, list[list[Stream]]] = {kind: [] for kind in names}
    for copy, kind, path in wanted:
        rng = np.random.default_rng([copy, len(kind)])
        faces = kind == "faces"
        fresh = face_streams(clips, gaps_of, rng, behind) if faces else phone_streams(sets.get(kind, []), rng, behind)
        made[kind].append(kept(path, fresh))
        print(f"{kind}, copy {copy + 1} of {copies}", flush=True)
    return made


def _spoken(shared: Path, cache: Path, kinds: set[str]) -> dict[str, list[Spoken]]:
    """Recorded voices without a face and music, which all copies need behind them, and synthetic ones of those ``kinds``, made
    first, while little is in memory."""
    casts = {"synthetic": OWN, "diphones": MBROLA}
    made = {kind: synthesise(shared, cache, _SYNTHETIC_MIN, cast=cast) for kind, cast in casts.items() if kind in kinds}
    if "sounds" in kinds:
        made["sounds"] = made_up(_SOUNDS_MIN)
    return {"voices": held_voices(load_spoken(shared))[0], _BEHIND: made_up(_BEHIND_MIN, seed=1), **made}


def batches(bank: dict[str, list[list[Stream]]], rng: np.random.Generator, faces: int = FACES) -> Iterator[dict[str, Tensor]]:
    """Segments without end: so many ``faces`` by `SHARES`, streams by length, disguised copies at random."""
    pools = [{s: [x for x in copy if x.source == s and len(x.rows) > SEGMENT] for s in SHARES} for copy in bank["faces"]]
    names = [s for s in SHARES if pools[0][s]]
    odds = np.array([SHARES[s] for s in names]) / sum(SHARES[s] for s in names)
    while True:
        cut: dict[str, list[np.ndarray]] = {"rows": [], "z": [], "gaps": [], "spoken": [], "phones": []}
        for _ in range(faces):
            x = _drawn(pools[int(rng.integers(len(pools)))][names[rng.choice(len(names), p=odds)]], rng)
            at = _span(len(x.rows), rng)
            for name, values in (("rows", x.rows), ("z", x.z_dyn), ("gaps", x.gaps)):
                assert values is not None
                cut[name].append(values[at])
        for kind, count in VOICES.items():
            for _ in range(count):
                x = _drawn(bank[kind][int(rng.integers(len(bank[kind])))], rng)
                assert x.phones is not None
                at = _span(min(len(x.rows), len(x.phones)), rng)
                cut["spoken"].append(x.rows[at])
                cut["phones"].append(x.phones[at])
        stacked = {k: torch.from_numpy(np.stack(v)) for k, v in cut.items() if v}
        yield {k: v.long() if k == "phones" else v.float() for k, v in stacked.items()}


def _drawn(streams: list[Stream], rng: np.random.Generator) -> Stream:
    """A stream long enough, the longer the likelier."""
    while True:
        x = streams[int(rng.integers(len(streams)))]
        if len(x.rows) > SEGMENT and rng.uniform() < len(x.rows) / 1600:
            return x


def _span(length: int, rng: np.random.Generator) -> slice:
    start = int(rng.integers(0, length - SEGMENT + 1))
    return slice(start, start + SEGMENT)


def masked(rows: Tensor) -> Tensor:
    """Rows (b, n, FEATURES) of another throat, here and there with a stretch of time and a range of bands silenced (SpecAugment,
    Park et al. 2019), so that none is leaned on."""
    rows = _warped(rows)
    count, length = rows.shape[:2]
    for i in range(count):
        low, wide = int(torch.randint(0, BANDS, ())), int(torch.randint(0, 13, ()))
        for window in range(SUB_FRAMES):
            rows[i, :, BANDS * window + low : BANDS * window + min(BANDS, low + wide)] = 0
        start, long = int(torch.randint(0, length, ())), int(torch.randint(0, 7, ()))
        rows[i, start : start + long] = 0
    return rows


def _warped(rows: Tensor) -> Tensor:
    """Bands stretched by up to 7 % and shifted by up to one: a longer or shorter vocal tract."""
    rows, count = rows.clone(), len(rows)
    stretch, shift = 1 + 0.07 * (2 * torch.rand(count, 1) - 1), 2 * torch.rand(count, 1) - 1
    at = (torch.arange(BANDS)[None] * stretch + shift).clamp(0, BANDS - 1.001)
    low = at.long()
    share = (at - low)[:, None].to(rows.device)
    low = low[:, None].expand(-1, rows.shape[1], -1).to(rows.device)
    for window in range(SUB_FRAMES):
        bands = rows[..., BANDS * window : BANDS * (window + 1)]
        rows[..., BANDS * window : BANDS * (window + 1)] = (1 - share) * bands.gather(2, low) + share * bands.gather(2, low + 1)
    return rows


def loss_of(loss: LipLoss, modes: Tensor) -> Any:
    """The training loss: lips of faces, phones, and closures, vowels and silence of voices without a face."""

    def of(net: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        faces = [batch["rows"]] if "rows" in batch else []
        features, phones = net(masked(torch.cat([*faces, batch["spoken"]])))
        made, count = features[..., NECK:].float() @ modes.to(features.device), len(phones) - len(batch["spoken"])
        labels = delayed(batch["phones"])
        heard = F.cross_entropy(phones[count:].float().transpose(1, 2), labels, ignore_index=-1, label_smoothing=0.05)
        if not faces:
            return heard
        closed, opened = (torch.isin(labels, torch.tensor(some, device=labels.device)) for some in (CLOSED, VOWELS))
        real = delayed(batch["z"])
        # Lips that hardly move shut at every p, b and m: voices without a face must open as those with one do.
        spoken = torch.isin(phones[:count].argmax(-1), torch.tensor(VOWELS, device=labels.device))
        usual = (loss.gaps(real) * spoken).sum() / spoken.sum().clamp(min=1)
        still = _UNSHUT * loss.unshut(made[count:], closed) + _NARROW * loss.narrow(made[count:], opened, usual)
        still = still + _QUIET * loss.apart(made[count:], (labels == SILENCE).all(1))
        return loss(made[:count], real, batch["gaps"]) + 1.0 * heard + still

    return of


def features_of(net: nn.Module, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Features (n - LOOKAHEAD_FRAMES, SPEECH_FEATURES), not gated, and phone scores, of rows (n, FEATURES) heard at once."""
    where = next(net.parameters()).device
    with torch.no_grad():
        features, phones = net(torch.from_numpy(np.asarray(rows, np.float32))[None].to(where))
    return features[0, LOOKAHEAD_FRAMES:].float().cpu().numpy(), phones[0, LOOKAHEAD_FRAMES:].float().cpu().numpy()


def save_weights(net: SpeechNet, latent: LatentModel, modes: np.ndarray, path: Path) -> None:
    """Weights as float16, with the lips' modes and the latent's that those count in."""
    save_halves(net, path, {_MODES: torch.from_numpy(modes), _BASIS: torch.from_numpy(latent.basis_dyn)})


def load_weights(path: Path) -> tuple[SpeechNet, np.ndarray, np.ndarray]:
    """The network, the lips' modes (CURVES, D), and the latent's modes (D, 478, 3) of those codes."""
    tensors, told = read_weights(path)
    return filled(SpeechNet(), tensors), told[_MODES].numpy(), told[_BASIS].numpy()


def export(folder: Path) -> None:
    """Write ``speech.onnx`` and ``speech.int8.onnx`` from ``speech.safetensors``."""
    export_shipped(folder / "speech.onnx", int8=True)


def main(argv: list[str]) -> None:
    """Entry point of ``talkinghead train speech``."""
    parser = argparse.ArgumentParser(prog="talkinghead train speech", description=__doc__)
    parser.add_argument("--shared", type=Path, required=True, help="folder with data/")
    parser.add_argument("--cache", type=Path, required=True, help="folder of `talkinghead train track`")
    parser.add_argument("--out", type=Path, default=Path("models/speech"))
    parser.add_argument("--latent", type=Path, default=Path("models/latent/latent.npz"))
    parser.add_argument("--name", default="speech", help="names the checkpoint")
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--rate", type=float, default=1.5e-3, help="top learning rate")
    parser.add_argument("--copies", type=int, default=6)
    parser.add_argument("--init", type=Path, help="weights to go on from, a speech.safetensors")
    parser.add_argument("--phones-only", action="store_true", help="voices alone: the trunk learns to hear")
    parser.add_argument("--fresh-lips", action="store_true", help="lips learn from nothing after another's trunk")
    parser.add_argument("--everyone", action="store_true", help="hold nobody out: when all is chosen")
    parser.add_argument("--as-recorded", action="store_true", help="leave sound and picture as far apart as they are")
    args = parser.parse_args(argv)
    torch.manual_seed(0)
    latent = LatentModel.load(args.latent)
    clips = load_clips(args.shared, args.cache, latent, "train", SOURCES, audible=True)
    chosen, held = hold_out(clips if args.as_recorded else all_in_step(clips, args.cache))
    chosen += held if args.everyone else []
    bank = material(args.shared, args.cache, latent, chosen, args.copies)
    begun = load_weights(args.init) if args.init else None
    some = [c.z_dyn for i, c in enumerate(chosen) if c.source != "grid_s1" or i % 4 == 0]
    modes = begun[1] if begun else lip_modes(latent, np.concatenate(some))
    z_id = np.mean([c.z_id for c in chosen], 0)
    loss = LipLoss(latent, rest_gaps(latent, z_id))
    few = [c for i, c in enumerate(held) if c.source != "anchors" or i % 4 == 0]
    voices = [replace(v, sound=v.sound[: 60 * 16_000]) for v in held_voices(load_spoken(args.shared))[1]]

    def check(net: nn.Module) -> str:
        codes = {c.name: features_of(net, rows_of(c).rows)[0][: len(c.z_dyn), NECK:] @ modes for c in few}
        shut = closure_recall(latent, z_id, voices, lambda speech: features_of(net, speech.rows)[0][:, NECK:] @ modes)
        return f"{say(figures(latent, few, lambda clip: codes[clip.name]))} closures {shut:.2f}"

    schedule = Schedule(args.steps, rate=args.rate, checkpoint_s=180.0)
    feed = batches(bank, np.random.default_rng(0), 0 if args.phones_only else FACES)
    checkpoint = args.cache / "checkpoints" / f"{args.name}.pt"
    start = begun[0] if begun else SpeechNet()
    start.phones.requires_grad_(not begun)  # the neck keeps its coordinates, by which the motion network knows it
    if args.fresh_lips:
        fresh = SpeechNet()
        start.lips, start.curves = fresh.lips, fresh.curves
    net = train(start, feed, loss_of(loss, torch.from_numpy(modes)), schedule, checkpoint, check)
    assert isinstance(net, SpeechNet)
    save_weights(net.cpu(), latent, modes, args.out / "speech.safetensors")
    export(args.out)
    print(f"wrote {args.out / 'speech.safetensors'} and speech.onnx")
