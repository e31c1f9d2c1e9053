"""What the controls move, as learned numbers (models/motion/style.npz): blink, gaze, emotions.

Shapes are kept as displacements of face points and turned into codes of the latent in use when loaded, so that a new fit of the
latent does not make the file useless.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from talkinghead.constants import POINTS
from talkinghead.errors import EngineError
from talkinghead.motion.controls import EMOTIONS
from talkinghead.motion.latent import BROWS, EYES, IRIS_LEFT, IRIS_RIGHT, LIPS, LatentModel

_SHAPES = ("blink", "gaze_right", "gaze_up", *EMOTIONS[1:])
_HELD_LIPS, _HELD_EYES, _HELD_IRISES = 4.0, 3.0, 12.0


@dataclass(frozen=True)
class Style:
    """Numbers of `models/motion/style.npz`.

    blink_curve (n,): lid closure by frame, 0 open to 1 shut. blinks_per_min: natural rate.
    shapes: name -> displacement (478, 3), face heights: ``blink`` shuts the mean face's lids; ``gaze_right`` and ``gaze_up`` are
    for one degree; emotions at strength 1.
    """

    blink_curve: np.ndarray
    blinks_per_min: float
    shapes: dict[str, np.ndarray]

    @classmethod
    def load(cls, path: Path) -> Style:
        """Read a ``style.npz``; EngineError when it is missing or damaged."""
        try:
            with np.load(path) as data:
                style = cls(
                    data["blink_curve"].astype(np.float64),
                    float(data["blinks_per_min"]),
                    {name: data[f"shape_{name}"].astype(np.float32) for name in _SHAPES},
                )
        except (OSError, KeyError, ValueError) as error:
            raise EngineError(f"cannot read the motion style {path.name}: reinstall talkinghead ({error})") from error
        if any(s.shape != (POINTS, 3) for s in style.shapes.values()):
            raise EngineError(f"the motion style {path.name} is damaged: reinstall talkinghead")
        return style

    def save(self, path: Path) -> None:
        """Write ``style.npz``."""
        path.parent.mkdir(parents=True, exist_ok=True)
        arrays: dict[str, Any] = {f"shape_{name}": shape.astype(np.float16) for name, shape in self.shapes.items()}
        curve = self.blink_curve.astype(np.float32)
        np.savez_compressed(path, blinks_per_min=self.blinks_per_min, blink_curve=curve, **arrays)

    def codes(self, latent: LatentModel) -> dict[str, np.ndarray]:
        """Each shape as a step (D,) of z_dyn in this latent; ``neutral`` is none."""
        found = {name: code_of(latent, shape, name in EMOTIONS) for name, shape in self.shapes.items()}
        return {"neutral": np.zeros(latent.size_dyn, np.float32), **found}


def code_of(latent: LatentModel, displacement: np.ndarray, whole_face: bool = False) -> np.ndarray:
    """The smallest step (D,) of z_dyn that moves the points so (478, 3). Unless ``whole_face``, what must not move counts more
    than its share: a blink leaves the lips alone, and no code takes more norm than it needs."""
    weight = latent.precision.astype(np.float64).copy()
    if not whole_face:
        weight[list(LIPS)] *= _HELD_LIPS
        weight[[*EYES, *BROWS]] *= _HELD_EYES
        weight[[*IRIS_RIGHT, *IRIS_LEFT]] *= _HELD_IRISES / _HELD_EYES
    basis = latent.basis_dyn.reshape(latent.size_dyn, -1).astype(np.float64)
    weighted = basis * np.repeat(weight, 3)
    ridge = 0.3 * np.eye(len(basis))
    return np.linalg.solve(weighted @ basis.T + ridge, weighted @ displacement.ravel()).astype(np.float32)
