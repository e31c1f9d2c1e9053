"""Expected failures. Each message is one line that names the fix; the command line prints it and exits with 1."""


class TalkingHeadError(Exception):
    """Base of every expected failure."""


class PortraitError(TalkingHeadError):
    """The photo cannot be used: unreadable, no face, face too small, picture too large."""


class SpeechError(TalkingHeadError):
    """The sound cannot be used: unreadable, no audio stream, empty, silent."""


class OutputError(TalkingHeadError):
    """The result cannot be written: missing folder, no permission, disk full."""


class EngineError(TalkingHeadError):
    """A network cannot be run: no runtime installed, unknown device, weights missing or damaged."""


class VoiceError(TalkingHeadError):
    """Text cannot be spoken: no voice installed, no voice for the language, text empty or too long."""


class DeviceError(TalkingHeadError):
    """A microphone, loudspeaker, window or virtual camera cannot be used: not there, driver missing, busy."""


class ManifestError(TalkingHeadError):
    """A list of jobs cannot be used, or a row of it: unreadable, missing or unknown columns, values out of range."""


class BatchError(TalkingHeadError):
    """A batch cannot be run, or some of its jobs failed."""


class ProvenanceError(TalkingHeadError):
    """A proof of origin cannot be made or read: certificate unusable, library missing, file unreadable."""


class ConsentError(TalkingHeadError):
    """The person in a portrait has not agreed, or there is no record that says so."""


class SubtitleError(TalkingHeadError):
    """A file of subtitles cannot be used: unreadable, or none in it."""
