"""Runs espeak-ng's library in a process of its own: text on standard input, a WAV stream on standard output.

    python -I espeak_child.py LIBRARY VOICE

A process of its own because the library has one state a process, ends it on some errors, is written in C and reads text that
may come from strangers; and because it is GPL-3 software that this package starts, but is not linked with. Only the standard
library is used: the child starts in some 20 ms.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from pathlib import Path

_SYNCHRONOUS, _DONT_EXIT = 2, 0x8000
_UTF8, _END_PAUSE = 0x1, 0x1000
"""Without the flags of SSML (0x10) and of phonemes in [[brackets]] (0x100): text is nothing but text."""
_NO_LIBRARY, _NO_DATA, _NO_VOICE = 3, 4, 5
_UNKNOWN_LENGTH = 0x7FFFF000

_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)


def _header(rate_hz: int) -> bytes:
    """44 bytes of a WAV stream of int16 mono whose length is not known yet, as the program's ``--stdout`` writes it."""
    form = struct.pack("<4sI4s", b"RIFF", _UNKNOWN_LENGTH + 36, b"WAVE")
    layout = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate_hz, 2 * rate_hz, 2, 16)
    return form + layout + struct.pack("<4sI", b"data", _UNKNOWN_LENGTH)


def main(library_path: str, voice: str) -> int:
    """Speak standard input; the exit code tells what is missing."""
    text = sys.stdin.buffer.read()
    path = Path(library_path).resolve()
    try:
        library = ctypes.CDLL(str(path))
    except OSError:
        return _NO_LIBRARY
    os.chdir(path.parent)  # its buffer for the path of its data holds 160 bytes
    rate_hz = library.espeak_Initialize(_SYNCHRONOUS, 0, b".", _DONT_EXIT)
    if rate_hz <= 0:
        return _NO_DATA
    if library.espeak_SetVoiceByName(voice.encode()):
        return _NO_VOICE
    out = sys.stdout.buffer

    def collect(wave: int | None, count: int, events: int | None) -> int:
        if wave and count > 0:
            out.write(ctypes.string_at(wave, 2 * count))
        return 0

    callback = _Callback(collect)
    library.espeak_SetSynthCallback(callback)
    out.write(_header(rate_hz))
    library.espeak_Synth(text + b"\0", ctypes.c_size_t(len(text) + 1), 0, 1, 0, _UTF8 | _END_PAUSE, None, None)
    library.espeak_Synchronize()
    out.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
