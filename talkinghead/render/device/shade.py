"""`render.shade` for a batch."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F

from talkinghead.constants import SIZE_PX
from talkinghead.motion.latent import LatentModel
from talkinghead.render.decoder import Decoder
from talkinghead.render.device.scene import Scene
from talkinghead.render.device.texture import packed, unpacked
from talkinghead.render.layout import SKIN_POINTS
from talkinghead.render.shade import FAINT, LEAST, MOST, SPREAD_FH, STEP_PX, STRENGTH, Surface
from talkinghead.render.warp import face_triangles


def light(still: Decoder) -> dict[str, np.ndarray]:
    """Constants of a portrait as the other decoder draws it."""
    found = still.light
    assert found is not None
    numbers = {"light": found.coefficients, "light_rest": found.rest, "light_normals": found.normals}
    return {**numbers, "light_least": np.array((found.least,))}


class DeviceShade:
    """Brings frames into their photos' light."""

    def __init__(self, latent: LatentModel, device: str) -> None:
        surface = Surface(face_triangles(latent.mean), latent.mean)
        self._triangles, self._beside, self._chosen = (
            torch.from_numpy(numbers.astype(np.int64)).to(device)
            for numbers in (surface.triangles, surface.beside[surface.chosen], surface.chosen)
        )
        self._share, self._pinned = (torch.from_numpy(values).to(device) for values in (surface.share, surface.pinned))
        self._middle = (torch.arange(SIZE_PX // STEP_PX, device=device) + 0.5) * STEP_PX - 0.5

    def draw(self, scene: Scene) -> None:
        """Into the scene's frames."""
        rows, points = scene.rows, scene.faces.points[:, :SKIN_POINTS]
        a, b, c = points[:, self._triangles].unbind(2)
        faces = F.pad(torch.linalg.cross(b - a, c - a), (0, 0, 0, 1))
        normals = F.normalize(faces[:, self._beside].sum(2), dim=-1, eps=1e-9)
        points, facing = points[:, self._chosen], rows["light_normals"][:, self._chosen]
        x, y, z = F.normalize(normals + facing @ scene.faces.pose.rotation.mT, dim=-1, eps=1e-6).unbind(-1)
        harmonics = torch.stack((torch.ones_like(x), x, y, z, x * y, x * z, y * z, x * x - y * y, 3 * z * z - 1), -1)
        now = torch.maximum((harmonics @ rows["light"].unsqueeze(-1)).squeeze(-1), rows["light_least"])
        change = self._share * STRENGTH * torch.log((now / rows["light_rest"][:, self._chosen]).clamp(LEAST, MOST))
        seen = torch.maximum(-normals[..., 2], self._pinned)
        reach = SPREAD_FH * scene.faces.pose.scale
        across, down = (torch.exp(-0.5 * ((self._middle[:, None] - points[:, None, :, k]) / reach) ** 2) for k in (0, 1))
        weight = down * seen.unsqueeze(1)
        field = (weight * change.unsqueeze(1)) @ across.mT / (weight @ across.mT + FAINT)
        factor = F.interpolate(field.exp().unsqueeze(1), scale_factor=float(STEP_PX), mode="bilinear").flatten(1)
        pixels = factor.shape[1]
        scene.frames[:, :pixels] = packed(unpacked(scene.frames[:, :pixels]) * factor.unsqueeze(-1))
