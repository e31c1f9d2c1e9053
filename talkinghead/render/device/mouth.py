"""`render.mouth` for a batch."""

from __future__ import annotations

import torch
from torch import Tensor

from talkinghead.render.device.eyes import around, placed
from talkinghead.render.device.filters import filtered, gaussian
from talkinghead.render.device.geometry import Faces, index, inverse, smoothstep
from talkinghead.render.device.scene import Scene
from talkinghead.render.device.shapes import cover, strokes
from talkinghead.render.device.texture import Patches, unpacked
from talkinghead.render.layout import CHIN, LOWER_LIP, UPPER_LIP
from talkinghead.render.mouth import DARKEST, LIP_SHARE, LIT, OWN_LIGHT, STRETCH

MOUTH_AREA_PX = (224, 160)
"""Width and height of what is drawn at once: a wide mouth at twice the photo's size."""
_PAD_PX = 4.0
_TOUCHING_PX = 0.05
_SEAM_RADIUS_PX = 0.85
_SEAM = (0.42, 0.60, 0.58, 0.0)


class DeviceMouth:
    """Draws mouths over warped faces."""

    def __init__(self, device: str) -> None:
        self._upper, self._lower, self._chin = (index(numbers, device) for numbers in (UPPER_LIP, LOWER_LIP, CHIN))
        width, height = MOUTH_AREA_PX
        self._soft, self._seam_soft = (
            tuple(torch.from_numpy(gaussian(size, sigma)).to(device) for size in (height, width)) for sigma in (0.5, 0.85)
        )
        self._seam_colour = torch.tensor(_SEAM, device=device)

    def edges(self, faces: Faces) -> tuple[Tensor, Tensor]:
        """The facing edges of the lips (n, 11, 2) px."""
        return faces.points[:, self._upper, :2], faces.points[:, self._lower, :2]

    def outline(self, faces: Faces) -> Tensor:
        """`render.mouth.lip_outline`: (n, 1, 20, 2) px."""
        top, bottom = self.edges(faces)
        full = torch.linalg.vector_norm(bottom - top, dim=-1)
        half = (bottom - top) / 2 * (faces.gaps / full.clamp(min=1e-6)).clamp(max=1).unsqueeze(-1)
        middle = (top + bottom) / 2
        return torch.cat((middle - half, (middle + half)[:, 1:-1].flip(1)), 1).unsqueeze(1)

    def draw(self, scene: Scene) -> None:
        """The mouths into the scene's frames."""
        rows, faces = scene.rows, scene.faces
        top, bottom = self.edges(faces)
        patches, window = around(torch.cat((top, bottom), 1).unsqueeze(1), _PAD_PX, MOUTH_AREA_PX)
        photo = rows["mouth_photo"]
        expected = faces.pose.apply(rows["mouth_still"])[..., :2]
        change = (torch.cat((top, bottom[:, 1:-1].flip(1)), 1) - expected).abs().amax((1, 2))
        blend = torch.where(photo[:, 0] > 0, smoothstep(0.3, 2.5, change), 1.0)
        parted = (photo > 0) | (faces.gaps.amax(1, keepdim=True) >= _TOUCHING_PX)

        plain, lips = scene.warped("plain", patches), unpacked(patches.cut(scene.frames))
        opening = filtered(cover(patches.local(self.outline(faces)), *MOUTH_AREA_PX), *self._soft) * parted[..., None, None]
        inside = self._interior(scene, patches) * self._shade(scene, opening).unsqueeze(-1)
        drawn = torch.lerp(lips, inside, opening.unsqueeze(-1)) * self._seam(scene, patches, (top + bottom) / 2)
        patches.paste(scene.frames, torch.lerp(plain, drawn, blend[:, None, None, None, None]), window)

    def _interior(self, scene: Scene, patches: Patches) -> Tensor:
        """What goes with the jaw and, over it, with the skull: (n, 1, h, w, 4)."""
        rows, faces = scene.rows, scene.faces
        linear, skull = faces.linear[:, 2], faces.offset[:, 2]
        back = inverse(linear)
        jaw = skull + self._dropped(scene)
        stretch = self._stretch(scene, back)
        of_jaw, of_skull = (-(back @ offset.unsqueeze(-1)).squeeze(-1) for offset in (jaw, skull))
        bottom = rows["mouth_bottom"]
        of_skull = (stretch @ (of_skull - bottom).unsqueeze(-1)).squeeze(-1) + bottom
        to_photo = torch.stack((back, back, back, stretch @ back), 1)
        offset = torch.stack((of_jaw, of_jaw, of_jaw, of_skull), 1)
        to_texture = rows["mouth_linear"]
        shift = (to_texture @ offset.unsqueeze(-1)).squeeze(-1) + rows["mouth_offset"]
        x, y = placed(patches, to_texture @ to_photo, shift)
        cavity, *parts = scene.picture("cavity", x, y).split(1, 1)
        for part in parts:
            cavity = torch.lerp(cavity, part, part[..., 3:] / 255)
        return cavity

    def _dropped(self, scene: Scene) -> Tensor:
        """How far (n, 2) px the jaw's part has gone from the skull's."""
        rows, faces = scene.rows, scene.faces
        chin = faces.points[:, self._chin, :2].mean(1) - faces.pose.apply(rows["chin"])[:, 0, :2]
        lip = faces.points[:, self._lower[4:7], :2].mean(1)
        expected = (faces.linear[:, 2] @ rows["lip_rest"].unsqueeze(-1)).squeeze(-1) + faces.offset[:, 2]
        return LIP_SHARE * (lip - expected) + (1 - LIP_SHARE) * chin

    def _stretch(self, scene: Scene, back: Tensor) -> Tensor:
        """Photo to photo (n, 2, 2) about the lower lip's edge, the way back: shown teeth grow up as the lip uncovers them."""
        rows, faces = scene.rows, scene.faces
        lip = faces.points[:, self._upper[3:8], :2].mean(1) - faces.offset[:, 2]
        shift = (back @ lip.unsqueeze(-1)).squeeze(-1) - rows["upper_rest"]
        down = rows["mouth_down"]
        lift = -(shift * down).sum(-1, keepdim=True)
        factor = (1 + lift.clamp(min=0) / rows["mouth_height"]).clamp(max=STRETCH)
        factor = torch.where(rows["mouth_toothy"] > 0, factor, 1.0).unsqueeze(-1)
        less = (1 / factor - 1) * down.unsqueeze(-1) * down.unsqueeze(-2)
        return less + torch.diag_embed(torch.ones_like(down))

    def _shade(self, scene: Scene, opening: Tensor) -> Tensor:
        """Light falls off from the lips inward: (n, 1, h, w)."""
        rows = scene.rows
        below = filtered(opening, rows["mouth_shade_down"][:, None], rows["mouth_shade_across"][:, None])
        shade = DARKEST + (1 - DARKEST) * ((below - LIT[0]) / (LIT[1] - LIT[0])).clamp(0, 1)
        return torch.where(rows["mouth_photo"][..., None, None] > 0, OWN_LIGHT + (1 - OWN_LIGHT) * shade, shade)

    def _seam(self, scene: Scene, patches: Patches, middle: Tensor) -> Tensor:
        """The shadow where lips that were open in the photo meet, a factor (n, 1, h, w, 4)."""
        strength = 1 - smoothstep(0.0, 2.0, scene.faces.gaps)
        level = torch.minimum(strength[:, 1:], strength[:, :-1]) * scene.rows["mouth_photo"]
        radius = torch.full_like(level[:, :1], _SEAM_RADIUS_PX)
        line = strokes(patches.local(middle.unsqueeze(1)), level.unsqueeze(1), radius, *MOUTH_AREA_PX)
        return 1 - filtered(line, *self._seam_soft).unsqueeze(-1) * self._seam_colour
