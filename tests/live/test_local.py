"""`talkinghead live` without hardware: frames to screens and loudspeaker, keys to the session, a clean end however it comes."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from fake_sounddevice import SoundSystem
from typer.testing import CliRunner

from talkinghead.cli import app
from talkinghead.errors import DeviceError, EngineError, TalkingHeadError
from talkinghead.live import local
from talkinghead.live.local import LocalOptions, Summary, steered, talk
from talkinghead.live.outlet import LiveFrame
from talkinghead.live.times import FrameTimes
from talkinghead.motion.controls import Controls

Step = LiveFrame | BaseException | Callable[[], None] | None


def frame(index: int, *, drawn: bool = True, heard: float = 0.0) -> LiveFrame:
    image = np.full((4, 4, 3), index, np.uint8) if drawn else None
    sound = np.full(1200, index, np.float32)
    return LiveFrame(index, image, np.zeros(400, np.float32), sound, 0, "speaking", FrameTimes(heard=heard))


class Session:
    """A session whose outlet gives the steps of a test in turn: frames, errors, calls that something happens in."""

    steps: list[Step] = []
    made: list[Session] = []

    def __init__(self, avatar: Any, *, seed: int = 0, controls: Controls | None = None) -> None:
        self.avatar, self.seed, self.controls = avatar, seed, controls or Controls()
        self.script: Iterator[Step] = iter(self.steps)
        self.pushed: list[tuple[int, int, object]] = []
        self.interrupts, self.started, self.closed, self.ended = 0, False, False, False
        self.failure: BaseException | None = None
        self.made.append(self)

    def start(self) -> None:
        self.started = True

    def close(self) -> None:
        self.closed = True

    def subscribe(self) -> Session:
        return self

    def get(self, timeout: float) -> LiveFrame | None:
        step = next(self.script, None)
        if isinstance(step, BaseException):
            raise step
        if isinstance(step, LiveFrame):
            return step
        if step is None:
            self.ended, self.failure = True, RuntimeError("worn out")
            return None
        step()
        raise TimeoutError

    def push_audio(self, pcm: np.ndarray, rate: int, *, live: bool | None = None) -> bool:
        self.pushed.append((len(pcm), rate, live))
        return True

    def interrupt(self) -> int:
        self.interrupts += 1
        return self.interrupts

    def set_controls(self, **fields: Any) -> None:
        for name, value in fields.items():
            setattr(self.controls, name, value)

    def stats(self) -> dict[str, float]:
        return {"drop_sound": 0.25}


class Screen:
    """The window or the camera."""

    made: list[Screen] = []

    def __init__(self, title: str = "camera") -> None:
        self.name, self.shown, self.asked, self.closed = title, [], [], False
        self.made.append(self)

    def show(self, image: np.ndarray) -> None:
        self.shown.append(int(image[0, 0, 0]))

    def actions(self) -> list[str]:
        asked, self.asked = self.asked, []
        return asked

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> SoundSystem:
    """Fakes for everything that `talk` drives."""
    engine, live = ModuleType("talkinghead.avatar"), ModuleType("talkinghead.live.session")
    portrait = SimpleNamespace(notes=("2 faces found",))
    engine.Avatar = SimpleNamespace(open=lambda photo, device: SimpleNamespace(portrait=portrait))  # type: ignore[attr-defined]
    live.LiveSession = Session  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "talkinghead.avatar", engine)
    monkeypatch.setitem(sys.modules, "talkinghead.live.session", live)
    monkeypatch.setattr(local, "Window", Screen)
    monkeypatch.setattr(local, "Camera", Screen)
    monkeypatch.setattr(Screen, "made", [])
    monkeypatch.setattr(Session, "made", [])
    system = SoundSystem()
    monkeypatch.setitem(sys.modules, "sounddevice", system)
    return system


def run(*steps: Step, **options: Any) -> tuple[Summary, list[str]]:
    Session.steps = [*steps, KeyboardInterrupt()]
    said: list[str] = []
    return talk("p.jpg", LocalOptions(**options), said.append), said


def test_pictures_go_to_window_and_camera_until_ctrl_c(system: SoundSystem) -> None:
    heard = time.monotonic() - 0.2
    frames = [frame(0), frame(1, heard=heard), frame(2, drawn=False), frame(5, heard=heard)]
    summary, said = run(*frames, window=True, camera=True, seed=7)
    camera, window = Screen.made
    assert camera.shown == window.shown == [0, 1, 5]
    assert (summary.shown, summary.skipped, summary.lost_s) == (3, 3, 0.25)  # 2 is not drawn, 3 and 4 never came
    assert summary.latency_ms is not None
    assert 210 <= summary.latency_ms < 2000  # the microphone's own 10 ms are in it
    assert said[0] == "note: 2 faces found"
    assert "Built-in Audio" in said[1] and "sound out: none" in said[1] and "camera: camera" in said[1]
    assert "space interrupts" in said[2]
    assert (Session.made[0].seed, Session.made[0].started) == (7, True)
    assert not system.outputs


def test_the_microphone_reaches_the_session_as_a_live_source(system: SoundSystem) -> None:
    run(lambda: system.inputs[0].feed(np.zeros(480)), lambda: system.inputs[0].feed(np.zeros(480), overflow=True))
    assert Session.made[0].pushed == [(480, 48_000, True)] * 2


def test_pictures_wait_for_the_sound(system: SoundSystem) -> None:
    heard: list[np.ndarray] = []
    steps: list[Step] = []
    for k in range(1, 9):
        steps += [frame(k), lambda: heard.append(system.outputs[0].pull(1200)[:, 0])]
    run(*steps, loudspeaker="default")
    # 50 ms wait in the buffer and 10 in the driver: two frames.
    assert Screen.made[0].shown == [1, 2, 3, 4, 5, 6]
    assert [int(block[0]) for block in heard] == [0, 1, 2, 3, 4, 5, 6, 7]
    assert system.outputs[0].closed


def test_keys_steer_interrupt_and_quit(system: SoundSystem) -> None:
    def press(*names: str) -> Callable[[], None]:
        return lambda: Screen.made[0].asked.extend(names)

    looks: list[tuple[float, float]] = []
    steps = (
        frame(0),
        press("right", "right", "up", "nearer"),
        lambda: looks.append(Session.made[0].controls.gaze),
        press("reset", "interrupt"),
        press("quit"),
        frame(9),
    )
    run(*steps, loudspeaker="1", controls=Controls(gaze=(1.0, 0.0), distance=1.5))
    session = Session.made[0]
    assert looks == [(6.0, 2.5)]
    assert (session.controls.gaze, session.controls.distance, session.interrupts) == ((1.0, 0.0), 1.5, 1)
    assert Screen.made[0].shown == []  # the loudspeaker's delay: nothing was due when it ended


def test_steering_stays_within_the_limits() -> None:
    controls, start = Controls(), Controls()
    for action, wanted in (("left", (-30.0, 0.0)), ("up", (-30.0, 30.0)), ("right", (30.0, 30.0)), ("down", (30.0, -30.0))):
        for _ in range(40):
            controls.gaze = steered(controls, action, start)["gaze"]
        assert controls.gaze == wanted
    for action, distance in (("nearer", 0.5), ("away", 2.0)):
        for _ in range(60):
            controls.distance = steered(controls, action, start)["distance"]
        assert controls.distance == distance
    assert steered(controls, "reset", start) == {"gaze": (0.0, 0.0), "distance": 1.0}
    assert steered(controls, "dance", start) == {}


def unplug(system: SoundSystem) -> Callable[[], None]:
    return lambda: setattr(system.inputs[0], "active", False)


@pytest.mark.parametrize("way", ["ctrl-c", "unplugged", "worn out", "error", "seconds"])
def test_everything_is_given_back_however_it_ends(system: SoundSystem, way: str) -> None:
    ends: dict[str, tuple[Step, type[BaseException] | None, str]] = {
        "ctrl-c": (KeyboardInterrupt(), None, ""),
        "unplugged": (unplug(system), DeviceError, "the microphone is gone"),
        "worn out": (None, EngineError, "worn out"),
        "error": (ZeroDivisionError("bug"), ZeroDivisionError, "bug"),
        "seconds": (lambda: time.sleep(0.02), None, ""),
    }
    step, error, words = ends[way]
    options: dict[str, Any] = {"loudspeaker": "default", "camera": True, "seconds": 0.01 if way == "seconds" else None}
    if error is None:
        run(frame(0), step, **options)
    else:
        with pytest.raises(error, match=words):
            run(frame(0), step, **options)
    assert Session.made[0].closed
    assert all(screen.closed for screen in Screen.made) and len(Screen.made) == 2
    assert all(stream.closed for stream in system.inputs + system.outputs)


def test_no_device_is_told_before_the_networks_are_loaded(system: SoundSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", SoundSystem((), (-1, -1)))
    with pytest.raises(DeviceError, match="no microphone was found"):
        run()
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(TalkingHeadError, match=r"talkinghead\[mic\]"):
        run()
    assert not Session.made
    assert not Screen.made


def test_a_photo_that_cannot_be_used_leaves_no_window(system: SoundSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(photo: Path, device: str) -> None:
        raise TalkingHeadError("no face: take another photo")

    monkeypatch.setattr(sys.modules["talkinghead.avatar"].Avatar, "open", refuse)
    with pytest.raises(TalkingHeadError, match="no face"):
        run()
    assert all(screen.closed for screen in Screen.made)
    assert not system.inputs


def test_the_summary_is_one_line() -> None:
    summary = Summary(seconds=10.0, shown=395, skipped=5, lost_s=0.25, gaps=2)
    assert summary.line().startswith("10.0 s, 39.5 pictures/s, no sound heard, dropped: 5 pictures, 0.2 s of sound, 2 gaps")
    for value in (150, 160, 170, 170, 400):
        summary.latencies_ms[value] += 1
    assert "170 ms from microphone to picture (median)" in summary.line()
    assert Summary().line().startswith("0.0 s, 0.0 pictures/s")


def test_the_command_line_hands_its_options_on(system: SoundSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[LocalOptions] = []

    def note(photo: Path, options: LocalOptions, say: object) -> Summary:
        calls.append(options)
        return Summary(seconds=1.0)

    monkeypatch.setattr(local, "talk", note)
    run_cli = CliRunner().invoke
    lines = (
        ["--input", "usb", "--gaze", "5,-2", "--seconds", "3"],
        ["--camera", "--output", "default"],
        ["--camera", "--window"],
    )
    for line in lines:
        done = run_cli(app, ["live", "p.jpg", *line])
        assert (done.exit_code, done.stdout.startswith("1.0 s")) == (0, True), done.output
    assert [(call.window, call.camera, call.loudspeaker) for call in calls] == [
        (True, False, None),
        (False, True, "default"),
        (True, True, None),
    ]
    assert (calls[0].microphone, calls[0].controls, calls[0].seconds) == ("usb", Controls(gaze=(5.0, -2.0)), 3.0)
    assert run_cli(app, ["live"]).exit_code == 2
    assert "Built-in Audio" in run_cli(app, ["live", "--list-devices"]).stdout


def test_the_command_line_without_sounddevice_is_one_line(system: SoundSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    done = CliRunner().invoke(app, ["live", "p.jpg"])
    assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert 'pip install "talkinghead[mic]"' in done.stderr
