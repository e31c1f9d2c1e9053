"""Microphones and loudspeakers: which one is meant, what is heard and played, one clear line for what is missing."""

from __future__ import annotations

import sys
from typing import NoReturn

import numpy as np
import pytest
from fake_sounddevice import SoundSystem, row

from talkinghead.errors import DeviceError
from talkinghead.live import devices
from talkinghead.live.devices import Microphone, Speaker, choose, sound_system, table


def test_without_sounddevice_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(DeviceError, match=r'pip install "talkinghead\[mic\]"$'):
        sound_system()


@pytest.mark.parametrize(("platform", "fix"), [("linux", "apt-get install libportaudio2"), ("win32", "pip install")])
def test_without_portaudio_its_package_is_named(monkeypatch: pytest.MonkeyPatch, platform: str, fix: str) -> None:
    def load(name: str) -> NoReturn:
        raise OSError("PortAudio library not found")

    monkeypatch.setattr(devices, "import_module", load)
    monkeypatch.setattr(sys, "platform", platform)
    with pytest.raises(DeviceError, match=fix):
        sound_system()


@pytest.mark.parametrize(
    ("wanted", "kind", "name"),
    [
        ("default", "input", "Built-in Audio"),
        ("2", "input", "USB Headset"),
        ("headset", "output", "USB Headset"),
        ("usb", "input", "USB"),  # a whole name comes before a part of one
        ("usb", "output", "USB Headset"),
        ("hdmi", "output", "HDMI"),
    ],
)
def test_a_device_by_default_number_or_name(wanted: str, kind: devices.Kind, name: str) -> None:
    assert choose(SoundSystem(), wanted, kind).name == name


def test_no_default_takes_the_first_that_can() -> None:
    assert choose(SoundSystem(default=(-1, -1)), "default", "input").name == "Built-in Audio"


@pytest.mark.parametrize("wanted", ["HDMI", "0", "9", "-1", "phone"])
def test_an_unknown_microphone_is_answered_with_those_there_are(wanted: str) -> None:
    with pytest.raises(DeviceError, match=r"choose one of 1 \(Built-in Audio\), 2 \(USB Headset\), 3 \(USB\)$"):
        choose(SoundSystem(), wanted, "input")


def test_a_machine_without_devices() -> None:
    nothing = SoundSystem((), (-1, -1))
    for kind, word in (("input", "microphone"), ("output", "loudspeaker")):
        with pytest.raises(DeviceError, match=f"no {word} was found: connect one"):
            choose(nothing, "default", "input" if kind == "input" else "output")
    assert table(nothing) == ["no sound device was found"]
    with pytest.raises(DeviceError, match="no microphone was found"):
        choose(SoundSystem((row(0, "HDMI", 0, 2),), (-1, 0)), "default", "input")


def test_the_table_marks_the_defaults() -> None:
    lines = table(SoundSystem(default=(2, 1)))
    assert [line[:2] for line in lines] == ["  ", " <", "> ", "  "]
    assert lines[2].endswith("  2  USB Headset  (1 in, 2 out, 44100 Hz)")


def test_the_microphone_gives_copies_at_its_own_rate() -> None:
    system, heard = SoundSystem(), []
    with Microphone(system, choose(system, "2", "input"), lambda sound, rate: heard.append((sound, rate))) as microphone:
        stream = system.inputs[0]
        assert (microphone.alive, microphone.latency_s) == (True, 0.01)
        stream.feed(np.arange(4) / 8)
        stream.feed(np.ones(2), overflow=True)
        assert microphone.lost == 1
        stream.active = False
        assert not microphone.alive
    assert stream.closed
    assert stream.options == {"device": 2, "samplerate": 44_100, "channels": 1, "dtype": "float32", "latency": "low"}
    assert [(sound.tolist(), rate) for sound, rate in heard] == [([0, 0.125, 0.25, 0.375], 44_100), ([1, 1], 44_100)]


@pytest.mark.parametrize("fails", ["open", "start"])
def test_a_device_that_cannot_be_used_is_one_line_and_given_back(fails: str) -> None:
    system = SoundSystem(fails=fails)
    device = choose(system, "default", "input")
    with pytest.raises(DeviceError, match=r"^the microphone 'Built-in Audio' cannot be used \(.*\): .*--input$"):
        Microphone(system, device, lambda sound, rate: None).__enter__()
    with pytest.raises(DeviceError, match=r"^the loudspeaker .*--output$"):
        Speaker(system, device).__enter__()
    assert all(stream.closed for stream in system.inputs + system.outputs)


def test_the_loudspeaker_starts_late_and_then_leaves_no_gap() -> None:
    system = SoundSystem()
    with Speaker(system, choose(system, "1", "output")) as speaker:
        stream = system.outputs[0]
        sound = np.arange(1, 48_001, dtype=np.float32) / 48_000
        speaker.play(sound[:1200])
        assert not stream.pull(480).any()  # 25 ms are not enough yet
        speaker.play(sound[1200:2400])
        played = []
        for start in range(2400, 48_000, 1200):
            played += [stream.pull(700), stream.pull(500)]
            speaker.play(sound[start : start + 1200])
    heard = np.concatenate(played)
    assert heard.shape[1] == 2
    for channel in heard.T:
        np.testing.assert_array_equal(channel, sound[: len(heard)])
    assert speaker.dropped == 0
    assert 0.05 <= speaker.latency_s <= 0.08
    assert stream.closed


def test_the_loudspeaker_runs_dry_into_silence_and_fills_up_again() -> None:
    system = SoundSystem()
    speaker = Speaker(system, choose(system, "1", "output"))
    ones = np.ones(1200, np.float32)
    for _ in range(2):
        speaker.play(ones)
    heard = system.outputs[0].pull(3000)[:, 0]
    assert (heard[:2400] == 1).all()
    assert not heard[2400:].any()
    speaker.play(ones)
    assert not system.outputs[0].pull(480).any()
    speaker.play(ones)
    assert system.outputs[0].pull(480).all()


def test_the_loudspeaker_drops_the_oldest_surplus_and_can_be_hushed() -> None:
    system = SoundSystem()
    speaker = Speaker(system, choose(system, "1", "output"))
    for k in range(400):
        speaker.play(np.full(1200, k, np.float32))
    assert 0 < 400 * 1200 - speaker.dropped <= 4800  # 100 ms wait at most
    assert system.outputs[0].pull(480).min() >= 395
    speaker.hush()
    assert not system.outputs[0].pull(480).any()


def test_a_loudspeaker_of_another_rate_plays_the_same_tone() -> None:
    system = SoundSystem()
    speaker = Speaker(system, choose(system, "2", "output"))
    tone = np.sin(2 * np.pi * 1000 * np.arange(48_000) / 48_000).astype(np.float32)
    heard = []
    for start in range(0, 48_000, 1200):
        speaker.play(tone[start : start + 1200])
        heard.append(system.outputs[0].pull(1102)[:, 0])
    spectrum = np.abs(np.fft.rfft(np.concatenate(heard)[8820:], 44_100))
    assert abs(int(spectrum.argmax()) - 1000) <= 2
