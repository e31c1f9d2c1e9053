"""The virtual camera: what it is sent, and one line for a missing package or driver."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from talkinghead.errors import DeviceError
from talkinghead.live.camera import Camera


class Driver:
    """A stand-in for `pyvirtualcam.Camera`."""

    device = "/dev/video7"

    def __init__(self, width: int, height: int, fps: float) -> None:
        self.form, self.closed = (width, height, fps), False
        self.sent: list[np.ndarray] = []

    def send(self, image: np.ndarray) -> None:
        assert image.flags.c_contiguous
        self.sent.append(image)

    def close(self) -> None:
        self.closed = True


def test_pictures_are_sent_at_their_size_and_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyvirtualcam", SimpleNamespace(Camera=Driver))
    camera = Camera()
    driver = camera._camera
    image = np.arange(512 * 512 * 3, dtype=np.uint32).astype(np.uint8).reshape(512, 512, 3)
    camera.show(image[:, ::-1])
    camera.close()
    assert (camera.name, driver.form, driver.closed) == ("/dev/video7", (512, 512, 40), True)
    np.testing.assert_array_equal(driver.sent[0], image[:, ::-1])


def test_without_pyvirtualcam_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyvirtualcam", None)
    with pytest.raises(DeviceError, match=r'pip install "talkinghead\[camera\]"$'):
        Camera()


@pytest.mark.parametrize(("platform", "fix"), [("linux", "modprobe v4l2loopback"), ("darwin", "OBS"), ("win32", "OBS")])
def test_without_a_driver_its_package_is_named(monkeypatch: pytest.MonkeyPatch, platform: str, fix: str) -> None:
    def refuse(*form: float) -> None:
        raise RuntimeError("'v4l2loopback' backend: No device found. Did you\nrun this? See also the documentation.")

    monkeypatch.setitem(sys.modules, "pyvirtualcam", SimpleNamespace(Camera=refuse))
    monkeypatch.setattr(sys, "platform", platform)
    with pytest.raises(DeviceError, match=fix) as error:
        Camera()
    assert "No device found)" in str(error.value)
    assert "\n" not in str(error.value)
