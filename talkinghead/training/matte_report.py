"""How well person and wall are told apart: people whose matte is known, before walls that are not theirs.

    talkinghead train matte_report --shared SHARED [--split test|held] [--count 100]

People are those whom colours alone cut out surely (`render.person.trusted`), so that their matte and own colours are known; walls
are those of everybody else. ``held``: the people of ``train`` who did not teach. Figures are means over pictures, per cent of the
picture: how far the matte is off, what is surely the person's and was left on the wall (it would stay behind), what is surely the
wall's and was taken along.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from talkinghead.constants import SIZE_PX
from talkinghead.errors import PortraitError
from talkinghead.motion.latent import LatentModel
from talkinghead.portrait.load import load_photo
from talkinghead.portrait.portrait import FaceReader
from talkinghead.render.body import with_body
from talkinghead.render.matte import cut_head
from talkinghead.render.matting import load_matting, person_matte
from talkinghead.runtime.weights import model_path
from talkinghead.training.matte import moved, random_place
from talkinghead.training.matte_data import held, parted
from talkinghead.training.track import read_tsv

_SURE = 0.9


@dataclass(frozen=True)
class Scene:
    """A picture (512, 512, 3) uint8 with its face's points (478, 3) px and its true matte (512, 512) float32."""

    picture: np.ndarray
    points: np.ndarray
    alpha: np.ndarray


def scenes(stills: Path, split: str, count: int) -> Iterator[Scene]:
    """People of a split before walls of others, the same every time."""
    reader = FaceReader(LatentModel.load(model_path("latent", "latent.npz")))
    people, walls = [], []
    for row in read_tsv(stills / "stills.tsv"):
        if row["split"] != ("train" if split == "held" else split) or (split == "held" and not held(row["identity"])):
            continue
        try:
            portrait = reader.read(load_photo(stills / row["file"]))
        except PortraitError:
            continue
        parts = parted(portrait.face, portrait.points)
        if parts is None:
            continue
        if parts.colours is not None:
            people.append((portrait.points, parts.alpha, parts.colours))
        else:
            walls.append(parts.wall)
    if not people or not walls:
        raise SystemExit(f"no people or no walls among the stills of {split}")
    rng = np.random.default_rng(0)
    for k in range(count):
        points, alpha, colours = people[k % len(people)]
        wall = moved(walls[rng.integers(len(walls))], random_place(rng, SIZE_PX, 1.0, 1.6, 0.3, 8.0), mirror=True)
        picture = wall + (colours.astype(np.float32) - wall) * alpha[..., None]
        yield Scene(np.round(picture).astype(np.uint8), points, alpha)


def figures(found: np.ndarray, true: np.ndarray) -> tuple[float, float, float]:
    """Off, left behind, taken along, per cent."""
    person, wall = true > _SURE, true < 1 - _SURE
    behind, along = person & (found < 1 - _SURE), wall & (found > _SURE)
    return 100 * float(np.abs(found - true).mean()), 100 * float(behind.mean()), 100 * float(along.mean())


def report(some: Iterator[Scene], ways: dict[str, Callable[[Scene], np.ndarray]]) -> dict[str, np.ndarray]:
    """Mean figures (3,) of each way to find a matte."""
    rows: dict[str, list[tuple[float, float, float]]] = {name: [] for name in ways}
    for scene in some:
        for name, way in ways.items():
            rows[name].append(figures(way(scene), scene.alpha))
    return {name: np.mean(row, axis=0) for name, row in rows.items()}


def by_colours(scene: Scene) -> np.ndarray:
    """The matte without the network."""
    matte = cut_head(scene.picture, scene.points)
    return with_body(scene.picture, matte.alpha, scene.points[:, :2]) if matte.confidence > 0 else matte.alpha


def main(argv: list[str]) -> None:
    """Entry point of ``talkinghead train matte_report``."""
    parser = argparse.ArgumentParser(prog="talkinghead train matte_report", description=__doc__)
    parser.add_argument("--shared", type=Path, required=True)
    parser.add_argument("--cache", type=Path, help="not needed")
    parser.add_argument("--split", choices=("test", "held"), default="test")
    parser.add_argument("--count", type=int, default=100)
    args = parser.parse_args(argv)
    network = load_matting()
    ways = {"colours": by_colours, "network and colours": lambda s: person_matte(network, s.picture, s.points).alpha}
    print(f"| {args.split}, {args.count} pictures | off % | left behind % | taken along % |\n|---|---|---|---|")
    for name, row in report(scenes(args.shared / "data" / "stills", args.split, args.count), ways).items():
        print(f"| {name} | {row[0]:.2f} | {row[1]:.2f} | {row[2]:.2f} |")
