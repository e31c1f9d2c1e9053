"""Avatars for sessions: one each, since an avatar draws into buffers of its own; the networks are shared."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from talkinghead.avatar import Avatar
from talkinghead.constants import FACE_HEIGHT_PX, SIZE_PX
from talkinghead.live.uploads import MAX_PORTRAIT_PIXELS
from talkinghead.motion.latent import LatentModel
from talkinghead.networks import BatchObserver, Networks
from talkinghead.offline.watermark import Watermarker
from talkinghead.portrait.crop import Crop
from talkinghead.portrait.load import load_photo_bytes
from talkinghead.portrait.portrait import Portrait
from talkinghead.runtime.engine import GPUS, choose_device


class AvatarSource:
    """Opens avatars of photos that are sent, and of the server's own portrait, which is read once. One thread at a time."""

    def __init__(self, photo: Path | None, device: str = "cpu", observer: BatchObserver | None = None) -> None:
        """On a GPU all sessions share batches, of which the observer is told."""
        networks, self._photo = Networks.load(device), photo
        self._networks = networks.batched(observer) if choose_device(device) in GPUS else networks
        self._own: Avatar | None = None
        self._own_digest = b""

    def load(self) -> None:
        """Load the face networks and the server's own portrait; PortraitError where that cannot be used."""
        if self._photo is not None:
            self._own = self._avatar(self._networks.face.read(self._photo))
            self._own_digest = hashlib.sha256(self._photo.read_bytes()).digest()
        else:
            self._networks.face.faces(np.full((SIZE_PX, SIZE_PX, 3), 128, np.uint8))

    def open(self, data: bytes | None) -> Avatar:
        """The avatar of a picture file's bytes, or of the server's own portrait. Raises PortraitError, EngineError."""
        if self._own is not None and (data is None or hashlib.sha256(data).digest() == self._own_digest):
            return self._own.twin()
        if data is None:
            raise ValueError("there is no portrait of the server's own")
        return self._avatar(self._networks.face.read(load_photo_bytes(data, max_pixels=MAX_PORTRAIT_PIXELS)))

    def sample(self) -> Avatar:
        """An avatar to warm up with: of the server's own portrait, else of the mean face on grey, which costs as much to draw."""
        return self._own.twin() if self._own is not None else self._avatar(mean_portrait(self._networks.latent))

    def prepare(self) -> bool:
        """After a first picture: make all that a number of sessions needs, so that none waits for it later. Whether there was
        anything to make: pictures may cost less now."""
        return self._networks.prepare()

    def close(self) -> None:
        """No further avatar can be drawn."""
        self._networks.close()

    def _avatar(self, portrait: Portrait) -> Avatar:
        return MarkedAvatar(portrait, self._networks)


class MarkedAvatar(Avatar):
    """An avatar whose pictures carry the watermark: calls say that they are synthetic, too."""

    def __init__(self, portrait: Portrait, networks: Networks) -> None:
        super().__init__(portrait, networks)
        self._marker = Watermarker()
        self._marker.mark(portrait.face)  # fitted to the photo now, not to a call's first picture while it waits

    def draw(self, z_pose: np.ndarray, z_dyn: np.ndarray) -> np.ndarray:
        """As `Avatar.draw`, marked; 0.2 ms more. From a GPU it comes as `Avatar.draw_planes`: what a call shows is encoded."""
        if self.on_gpu:
            return self._marker.mark_planes(self.draw_planes(z_pose, z_dyn))
        return self._marker.mark(super().draw(z_pose, z_dyn))


def mean_portrait(latent: LatentModel) -> Portrait:
    """Nobody's portrait: the mean face's points over a grey square. It needs no photo to be shipped."""
    points = (latent.mean * FACE_HEIGHT_PX + (SIZE_PX / 2, SIZE_PX / 2, 0)).astype(np.float32)
    square = np.full((SIZE_PX, SIZE_PX, 3), 128, np.uint8)
    return Portrait(square, Crop(0.0, 0.0, float(SIZE_PX)), square, points, latent.encode(points))
