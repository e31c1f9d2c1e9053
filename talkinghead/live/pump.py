"""The heart of a call: on the output clock, sound is fed to the avatar and frames are made of what comes out.

`Pump.step` does one piece of work and tells when to call again; it never waits itself. So a thread can run it in real time, and a
test through hours in seconds.

Sound is fed as soon as it has come, but not before it is the next frame's turn; silence is fed only at the deadline, so that
sound may still come in time. From the push of a sample to the moment its frame is due: the frame itself (25 ms), the look-ahead
(75 ms), BUDGET_S for the networks and `pace.MARGIN_S` for jitter.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from talkinghead.live.clock import FRAME_S, OutputClock
from talkinghead.live.ladder import Ladder
from talkinghead.live.outlet import LiveFrame
from talkinghead.live.sound import SOUND_PER_FRAME, SoundQueue
from talkinghead.live.times import Accounts, FrameTimes
from talkinghead.session import Motion, Session
from talkinghead.speech.encoder import LOOKAHEAD_FRAMES

BUDGET_S = 0.010
"""A frame's sound and look-ahead must be fed so long before it is due."""
EARLY_S = FRAME_S
"""No work is done for a frame earlier than this before it is due: an interruption should find little made in advance."""
LATE_S = FRAME_S
"""A frame whose drawing cannot begin so long after it was due is not drawn."""
_IN_FLIGHT = LOOKAHEAD_FRAMES + 1
"""Frames of sound that must be fed for one to come out: sessions are eager."""
_FROZEN_FRAMES = 10
"""However late, one picture in so many frames is drawn."""
_LOUD = 0.004  # root mean square, -48 dBFS
_SPEAKING_FRAMES = 16
"""Pauses up to this are part of speech (0.4 s)."""
_FADE_OUT = np.clip(np.linspace(1, -1.5, SOUND_PER_FRAME), 0, 1).astype(np.float32)  # within 10 ms


@dataclass
class _Fed:
    """A frame's sound on its way through the avatar."""

    sound: np.ndarray
    times: FrameTimes


class Pump:
    """Everything here belongs to one thread; only the sound queue is shared."""

    def __init__(
        self,
        session: Session,
        sound: SoundQueue,
        deliver: Callable[[LiveFrame], None],
        now: Callable[[], float],
        accounts: Accounts,
    ) -> None:
        self.clock, self.ladder = OutputClock(now() + EARLY_S), Ladder()
        self.listening = False
        self._session, self._sound, self._deliver, self._now, self._accounts = session, sound, deliver, now, accounts
        self._generation = sound.generation
        self._fed: deque[_Fed] = deque()
        self._made: LiveFrame | None = None
        self._busy_s = 0.0
        self._since_drawn, self._late = _FROZEN_FRAMES, False
        self._since_loud = _SPEAKING_FRAMES

    def step(self) -> float:
        """One piece of work. Returns when to call again: at once if that is past, sooner when sound comes or is interrupted."""
        if self._sound.generation != self._generation:
            self._interrupt()
        now_s, due_s = self._now(), self.clock.due_s
        if self._made is not None:
            if now_s >= due_s:
                return self._release(self._made, now_s - due_s)
            return due_s
        if skipped := self.clock.catch_up(now_s):
            self._accounts.count("drop_skipped", skipped)
            return now_s
        if now_s < due_s - EARLY_S:
            return due_s - EARLY_S
        motion = next(self._session.motions(), None)
        if motion is None:
            return self._feed(due_s - BUDGET_S)
        self._make(motion, now_s)
        return now_s

    def _feed(self, deadline_s: float) -> float:
        """Give the next 25 ms to the networks, if they are there or must be. While the look-ahead fills up, silence waits for the
        deadline in the last of them only: sound that came now would not begin in the others (`pace.lead_in_s`)."""
        now_s, frames = self._now(), max(1, _IN_FLIGHT - len(self._fed))
        if not self._sound.ready(deadline_s, frames):
            patience_s = self._sound.patience_s()
            limit_s = deadline_s + (patience_s if patience_s else -(frames - 1) * FRAME_S)
            if now_s < limit_s:
                return limit_s
        heard = self._sound.take()
        if heard.generation != self._generation:  # interrupted this very moment
            self._interrupt()
        self._session.push_audio(heard.audio)
        done_s = self._now()
        self._spent("features_ms", done_s - now_s)
        self._fed.append(_Fed(heard.sound, FrameTimes(heard=heard.heard_s)))
        if len(self._fed) > LOOKAHEAD_FRAMES:
            self._fed[-1 - LOOKAHEAD_FRAMES].times.features = done_s
        return done_s

    def _make(self, motion: Motion, began_s: float) -> None:
        """The frame of a motion, drawn or not."""
        fed, index = self._fed.popleft(), self.clock.index
        now_s = self._now()
        self._spent("motion_ms", now_s - began_s)
        fed.times.motion = now_s
        wanted = self.ladder.draws(index)
        late = wanted and now_s - self.clock.due_s > LATE_S and self._since_drawn < _FROZEN_FRAMES
        image, base_s, draw_ms = None, self._busy_s, None
        if wanted and not late:
            image = self._session.draw(motion).image
            fed.times.drawn = self._now()
            draw_ms = 1000 * (fed.times.drawn - now_s)
            self._accounts.time("draw_ms", draw_ms)
        elif late:
            self._accounts.count("drop_video")
        self._since_drawn = 0 if image is not None else self._since_drawn + 1
        self._busy_s = 0.0
        self.ladder.frame(1000 * base_s, draw_ms, late and not self._late)  # a stall is one event, however many frames it took
        self._late = late
        state = self._state(motion.audio)
        self._made = LiveFrame(index, image, motion.audio, fed.sound, self._generation, state, fed.times)

    def _release(self, frame: LiveFrame, late_s: float) -> float:
        self._made = None
        self.clock.tick()
        self._accounts.time("late_ms", 1000 * late_s)
        if frame.times.heard and frame.times.drawn:
            self._accounts.time("latency_ms", 1000 * (frame.times.drawn - frame.times.heard))
        self._deliver(frame)
        return 0.0

    def _interrupt(self) -> None:
        """Drop what was fed and not yet delivered; the face goes to rest from where it is."""
        self._generation = self._sound.generation
        next_sound = self._made.sound if self._made is not None else self._fed[0].sound if self._fed else None
        self._made = None
        due = self._session.interrupt()
        self._fed = deque(_Fed(np.zeros(SOUND_PER_FRAME, np.float32), FrameTimes()) for _ in range(due))
        if self._fed and next_sound is not None:  # a cut would be heard as a click
            self._fed[0].sound = next_sound * _FADE_OUT
        self._since_loud = _SPEAKING_FRAMES

    def _state(self, audio: np.ndarray) -> str:
        self._since_loud = 0 if float(np.sqrt(np.mean(audio**2))) > _LOUD else self._since_loud + 1
        if self._since_loud < _SPEAKING_FRAMES or self._sound.talking:
            return "speaking"
        return "listening" if self.listening else "idle"

    def _spent(self, stage: str, seconds: float) -> None:
        self._busy_s += seconds
        self._accounts.time(stage, 1000 * seconds)
