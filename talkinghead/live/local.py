"""`talkinghead live`: the avatar speaks what the microphone hears, in a window or as this machine's camera."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from talkinghead.constants import FRAME_RATE_HZ
from talkinghead.errors import DeviceError, EngineError
from talkinghead.live.camera import Camera
from talkinghead.live.devices import Microphone, Speaker, choose, sound_system
from talkinghead.live.window import KEYS_HELP, Window
from talkinghead.motion.controls import DISTANCE_RANGE, GAZE_LIMIT_DEG, Controls

if TYPE_CHECKING:
    from talkinghead.live.outlet import LiveFrame, Outlet
    from talkinghead.live.session import LiveSession

TITLE = "talkinghead (synthetic picture)"

_GAZE_STEP_DEG = 2.5
_DISTANCE_STEP = 1.05
_TURNS = {"left": (-1, 0), "right": (1, 0), "up": (0, 1), "down": (0, -1)}
_LONGEST_WAIT_S = 0.1
"""For a frame, before keys and the microphone are looked at again."""


class Screen(Protocol):
    """Something that shows pictures (512, 512, 3) uint8 RGB: the window, the virtual camera."""

    def show(self, image: np.ndarray) -> None: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class LocalOptions:
    """What `talkinghead live` can be told.

    microphone, loudspeaker: "default", a number or a part of a name; loudspeaker None: no sound out. window, camera: where the
    picture goes. seconds: end by itself; None: never. device: of the networks.
    """

    microphone: str = "default"
    loudspeaker: str | None = None
    window: bool = True
    camera: bool = False
    seed: int = 0
    controls: Controls | None = None
    seconds: float | None = None
    device: str = "cpu"


@dataclass
class Summary:
    """How it went. latencies_ms counts pictures by their whole milliseconds from microphone to picture."""

    seconds: float = 0.0
    shown: int = 0
    skipped: int = 0
    """Frames whose picture was not drawn, or not shown, in time."""
    lost_s: float = 0.0
    """Sound that was dropped on its way in."""
    gaps: int = 0
    """Times that the microphone's driver lost sound."""
    latencies_ms: Counter[int] = field(default_factory=Counter)

    @property
    def latency_ms(self) -> int | None:
        """The median; None where no picture came from sound."""
        left = (self.latencies_ms.total() + 1) // 2
        for value, count in sorted(self.latencies_ms.items()):
            left -= count
            if left <= 0:
                return value
        return None

    def line(self) -> str:
        """The whole in one line."""
        rate = self.shown / self.seconds if self.seconds else 0.0
        latency = "no sound heard" if self.latency_ms is None else f"{self.latency_ms} ms from microphone to picture (median)"
        gaps = f", {self.gaps} gaps in the microphone's" if self.gaps else ""
        dropped = f"dropped: {self.skipped} pictures, {self.lost_s:.1f} s of sound{gaps}"
        return f"{self.seconds:.1f} s, {rate:.1f} pictures/s, {latency}, {dropped}"


def talk(photo: str | Path, options: LocalOptions, say: Callable[[str], None]) -> Summary:
    """Run until Ctrl-C, the window's end or `options.seconds`; `say` gets remarks for the user, a line each.

    Devices are opened before the networks are loaded, and given back whatever happens. Raises DeviceError, PortraitError or
    EngineError, one line that names the fix.
    """
    system = sound_system()
    ears = choose(system, options.microphone, "input")
    mouth = choose(system, options.loudspeaker, "output") if options.loudspeaker is not None else None
    with ExitStack() as stack:
        screens: list[Screen] = []
        window = camera = None
        if options.camera:
            camera = Camera()
            screens.append(camera)
            stack.callback(camera.close)
        if options.window:
            window = Window(TITLE)
            screens.append(window)
            stack.callback(window.close)
        from talkinghead.avatar import Avatar  # brings a runtime along: not before the devices are known to be good
        from talkinghead.live.session import LiveSession

        avatar = Avatar.open(photo, device=options.device)
        session = LiveSession(avatar, seed=options.seed, controls=options.controls)
        stack.callback(session.close)
        outlet = session.subscribe()
        speaker = stack.enter_context(Speaker(system, mouth)) if mouth is not None else None
        call = _Call(session, outlet, screens, window, speaker)
        session.start()
        microphone = stack.enter_context(Microphone(system, ears, call.hear))
        for note in avatar.portrait.notes:
            say(f"note: {note}")
        say(
            f"microphone: {ears.name}; sound out: {mouth.name if mouth else 'none'}{f'; camera: {camera.name}' if camera else ''}"
        )
        say(KEYS_HELP if window else "Ctrl-C ends")
        return call.run(microphone, options.seconds)


