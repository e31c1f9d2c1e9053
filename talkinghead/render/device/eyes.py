"""`render.eyes` for a batch: both eyes of every row at once."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from talkinghead.render.device.filters import filtered, gaussian
from talkinghead.render.device.geometry import EYES, index, inverse, smoothstep
from talkinghead.render.device.scene import Scene
from talkinghead.render.device.shapes import cover, strokes
from talkinghead.render.device.texture import Patches, unpacked
from talkinghead.render.eyes import _LASH_DARKNESS, _LID_SKIN, _PAST_FOLD

EYE_AREA_PX = (128, 96)
"""Width and height of what is drawn at once: an eye at twice the photo's size."""
_PAD_PX = 4.0
_LAST = len(EYES[0].upper) - 1


class DeviceEyes:
    """Draws eyes over warped faces."""

    def __init__(self, device: str) -> None:
        self._ring = index((n for eye in EYES for n in eye.upper + eye.lower[-2:0:-1]), device)
        self._fold = index((n for eye in EYES for n in eye.upper_fold), device)
        self._iris = index((eye.iris[0] for eye in EYES), device)
        width, height = EYE_AREA_PX
        self._soft, self._lash_soft = (
            tuple(torch.from_numpy(gaussian(size, sigma)).to(device) for size in (height, width)) for sigma in (0.55, 0.6)
        )
        taper = np.sin(np.linspace(0.06, 0.94, _LAST) * np.pi) ** 0.6
        self._taper = torch.tensor(taper, dtype=torch.float32, device=device)

    def draw(self, scene: Scene) -> None:
        """Both eyes into the scene's frames."""
        rows, faces = scene.rows, scene.faces
        n, points = len(scene.slots), faces.points[..., :2]
        ring = points[:, self._ring].view(n, 2, -1, 2)
        patches, window = self._window(ring, points[:, self._fold].view(n, 2, -1, 2))
        expected = faces.pose.apply(rows["eye_still"].flatten(1, 2))[..., :2].view_as(ring)
        aside = (ring[:, :, 0] + ring[:, :, _LAST] - expected[:, :, 0] - expected[:, :, _LAST]) / 2
        linear, offset = faces.linear[:, :2], faces.offset[:, :2] + aside
        turned = points[:, self._iris] - (linear @ rows["eye_iris"].unsqueeze(-1)).squeeze(-1) - offset
        change = (ring - expected - aside[:, :, None]).abs().amax((2, 3))
        change = torch.maximum(change, torch.linalg.vector_norm(turned, dim=-1))
        blend = smoothstep(0.15, 1.2, change) * (1 - rows["eye_covered"])
        closed = 1 - (faces.lid_gaps / (0.7 * rows["eye_open"]).clamp(min=1)).clamp(max=1)

        plain, shut = scene.warped("plain_0", patches, 2).chunk(2, 1)
        skin = unpacked(patches.cut(scene.frames))
        skin = torch.lerp(skin, shut, _over(_LID_SKIN * closed))
        opening = filtered(cover(patches.local(ring), *EYE_AREA_PX), *self._soft)
        opening = opening * (1 - smoothstep(0.8, 1.0, closed))[..., None, None]
        ball = self._ball(scene, patches, inverse(linear), offset, turned)
        drawn = torch.lerp(skin, ball * self._shade(scene, opening).unsqueeze(-1), opening.unsqueeze(-1))
        line = strokes(patches.local(ring[:, :, : _LAST + 1]), self._taper.expand(n, 2, -1), rows["lash_radius"], *EYE_AREA_PX)
        line = filtered(line, *self._lash_soft) * (_LASH_DARKNESS * (2.5 * closed).clamp(max=1))[..., None, None]
        drawn = torch.lerp(drawn, rows["lash_colour"][:, :, None, None], line.unsqueeze(-1))
        patches.paste(scene.frames, torch.lerp(plain, drawn, _over(blend)), window)

    def _window(self, ring: Tensor, fold: Tensor) -> tuple[Patches, Tensor]:
        """Where the eyes are, and which pixels there `EyeLayer.draw` would touch."""
        past = fold + _PAST_FOLD * (fold - ring[:, :, 1:_LAST])
        return around(torch.cat((ring, past), 2), _PAD_PX, EYE_AREA_PX)

    def _ball(self, scene: Scene, patches: Patches, back: Tensor, offset: Tensor, turned: Tensor) -> Tensor:
        """The eyeball (n, 2, h, w, 4) with its iris, which has gone by ``turned`` (n, 2, 2) px."""
        origin = scene.rows["eye_origin"]
        still = placed(patches, back, -(back @ offset.unsqueeze(-1)).squeeze(-1) - origin)
        gone = (back @ turned.unsqueeze(-1)).squeeze(-1)[..., None, None]
        x, y = (torch.cat((at, at - gone[:, :, axis]), 1) for axis, at in enumerate(still))
        sclera, disc = scene.picture("sclera_0", x, y).chunk(2, 1)
        return torch.lerp(sclera, disc, disc[..., 3:] / 255)

    def _shade(self, scene: Scene, opening: Tensor) -> Tensor:
        """The upper lid's shadow on what an eye opened wider than in the photo uncovers, a factor (n, 2, h, w)."""
        rows = scene.rows
        wider = scene.faces.lid_gaps / rows["eye_open"].clamp(min=1) - 1
        strength = 0.3 * (2 * wider).clamp(0, 1)[..., None, None]
        soft = filtered(opening, rows["eye_shade_down"][:, None], rows["eye_shade_across"][:, None])
        return 1 - strength * (1 - ((soft - 0.3) / 0.5).clamp(0, 1))


def around(points: Tensor, pad_px: float, area_px: tuple[int, int]) -> tuple[Patches, Tensor]:
    """Patches in the middle of points (n, k, p, 2), and their pixels (n, k, h, w) bool that are no farther than ``pad_px``."""
    low, high = (points.amin(2) - pad_px).floor(), (points.amax(2) + pad_px).ceil()
    origin = ((low + high + 1) / 2).floor()
    origin = torch.stack([origin[..., axis] - size // 2 for axis, size in enumerate(area_px)], -1).clamp(-4096, 4096)
    patches = Patches(origin, *area_px)
    inside = [(at >= low[..., axis, None, None]) & (at <= high[..., axis, None, None])
              for axis, at in enumerate((patches.x, patches.y))]  # fmt: skip
    return patches, inside[0] & inside[1]


def placed(patches: Patches, linear: Tensor, offset: Tensor) -> tuple[Tensor, Tensor]:
    """x and y (n, k, h, w) of the patches' pixels under plane maps (n, k, 2, 2) and (n, k, 2)."""
    m, b = linear[..., None, None], offset[..., None, None]
    x, y = (m[:, :, axis, 0] * patches.x + m[:, :, axis, 1] * patches.y + b[:, :, axis] for axis in (0, 1))
    return x, y


def _over(share: Tensor) -> Tensor:
    return share[..., None, None, None]
