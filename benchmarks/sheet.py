"""What the decoder makes of a face, in one picture: a row a portrait, a column an expression or a turn of the head.

    python benchmarks/sheet.py [PHOTO ...] [--shared ../shared] -o sheet.png [--kinds] [--cell 256] [--roll] [--only NAME ...]

Without photos it takes ten faces of the stills' test split where --shared is given, and the example portrait otherwise; with
--kinds a still of the train split of every kind that is hard to draw: glasses, a beard, a hand at the face, a painting. An
expression is the likeliest motion (the shortest z_dyn) that puts a few points where they are wanted, so that it asks for nothing
that the latent has not seen people do together.
"""

from __future__ import annotations

import argparse
import csv
import itertools
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from talkinghead import Avatar
from talkinghead.errors import PortraitError
from talkinghead.motion.latent import BROWS, LIDS_RIGHT, POSE_SIZE, LatentModel
from talkinghead.motion.pose import rotation_from_vector
from talkinghead.motion.rest import LID_PAIRS, LIP_PAIRS
from talkinghead.motion.style import Style
from talkinghead.portrait.load import load_photo
from talkinghead.portrait.portrait import Portrait
from talkinghead.runtime.weights import model_path

EXAMPLE = Path(__file__).parent.parent / "examples" / "data" / "portrait.jpg"
BLINK = "blink"
_CORNERS = (61, 291)
_CHIN = 152
_HEAD_PX = 26
_RIGHT, _DOWN, _DEPTH = 0, 1, 2
_EXACT_FH = 0.004  # how far a wanted point may miss its place, face heights
_NECK_FH = (0.0, 0.75, 0.3)  # where a head turns, from the origin of the latent's faces: the top of the neck
_MOST_PADDING = 0.1  # of the picture's side, repeated from its border: streaks would be taken for the decoder's
_HELD = (*BROWS, *LIDS_RIGHT, *LIDS_RIGHT)

_PRESSED = 1.12
"""Of the way that shuts a face's lids: they press on each other, as in generated motion."""


def grey(photo: np.ndarray) -> np.ndarray:
    """A photo (h, w, 3) uint8 RGB in black and white."""
    return np.asarray(cv2.cvtColor(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB))


def painted(photo: np.ndarray) -> np.ndarray:
    """A photo (h, w, 3) uint8 RGB as if painted: flat strokes of colour on canvas."""
    strokes = cv2.pyrMeanShiftFiltering(cv2.edgePreservingFilter(photo, flags=1, sigma_s=20, sigma_r=0.3), 6, 14)
    weave = cv2.GaussianBlur(np.random.default_rng(0).normal(0, 1, photo.shape[:2]), (0, 0), 0.8)
    return np.clip(strokes + 10 * weave[..., None], 0, 255).astype(np.uint8)


KINDS = {
    "closed mouth": ("sfhq_0947.jpg", None),
    "open smile": ("sfhq_0862.jpg", None),
    "glasses": ("sfhq_0675.jpg", None),
    "thin glasses, dark skin": ("sfhq_0787.jpg", None),
    "sunglasses": ("sfhq_0807.jpg", None),
    "beard": ("sfhq_0712.jpg", None),
    "long hair over the cheek": ("sfhq_0865.jpg", None),
    "dark skin": ("sfhq_0877.jpg", None),
    "child": ("sfhq_0079.jpg", None),
    "painting": ("sfhq_1011.jpg", painted),
    "black and white": ("sfhq_0095.jpg", grey),
    "turned by 30 degrees": ("sfhq_0708.jpg", None),
    "hand at the face": ("sfhq_1184.jpg", None),
    "busy wall": ("sfhq_0256.jpg", None),
}
"""Kinds of portraits that are hard to draw: a still of the train split, and what is done to it."""

Wanted = list[tuple[tuple[int, ...], int, float]]
"""Points, axis (0 right, 1 down, 2 away), and by how much their mean moves, face heights."""


@dataclass(frozen=True)
class Column:
    """One look: its name, a step of z_dyn (D,) from the portrait's rest, and z_pose (6,)."""

    name: str
    z_dyn: np.ndarray
    z_pose: np.ndarray


