"""Faces driven by what a teacher tracked on real pictures: what `benchmarks/decoder.py` measures."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from talkinghead import Avatar
from talkinghead.motion.latent import EYE_OUTER_CORNERS, RIGID, LatentModel, latent_from_pose
from talkinghead.motion.rest import resting_dynamics
from talkinghead.training.motion_data import encode_frames
from talkinghead.training.track import frames_of, load_track, make_teacher, read_tsv, teach

WARP, REFINED = "warp only", "refined"
PAIRS = "london pairs"
_NEUTRAL, _SMILE = "neutral_front/", "smiling_front/"


class Teacher:
    """MediaPipe: pictures to points."""

    def __init__(self, shared: Path) -> None:
        self._task = make_teacher(shared / "models" / "face_landmarker.task")

    def __call__(self, image: np.ndarray) -> np.ndarray | None:
        """Points (478, 3) px of the face in (h, w, 3) uint8 RGB, None where none is found."""
        found = teach(self._task, image)
        return None if found is None else found[0] * np.float32(image.shape[1])

    def close(self) -> None:
        """Frees the network; call it before the interpreter ends."""
        self._task.close()

    def track(self, path: Path) -> dict[str, np.ndarray]:
        """A clip's points (n, 478, 3) over its width, found (n,) and time_s (n,), as `load_track` gives them."""
        points, found, times = [], [], []
        for image, time_s in frames_of(path):
            answer = teach(self._task, image)
            points.append(np.zeros((478, 3), np.float32) if answer is None else answer[0])
            found.append(answer is not None)
            times.append(time_s)
        return {"points": np.array(points), "found": np.array(found), "time_s": np.array(times, np.float32)}


@dataclass(frozen=True)
class Shot:
    """A real face in motion, n pictures: the first is the portrait, the rest are to be drawn again.

    points (n, 478, 3) px by the teacher, found (n,) bool, time_s (n,), frames: gives the n pictures, uint8 RGB.
    """

    name: str
    points: np.ndarray
    found: np.ndarray
    time_s: np.ndarray
    frames: Callable[[], Iterator[np.ndarray]]

    @property
    def portrait(self) -> np.ndarray:
        """The first picture."""
        return next(self.frames())

    @property
    def track(self) -> dict[str, np.ndarray]:
        """As `load_track` gives it, in a unit that leaves out the pictures' size."""
        return {"points": self.points / np.float32(512), "found": self.found, "time_s": self.time_s}


def shot_of_clip(shared: Path, cache: Path | None, file: str, teacher: Teacher) -> Shot:
    """A clip of video/: its cached track, else tracked now."""
    path = shared / "data" / "video" / file
    cached = (cache / "track" / "video" / file).with_suffix(".npz") if cache else None
    track = load_track(cached) if cached and cached.exists() else teacher.track(path)
    width = next(frames_of(path))[0].shape[1]

    def frames() -> Iterator[np.ndarray]:
        for image, _ in frames_of(path):
            yield image

    return Shot(file, track["points"] * np.float32(width), track["found"], track["time_s"], frames)


def set_clips(shared: Path, source: str, most: int | None, split: str = "test") -> list[str]:
    """Files of a set's clips, audible and silent; with ``most``, so many spread evenly over them. Of the test split a recording
    that is among the train clips too, from another repository, is left out."""
    rows = read_tsv(shared / "data" / "video" / "clips.tsv")
    trained = {recording(row) for row in rows if row["split"] == "train"} if split == "test" else set()
    some = [row for row in rows if row["split"] == split and row["file"].split("/")[0] == source]
    return spread([row["file"] for row in some if recording(row) not in trained], most)


def recording(row: dict[str, str]) -> str:
    """The name of a clip's file where it comes from."""
    return row["source_path"].split("@")[0].rsplit("/", 1)[-1]


