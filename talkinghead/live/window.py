"""The preview window, through pygame-ce (SDL): the picture, and the keys that steer it."""

from __future__ import annotations

import os
import warnings
from importlib import import_module
from typing import Any

import numpy as np

from talkinghead.constants import SIZE_PX
from talkinghead.errors import DeviceError

KEYS_HELP = "Esc or Q ends, space interrupts, arrows turn the eyes, + and - move nearer and away, 0 resets"

_NAMED = {
    "K_ESCAPE": "quit",
    "K_q": "quit",
    "K_SPACE": "interrupt",
    "K_LEFT": "left",
    "K_RIGHT": "right",
    "K_UP": "up",
    "K_DOWN": "down",
    "K_PLUS": "nearer",
    "K_EQUALS": "nearer",
    "K_KP_PLUS": "nearer",
    "K_MINUS": "away",
    "K_KP_MINUS": "away",
    "K_0": "reset",
    "K_KP_0": "reset",
}
_TYPED = {"+": "nearer", "-": "away", "0": "reset"}
"""By what they write: their places differ between keyboards."""
_REPEAT_AFTER_MS, _REPEAT_EVERY_MS = 300, 60


class Window:
    """A window with the avatar. Use it from the main thread alone; some systems allow no other.

    Raises DeviceError, one line that names the fix: no pygame-ce, or no display.
    """

    def __init__(self, title: str) -> None:
        os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
        try:
            self._pygame: Any = import_module("pygame")
        except ImportError:
            raise DeviceError('the window needs pygame-ce: pip install "talkinghead[window]", or give --no-window') from None
        game = self._pygame
        try:
            game.display.init()  # the display alone: the sound is not its business
            game.display.set_caption(title)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that it draws without a GPU
                self._surface = game.display.set_mode((SIZE_PX, SIZE_PX), game.SCALED | game.RESIZABLE)
            if game.display.get_driver() == "offscreen":  # what SDL falls back to where there is no display
                raise game.error("there is no display")
        except game.error as error:
            game.display.quit()
            raise DeviceError(f"no window can be opened ({error}): run it on a desktop, or give --no-window") from None
        game.key.set_repeat(_REPEAT_AFTER_MS, _REPEAT_EVERY_MS)
        self._keys = {getattr(game, name): action for name, action in _NAMED.items()}

    def show(self, image: np.ndarray) -> None:
        """A picture (512, 512, 3) uint8 RGB."""
        height, width = image.shape[:2]
        picture = self._pygame.image.frombuffer(np.ascontiguousarray(image), (width, height), "RGB")
        self._surface.blit(picture, (0, 0))
        self._pygame.display.flip()

    def actions(self) -> list[str]:
        """What was asked for since the last call: quit, interrupt, left, right, up, down, nearer, away, reset."""
        game = self._pygame
        asked = []
        for event in game.event.get():
            if event.type == game.QUIT:
                asked.append("quit")
            elif event.type == game.KEYDOWN:
                asked.append(_TYPED.get(event.unicode) or self._keys.get(event.key, ""))
        return [action for action in asked if action]

    def close(self) -> None:
        """Close it; twice is fine."""
        self._pygame.display.quit()
