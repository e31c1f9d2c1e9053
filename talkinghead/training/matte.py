"""Recipe of the matting network: people who stood before plain walls, laid over other people's busy ones.

    talkinghead train matte --cache CACHE [--models models]

Cross-entropy with soft targets, L1, and L1 of the matte's differences, which keeps edges crisp.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from talkinghead.ahead import ahead
from talkinghead.constants import MATTE_PX
from talkinghead.nets.load import filled, read_weights
from talkinghead.nets.matte import MatteNet
from talkinghead.training.decoder import differences
from talkinghead.training.export import export_onnx
from talkinghead.training.halves import save_halves
from talkinghead.training.loop import Schedule, device, train

BATCH = 8
_OWN_WALL = 0.2
"""Share of the pictures that are photos as they were taken."""
_DYED = 0.4
_OTHERS = 0.15
"""Share of the walls with another person in them."""
_WALL_TRIES = 6
_ABSOLUTE, _EDGES = 2.0, 1.0
_WATCHED = 96
_EDGE = (0.05, 0.95)


@dataclass(frozen=True)
class _Person:
    colours: np.ndarray
    alpha: np.ndarray
    face: np.ndarray
    photo: np.ndarray


class Scenes:
    """People and walls of `training.matte_data`; makes pictures of them."""

    def __init__(self, folder: Path, held: bool) -> None:
        self.people: list[_Person] = []
        self.walls: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        for path in sorted(folder.glob("*.npz")):
            with np.load(path) as layers:
                if bool(layers["held"]) != held:
                    continue
                self.walls.append((layers["wall"], layers["known"], layers["photo"]))
                if "alpha" in layers:
                    self.people.append(_Person(*(layers[name] for name in ("person", "alpha", "face", "photo"))))
        if len(self.people) < 2:
            raise SystemExit(f"no people in {folder}: run `talkinghead train matte_data` first")

    def picture(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """A picture with its face (4, s, s) and its matte (1, s, s), float32 in 0..1."""
        person = self.people[rng.integers(len(self.people))]
        place = random_place(rng)
        alpha, face = (moved(layer, place) / np.float32(255) for layer in (person.alpha, person.face))
        if rng.random() < _OWN_WALL:
            picture = moved(person.photo, place).astype(np.float32) / 255
        else:
            alpha = np.minimum(cv2.GaussianBlur(alpha, (0, 0), rng.uniform(0.05, 0.7)), 1.0)
            front, behind = _lit(moved(person.colours, place), rng), _lit(self._wall(rng), rng)
            if rng.random() < _DYED:  # hair, hats and clothes of other colours
                colour = np.exp(rng.normal(0, 0.4, 3)).astype(np.float32)
                front = front * (face[..., None] + (1 - face[..., None]) * colour)
            if rng.random() < 0.3:
                behind = np.asarray(cv2.GaussianBlur(behind, (0, 0), rng.uniform(0.2, 3.0)))
            picture = behind + (front - behind) * alpha[..., None]
        picture = _taken(picture, rng)
        layers = np.dstack([picture, face, alpha])
        if rng.random() < 0.5:
            layers = layers[:, ::-1]
        layers = np.ascontiguousarray(layers.transpose(2, 0, 1), np.float32)
        return layers[:4], layers[4:]

    def _wall(self, rng: np.random.Generator) -> np.ndarray:
        """A part of a wall (s, s, 3) uint8, of several tried that which is seen most rather than filled in."""
        wall, known, photo = self.walls[rng.integers(len(self.walls))]
        if rng.random() < _OTHERS:  # somebody else stands there
            return moved(photo, random_place(rng, MATTE_PX, 0.8, 1.6, 0.6, 10.0), mirror=True)
        places = [random_place(rng, MATTE_PX, 1.0, 2.4, 0.5, 15.0) for _ in range(_WALL_TRIES)]
        seen = [moved(known[::4, ::4], place * np.array([[1, 1, 0.25]] * 2)).mean() for place in places]
        return moved(wall, places[int(np.argmax(seen))], mirror=True)


def random_place(
    rng: np.random.Generator,
    size_px: int = MATTE_PX,
    least: float = 0.9,
    most: float = 1.15,
    away: float = 0.06,
    turn_deg: float = 7.0,
) -> np.ndarray:
    """A random map (2, 3) of a square's plane: scaled and turned about its middle, shifted by so much of its side."""
    scale, turn = np.exp(rng.uniform(np.log(least), np.log(most))), rng.uniform(-turn_deg, turn_deg)
    middle = (size_px - 1) / 2
    out = np.array(cv2.getRotationMatrix2D((middle, middle), turn, scale), np.float64)
    out[:, 2] += rng.uniform(-away, away, 2) * size_px
    return out