def spread(names: list[str], most: int | None) -> list[str]:
    """At most so many of a list, spread evenly over it."""
    if most is None or most >= len(names):
        return names
    return [names[k * len(names) // most] for k in range(most)]


def set_pairs(shared: Path, most: int | None, split: str = "test") -> list[tuple[str, str]]:
    """Files of stills/: neutral and smiling pictures of the same people."""
    found: dict[str, dict[str, str]] = {}
    for row in read_tsv(shared / "data" / "stills" / "stills.tsv"):
        for kind in (_NEUTRAL, _SMILE):
            if row["split"] == split and row["source_path"].startswith(kind):
                found.setdefault(row["identity"], {})[kind] = row["file"]
    people = sorted(who for who, files in found.items() if len(files) == 2)
    return [(found[who][_NEUTRAL], found[who][_SMILE]) for who in spread(people, most)]


def shot_of_pair(shared: Path, pair: tuple[str, str], teacher: Teacher) -> Shot | None:
    """Two stills of one person as a shot of two pictures; the second is laid onto the first by the points that move with the
    skull. None where the teacher finds no face."""
    folder = shared / "data" / "stills"
    first, second = (next(frames_of(folder / file))[0] for file in pair)
    a, b = teacher(first), teacher(second)
    if a is None or b is None:
        return None
    matrix = plane_similarity(b[list(RIGID), :2], a[list(RIGID), :2])
    aligned = cv2.warpAffine(
        second, matrix, (first.shape[1], first.shape[0]), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    size = float(np.hypot(*matrix[:, 0]))
    moved = np.concatenate([b[:, :2] @ matrix[:, :2].T + matrix[:, 2], b[:, 2:] * size], axis=1)
    points = np.stack([a, moved]).astype(np.float32)
    return Shot(pair[0], points, np.ones(2, bool), np.arange(2, dtype=np.float32), lambda: iter((first, aligned)))


def plane_similarity(moving: np.ndarray, fixed: np.ndarray) -> np.ndarray:
    """The turn, scale and shift (2, 3) of the plane that best lays points (n, 2) onto others, in the least-squares sense."""
    a, b = (p.astype(np.float64) - p.mean(0) for p in (moving, fixed))
    c, s = (a * b).sum(), (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum()
    turn = np.array([[c, -s], [s, c]]) / (a**2).sum()
    return np.concatenate([turn, (fixed.mean(0) - turn @ moving.mean(0))[:, None]], axis=1)


class Face:
    """A portrait as a user would open it, by each decoder, and how it follows tracked points.

    Attributes: avatars: by column; portrait; latent.
    """

    def __init__(self, latent: LatentModel, photo: np.ndarray) -> None:
        """Raises PortraitError where the photo cannot be used."""
        self.latent, self.avatars = latent, opened(photo)
        self.portrait = next(iter(self.avatars.values())).portrait
        self._rest = resting_dynamics(latent, self.portrait.code)

    @property
    def own(self) -> tuple[np.ndarray, np.ndarray]:
        """The latents that give back the photo: z_pose (6,), z_dyn (D,) as `Avatar.draw` takes them."""
        return np.zeros(6, np.float32), self.portrait.z_dyn - self._rest

    @property
    def inter_ocular_px(self) -> float:
        """Between the outer corners of the portrait's eyes."""
        a, b = (self.portrait.points[i, :2] for i in EYE_OUTER_CORNERS)
        return float(np.linalg.norm(a - b))

    def inside(self, points: np.ndarray) -> np.ndarray:
        """Points (n, 478, 3) px in the photo to the square that is drawn."""
        crop = self.portrait.crop
        flat = crop.from_photo(points[..., :2].reshape(-1, 2)).reshape(*points.shape[:-1], 2)
        return np.concatenate([flat, points[..., 2:] * (512 / crop.side)], axis=-1).astype(np.float32)

    def follow(self, points: np.ndarray, first: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """z_pose (n, 6) and z_dyn (n, D), as `Avatar.draw` takes them, that move the portrait as points (n, 478, 3) px of the
        photo moved since ``first`` (478, 3), the same measurer's points of the portrait: what the measurer and the face
        network see differently in one picture is no motion."""
        z_dyn, poses = encode_frames(self.latent, self.inside(np.concatenate([first[None], points])), self.portrait.z_id)
        z_pose = np.stack([latent_from_pose(poses[0], pose) for pose in poses[1:]])
        return z_pose, (self.own[1] + z_dyn[1:] - z_dyn[0]).astype(np.float32)

    def drive(self, z_pose: np.ndarray, z_dyn: np.ndarray) -> np.ndarray:
        """Points (478, 3) px that `Avatar.draw` is to show under these latents."""
        return self.latent.draw(self.portrait.code, z_pose, self._rest + z_dyn)[0]

    def turn(self, z_pose: np.ndarray) -> np.ndarray:
        """What an offset (3,) px on the portrait becomes when the head moves: (3, 3), turn and scale."""
        rest = self.portrait.code.pose
        pose = self.latent.draw(self.portrait.code, z_pose, self.portrait.z_dyn)[1]
        return pose.rotation @ rest.rotation.T * (pose.scale_px / rest.scale_px)


def opened(photo: np.ndarray) -> dict[str, Avatar]:
    """The avatar of a photo by each decoder that there is."""
    if "refine" not in inspect.signature(Avatar.open).parameters:
        return {WARP: Avatar.open(photo)}
    options: dict[str, dict[str, bool]] = {WARP: {"refine": False}, REFINED: {}}
    return {name: Avatar.open(photo, **some) for name, some in options.items()}


def moments(found: np.ndarray, time_s: np.ndarray, rate_hz: float, run: int, longest_s: float) -> list[int]:
    """Which frames to draw: found ones at that rate, never the first; about once a second a ``run`` of so many neighbours in a
    row; none later than ``longest_s``."""
    last = int(np.searchsorted(time_s, time_s[0] + longest_s)) - 1
    step_s = float(np.median(np.diff(time_s))) if len(time_s) > 1 else 1.0
    stride, second = max(1, round(1 / (rate_hz * step_s))), max(run + 1, round(1 / step_s))
    wanted = set(range(stride, last + 1, stride))
    if run > 1:
        wanted |= {k for start in range(1, last + 2 - run, second) for k in range(start, start + run)}
    return [k for k in sorted(wanted or {last}) if found[k] and k > 0]
