"""Batches of the decoder's pairs, augmented: `training.decoder_data` made them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from talkinghead.motion.latent import LatentModel
from talkinghead.render.refine import code_mirror, share_kept

SHARES = {
    "mouth": {"hq": 0.36, "teeth": 0.15, "returned": 0.25, "london": 0.16, "grid_s1": 0.05, "avatar": 0.03},
    "eye": {"hq": 0.56, "returned": 0.20, "london": 0.16, "grid_s1": 0.08},
}
"""Share of a batch by kind of pair. Teeth are stills whose eyes did not move; avatars' eyes shine as no eye does."""
_SOFT_WEIGHT = 0.6
_SOFT = ("grid_s1",)
_GREY, _BLURRED = 0.08, 0.22
_SHIFT_PX = 2
"""Patches lie at whole pixels, so that a face that moves slowly jumps in them by one: that must not be seen in what is drawn."""
_TAUGHT_AT_ONCE = 12
_STORED = ("drawn", "true", "cover", "photo", "photo_cover")


@dataclass(frozen=True)
class Batch:
    """photo, patch (n, 5, h, w); drawn, true (n, 3, h, w), 0..1; code (n, c); weight (n, 1, 1, 1); kept (n, 1, 1, 1), the share
    of the opening that stays as it is drawn; sharp (n,) bool; kinds of pair; taught (n, 3, h, w), what a teacher makes of it, the
    true picture where there is none."""

    photo: Tensor
    patch: Tensor
    true: Tensor
    code: Tensor
    weight: Tensor
    kept: Tensor
    sharp: Tensor
    kinds: tuple[str, ...]
    taught: Tensor

    def to(self, where: torch.device) -> Batch:
        """The same on a device."""
        pictures = self.photo.to(where), self.patch.to(where), self.true.to(where)
        numbers = self.code.to(where), self.weight.to(where), self.kept.to(where), self.sharp.to(where)
        return Batch(*pictures, *numbers, self.kinds, self.taught.to(where))

    @property
    def drawn(self) -> Tensor:
        """The warp's patch."""
        return self.patch[:, :3]


@dataclass(frozen=True)
class _Pairs:
    """drawn, true (n, h, w, 3), cover (n, 2, h, w), photo (p, h, w, 3), photo_cover (p, 2, h, w), all uint8; code (n, c);
    portrait (n,); taught like true."""

    kind: str
    drawn: np.ndarray
    true: np.ndarray
    cover: np.ndarray
    photo: np.ndarray
    photo_cover: np.ndarray
    code: np.ndarray
    kept: np.ndarray
    portrait: np.ndarray
    taught: np.ndarray | None = None


