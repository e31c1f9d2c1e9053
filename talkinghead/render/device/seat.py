"""Portraits drawn from many threads: whoever comes while the GPU draws is drawn in the next batch, together with all others.

That is flat combining (Hendler, Incze, Shavit, Tzafrir, *Flat Combining and the Synchronization-Parallelism Tradeoff*, 2010): who
gets the lock serves all who wait, so nobody waits for a window of time to pass.
"""

from __future__ import annotations

import threading
import weakref
from dataclasses import dataclass

import numpy as np

from talkinghead.motion.latent import FaceCode
from talkinghead.motion.pose import HeadPose
from talkinghead.render.device.decoder import DeviceDecoder


@dataclass(eq=False)
class _Call:
    """A frame that somebody waits for."""

    slot: int
    z_pose: np.ndarray
    z_dyn: np.ndarray
    image: np.ndarray | None = None
    error: Exception | None = None


class SharedDecoder:
    """One `DeviceDecoder` for all avatars."""

    def __init__(self, decoder: DeviceDecoder) -> None:
        self.decoder = decoder
        self.batches = 0
        """Calls of the decoder so far."""
        self._waiting: list[_Call] = []
        self._listed, self._drawing = threading.Lock(), threading.Lock()

    def seat(self, face: np.ndarray, points: np.ndarray, code: FaceCode) -> DevicePortrait:
        """A portrait, as `DeviceDecoder.add` takes it."""
        return DevicePortrait(self, self.decoder.add(face, points, code))

    def image(self, slot: int, z_pose: np.ndarray, z_dyn: np.ndarray) -> np.ndarray:
        """A frame (512, 512, 3) uint8 RGB of a portrait by its slot."""
        call = _Call(slot, z_pose, z_dyn)
        with self._listed:
            self._waiting.append(call)
        with self._drawing:
            if call.image is None and call.error is None:
                with self._listed:
                    waiting, self._waiting = self._waiting, []
                self._serve(waiting)
        if call.image is None:
            assert call.error is not None
            raise call.error
        return call.image

    def _serve(self, calls: list[_Call]) -> None:
        self.batches += 1
        try:
            slots, z_pose, z_dyn = (np.stack([getattr(call, name) for call in calls]) for name in ("slot", "z_pose", "z_dyn"))
            images = self.decoder.run(slot=slots, z_pose=z_pose, z_dyn=z_dyn)["image"]
        except Exception as error:  # handed to all who wait
            for call in calls:
                call.error = error
            return
        for call, image in zip(calls, images, strict=True):
            call.image = image.copy()  # what is given away keeps no other's frame


class DevicePortrait:
    """Stands where `render.decoder.Decoder` does. Its place on the GPU is given back with it."""

    def __init__(self, shared: SharedDecoder, slot: int) -> None:
        self._shared, self._slot = shared, slot
        weakref.finalize(self, shared.decoder.remove, slot)

    def twin(self) -> DevicePortrait:
        """Itself: any thread may draw."""
        return self

    def draw(self, points: np.ndarray, pose: HeadPose, z_pose: np.ndarray, z_dyn: np.ndarray) -> np.ndarray:
        """As `Decoder.draw`; ``points`` and ``pose`` are made from z_pose and z_dyn once more, where the frame is drawn."""
        return self._shared.image(self._slot, z_pose, z_dyn)