def likeliest(latent: LatentModel, wanted: Wanted) -> np.ndarray:
    """The shortest step (D,) of z_dyn that moves points so; brows and lids stay. A unit Gaussian is the prior of z_dyn."""
    asked = [latent.basis_dyn[:, list(points), axis].mean(axis=1) for points, axis, _ in wanted]
    held = [latent.basis_dyn[:, point, _DOWN] for point in _HELD]
    rows = np.array(asked + held, np.float64) / _EXACT_FH
    values = np.array([value for *_, value in wanted] + [0.0] * len(held)) / _EXACT_FH
    return np.linalg.solve(rows.T @ rows + np.eye(latent.size_dyn), rows.T @ values).astype(np.float32)


def lips_moved(gap: float, out: float, up: float, forward: float = 0.0, upper: float = 0.0, chin: float = 0.0) -> Wanted:
    """Lips ``gap`` wider apart (``upper`` of it by the upper one) and ``forward``, corners ``out`` and ``up``, ``chin`` down."""
    above, below = zip(*LIP_PAIRS, strict=True)
    return [
        (above, _DOWN, -upper),
        (below, _DOWN, gap - upper),
        (above, _DEPTH, -forward),
        (below, _DEPTH, -forward),
        ((_CORNERS[0],), _RIGHT, -out),
        ((_CORNERS[1],), _RIGHT, out),
        (_CORNERS, _DOWN, -up),
        ((_CHIN,), _DOWN, chin),
    ]


def columns(latent: LatentModel, style: Style, roll: bool = False) -> list[Column]:
    """All looks of the sheet, neutral first."""
    codes = style.codes(latent)
    still, straight = np.zeros(latent.size_dyn, np.float32), np.zeros(POSE_SIZE, np.float32)
    faces = {
        "neutral": still,
        "wide open": likeliest(latent, lips_moved(0.16, -0.015, -0.05, chin=0.14)),
        "smile, teeth": likeliest(latent, lips_moved(0.05, 0.035, 0.025, upper=0.02, chin=0.015)),
        "pucker": likeliest(latent, lips_moved(0.012, -0.045, 0.0, forward=0.03)),
        BLINK: codes["blink"],
        "gaze left": -16.0 * codes["gaze_right"],
    }
    turns = {"yaw": (1, (-20, 20)), "pitch": (0, (-12, 12)), "roll": (2, (-20, 20))}
    found = [Column(name, z_dyn, straight) for name, z_dyn in faces.items()]
    for name, (axis, angles_deg) in turns.items():
        if name == "roll" and not roll:
            continue
        for angle_deg in angles_deg:
            found.append(Column(f"{name} {angle_deg:+d}", still, turned(axis, angle_deg)))
    return found


def turned(axis: int, angle_deg: float) -> np.ndarray:
    """z_pose (6,) of a head turned about one axis (0 nods, 1 turns, 2 tilts) on its neck."""
    z_pose, neck = np.zeros(POSE_SIZE, np.float32), np.array(_NECK_FH)
    z_pose[axis] = np.radians(angle_deg)
    z_pose[3:5] = (neck - rotation_from_vector(z_pose[:3]) @ neck)[:2]
    return z_pose


def test_faces(shared: Path, count: int = 10, seed: int = 0) -> list[Path]:
    """Stills of the test split with hardly any padding: of each source in turn, drawn at random from its thirty largest faces.

    A person comes once.
    """
    folder = shared / "data" / "stills"
    with (folder / "stills.tsv").open(encoding="utf-8", newline="") as handle:
        rows = [
            row
            for row in csv.DictReader(handle, delimiter="\t")
            if row["split"] == "test" and float(row["padding"]) <= _MOST_PADDING
        ]
    rows.sort(key=lambda row: (-int(row["face_height_px"]), row["file"]))
    people = {row["identity"]: row for row in reversed(rows)}
    rng = np.random.default_rng(seed)
    queues = []
    for source in sorted({row["source_repo"] for row in rows}):
        best = [row for row in rows if row["source_repo"] == source and people[row["identity"]] is row][:30]
        queues.append([best[k]["file"] for k in rng.permutation(len(best))])
    mixed = [name for turn in itertools.zip_longest(*queues) for name in turn if name is not None]
    return [folder / name for name in mixed[:count]]


