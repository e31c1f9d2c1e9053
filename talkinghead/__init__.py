"""talkinghead: one portrait photo and a voice become a lifelike talking face.

    avatar = talkinghead.Avatar.open("photo.jpg")
    for frame in avatar.render("speech.wav"):
        ...  # frame.image (512, 512, 3) uint8 RGB, frame.pts s, frame.audio (400,) float32 at 16 kHz

Names are loaded when first used: importing this module is quick and needs no runtime.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from talkinghead.avatar import Avatar
    from talkinghead.errors import EngineError, OutputError, PortraitError, SpeechError, TalkingHeadError
    from talkinghead.motion.controls import Controls
    from talkinghead.offline.dub import DubResult, dub
    from talkinghead.session import Frame, Session

try:
    __version__ = version("talkinghead")
except PackageNotFoundError:
    __version__ = "0+unknown"

_HOMES = {
    "Avatar": "avatar",
    "Frame": "session",
    "Session": "session",
    "Controls": "motion.controls",
    "DubResult": "offline.dub",
    "dub": "offline.dub",
    "TalkingHeadError": "errors",
    "PortraitError": "errors",
    "SpeechError": "errors",
    "OutputError": "errors",
    "EngineError": "errors",
}

__all__ = [
    "Avatar",
    "Controls",
    "DubResult",
    "EngineError",
    "Frame",
    "OutputError",
    "PortraitError",
    "Session",
    "SpeechError",
    "TalkingHeadError",
    "dub",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"talkinghead.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'talkinghead' has no attribute '{name}'")
