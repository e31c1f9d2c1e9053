"""A stand-in for the engine: draws how loud the sound is, so that sync can be read off the picture."""

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from talkinghead.errors import PortraitError

STEP = 400  # samples of 16 kHz sound a frame


@dataclass(frozen=True)
class Frame:
    image: np.ndarray
    pts: float
    audio: np.ndarray


@dataclass
class Controls:
    gaze: tuple[float, float] = (0.0, 0.0)
    distance: float = 1.0
    pose_scale: float = 1.0
    emotion: str = "neutral"
    emotion_strength: float = 1.0

    def __post_init__(self) -> None:
        if self.emotion not in ("neutral", "happy"):
            raise ValueError("no such emotion; there are neutral, happy")


class Avatar:
    """As the real one, with a photo that is only looked at for being there."""

    calls: list[dict[str, object]] = []

    def __init__(self, device: str, alpha: bool = False) -> None:
        self.device, self.alpha = device, alpha
        self.portrait = SimpleNamespace(notes=("2 faces found,\ntook the largest",))

    @classmethod
    def open(cls, photo: str | Path, *, device: str = "cpu", networks: object = None, alpha: bool = False) -> "Avatar":
        if not Path(photo).exists():
            raise PortraitError(f"no such photo: {photo}: check the path")
        return cls(device, alpha)

    def render(
        self,
        audio: Iterable[np.ndarray],
        *,
        full: bool = False,
        wanted: Callable[[int], bool] | None = None,
        other: Iterable[np.ndarray] | None = None,
        **options: object,
    ) -> Iterator[Frame]:
        self.calls.append({"full": full, **options} | ({} if other is None else {"other_s": sum(map(len, other)) / 16_000}))
        kept = np.zeros(0, np.float32)
        size = (75, 101) if full else (512, 512)
        for index, block in enumerate(self._hops(audio, kept)):
            if wanted is not None and not wanted(index):
                continue
            light = 250 if np.abs(block).max(initial=0) > 0.3 else 20
            image = np.full((*size, 4 if self.alpha else 3), light, np.uint8)
            if self.alpha:  # a disc in the middle
                y, x = np.mgrid[: size[0], : size[1]]
                image[..., 3] = 255 * (np.hypot(y - size[0] / 2, x - size[1] / 2) < size[0] / 3)
            yield Frame(image, index / 40, block)

    @staticmethod
    def _hops(audio: Iterable[np.ndarray], kept: np.ndarray) -> Iterator[np.ndarray]:
        for block in audio:
            kept = np.concatenate([kept, block])
            while len(kept) >= STEP:
                yield kept[:STEP]
                kept = kept[STEP:]
        if len(kept):
            yield np.pad(kept, (0, STEP - len(kept)))


@pytest.fixture
def fake_avatar(monkeypatch: pytest.MonkeyPatch) -> type[Avatar]:
    """Puts the stand-ins where `dub` and the command line import the real ones from."""
    engine, controls = ModuleType("talkinghead.avatar"), ModuleType("talkinghead.motion.controls")
    engine.Avatar, engine.Frame, controls.Controls = Avatar, Frame, Controls  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "talkinghead.avatar", engine)
    monkeypatch.setitem(sys.modules, "talkinghead.motion.controls", controls)
    monkeypatch.setattr(Avatar, "calls", [])
    return Avatar
