"""One avatar in a call: sound in from any thread, 40 frames a second out to any number of consumers."""

from __future__ import annotations

import copy
import logging
import threading
import time
from typing import Any

import numpy as np

from talkinghead.avatar import Avatar
from talkinghead.constants import SAMPLE_RATE_HZ, SIZE_PX
from talkinghead.errors import TalkingHeadError
from talkinghead.live.other import OtherParty
from talkinghead.live.outlet import LiveFrame, Outlet
from talkinghead.live.pump import Pump
from talkinghead.live.sound import SoundQueue
from talkinghead.live.times import Accounts, FrameTimes, Observer
from talkinghead.motion.controls import Controls

__all__ = ["FrameTimes", "LiveFrame", "LiveSession", "Outlet", "SessionError"]

BARGE_IN_S = 0.25
"""Of uninterrupted speech by the other party, before the avatar gives way: a cough or a word of assent is shorter."""
_log = logging.getLogger(__name__)


class SessionError(TalkingHeadError):
    """The session cannot be used so: it was started or closed already."""


class LiveSession:
    """Makes the frames of one avatar in a thread of its own, from `start` to `close`.

    All methods may be called from any thread, and none waits for a frame to be drawn but `close`. An unexpected error in the
    thread ends the session: outlets end, and `failure` holds the error.
    """

    def __init__(
        self, avatar: Avatar, *, seed: int = 0, controls: Controls | None = None, observer: Observer | None = None
    ) -> None:
        """observer is told (name, value), mostly in the worker's thread, and must be quick: "features_ms", "motion_ms" and
        "draw_ms" (a frame's), "late_ms" (a frame's, after it was due), "latency_ms" (its last sample's push to its
        picture), "wait_ms" (of a call for its batch, where sessions share networks); "drop_video" (too late to be drawn),
        "drop_outlet" (a consumer was too slow), "drop_skipped" (frame numbers, after a gap of over a second), and "drop_sound",
        seconds."""
        self._controls = copy.copy(controls or Controls())
        self._accounts = Accounts(time.monotonic, observer)
        self._session: Any = avatar.session(
            seed=seed, controls=copy.copy(self._controls), eager=True, observer=self._accounts.time
        )
        self._sound, self._other = SoundQueue(time.monotonic, self._accounts), OtherParty(time.monotonic)
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._outlets: tuple[Outlet, ...] = ()
        self._thread: threading.Thread | None = None
        self._listening = self._barge_in = self._closing = False
        self._steered = False
        self._state = "idle"
        self._level, self._size_px = 0, SIZE_PX
        self.failure: BaseException | None = None
        """What ended the session, if it was not `close`."""

    def start(self) -> None:
        """Start the clock: frame 0 is due at once. SessionError when the session was started or closed before."""
        with self._lock:
            if self._closing or self._thread is not None:
                raise SessionError("this session was started or closed already: open another one")
            self._thread = threading.Thread(target=self._run, name="talkinghead-live", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """End: outlets end, the thread is joined, the avatar let go. Idempotent."""
        with self._lock:
            self._closing = True
            thread = self._thread
        self._wake.set()
        if thread is not None and thread is not threading.current_thread():
            thread.join()
        self._end()

    def __enter__(self) -> LiveSession:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def closed(self) -> bool:
        """No further frame will come."""
        return self._closing

    def push_audio(
        self, pcm: np.ndarray, rate: int = SAMPLE_RATE_HZ, *, generation: int | None = None, live: bool | None = None
    ) -> bool:
        """Mono sound to speak: float (n,) in -1..1 or int16 (n,), any n, 4 to 192 kHz, also faster than real time.

        live: a microphone in real time, whose surplus is dropped so that latency does not grow; None: found out by its pace
        within a second. False is returned, and the sound dropped, when ``generation`` is not the present one, when more than
        MAX_QUEUED_S would wait, or when the session is closed. SpeechError for sound of a wrong kind.
        """
        if self._closing:
            return False
        taken = self._sound.push(pcm, rate, generation, live)
        self._wake.set()
        return taken

    def end_of_speech(self) -> None:
        """Nothing more for now: what waits is spoken, then the face idles."""
        self._sound.end()
        self._wake.set()

    def interrupt(self) -> int:
        """Stop speaking at once; returns the new generation. Sound, motion and frames of older ones are dropped wherever they
        wait; the sound is silent with the next frame (faded out within 10 ms), the lips at rest four frames later and the head
        six."""
        generation = self._sound.interrupt()
        self._wake.set()
        return generation

    def listen(self, on: bool, *, barge_in: bool = False) -> None:
        """The other party has the word: the state is "listening" while the avatar does not speak. barge_in: when they speak for
        `BARGE_IN_S` while the avatar does, it is interrupted."""
        self._listening, self._barge_in = bool(on), bool(on and barge_in)
        if not on:
            self._other.clear()
        self._wake.set()

    def hear(self, pcm: np.ndarray, rate: int = SAMPLE_RATE_HZ) -> None:
        """Sound of the other party, as `push_audio` takes it: it is not spoken, but listened to. The eyes stay on them and the
        head nods where they pause."""
        if self._closing:
            return
        self._other.push(pcm, rate)
        if self._barge_in and self._state == "speaking" and self._other.spoke(BARGE_IN_S):
            self.interrupt()

    def set_controls(self, **fields: Any) -> None:
        """Change fields of `Controls`, all or none; ValueError, one line, for a value or a name that there is not."""
        with self._lock:
            changed = copy.copy(self._controls)
            try:
                for name, value in fields.items():
                    setattr(changed, name, value)
            except AttributeError as error:
                raise ValueError(str(error)) from None
            self._controls, self._steered = changed, True
        self._wake.set()

    @property
    def controls(self) -> Controls:
        """A copy of what is set now."""
        return copy.copy(self._controls)

    @property
    def state(self) -> str:
        """ "speaking", "idle" or "listening": of the last frame."""
        return self._state

    @property
    def generation(self) -> int:
        return self._sound.generation

    @property
    def queued_s(self) -> float:
        """Sound that waits to be spoken, seconds."""
        return self._sound.queued_s

    @property
    def level(self) -> int:
        """Of the `Ladder`: 0 when nothing gives way."""
        return self._level

    @property
    def size_px(self) -> int:
        """Side of the square that is to be encoded; pictures are drawn in full size always."""
        return self._size_px

    def stats(self) -> dict[str, float]:
        """Pictures drawn in the last second ("fps"), that second's medians of what the observer is told in ms, what was dropped
        since the start, "queued_s", "level" and "size_px"."""
        now = {"fps": self._accounts.rate_hz("draw_ms"), "queued_s": self.queued_s}
        now |= {"level": float(self._level), "size_px": float(self._size_px)}
        return now | self._accounts.totals() | self._accounts.medians()

    def subscribe(self) -> Outlet:
        """The frames from now on, for one more consumer; ended at once when the session is closed."""
        sound, accounts = self._sound, self._accounts
        outlet = Outlet(lambda: sound.generation, lambda: accounts.count("drop_outlet"), self._unsubscribe)
        with self._lock:
            ended = self._closing
            if not ended:
                self._outlets = (*self._outlets, outlet)
        if ended:
            outlet.close()
        return outlet

    def _unsubscribe(self, outlet: Outlet) -> None:
        with self._lock:
            self._outlets = tuple(other for other in self._outlets if other is not outlet)

    def _run(self) -> None:
        """The worker."""
        try:
            pump = Pump(self._session, self._sound, self._deliver, time.monotonic, self._accounts)
            while not self._closing:
                self._wake.clear()
                self._steer(pump)
                wait_s = pump.step() - time.monotonic()
                self._level, self._size_px = pump.ladder.level, pump.ladder.size_px
                if wait_s > 0:
                    self._wake.wait(wait_s)
        except Exception as error:  # whatever it is, whoever waits for frames must be told
            _log.error("live session ended by %s: %s", type(error).__name__, error, exc_info=error)
            self.failure = error.with_traceback(None)  # its frames would keep the avatar
        finally:
            self._end()

    def _steer(self, pump: Pump) -> None:
        """What other threads asked for."""
        pump.listening = self._listening
        self._session.other = self._other.voice
        if self._steered:
            with self._lock:
                self._session.controls, self._steered = copy.copy(self._controls), False

    def _deliver(self, frame: LiveFrame) -> None:
        self._state = frame.state
        for outlet in self._outlets:
            outlet.put(frame)

    def _end(self) -> None:
        with self._lock:
            self._closing = True
            outlets, session, self._session = self._outlets, self._session, None
        for outlet in outlets:
            outlet.close()
        if session is not None:
            session.close()