def moved(layer: np.ndarray, place: np.ndarray, mirror: bool = False) -> np.ndarray:
    """A square layer (s, s, ...) under a map of its plane; beyond its border it is mirrored, or the border goes on."""
    border = cv2.BORDER_REFLECT_101 if mirror else cv2.BORDER_REPLICATE
    return np.asarray(cv2.warpAffine(layer, place, layer.shape[1::-1], flags=cv2.INTER_LINEAR, borderMode=border))


def _lit(layer: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Under another light: brightness, contrast and colour (h, w, 3) float32 0..1."""
    gain = np.exp(rng.normal(0, 0.2)) * np.exp(rng.normal(0, 0.06, (1, 1, 3)))
    curve = np.linspace(0, 1, 256)[:, None, None] ** np.exp(rng.normal(0, 0.25)) * gain
    return np.asarray(cv2.LUT(layer, curve.astype(np.float32)))


def _taken(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """As a camera and a codec leave it."""
    if rng.random() < 0.25:
        picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.2, 1.2))
    if rng.random() < 0.08:
        picture = np.repeat(picture.mean(axis=2, keepdims=True), 3, axis=2)
    noise = rng.standard_normal(picture.shape, np.float32) * np.float32(255 * rng.uniform(0, 0.02))
    picture = np.clip(picture * np.float32(255 * np.exp(rng.normal(0, 0.15))) + noise, 0, 255).astype(np.uint8)
    if rng.random() < 0.5:
        _, coded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(40, 95))])
        picture = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR))
    return np.asarray(picture.astype(np.float32) / 255)


def batches(scenes: Scenes, count: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Pictures (n, 4, s, s) and mattes (n, 1, s, s) without end."""
    rng = np.random.default_rng(seed)
    while True:
        rows = [scenes.picture(rng) for _ in range(count)]
        yield torch.from_numpy(np.stack([row[0] for row in rows])), torch.from_numpy(np.stack([row[1] for row in rows]))


def loss(net: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    """Of a batch."""
    given, true = (x.to(device()) for x in batch)
    logit = net(given).float()
    found = torch.sigmoid(logit)
    edges = sum((a - b).abs().mean() for a, b in zip(differences(found), differences(true), strict=True))
    return F.binary_cross_entropy_with_logits(logit, true) + _ABSOLUTE * (found - true).abs().mean() + _EDGES * edges


def watch(scenes: Scenes) -> Callable[[nn.Module], str]:
    """Mean error of the matte, per cent, of people held out before walls held out: of all, and where an edge is or is found."""
    given, true = next(batches(scenes, _WATCHED, 0))

    def check(net: nn.Module) -> str:
        with torch.no_grad():
            found = torch.cat([torch.sigmoid(net(part.to(device())).float()).cpu() for part in given.split(BATCH)])
        off = (found - true).abs()
        edge = F.max_pool2d(((true > _EDGE[0]) & (true < _EDGE[1])).float(), 9, 1, 4) > 0
        return f"off {100 * off.mean():.2f} % edge {100 * off[edge].mean():.1f} %"

    return check


def export(net: MatteNet, folder: Path) -> None:
    """Write ``matte.onnx``. Weights for torch are not shipped: the network runs once a portrait, on the processor everywhere."""
    export_onnx(net.eval(), net.example(), ["picture"], ["logit"], folder / "matte.onnx")


def main(argv: list[str]) -> None:
    """Entry point of ``talkinghead train matte``."""
    parser = argparse.ArgumentParser(prog="talkinghead train matte", description=__doc__)
    parser.add_argument("--shared", type=Path, help="not needed: all is in the cache")
    parser.add_argument("--cache", type=Path, required=True, help="folder of `talkinghead train matte_data`")
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--steps", type=int, default=2600)
    parser.add_argument("--rate", type=float, default=2e-3, help="top learning rate")
    parser.add_argument("--init", type=Path, help="weights to go on from, a matte.safetensors of the cache")
    parser.add_argument("--name", default="matte", help="names the checkpoint")
    args = parser.parse_args(argv)
    folder = args.cache / "matte"
    net = MatteNet()
    if args.init:
        net.load_state_dict(read_weights(args.init)[0])
    scenes, held = Scenes(folder, held=False), Scenes(folder, held=True)
    print(f"{len(scenes.people)} people, {len(scenes.walls)} walls; held out {len(held.people)}, {len(held.walls)}", flush=True)
    schedule = Schedule(args.steps, args.rate)
    mean = train(net, ahead(batches(scenes, BATCH, 1), 4), loss, schedule, args.cache / f"{args.name}.pt", watch(held))
    weights = args.cache / f"{args.name}.safetensors"
    save_halves(mean, weights)
    export(filled(MatteNet(), read_weights(weights)[0]), args.models / "matte")
    print(f"wrote {args.models / 'matte' / 'matte.onnx'}")
