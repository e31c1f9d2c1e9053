"""Videos in pieces of a second, of an engine whose every picture is another."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from fake_avatar import Avatar, Frame
from sounds import decoded

from talkinghead.offline.dub import DubResult, dub

RATE_HZ = 16_000
LENGTH_S = 5.3
"""In pieces of a second: the last is no whole one."""
SIZE_PX = 128
"""x264 gives the same bits again only where a row has a multiple of eight macroblocks."""
PLAIN_RENDER = Avatar.render


class Stopped(Exception):
    """As a fault of the machine."""


def make(folder: Path, name: str = "o.mp4", **options: Any) -> DubResult:
    """The video of the folder's photo and sound."""
    return dub(folder / "photo.png", folder / "s.wav", folder / name, **{"full": False, "size": SIZE_PX, **options})


def lively(stop_at: int | None = None) -> Callable[..., Iterator[Frame]]:
    """A stand-in's render whose every frame is another; it stops before frame `stop_at`."""

    def render(self: Avatar, *arguments: object, **options: object) -> Iterator[Frame]:
        for frame in PLAIN_RENDER(self, *arguments, **options):  # type: ignore[arg-type]
            number = round(frame.pts * 40)
            if stop_at is not None and number >= stop_at:
                raise Stopped
            noise = np.random.default_rng(number).integers(0, 40, (25, 34, 3), dtype=np.uint8)
            yield replace(frame, image=frame.image // 2 + cv2.resize(noise, frame.image.shape[1::-1]))

    return render


def content(path: Path) -> tuple[np.ndarray, np.ndarray, list[float]]:
    """Decoded pictures, decoded sound, and when pictures are shown."""
    with av.open(str(path)) as container:
        frames = [*container.decode(video=0)]
    return np.stack([f.to_ndarray(format="yuv420p") for f in frames]), decoded(path, RATE_HZ), [float(f.time) for f in frames]


def assert_same(path: Path, whole: Path) -> None:
    for mine, other in zip(content(path), content(whole), strict=True):
        assert np.array_equal(mine, other)


def left(folder: Path) -> list[str]:
    return sorted(name for name in os.listdir(folder) if name.startswith("."))