class Bank:
    """All pairs of a part in memory."""

    def __init__(self, folder: Path, part: str, latent: LatentModel, seed: int = 0) -> None:
        """part: "mouth" or "eye"; of the eyes each is a pair of its own, the mirrored one with its code mirrored."""
        self._mirror = code_mirror(latent)
        self._rng = np.random.default_rng(seed)
        self._flips = part == "mouth"  # eyes are all turned one way already
        self._train: dict[str, list[_Pairs]] = {}
        self._held: list[_Pairs] = []
        for kind in SHARES[part]:
            for path in sorted((folder / kind).glob("*.npz")):
                with np.load(path) as data:
                    if "code" not in data:
                        continue
                    if "width" not in data:
                        raise SystemExit(f"{path} is of an older kind: remove {folder} and run `talkinghead train decoder_data`")
                    made = self._pairs(data, part, kind)
                    if bool(data["held"]):
                        self._held += made
                    else:
                        self._train.setdefault(kind, []).extend(made)
        self._shares = {kind: share for kind, share in SHARES[part].items() if kind in self._train}
        if not self._shares:
            raise SystemExit(f"no pairs in {folder}: run `talkinghead train decoder_data` first")
        # Sources with many pairs come oftener, though not as much oftener as they have more.
        self._odds = {k: _normed(np.sqrt([len(p.code) for p in v])) for k, v in self._train.items()}

    def _pairs(self, data: dict[str, np.ndarray], part: str, kind: str) -> list[_Pairs]:
        drawn, true, cover, photo, photo_cover = (data[f"{part}_{name}"] for name in _STORED)
        code, portrait, made = data["code"].astype(np.float32), data["portrait"], []
        kept = np.asarray(share_kept(data["width"]), np.float32) if part == "mouth" else np.zeros(len(code), np.float32)
        for side in range(drawn.shape[1]):
            seen = code @ self._mirror if side else code
            pictures = (drawn[:, side], true[:, side], cover[:, side], photo[:, side], photo_cover[:, side])
            made.append(_Pairs(kind, *pictures, seen, kept, portrait))
        return made

    def told(self) -> str:
        """What there is, in a line."""
        counts = {k: sum(len(p.code) for p in v) for k, v in self._train.items()}
        return f"pairs {counts}, held out {sum(len(p.code) for p in self._held)}"

    def teach(self, teacher: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]) -> None:
        """Have a teacher redraw all pairs for training: photo and patch (n, CHANNELS, h, w) float32 in 0..1 and code (n, c) ->
        change (n, h, w, 3)."""
        for kind, sources in self._train.items():
            for i, pairs in enumerate(sources):
                count, changes = len(pairs.code), []
                for start in range(0, count, _TAUGHT_AT_ONCE):
                    batch = _batch([_row(pairs, k) for k in range(start, min(start + _TAUGHT_AT_ONCE, count))])
                    changes.append(teacher(batch.photo.numpy(), batch.patch.numpy(), batch.code.numpy()))
                made = pairs.drawn + 255 * np.concatenate(changes)
                sources[i] = replace(pairs, taught=np.clip(np.rint(made), 0, 255).astype(np.uint8))
            print(f"{kind}: taught", flush=True)

    def draw(self, count: int) -> Batch:
        """A batch for training, augmented."""
        kinds, odds = list(self._shares), _normed(list(self._shares.values()))
        rows = []
        for _ in range(count):
            kind = kinds[int(self._rng.choice(len(kinds), p=odds))]
            source = self._train[kind][int(self._rng.choice(len(self._odds[kind]), p=self._odds[kind]))]
            rows.append(self._disguised(_row(source, int(self._rng.integers(len(source.code))))))
        return _batch(rows)

    def held(self, count: int) -> Batch | None:
        """Pairs of people held out, as they are, alike many of each source; None when nobody was."""
        if not self._held:
            return None
        rng = np.random.default_rng(1)
        each = max(1, count // len(self._held))
        rows = [_row(p, int(i)) for p in self._held for i in rng.permutation(len(p.code))[: each if p.kind != "hq" else 8 * each]]
        return _batch(rows)

    def _disguised(self, row: _Row) -> _Row:
        rng, pictures, covers, code = self._rng, list(row.pictures), list(row.covers), row.code
        if self._flips and rng.uniform() < 0.5:
            pictures, covers, code = [p[:, ::-1] for p in pictures], [c[:, :, ::-1] for c in covers], code @ self._mirror
        down, aside = (int(k) for k in rng.integers(-_SHIFT_PX, _SHIFT_PX + 1, 2))
        pictures[1:] = [_shifted(p, down, aside) for p in pictures[1:]]  # the photo's own patch stays where it is
        covers[1] = _shifted(covers[1].transpose(1, 2, 0), down, aside).transpose(2, 0, 1)
        if rng.uniform() < _BLURRED:  # a soft photo: what is drawn sharp is to become as soft
            sigma = float(rng.uniform(0.5, 1.6))
            for i in (0, *range(2, len(pictures))):
                pictures[i] = cv2.GaussianBlur(np.ascontiguousarray(pictures[i]), (0, 0), sigma)
            if rng.uniform() < 0.7:
                pictures[1] = cv2.GaussianBlur(np.ascontiguousarray(pictures[1]), (0, 0), sigma * float(rng.uniform(0.6, 1)))
        grey, gain, gamma = rng.uniform() < _GREY, rng.uniform(0.85, 1.12, 3) * rng.uniform(0.7, 1.15), rng.uniform(0.8, 1.25)
        table = np.clip(255 * gain[None] * (np.arange(256)[:, None] / 255) ** gamma, 0, 255).astype(np.uint8)
        pictures = [cv2.LUT(np.ascontiguousarray(p), table[:, None]) for p in pictures]
        if grey:
            pictures = [np.repeat(cv2.cvtColor(p, cv2.COLOR_RGB2GRAY)[..., None], 3, 2) for p in pictures]
        return _Row(row.kind, tuple(pictures), tuple(covers), code, row.kept)


@dataclass(frozen=True)
class _Row:
    """pictures: photo, drawn, true, taught; covers: the photo's and the driven ones."""

    kind: str
    pictures: tuple[np.ndarray, ...]
    covers: tuple[np.ndarray, ...]
    code: np.ndarray
    kept: float


def _row(source: _Pairs, at: int) -> _Row:
    who = source.portrait[at]
    taught = source.true if source.taught is None else source.taught
    pictures = (source.photo[who], source.drawn[at], source.true[at], taught[at])
    return _Row(source.kind, pictures, (source.photo_cover[who], source.cover[at]), source.code[at], float(source.kept[at]))


def _shifted(picture: np.ndarray, down: int, aside: int) -> np.ndarray:
    """(h, w, c) moved by whole pixels, its border repeated."""
    rows, columns = (np.clip(np.arange(n) - by, 0, n - 1) for n, by in zip(picture.shape, (down, aside), strict=False))
    return picture[rows[:, None], columns[None]]


def _batch(rows: list[_Row]) -> Batch:
    def tensor(values: list[np.ndarray]) -> Tensor:
        return torch.from_numpy(np.stack(values)).float() / 255

    pictures = [tensor([r.pictures[i].transpose(2, 0, 1) for r in rows]) for i in range(4)]
    covers = [tensor([r.covers[i] for r in rows]) for i in range(2)]
    soft = torch.tensor([r.kind in _SOFT for r in rows])
    return Batch(
        torch.cat([pictures[0], covers[0]], 1),
        torch.cat([pictures[1], covers[1]], 1),
        pictures[2],
        torch.from_numpy(np.stack([r.code for r in rows])).float(),
        torch.where(soft, _SOFT_WEIGHT, 1.0)[:, None, None, None],
        torch.tensor([r.kept for r in rows])[:, None, None, None],
        ~soft,
        tuple(r.kind for r in rows),
        pictures[3],
    )


def _normed(values: np.ndarray | list[float]) -> np.ndarray:
    array = np.asarray(values, np.float64)
    return array / array.sum()
