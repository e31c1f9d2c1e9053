"""`render.refine` and `render.softness` for a batch: patches as the networks see them, and their change put back."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from talkinghead.motion.latent import LatentModel
from talkinghead.render.decoder import _EYES_SOFTER, Decoder, DecoderEngines
from talkinghead.render.detail import _DRAWN, _KERNEL, _REACH_PX
from talkinghead.render.device.filters import cubic, filtered, gaussian
from talkinghead.render.device.geometry import EYES, index, smoothstep
from talkinghead.render.device.mouth import DeviceMouth
from talkinghead.render.device.scene import Scene
from talkinghead.render.device.shade import DeviceShade
from talkinghead.render.device.shapes import cover
from talkinghead.render.device.texture import Patches, unpacked
from talkinghead.render.layout import MOUTH_CORNERS, OUTER_LIPS, OVAL
from talkinghead.render.matting import load_matting
from talkinghead.render.refine import _DISC, _TURN, _TURN_GAIN, EDGE_PX, EYE_PX, KEPT, MOUTH_PX, RIM_PX, SMILE, code_mirror
from talkinghead.runtime.torch import TorchEngine
from talkinghead.runtime.weights import model_path

PARTS = {"mouth": MOUTH_PX, "eye": EYE_PX}
_PYRAMID = ("v4", "v8")
_MARGIN_PX = 2
_BESIDE, _MIDDLE = (float(tap) for tap in _KERNEL[:2])
_MOST_SOFT_PX = 10
"""That `render.softness` finds."""

Arrays = dict[str, np.ndarray]


class PatchNetworks:
    """The decoder's shipped networks in torch: float32 on the CPU, half precision on a GPU."""

    def __init__(self, device: str) -> None:
        """EngineError where the weights cannot be read."""
        names = [name for part in PARTS for name in (part, f"{part}_appearance")]
        self._engines = {name: TorchEngine(model_path("decoder", f"{name}.onnx"), device) for name in names}
        self._matting = load_matting()

    @property
    def engines(self) -> DecoderEngines:
        """The same, as the decoder of the CPU takes them."""
        return DecoderEngines(**self._engines, matte=self._matting)

    def change(self, part: str, patch: Tensor, code: Tensor, rows: Mapping[str, Tensor]) -> Tensor:
        """What is to be added (n, k, 3, h, w), 1 being white, to patches (n, k, 5, h, w) under codes (n, k, c)."""
        given = [values.flatten(0, 1) for values in (patch, code, *(rows[f"{part}_{name}"] for name in _PYRAMID))]
        made: Tensor = self._engines[part].call(given)[0]
        return made.unflatten(0, patch.shape[:2])


def softness(soft_px: float) -> Arrays:
    """Constants of a portrait whose photo is so soft."""
    made: Arrays = {}
    for part, soft in (("mouth", soft_px), ("eye", _EYES_SOFTER * soft_px)):
        made[f"{part}_wide"] = (np.abs(np.arange(-_MOST_SOFT_PX, _MOST_SOFT_PX + 1)) <= round(soft)).astype(np.float32)
        made[f"{part}_soft"] = np.array((soft > 0,))
        width, height = PARTS[part]
        made[f"{part}_blur_down"], made[f"{part}_blur_across"] = gaussian(height, soft), gaussian(width, soft)
    return made


def details(still: Decoder) -> Arrays:
    """Constants of a portrait as the other decoder draws it: how much detail is added, and the mouth's width at rest."""
    made = {"mouth_detail": still.detail.mouth, "eye_detail": still.detail.eyes, "mouth_rest_width": still.rest_width}
    return {name: np.array((value,)) for name, value in made.items()}


def features(still: Decoder) -> Arrays:
    """V_app of a portrait that the other decoder draws with the same networks, by constants' names."""
    made: Arrays = {}
    for part, refiner in (("mouth", still._mouth), ("eye", still._eyes)):
        assert refiner is not None
        made.update({f"{part}_{name}": refiner.features[name].numpy() for name in _PYRAMID})
    return made


