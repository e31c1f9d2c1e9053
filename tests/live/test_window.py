"""The preview window: keys become actions, pictures reach the screen, one line for what is missing."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from talkinghead.errors import DeviceError
from talkinghead.live import window as module
from talkinghead.live.window import Window


class Game:
    """A stand-in for pygame: `events` is what the user does, `shown` what the screen gets."""

    error = type("error", (Exception,), {})
    QUIT, KEYDOWN, SCALED, RESIZABLE = 1, 2, 16, 32

    def __init__(self, driver: str = "x11", fails: str = "") -> None:
        self._driver, self._fails = driver, fails
        self.events: list[Any] = []
        self.shown: list[tuple[np.ndarray, tuple[int, int], str]] = []
        self.open = self.flipped = 0
        self.title = ""
        self.display = self
        self.key = SimpleNamespace(set_repeat=lambda delay, every: None)
        self.image = SimpleNamespace(frombuffer=lambda *arguments: arguments)
        self.event = SimpleNamespace(get=self._get)
        for number, name in enumerate(module._NAMED, 100):
            setattr(self, name, number)

    def init(self) -> None:
        self.open += 1

    def quit(self) -> None:
        self.open = 0

    def set_caption(self, title: str) -> None:
        self.title = title

    def set_mode(self, size: tuple[int, int], flags: int) -> Any:
        if self._fails:
            raise self.error(self._fails)
        assert (size, flags) == ((512, 512), 48)
        return SimpleNamespace(blit=lambda picture, at: self.shown.append(picture))

    def get_driver(self) -> str:
        return self._driver

    def flip(self) -> None:
        self.flipped += 1

    def _get(self) -> list[Any]:
        events, self.events = self.events, []
        return events


def key(number: int, text: str = "") -> SimpleNamespace:
    return SimpleNamespace(type=Game.KEYDOWN, key=number, unicode=text)


@pytest.fixture
def game(monkeypatch: pytest.MonkeyPatch) -> Game:
    game = Game()
    monkeypatch.setitem(sys.modules, "pygame", game)
    return game


def test_keys_become_actions(game: Any) -> None:
    window = Window("me")
    game.events = [
        key(game.K_LEFT),
        key(game.K_SPACE, " "),
        key(7, "+"),  # wherever this keyboard has it
        key(game.K_EQUALS, "="),
        key(game.K_MINUS, "-"),
        key(game.K_0, "0"),
        key(8, "x"),
        SimpleNamespace(type=99),
        key(game.K_ESCAPE, "\x1b"),
        SimpleNamespace(type=game.QUIT),
    ]
    assert window.actions() == ["left", "interrupt", "nearer", "nearer", "away", "reset", "quit", "quit"]
    assert window.actions() == []


def test_every_key_of_the_help_does_something(game: Any) -> None:
    window = Window("me")
    game.events = [key(getattr(game, name)) for name in module._NAMED]
    assert set(window.actions()) == {"quit", "interrupt", "left", "right", "up", "down", "nearer", "away", "reset"}


def test_pictures_reach_the_screen(game: Game) -> None:
    window = Window("me (synthetic picture)")
    image = np.arange(512 * 512 * 3, dtype=np.uint32).astype(np.uint8).reshape(512, 512, 3)
    window.show(image[:, ::-1])  # not contiguous
    buffer, size, form = game.shown[0]
    np.testing.assert_array_equal(buffer, image[:, ::-1])
    assert (size, form, game.flipped, game.title) == ((512, 512), "RGB", 1, "me (synthetic picture)")
    window.close()
    window.close()
    assert not game.open


def test_without_pygame_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pygame", None)
    with pytest.raises(DeviceError, match=r'pip install "talkinghead\[window\]", or give --no-window$'):
        Window("me")


@pytest.mark.parametrize("game", [Game("offscreen"), Game(fails="No available video device")])
def test_without_a_display_it_says_so(monkeypatch: pytest.MonkeyPatch, game: Game) -> None:
    monkeypatch.setitem(sys.modules, "pygame", game)
    with pytest.raises(DeviceError, match=r"^no window can be opened \(.*\): .*--no-window$"):
        Window("me")
    assert not game.open


def test_with_the_real_pygame(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    pygame = pytest.importorskip("pygame")
    window = Window("me")
    image = np.zeros((512, 512, 3), np.uint8)
    image[100, 200] = (10, 20, 30)
    window.show(image)
    assert tuple(pygame.display.get_surface().get_at((200, 100)))[:3] == (10, 20, 30)
    pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=pygame.K_RIGHT, unicode=""))
    assert window.actions() == ["right"]
    window.close()
