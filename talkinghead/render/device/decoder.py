"""Frames of many portraits in one call: latents go in, pictures come out; between them nothing leaves the GPU."""

from __future__ import annotations

import threading
from functools import partial

import numpy as np
import torch
from torch import Tensor

from talkinghead.constants import SIZE_PX
from talkinghead.errors import EngineError
from talkinghead.motion.latent import FaceCode, LatentModel
from talkinghead.render.decoder import Decoder
from talkinghead.render.device import output
from talkinghead.render.device.bank import Bank
from talkinghead.render.device.eyes import DeviceEyes
from talkinghead.render.device.fusing import Fuser, Recorder, Recording
from talkinghead.render.device.geometry import Geometry
from talkinghead.render.device.mesh import DeviceMesh
from talkinghead.render.device.mouth import DeviceMouth
from talkinghead.render.device.prepare import prepared
from talkinghead.render.device.refine import DeviceRefiners, PatchNetworks, details, features, softness
from talkinghead.render.device.scene import Scene
from talkinghead.render.device.shade import light
from talkinghead.render.device.texture import packed, unpacked
from talkinghead.render.resample import FINE
from talkinghead.render.surround import Borders
from talkinghead.runtime.torch import Graph

FORMS = ("rgb", "nv12")
_SIZES = (1, 2, 4, 8, 16, 32)
"""Rows of a recorded graph. More are drawn one part after another: a GPU is full by then, and memory stays small."""
_PIXELS = SIZE_PX * SIZE_PX


