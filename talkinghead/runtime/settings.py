"""How each network is run on a GPU: ``talkinghead/engines/*.toml``, one file a room of ``models``, a table a network."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from talkinghead.errors import EngineError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_FOLDER = Path(__file__).resolve().parent.parent / "engines"
_PRECISIONS = ("float32", "float16")


@dataclass(frozen=True)
class EngineSettings:
    """precision: float32 or float16. float32: ONNX operators that stay float32 all the same. batch: least, usual and largest
    batch of a TensorRT plan."""

    precision: str
    float32: tuple[str, ...]
    batch: tuple[int, int, int]


def load_settings(path: Path, folder: Path = _FOLDER) -> EngineSettings:
    """Those of a shipped ONNX file ``models/ROOM/NAME.onnx``; EngineError when there are none or they are wrong."""
    room, name = path.parent.name, path.name.split(".")[0]
    try:
        table: dict[str, Any] = tomllib.loads((folder / f"{room}.toml").read_text(encoding="utf-8"))[name]
        least, usual, largest = (int(n) for n in table["batch"])
        settings = EngineSettings(table["precision"], tuple(table["float32"]), (least, usual, largest))
    except (OSError, KeyError, TypeError, ValueError) as error:  # TOMLDecodeError is a ValueError
        raise EngineError(f"no engine settings of {room}/{name}: reinstall talkinghead ({type(error).__name__})") from error
    if settings.precision not in _PRECISIONS or not 1 <= least <= usual <= largest:
        allowed = " or ".join(_PRECISIONS)
        raise EngineError(f"engine settings of {room}/{name} are wrong: precision is {allowed}, batch rises from 1")
    return settings
