"""Text to sound: what reaches the program, what it may not reach, and the real voice where espeak-ng is installed."""

from __future__ import annotations

import json
import shutil
import stat
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from talkinghead.errors import VoiceError
from talkinghead.speech import voice as module
from talkinghead.speech.voice import LONGEST_TEXT, Voice, pieces

_PROGRAM = """#!{python}
import json, struct, sys
text = sys.stdin.buffer.read()
with open({log!r}, "a", encoding="utf-8") as log:
    log.write(json.dumps([sys.argv[1:], text.decode()]) + "\\n")
if b"fail" in text or "xx" in sys.argv:
    sys.exit(1)
head = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 0, b"WAVE", b"fmt ", 16, 1, 1, 8000, 16000, 2, 16, b"data", 0)
sys.stdout.buffer.write(head + b"" if text == b"..." else head + struct.pack("<h", -16384) * len(text.decode()))
"""


@pytest.fixture
def heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for espeak-ng that logs its arguments and input, and makes as many samples as there are characters."""
    log, program = tmp_path / "log", tmp_path / "espeak-ng"
    program.write_text(_PROGRAM.format(python=sys.executable, log=str(log)))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(shutil, "which", lambda name: str(program) if name == "espeak-ng" else None)
    return log


def test_sound_comes_by_sentence_and_only_when_it_is_taken(heard: Path) -> None:
    voice = Voice.open("pt_BR")
    assert (voice.language, voice.rate_hz) == ("pt-br", 8000)
    sounds = voice.speak("Hello there. How are you?")
    first = next(sounds)
    assert (first.dtype, first.shape, set(first)) == (np.float32, (len("Hello there."),), {-0.5})
    assert len(heard.read_text().splitlines()) == 2  # the trial of `open` and one sentence
    assert [len(sound) for sound in sounds] == [len("How are you?")]


def test_text_reaches_the_program_only_through_standard_input(heard: Path) -> None:
    nasty = "-f /etc/passwd --stdout, $(touch x) `id` <speak>[[h@]]\x01+50S\x00\x1b[0m\u202e end"
    assert len(list(Voice.open("en").speak(nasty))) == 1
    arguments, text = json.loads(heard.read_text().splitlines()[-1])
    assert arguments == ["-b", "1", "-v", "en", "--stdin", "--stdout"]
    assert text == "-f /etc/passwd --stdout, $(touch x) `id` <speak>[ [h@]] +50S [0m end"


def test_a_sentence_without_sound_is_left_out(heard: Path) -> None:
    assert [len(sound) for sound in Voice.open("en").speak("...\nGood.")] == [5]


@pytest.mark.parametrize("language", ["", "-v", "en --stdout", "../en", "en;id", "english!", "xx"])
def test_no_voice_for_such_a_language(heard: Path, language: str) -> None:
    with pytest.raises(VoiceError, match=r"^[^\n]*languag[^\n]*$"):
        Voice.open(language)
    assert not heard.exists() or language == "xx"


@pytest.mark.parametrize("text", ["", " \n\x00\t", "a" * (LONGEST_TEXT + 1)])
def test_text_that_is_empty_or_too_long_is_refused_at_once(heard: Path, text: str) -> None:
    voice = Voice.open("en")
    with pytest.raises(VoiceError, match="empty|send it in parts"):
        voice.speak(text)


def test_a_voice_that_fails_later_says_so(heard: Path) -> None:
    sounds = Voice.open("en").speak("Good. fail")
    with pytest.raises(VoiceError, match="exit code 1"):
        list(sounds)


def test_a_voice_that_hangs_is_stopped(heard: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    voice = Voice((sys.executable, "-c", "import os; os.write(1, bytes(44))"), "en", "here")
    voice._command = (sys.executable, "-c", "import threading; threading.Event().wait(60)")
    monkeypatch.setattr(module, "_TIMEOUT_S", 0.2)
    with pytest.raises(VoiceError, match="took longer"):
        list(voice.speak("Hello"))


def test_without_any_voice_the_fix_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(VoiceError, match=r'apt-get install espeak-ng.*pip install "talkinghead\[voice\]"'):
        Voice.open()


def test_pieces_keep_every_word_and_stay_short() -> None:
    assert pieces("Dr. Smith came on the 3. of May. Good! “Yes?” he said.\r\nNext") == [
        "Dr. Smith came on the 3. of May. Good!",
        "“Yes?”",
        "he said.",
        "Next",
    ]
    assert pieces("你好。再见！") == ["你好。", "再见！"]
    assert pieces("می\u200cروم \ud800") == ["می\u200cروم"]
    for text in ("word, " * 300, "word " * 300, "x" * 1500):
        cut = pieces(text)
        assert max(map(len, cut)) <= 400
        assert "".join("".join(cut).split()) == "".join(text.split())


@pytest.fixture(params=["program", "library"])
def real(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Voice:
    """The real voice, as a program and as the library in a child process."""
    if request.param == "library":
        path = next((name for name in _libraries() if Path(name).exists()), None)
        if path is None:
            pytest.skip("no library of espeak-ng")
        monkeypatch.setattr(shutil, "which", lambda name: None)
        monkeypatch.setitem(sys.modules, "espeakng_loader", SimpleNamespace(get_library_path=lambda: path))
    elif shutil.which("espeak-ng") is None:
        pytest.skip("espeak-ng is not installed")
    return Voice.open("en")


def _libraries() -> list[str]:
    """The wheel's library, and Debian's, beside which its data lies too."""
    found = sorted(map(str, Path("/usr/lib").glob("*/libespeak-ng.so.1")))
    try:
        from espeakng_loader import get_library_path
    except ImportError:
        return found
    return [get_library_path(), *found]


def test_the_real_voice_speaks(real: Voice) -> None:
    sounds = list(real.speak("A paper boat on the water. Then it was gone."))
    assert len(sounds) == 2
    for sound in sounds:
        assert 0.8 < len(sound) / real.rate_hz < 4
        assert 0.2 < np.abs(sound).max() <= 1
    with pytest.raises(VoiceError, match="no voice for 'qqq'"):
        Voice.open("qqq")
