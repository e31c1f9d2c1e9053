"""One batch on its way: what every layer reads and draws into."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from talkinghead.render.device.bank import Rows
from talkinghead.render.device.geometry import Faces
from talkinghead.render.device.texture import Patches, sample
from talkinghead.render.resample import FINE

TEXTURES = ("plate", "base", "plain_0", "plain_1", "shut_0", "shut_1", "sclera_0", "sclera_1", "disc_0", "disc_1",
            "plain", "cavity", "lower", "low_part", "top_part")  # fmt: skip
"""Pictures of a portrait in their order; those of eyes are two."""


@dataclass(frozen=True)
class Scene:
    """Constants of its rows, driven faces, frames (n, pixels + 1) int32, displacement (n, 2, pixels) px, and the portraits'
    pictures: texels (slots, m) int32 with the rows' slots (n,)."""

    rows: Rows
    faces: Faces
    frames: Tensor
    moved: Tensor
    texels: Tensor
    slots: Tensor

    def picture(self, first: str, x: Tensor, y: Tensor) -> Tensor:
        """As many pictures as ``x`` has, from the ``first`` on, at x, y (n, k, h, w) px of them: (n, k, h, w, 4)."""
        start = TEXTURES.index(first)
        return sample(self.texels, self.slots, self.rows["textures"][:, start : start + x.shape[1]], x, y)

    def warped(self, first: str, patches: Patches, count: int = 1) -> Tensor:
        """``count`` times k photos, moved, in the patches."""
        x, y = ((at + patches.cut(self.moved[:, axis])) * FINE for axis, at in enumerate((patches.x, patches.y)))
        return self.picture(first, x.repeat(1, count, 1, 1), y.repeat(1, count, 1, 1))
