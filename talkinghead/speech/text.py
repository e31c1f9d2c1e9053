"""Text in place of sound: read aloud into a sound file."""

from __future__ import annotations

import wave
from dataclasses import dataclass
from pathlib import Path

from talkinghead.speech.voice import Voice


@dataclass(frozen=True)
class Text:
    """Words to speak, and the voice: a language's code such as "en" or "pt-br"."""

    words: str
    voice: str = "en"

    def write(self, path: Path) -> Path:
        """Speak into a new WAV file. VoiceError, one line that names the fix, where there is no voice or nothing to say."""
        voice = Voice.open(self.voice)
        sounds = voice.speak(self.words)
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(voice.rate_hz)
            for sound in sounds:
                file.writeframes((sound * 32767).clip(-32768, 32767).astype("<i2").tobytes())
        return path