def kinds(shared: Path) -> list[np.ndarray]:
    """A picture (h, w, 3) uint8 RGB of each of `KINDS`."""
    photos = [(load_photo(shared / "data" / "stills" / name), change) for name, change in KINDS.values()]
    return [photo if change is None else change(photo) for photo, change in photos]


def lids_apart(latent: LatentModel, portrait: Portrait) -> float:
    """How far the lids of a portrait are apart over those of the mean face: so much more it takes to shut them."""
    shape = latent.shape(portrait.z_id, portrait.z_dyn) + portrait.code.residual
    above, below = (list(side) for side in zip(*LID_PAIRS, strict=True))
    own, mean = (float((face[below, _DOWN] - face[above, _DOWN]).mean()) for face in (shape, latent.mean))
    return max(own, 0.0) / mean


def row_of(photo: Path | np.ndarray, looks: list[Column], cell_px: int, latent: LatentModel) -> np.ndarray:
    """All looks of one face (cell_px, len(looks) * cell_px, 3) uint8 RGB."""
    avatar = Avatar.open(photo)
    shut = _PRESSED * lids_apart(latent, avatar.portrait)
    pictures = [avatar.draw(look.z_pose, (shut if look.name == BLINK else 1.0) * look.z_dyn) for look in looks]
    return np.hstack([cv2.resize(picture, (cell_px, cell_px), interpolation=cv2.INTER_AREA) for picture in pictures])


def header(looks: list[Column], cell_px: int) -> np.ndarray:
    """The names of the columns."""
    strip = np.full((_HEAD_PX, cell_px * len(looks), 3), 24, np.uint8)
    for k, look in enumerate(looks):
        at = (k * cell_px + 6, _HEAD_PX - 8)
        cv2.putText(strip, look.name, at, cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1, cv2.LINE_AA)
    return strip


def sheet(photos: list[Path] | list[np.ndarray], looks: list[Column], cell_px: int, latent: LatentModel) -> np.ndarray:
    """The whole sheet, uint8 RGB; photos without a usable face are named and left out."""
    rows = [header(looks, cell_px)]
    for photo in photos:
        try:
            rows.append(row_of(photo, looks, cell_px, latent))
        except PortraitError as error:
            print(f"left out: {error}")
    return np.vstack(rows)


def main() -> None:
    """Write the sheet and say where it is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", nargs="*", type=Path, metavar="PHOTO")
    parser.add_argument("--shared", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--cell", type=int, default=256, help="side of one picture, px")
    parser.add_argument("--roll", action="store_true", help="tilt the head too")
    parser.add_argument("--kinds", action="store_true", help="of each kind that is hard to draw a still of the train split")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these columns only")
    parser.add_argument("--seed", type=int, default=0, help="another draw of ten faces")
    args = parser.parse_args()
    latent = LatentModel.load(model_path("latent", "latent.npz"))
    looks = columns(latent, Style.load(model_path("motion", "style.npz")), args.roll)
    if args.only:
        unknown = set(args.only) - {look.name for look in looks}
        if unknown:
            parser.error(f"no column {', '.join(sorted(unknown))}: there are {', '.join(look.name for look in looks)}")
        looks = [look for look in looks if look.name in args.only]
    if args.kinds and not args.shared:
        parser.error("--kinds needs the stills: add --shared FOLDER")
    photos = args.photos or (test_faces(args.shared, seed=args.seed) if args.shared else [EXAMPLE])
    photos = kinds(args.shared) if args.kinds else photos
    picture = sheet(photos, looks, args.cell, latent)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(args.output), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)):
        raise SystemExit(f"cannot write {args.output}")
    print(f"{args.output}: {len(photos)} faces, {len(looks)} looks")


if __name__ == "__main__":
    main()
