"""A quick avatar for calls: the look-ahead of the real one, loudness in the picture. And time that moves when told."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import numpy as np

from talkinghead.motion.controls import Controls
from talkinghead.session import Frame, Motion

FRAME = 400
LOOKAHEAD, SETTLE = 3, 6
DARK, BRIGHT = 16, 240


def opening(image: np.ndarray) -> float:
    """How far the mouth of a fake's picture is open, 0 to 1: the loudness (root mean square) of the frame's sound, times 4."""
    return (float(image[-1, -1, 0]) - DARK) / (BRIGHT - DARK)


class FakeAvatar:
    """Draws plain grey pictures, as bright as the frame's sound is loud; the first pixels tell seed, frame and gaze."""

    def __init__(self, draw_s: float = 0.0, spend: Callable[[float], None] = time.sleep, size_px: int = 512) -> None:
        """draw_s: what a picture takes; spend: how that time passes."""
        self.draw_s, self.spend, self.size_px = draw_s, spend, size_px
        self.portrait = SimpleNamespace(notes=())
        self.drawn = 0
        self.sessions: list[FakeSession] = []
        self.fails_at: int | None = None
        """Number of the picture whose drawing raises RuntimeError."""

    def session(
        self,
        *,
        seed: int = 0,
        controls: Controls | None = None,
        full: bool = False,
        eager: bool = False,
        observer: Callable[[str, float], None] | None = None,
    ) -> FakeSession:
        session = FakeSession(self, seed, controls or Controls())
        self.sessions = [session]
        return session

    def draw(self, z_pose: np.ndarray, z_dyn: np.ndarray) -> np.ndarray:
        if self.drawn == self.fails_at:
            raise RuntimeError("the fake was told to fail")
        self.drawn += 1
        if self.draw_s:
            self.spend(self.draw_s)
        image = np.full((self.size_px, self.size_px, 3), round(DARK + (BRIGHT - DARK) * min(1.0, float(z_dyn[0]))), np.uint8)
        image[0, :3, 0] = int(z_dyn[1]), int(z_dyn[2]) % 256, 128 + int(z_pose[0])
        return image


class FakeSession:
    """As `talkinghead.session.Session`, for sound at 16 kHz."""

    def __init__(self, avatar: FakeAvatar, seed: int, controls: Controls) -> None:
        self.controls, self.other = controls, 0.0
        self.heard: list[float] = []
        """Loudness of the last frames pushed."""
        self._avatar, self._rng = avatar, np.random.default_rng(seed)
        self._partial = np.zeros(0, np.float32)
        self._waiting: deque[np.ndarray] = deque()
        self._motion: deque[tuple[np.ndarray, float]] = deque()
        self._taken = 0
        self._shown = self._from = 0.0
        self._settled = SETTLE
        self.closed = False

    def push_audio(self, pcm: np.ndarray, rate: int = 16_000) -> None:
        assert rate == 16_000
        assert pcm.dtype == np.float32
        sound = np.concatenate([self._partial, pcm])
        while len(sound) >= FRAME:
            self._waiting.append(sound[:FRAME])
            self.heard = [*self.heard[-99:], loudness(sound[:FRAME])]
            sound = sound[FRAME:]
        self._partial = sound

    def motions(self) -> Iterator[Motion]:
        while self._motion or self._next():
            audio, mouth = self._motion.popleft()
            self._shown = mouth
            z_dyn = np.array([mouth, self._rng.integers(256), self._taken], np.float32)
            motion = Motion(np.array([self.controls.gaze[0]] + 5 * [0.0]), z_dyn, self._taken / 40, audio)
            self._taken += 1
            yield motion

    def draw(self, motion: Motion) -> Frame:
        return Frame(self._avatar.draw(motion.z_pose, motion.z_dyn), motion.pts, motion.audio)

    def close(self) -> None:
        self.closed = True

    def interrupt(self) -> int:
        due = len(self._waiting)
        self._waiting = deque(np.zeros(FRAME, np.float32) for _ in range(due))
        self._motion.clear()
        self._partial = np.zeros(0, np.float32)
        self._from, self._settled = self._shown, 0
        return due

    def _next(self) -> bool:
        if len(self._waiting) <= LOOKAHEAD:
            return False
        audio = self._waiting.popleft()
        self._settled += 1
        share = min(1.0, self._settled / SETTLE)
        self._motion.append((audio, (1 - share) * self._from + share * 4 * loudness(audio)))
        return True


class FakeTime:
    """A clock that stands until it is moved."""

    def __init__(self, start_s: float = 1000.0) -> None:
        self.now_s = start_s

    def __call__(self) -> float:
        return self.now_s

    def spend(self, seconds: float) -> None:
        self.now_s += seconds


def loudness(sound: np.ndarray) -> float:
    return float(np.sqrt(np.mean(sound**2)))


def tone(seconds: float, rate: int = 16_000, level: float = 0.25, hz: float = 200.0) -> np.ndarray:
    """A sine, float32 (n,), of this root mean square: opens a fake's mouth fully."""
    return (level * np.sqrt(2) * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)
