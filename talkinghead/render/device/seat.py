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
from talkinghead.render.device.decoder import DeviceDecoder
from talkinghead.render.surround import Borders

PREPARED = 8
"""Frames a batch that a server is ready for before its first call: more seldom fall due at once."""


@dataclass(eq=False)
class _Call:
    """A frame that somebody waits for."""

    slot: int
    z_pose: np.ndarray
    z_dyn: np.ndarray
    form: str
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

    def seat(self, face: np.ndarray, points: np.ndarray, code: FaceCode, borders: Borders | None = None) -> DevicePortrait:
        """A portrait, as `DeviceDecoder.add` takes it."""
        return DevicePortrait(self, self.decoder.add(face, points, code, borders))

    def image(self, slot: int, z_pose: np.ndarray, z_dyn: np.ndarray, form: str = "rgb") -> np.ndarray:
        """A frame of a portrait by its slot: (512, 512, 3) uint8 RGB, or "nv12", as `DeviceDecoder.run` gives it."""
        call = _Call(slot, z_pose, z_dyn, form)
        with self._listed:
            self._waiting.append(call)
        with self._drawing:
            if call.image is None and call.error is None:
                with self._listed:
                    waiting, self._waiting = self._waiting, []
                for form in dict.fromkeys(each.form for each in waiting):  # a server's calls all take the same
                    self._serve([each for each in waiting if each.form == form])
        if call.image is None:
            assert call.error is not None
            raise call.error
        return call.image

    def prepare(self, most: int = PREPARED) -> None:
        """After a first frame: make all that batches of so many need (`DeviceDecoder.prepare`)."""
        self.decoder.prepare(most)

    def _serve(self, calls: list[_Call]) -> None:
        self.batches += 1
        try:
            slots, z_pose, z_dyn = (np.stack([getattr(call, name) for call in calls]) for name in ("slot", "z_pose", "z_dyn"))
            images = self.decoder.run(slot=slots, z_pose=z_pose, z_dyn=z_dyn, form=calls[0].form)["image"]
        except Exception as error:  # handed to all who wait
            for call in calls:
                call.error = error
            return
        for call, image in zip(calls, images, strict=True):
            call.image = image.copy()  # what is given away keeps no other's frame


class DevicePortrait:
    """Draws one portrait, from any thread. Its place on the GPU is given back with it."""

    def __init__(self, shared: SharedDecoder, slot: int) -> None:
        self._shared, self._slot = shared, slot
        weakref.finalize(self, shared.decoder.remove, slot)

    def draw(self, z_pose: np.ndarray, z_dyn: np.ndarray, form: str = "rgb") -> np.ndarray:
        """The frame under ``z_pose`` (6,) from the portrait's pose and ``z_dyn`` (D,) from its rest: `SharedDecoder.image`."""
        return self._shared.image(self._slot, z_pose, z_dyn, form)