class DeviceRefiners:
    """Brings frames into their light, then redraws eyes and mouths."""

    def __init__(self, networks: PatchNetworks, latent: LatentModel, mouth: DeviceMouth, device: str) -> None:
        self._networks, self._mouth, self._shade = networks, mouth, DeviceShade(latent, device)
        self._mirror = torch.from_numpy(code_mirror(latent)).to(device)
        self._oval = index(OVAL, device)
        self._lips, self._mouth_corners = index(OUTER_LIPS, device), index(MOUTH_CORNERS, device)
        self._lids = index((n for eye in EYES for n in eye.upper + eye.lower[-2:0:-1]), device)
        self._corners = index((n for eye in EYES for n in (eye.upper[0], eye.upper[-1])), device)
        self._iris = index((n for eye in EYES for n in eye.iris), device)
        self._disc = torch.tensor(_DISC, dtype=torch.float32, device=device)

    def draw(self, scene: Scene, z_pose: Tensor, z_dyn: Tensor, soft: bool) -> None:
        """Into the scene's frames, under z_pose (n, 6) and z_dyn (n, D). ``soft``: whether any portrait is."""
        self._shade.draw(scene)
        code = torch.cat((z_dyn, _TURN_GAIN * z_pose[:, :_TURN]), 1)
        eyes, mouth = _Spots(*self._eye_outlines(scene), EYE_PX), _Spots(*self._mouth_outlines(scene), MOUTH_PX)
        eyes_given, mouth_given = eyes.input(scene.frames), mouth.input(scene.frames)
        # The eye on the picture's right is drawn mirrored, under the mirrored motion.
        eyes_code = torch.stack((code, code @ self._mirror), 1)
        eyes_change = self._networks.change("eye", _mirrored(eyes_given), eyes_code, scene.rows)
        mouth_change = self._networks.change("mouth", mouth_given, code[:, None], scene.rows)
        inside = nn.functional.max_pool2d(mouth_given[:, :, 3], RIM_PX, 1, RIM_PX // 2).unsqueeze(2)
        mouth_change = mouth_change * (1 - self._kept(scene) * inside) * mouth.within(scene.faces.points[:, None, self._oval, :2])
        for part, spots, given, change in (
            ("eye", eyes, eyes_given, _mirrored(eyes_change)),
            ("mouth", mouth, mouth_given, mouth_change),
        ):
            spots.add(scene.frames, _detailed(given[:, :, :3], change, scene.rows[f"{part}_detail"]))
            if soft:
                _soften(scene, part, spots.patches, given[:, :, 3])

    def _kept(self, scene: Scene) -> Tensor:
        """`render.refine.interior_kept`: shares (n, 1, 1, 1, 1)."""
        corners = scene.faces.points[:, self._mouth_corners]
        wide = torch.linalg.vector_norm(corners[:, 0] - corners[:, 1], dim=-1, keepdim=True) / scene.faces.pose.scale.flatten(1)
        share = KEPT * (1 - smoothstep(*SMILE, wide / scene.rows["mouth_rest_width"]))
        return share[:, :, None, None, None]

    def _mouth_outlines(self, scene: Scene) -> tuple[Tensor, Tensor]:
        lips = scene.faces.points[:, self._lips, :2].unsqueeze(1)
        return lips.mean(2), torch.stack((self._mouth.outline(scene.faces), lips), 2)

    def _eye_outlines(self, scene: Scene) -> tuple[Tensor, Tensor]:
        points = scene.faces.points[..., :2]
        n = len(points)
        lids = points[:, self._lids].view(n, 2, -1, 2)
        iris = points[:, self._iris].view(n, 2, -1, 2)
        radius = torch.linalg.vector_norm(iris[:, :, 1:] - iris[:, :, :1], dim=-1).mean(-1)
        disc = iris[:, :, :1] + self._disc * radius[..., None, None]
        # As many corners as the disc has: the last one again.
        lids = torch.cat((lids, lids[:, :, -1:].expand(-1, -1, disc.shape[2] - lids.shape[2], -1)), 2)
        return points[:, self._corners].view(n, 2, 2, 2).mean(2), torch.stack((lids, disc), 2)


class _Spots:
    """Patches k a frame of one part: `render.refine.Spot`."""

    def __init__(self, middle: Tensor, outlines: Tensor, size_px: tuple[int, int]) -> None:
        """``middle`` (n, k, 2) px; ``outlines`` (n, k, 2, p, 2) px."""
        self._size_px, self._outlines = size_px, outlines
        width, height = size_px
        corner = middle.clamp(-4096, 4096)
        corner = torch.stack((corner[..., 0] - (width - 1) / 2, corner[..., 1] - (height - 1) / 2), -1)
        origin = corner.round()
        self._shift = corner - origin
        self.patches = Patches(origin, width, height)
        self._wide = Patches(origin - _MARGIN_PX, width + 2 * _MARGIN_PX, height + 2 * _MARGIN_PX)

    def input(self, frames: Tensor) -> Tensor:
        """What the networks are shown, (n, k, 5, h, w) in 0..1."""
        seen = unpacked(self._wide.cut(frames))[..., :3].movedim(-1, 2)
        seen = self._shifted(seen, self._shift).round().clamp(0, 255) / 255
        n, k, two, count, _ = self._outlines.shape
        local = self.patches.local(self._outlines - self._shift[:, :, None, None])
        covers = cover(local.view(n, k * two, count, 2), *self._size_px).view(n, k, two, *seen.shape[-2:])
        return torch.cat((seen, covers), 2)

    def within(self, outline: Tensor) -> Tensor:
        """`render.refine.within_face` of outlines (n, k, p, 2) px: (n, k, 1, h, w)."""
        face = cover(self.patches.local(outline - self._shift[:, :, None]), *self._size_px)
        wide = nn.functional.pad(face, (EDGE_PX // 2,) * 4, "replicate")
        return nn.functional.avg_pool2d(wide, EDGE_PX, 1).unsqueeze(2)

    def add(self, frames: Tensor, change: Tensor) -> None:
        """Add a change (n, k, 3, h, w), 1 being white."""
        wide = nn.functional.pad(change.flatten(0, 1), (_MARGIN_PX,) * 4, "replicate").unflatten(0, change.shape[:2])
        more = self._shifted(wide, -self._shift).movedim(2, -1) * 255
        self.patches.paste(frames, unpacked(self.patches.cut(frames)) + nn.functional.pad(more, (0, 1)))

    def _shifted(self, wide: Tensor, shift: Tensor) -> Tensor:
        width, height = self._size_px
        across, down = cubic(shift[..., 0], width, _MARGIN_PX), cubic(shift[..., 1], height, _MARGIN_PX)
        return filtered(wide, down[:, :, None], across[:, :, None])


def _detailed(seen: Tensor, change: Tensor, gain: Tensor) -> Tensor:
    """`render.detail.detailed` of patches (n, k, 3, h, w) by gains (n, 1)."""
    made = seen + change
    wide = nn.functional.pad(made.flatten(0, 1), (1, 1, 1, 1), "replicate").unflatten(0, made.shape[:2])
    blurred = _BESIDE * (wide[..., :-2] + wide[..., 2:]) + _MIDDLE * wide[..., 1:-1]
    blurred = _BESIDE * (blurred[..., :-2, :] + blurred[..., 2:, :]) + _MIDDLE * blurred[..., 1:-1, :]
    much = nn.functional.avg_pool2d(change.abs().amax(2), _REACH_PX, 1, _REACH_PX // 2)
    return change + (made - blurred) * ((much / _DRAWN).clamp(max=1) * gain[..., None, None]).unsqueeze(2)


def _soften(scene: Scene, part: str, patches: Patches, opening: Tensor) -> None:
    """`render.softness.soften` of patches whose ``opening`` (n, k, h, w) in 0..1 says where."""
    rows = scene.rows
    wide, soft = rows[f"{part}_wide"], rows[f"{part}_soft"]
    down, across = rows[f"{part}_blur_down"][:, None], rows[f"{part}_blur_across"][:, None]
    share = filtered(_dilated(_dilated(opening, wide).mT, wide).mT, down, across) * soft[:, :, None, None]
    seen = unpacked(patches.cut(scene.frames))
    blurred = filtered(seen.movedim(-1, 2), down.unsqueeze(2), across.unsqueeze(2)).movedim(2, -1)
    patches.paste(scene.frames, torch.lerp(seen, blurred, share.unsqueeze(-1)))


def _dilated(values: Tensor, wide: Tensor) -> Tensor:
    """The largest of those (n, k, h, w) that ``wide`` (n, 2 r + 1) takes in beside each."""
    reach = wide.shape[1] // 2
    beside = nn.functional.pad(values, (reach, reach)).unfold(-1, 2 * reach + 1, 1)
    return (beside * wide[:, None, None, None]).amax(-1)


def _mirrored(pair: Tensor) -> Tensor:
    """The second of each two (n, 2, ..., w) left to right."""
    return torch.stack((pair[:, 0], pair[:, 1].flip(-1)), 1)