class DeviceDecoder:
    """Draws portraits of one latent model, any of them in one batch. Any thread may call it; calls wait for one another."""

    def __init__(self, latent: LatentModel, *, device: str = "cuda", refine: bool = True) -> None:
        """device: cuda, or cpu (for comparison: `render.decoder` is many times as quick there). Without ``refine`` the warp
        alone.

        EngineError where the networks cannot be loaded."""
        self._latent, self._device = latent, device
        self._bank = Bank(device)
        self._geometry, self._mesh = Geometry(latent, device), DeviceMesh(device)
        self._eyes, self._mouth = DeviceEyes(device), DeviceMouth(device)
        self._networks = PatchNetworks(device) if refine else None
        self._refiners = None if self._networks is None else DeviceRefiners(self._networks, latent, self._mouth, device)
        axis = torch.arange(SIZE_PX, device=device, dtype=torch.float32)
        self._grid = torch.stack(torch.meshgrid(axis, axis, indexing="xy"))
        self._soft: set[int] = set()
        self._lock = threading.RLock()
        self._graphs: dict[tuple[int, str, bool, int], Recording] = {}
        self._record: Recorder | None = None if device == "cpu" else partial(Graph, torch)
        self._fuser: Fuser | None = None
        self._pattern: list[Tensor] = []

    def add(self, face: np.ndarray, points: np.ndarray, code: FaceCode, borders: Borders | None = None) -> int:
        """The number of one portrait more: ``face`` (512, 512, 3) uint8 RGB, its ``points`` (478, 3) px, their ``code``, and
        where its shoulders are held.

        EngineError where it does not fit."""
        engines = None if self._networks is None else self._networks.engines
        still = Decoder(face, points, code.pose, self._latent, engines)
        if borders is not None:
            still.hold(borders)
        still.match_detail(face, code, self._latent)
        soft_px = still._soft_px
        others = {} if self._networks is None else softness(soft_px) | details(still) | features(still) | light(still)
        made = prepared(still._warp, code, self._latent, others)
        with self._lock:
            slot = self._bank.add(made)
            if soft_px > 0:
                self._soft.add(slot)
            return slot

    def remove(self, slot: int) -> None:
        """The portrait is not drawn any more."""
        with self._lock:
            self._soft.discard(slot)
            self._bank.remove(slot)

    def run(self, *, slot: np.ndarray, z_pose: np.ndarray, z_dyn: np.ndarray, form: str = "rgb") -> dict[str, np.ndarray]:
        """``image`` of portraits ``slot`` (n,) under ``z_pose`` (n, 6) from their poses and ``z_dyn`` (n, D) from their rest, in
        this machine's memory: RGB (n, 512, 512, 3) uint8, or NV12 (n, 768, 512) uint8 (BT.601, limited)."""
        with self._lock:
            drawn = self.draw(slot, z_pose, z_dyn, form)
            return {"image": output.fetched(drawn).numpy()}

    def draw(self, slot: np.ndarray, z_pose: np.ndarray, z_dyn: np.ndarray, form: str = "rgb") -> Tensor:
        """The same where it was drawn."""
        if form not in FORMS:
            raise EngineError(f"frames are {' or '.join(FORMS)}, not '{form}'")
        numbers = np.asarray(slot, np.int64)
        given = [torch.from_numpy(np.ascontiguousarray(a)) for a in (numbers, np.float32(z_pose), np.float32(z_dyn))]
        if numbers.ndim != 1 or not len(numbers) or any(len(values) != len(numbers) for values in given):
            raise EngineError("slot (n,), z_pose (n, 6) and z_dyn (n, D) need the same n, 1 or more")
        with self._lock, torch.inference_mode():
            self._pattern = self._pattern or [values[:1].clone() for values in given]
            soft = not self._soft.isdisjoint(numbers.tolist())
            parts = [self._part(list(part), form, soft) for part in zip(*(v.split(_SIZES[-1]) for v in given), strict=True)]
            return torch.cat(parts) if len(parts) > 1 else parts[0]

    def prepare(self, most: int = _SIZES[-1], form: str = "nv12") -> None:
        """Record batches up to ``most`` like the first that was drawn, and fuse their kernels (a minute or so a size the first
        time), so that no session waits for it later. Sizes that come up after it are fused while they are drawn."""
        with self._lock, torch.inference_mode():
            if self._record is None or not self._pattern:
                return
            self._fuser = self._fuser or Fuser(self._record, self._lock)
            self._graphs, soft = {}, int(self._pattern[0]) in self._soft
            for size in [size for size in _SIZES if size <= most]:
                self._part([values.expand(size, *values.shape[1:]) for values in self._pattern], form, soft)
        self._fuser.wait()

    def _part(self, given: list[Tensor], form: str, soft: bool) -> Tensor:
        count = len(given[0])
        if self._record is None:
            return self._frames(given, form, soft)
        size = next(size for size in _SIZES if size >= count)
        given = [torch.cat((values, values[-1:].expand(size - count, *values.shape[1:]))) for values in given]
        key = size, form, soft, self._bank.grown
        if key not in self._graphs:
            self._graphs = {k: graph for k, graph in self._graphs.items() if k[-1] == self._bank.grown}
            here = [values.to(self._device) for values in given]
            record = self._record if self._fuser is None else self._fuser.recording
            self._graphs[key] = record(here, lambda values: (self._frames(values, form, soft),))
        return self._graphs[key].replay(given, copy=True)[0][:count]

    def _frames(self, given: list[Tensor], form: str, soft: bool) -> Tensor:
        """Every shape is known beforehand and nothing is asked back, so that it can be recorded."""
        slots, z_pose, z_dyn = given
        rows = self._bank.rows(slots)
        faces = self._geometry.faces(rows, z_pose, z_dyn)
        moved = self._mesh.displacement(rows, *self._geometry.vertices(rows, faces))
        frames = torch.zeros(len(slots), _PIXELS + 1, dtype=torch.int32, device=self._device)
        scene = Scene(rows, faces, frames, moved.flatten(2), self._bank.texels, slots)
        frames[:, :_PIXELS] = self._warped(scene, moved)
        self._eyes.draw(scene)
        self._mouth.draw(scene)
        if self._refiners is not None:
            self._refiners.draw(scene, z_pose, z_dyn, soft)
        pictures = frames[:, :_PIXELS].unsqueeze(-1).view(torch.uint8)[..., :3].reshape(len(slots), SIZE_PX, SIZE_PX, 3)
        return output.nv12(pictures) if form == "nv12" else pictures

    def _warped(self, scene: Scene, moved: Tensor) -> Tensor:
        """The moved person over the still background (n, pixels) int32."""
        x, y = ((self._grid + moved) * FINE).unsqueeze(2).unbind(1)
        person = scene.picture("base", x, y).flatten(1, 3)
        behind = unpacked(scene.texels[:, :_PIXELS][scene.slots])  # the first picture
        return packed(person + behind * (1 - person[..., 3:] / 255))
