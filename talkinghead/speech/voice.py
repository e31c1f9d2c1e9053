"""Text -> sound, by a small voice that needs no network: espeak-ng.

It speaks over a hundred languages, clearly but like a machine. It is the system's program `espeak-ng` where there is one, else
the library in the wheel `espeakng-loader` (extra `voice`, 10 MB with its data). espeak-ng is GPL-3: nothing of it is in this
package, and it runs as a process of its own; the sound that it makes is free to use.
"""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import numpy as np

from talkinghead.errors import VoiceError

LONGEST_TEXT = 4000
"""Characters that one call of `speak` takes: about five minutes of speech."""

_LONGEST_PIECE = 400
_TIMEOUT_S = 20.0
_HEADER_BYTES, _RATE_AT = 44, 24
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[a-z0-9]{1,8}){0,3}")
_JOINERS = "\u200c\u200d"
"""Format characters that belong to the spelling of Persian and of Indian languages."""
_ENDS = re.compile(r"(?<=[^\W\d_]{4}[.:;…])\s+|(?<=[!?][\"'»”’)])\s+|(?<=[!?])\s+|(?<=[。！？।])|\n+")
"""A full stop ends a piece after a word of four letters only: "Dr." and "3." do not. Too few ends do no harm."""
VOICE_FIX = 'apt-get install espeak-ng (Linux) or pip install "talkinghead[voice]"'


class Voice:
    """A voice that reads text aloud. Make one with `Voice.open`; it may be used from several threads at once.

    Attributes:
        language: what `open` was asked for.
        rate_hz: sample rate of the sound, Hz.
        source: the program or library that speaks.
    """

    def __init__(self, command: tuple[str, ...], language: str, source: str) -> None:
        self._command = command
        self.language = language
        self.source = source
        self.rate_hz, _ = self._run("a")

    @classmethod
    def open(cls, language: str = "en") -> Voice:
        """The voice for a language (BCP 47, e.g. "en", "de", "pt-br").

        Raises VoiceError, one line that names the fix: no espeak-ng, or no voice for this language.
        """
        wanted = language.strip().lower().replace("_", "-")
        if not _LANGUAGE.fullmatch(wanted):
            raise VoiceError(f"{language!r} is not the code of a language: give one such as en, de or pt-br")
        program = shutil.which("espeak-ng")
        if program is not None:  # from the system's packages, so it gets their security updates: it comes first
            return cls((program, "-b", "1", "-v", wanted, "--stdin", "--stdout"), wanted, program)
        try:
            library = str(import_module("espeakng_loader").get_library_path())
        except (ImportError, OSError, RuntimeError):
            raise VoiceError(f"no voice is installed: {VOICE_FIX}") from None
        child = Path(__file__).with_name("espeak_child.py")
        return cls((sys.executable, "-I", str(child), library, wanted), wanted, library)

    def speak(self, text: str) -> Iterator[np.ndarray]:
        """Sound of a text, float32 mono (n,) in -1..1 at `rate_hz`, one array a sentence or so: each is made when it is taken.

        The text is nothing but text: control characters are left out, markup and phonemes in brackets are not understood.
        Raises VoiceError at once for a text that is empty or longer than `LONGEST_TEXT`, later when the voice fails.
        """
        if len(text) > LONGEST_TEXT:
            raise VoiceError(f"the text has {len(text)} characters and the limit is {LONGEST_TEXT}: send it in parts")
        found = pieces(text)
        if not found:
            raise VoiceError("the text is empty: give some words to speak")
        return (sound for piece in found if len(sound := self._run(piece)[1]))

    def _run(self, text: str) -> tuple[int, np.ndarray]:
        """Rate and sound of one piece. The text goes in through standard input: no shell and no option parser sees it."""
        try:
            done = subprocess.run(
                self._command,
                input=text.encode(),
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                timeout=_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise VoiceError(f"espeak-ng took longer than {_TIMEOUT_S:.0f} s for a sentence: shorten the text") from None
        except OSError as error:
            raise VoiceError(f"espeak-ng does not start ({error.strerror}): {VOICE_FIX}") from None
        if done.returncode or len(done.stdout) < _HEADER_BYTES:
            raise VoiceError(
                f"espeak-ng has no voice for {self.language!r}, or is damaged (exit code {done.returncode}): "
                f"check the language's code, or install it again: {VOICE_FIX}"
            )
        (rate_hz,) = struct.unpack_from("<I", done.stdout, _RATE_AT)
        count = (len(done.stdout) - _HEADER_BYTES) // 2
        sound = np.frombuffer(done.stdout, "<i2", count, _HEADER_BYTES)
        return int(rate_hz), sound.astype(np.float32) / np.float32(32768)


def pieces(text: str) -> list[str]:
    """A text without control characters in sentences or so, each at most 400 characters."""
    kept = "".join(c if c in _JOINERS or unicodedata.category(c)[0] != "C" else "\n" if c in "\n\r" else " " for c in text)
    sentences = (" ".join(part.replace("[[", "[ [").split()) for part in _ENDS.split(kept) if part)
    return [piece for sentence in sentences if sentence for piece in _cut(sentence)]


def _cut(sentence: str) -> Iterator[str]:
    """A long sentence in pieces: at a comma or the like in the second half, else at a space, else anywhere."""
    while len(sentence) > _LONGEST_PIECE:
        head = sentence[:_LONGEST_PIECE]
        stop = max(head.rfind(mark) + 1 for mark in (", ", "; ", ": ", ") ", "，", "、"))
        stop = stop if stop > _LONGEST_PIECE // 2 else head.rfind(" ") + 1
        stop = stop or _LONGEST_PIECE
        yield sentence[:stop].strip()
        sentence = sentence[stop:].strip()
    if sentence:
        yield sentence