def steered(controls: Controls, action: str, start: Controls) -> dict[str, Any]:
    """The fields that a key changes, within their limits; `start` is what 0 goes back to."""
    if action in _TURNS:
        moved = (now + _GAZE_STEP_DEG * turn for now, turn in zip(controls.gaze, _TURNS[action], strict=True))
        return {"gaze": tuple(max(-GAZE_LIMIT_DEG, min(GAZE_LIMIT_DEG, angle)) for angle in moved)}
    if action in ("nearer", "away"):
        distance = controls.distance * _DISTANCE_STEP ** (1 if action == "away" else -1)
        return {"distance": max(DISTANCE_RANGE[0], min(DISTANCE_RANGE[1], distance))}
    return {"gaze": start.gaze, "distance": start.distance} if action == "reset" else {}


class _Call:
    """From the session's frames to screens and loudspeaker, and from keys to the session."""

    def __init__(
        self, session: LiveSession, outlet: Outlet, screens: list[Screen], window: Window | None, speaker: Speaker | None
    ) -> None:
        self._session, self._outlet = session, outlet
        self._screens, self._window, self._speaker = screens, window, speaker
        self._start = replace(session.controls)
        # Sound takes a while from `play` to the ear: pictures wait as long, rounded down, since a screen has a delay too.
        self._delay = int(speaker.latency_s * FRAME_RATE_HZ) if speaker else 0
        self._held: deque[LiveFrame] = deque()
        self._next: int | None = None
        self._done = False
        self._summary = Summary()

    def hear(self, sound: np.ndarray, rate_hz: int) -> None:
        """Sound from the microphone, in a thread of its own."""
        self._session.push_audio(sound, rate_hz, live=True)

    def run(self, microphone: Microphone, seconds: float | None) -> Summary:
        started_s = time.monotonic()
        try:
            while not self._done and (seconds is None or time.monotonic() - started_s < seconds):
                try:
                    frame = self._outlet.get(_LONGEST_WAIT_S)
                except TimeoutError:
                    frame = None
                if frame is not None:
                    self._take(frame, microphone.latency_s)
                elif self._outlet.ended:
                    raise EngineError(f"the avatar stopped by itself ({self._session.failure!r}): report this")
                for action in self._window.actions() if self._window else ():
                    self._act(action)
                if not microphone.alive:
                    raise DeviceError("the microphone is gone: connect it again, or choose another with --input")
        except KeyboardInterrupt:  # the usual end
            pass
        self._summary.seconds = time.monotonic() - started_s
        self._summary.lost_s = self._session.stats().get("drop_sound", 0.0)
        self._summary.gaps = microphone.lost
        return self._summary

    def _take(self, frame: LiveFrame, microphone_s: float) -> None:
        if self._speaker is not None:
            self._speaker.play(frame.sound)
        self._summary.skipped += frame.index - self._next if self._next is not None else 0
        self._next = frame.index + 1
        self._held.append(frame)
        if len(self._held) > self._delay:
            self._show(self._held.popleft(), microphone_s)

    def _show(self, frame: LiveFrame, microphone_s: float) -> None:
        if frame.image is None:
            self._summary.skipped += 1
            return
        for screen in self._screens:
            screen.show(frame.image)
        self._summary.shown += 1
        if frame.times.heard:
            latency_s = time.monotonic() - frame.times.heard + microphone_s
            self._summary.latencies_ms[round(1000 * latency_s)] += 1

    def _act(self, action: str) -> None:
        if action == "quit":
            self._done = True
        elif action == "interrupt":
            self._session.interrupt()
            if self._speaker is not None:
                self._speaker.hush()
        else:
            self._session.set_controls(**steered(self._session.controls, action, self._start))
