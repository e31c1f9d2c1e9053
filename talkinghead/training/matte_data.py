"""People and walls for the matting network: stills of ``train`` in layers.

    talkinghead train matte_data --shared SHARED --cache CACHE [--workers 2]

Of each still the person is cut out by colours (`render.matte.cut_head`). Before a plain wall that is sure, and the person's own
colours are known beyond the edge: these teach, laid over other people's walls. Before a busy one it is not, and only the wall
is taken. One ``.npz`` a still lies in CACHE/matte.
"""

from __future__ import annotations

import argparse
import zlib
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from talkinghead.constants import MATTE_PX
from talkinghead.errors import PortraitError
from talkinghead.motion.latent import LatentModel
from talkinghead.portrait.load import load_photo
from talkinghead.portrait.portrait import FaceReader
from talkinghead.render.body import with_body
from talkinghead.render.matte import cut_head
from talkinghead.render.matting import face_oval
from talkinghead.render.person import trusted
from talkinghead.render.plate import background_plate, foreground_colours
from talkinghead.runtime.weights import model_path
from talkinghead.training.track import read_tsv

HELD_SHARE = 0.1
"""Of the people, for watching."""
_FARTHEST_PX = 26
"""Round the person: walls nearer than this to one who is not surely cut out may hold hair."""

_reader: FaceReader | None = None


def held(identity: str) -> bool:
    """Whether a person is watched and does not teach."""
    return zlib.crc32(identity.encode()) % 1000 < 1000 * HELD_SHARE


@dataclass(frozen=True)
class Parted:
    """A portrait taken apart by colours alone: alpha (s, s) float32 0..1 of the whole person; the wall (s, s, 3) uint8; the
    person's colours (s, s, 3) uint8, None where the matte is not to be trusted."""

    alpha: np.ndarray
    wall: np.ndarray
    colours: np.ndarray | None


def parted(face: np.ndarray, points: np.ndarray) -> Parted | None:
    """Of a portrait (s, s, 3) uint8 RGB with points (478, 3) px; None where no wall is seen."""
    matte = cut_head(face, points)
    if matte.confidence <= 0:
        return None
    alpha = with_body(face, matte.alpha, points[:, :2])
    wall = background_plate(face, alpha)
    return Parted(alpha, wall, foreground_colours(face, alpha, wall) if trusted(face, points, matte) else None)


def layers_of(face: np.ndarray, points: np.ndarray) -> dict[str, np.ndarray] | None:
    """A portrait (512, 512, 3) uint8 RGB with points (478, 3) px in layers of `MATTE_PX`: photo and wall (s, s, 3) uint8, known
    (s, s) uint8 (255: the wall is seen), face (s, s) uint8; and, when they are sure, the person's colours and alpha, uint8. None
    where no wall is seen."""
    parts = parted(face, points)
    if parts is None:
        return None
    far = cv2.distanceTransform((parts.alpha < 0.03).astype(np.uint8), cv2.DIST_L2, 5)
    known = (255 * (far > _FARTHEST_PX)).astype(np.uint8)
    out = {"photo": face, "wall": parts.wall, "known": known, "face": face_oval(points, len(face))}
    if parts.colours is not None:
        out |= {"person": parts.colours, "alpha": np.round(255 * parts.alpha).astype(np.uint8)}
    return {name: cv2.resize(layer, (MATTE_PX, MATTE_PX), interpolation=cv2.INTER_AREA) for name, layer in out.items()}


def _made(job: tuple[Path, str, Path]) -> bool:
    """Write one still's layers; whether they are of use."""
    global _reader
    path, identity, target = job
    if _reader is None:
        cv2.setNumThreads(1)
        _reader = FaceReader(LatentModel.load(model_path("latent", "latent.npz")))
    try:
        portrait = _reader.read(load_photo(path))
    except PortraitError:
        return False
    layers = layers_of(portrait.face, portrait.points)
    if layers is None:
        return False
    part = target.with_suffix(".part.npz")
    np.savez(part, held=held(identity), **layers)  # type: ignore[arg-type]
    part.replace(target)
    return True


def main(argv: list[str]) -> None:
    """Entry point of ``talkinghead train matte_data``; what is there already is kept."""
    parser = argparse.ArgumentParser(prog="talkinghead train matte_data", description=__doc__)
    parser.add_argument("--shared", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args(argv)
    folder = args.cache / "matte"
    folder.mkdir(parents=True, exist_ok=True)
    stills = args.shared / "data" / "stills"
    jobs = [
        (stills / row["file"], row["identity"], (folder / row["file"]).with_suffix(".npz"))
        for row in read_tsv(stills / "stills.tsv")
        if row["split"] == "train"
    ]
    jobs = [job for job in jobs if not job[2].exists()]
    made = 0
    with ProcessPoolExecutor(args.workers) as pool:
        for done, good in enumerate(pool.map(_made, jobs, chunksize=4), 1):
            made += good
            if done % 100 == 0:
                print(f"{done}/{len(jobs)} stills, {made} of use", flush=True)
    print(f"{made} of {len(jobs)} stills are of use")
