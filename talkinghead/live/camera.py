"""The avatar as this machine's camera, for any program that can use one, through pyvirtualcam."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import numpy as np

from talkinghead.constants import FRAME_RATE_HZ, SIZE_PX
from talkinghead.errors import DeviceError

_LINUX_FIX = "apt-get install v4l2loopback-dkms, then modprobe v4l2loopback exclusive_caps=1 card_label=talkinghead (as root)"
_OTHER_FIX = "install OBS Studio, then start and stop its virtual camera once"


class Camera:
    """A virtual camera of 512×512 px. `name` is what other programs list it as.

    Raises DeviceError, one line that names the fix: no pyvirtualcam, no driver, or the camera in use.
    """

    def __init__(self) -> None:
        try:
            module: Any = import_module("pyvirtualcam")
        except ImportError:
            raise DeviceError('the virtual camera needs pyvirtualcam: pip install "talkinghead[camera]"') from None
        try:
            self._camera = module.Camera(SIZE_PX, SIZE_PX, FRAME_RATE_HZ)
        except RuntimeError as error:
            why = " ".join(str(error).split()).split(". ")[0]
            raise DeviceError(f"no virtual camera can be opened ({why}): {driver_fix()}") from None
        self.name = str(self._camera.device)

    def show(self, image: np.ndarray) -> None:
        """A picture (512, 512, 3) uint8 RGB."""
        self._camera.send(np.ascontiguousarray(image))

    def close(self) -> None:
        """Give the camera back."""
        self._camera.close()


def driver_fix() -> str:
    """How this system gets a virtual camera."""
    return _LINUX_FIX if sys.platform == "linux" else _OTHER_FIX
