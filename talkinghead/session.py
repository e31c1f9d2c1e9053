"""One voice that moves one avatar: sound in, motions and frames out."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import soxr

from talkinghead.constants import FRAME_RATE_HZ, SAMPLE_RATE_HZ, SAMPLES_PER_FRAME
from talkinghead.errors import SpeechError
from talkinghead.motion.controls import Controls
from talkinghead.motion.generator import MotionGenerator
from talkinghead.motion.latent import Latents
from talkinghead.render.cutout import CutoutPaster
from talkinghead.render.paste import Paster
from talkinghead.runtime.batching import SessionEngine
from talkinghead.runtime.engine import Engine
from talkinghead.speech.encoder import EncodedSpeech, SpeechEncoder
from talkinghead.speech.pcm import as_float

if TYPE_CHECKING:
    from talkinghead.avatar import Avatar


@dataclass(frozen=True)
class Frame:
    """A picture and the sound that belongs to it.

    image (h, w, 3) uint8 RGB, of a cut-out (h, w, 4) with straight alpha; pts: seconds since the session began; audio (400,)
    float32 mono at 16 kHz.
    """

    image: np.ndarray
    pts: float
    audio: np.ndarray


@dataclass(frozen=True)
class Motion:
    """A frame that is not drawn yet.

    z_pose (6,) from the portrait's pose; z_dyn (D,) from its rest; pts and audio as the frame's.
    """

    z_pose: np.ndarray
    z_dyn: np.ndarray
    pts: float
    audio: np.ndarray


class Session:
    """One voice that moves one avatar. Frames come out in order on one clock that never resets.

    Sound becomes features when it is pushed, motion and pictures when they are taken: however much sound waits, an interruption
    finds the motion where the last picture was. Only `draw` may be called from another thread.
    """

    def __init__(
        self,
        avatar: Avatar,
        encoder: SpeechEncoder,
        generator: MotionGenerator,
        paster: Paster | CutoutPaster | None,
        engines: tuple[Engine, ...] = (),
    ) -> None:
        """engines: what encoder and generator run on."""
        self._seats = [engine for engine in engines if isinstance(engine, SessionEngine)]
        self._avatar, self._encoder, self._generator, self._paster = avatar, encoder, generator, paster
        self._resampler: soxr.ResampleStream | None = None
        self._rate = SAMPLE_RATE_HZ
        self._sound: deque[np.ndarray] = deque()
        self._partial = np.zeros(0, np.float32)
        self._speech: deque[EncodedSpeech] = deque()
        self._motion: deque[tuple[np.ndarray, np.ndarray]] = deque()
        self._taken = 0
        self._ended = self._finished = False
        self._shown: Latents | None = None

    @property
    def controls(self) -> Controls:
        """Gaze, distance, head motion and emotion; changes ramp in."""
        return self._generator.controls

    @controls.setter
    def controls(self, controls: Controls) -> None:
        self._generator.controls = controls

    @property
    def other(self) -> float:
        """How surely the other party speaks now, 0 to 1: then the face listens, looks at them and nods where they pause."""
        return self._generator.other

    @other.setter
    def other(self, voice: float) -> None:
        self._generator.other = voice

    def push_audio(self, pcm: np.ndarray, rate: int = SAMPLE_RATE_HZ) -> None:
        """Mono sound: float (n,) in -1..1 or int16 (n,), any n, at a rate that stays the same until `interrupt`."""
        if self._ended:
            raise SpeechError("this session's sound has ended: open another session, or push silence instead of flushing")
        samples = np.asarray(pcm)
        if samples.ndim != 1:
            raise SpeechError(f"sound must be mono of shape (n,), not {samples.shape}: mix the channels first")
        samples = np.nan_to_num(as_float(samples))
        self._hear(samples if rate == SAMPLE_RATE_HZ else self._resampled(samples, rate))

    def frames(self) -> Iterator[Frame]:
        """The frames that can be drawn now, each drawn when it is taken."""
        for motion in self.motions():
            yield self.draw(motion)

    def motions(self) -> Iterator[Motion]:
        """The same frames before they are drawn, for those who draw only some of them, or elsewhere."""
        while self._motion or self._move():
            z_pose, z_dyn = self._motion.popleft()
            self._shown = Latents(z_pose[None], z_dyn[None])
            sound = self._sound.popleft() if self._sound else np.zeros(SAMPLES_PER_FRAME, np.float32)
            pts = self._taken / FRAME_RATE_HZ
            self._taken += 1
            yield Motion(z_pose, z_dyn, pts, sound)

    def draw(self, motion: Motion) -> Frame:
        """The picture of a motion of this session. Motions may be drawn in any order and in any thread, one at a time."""
        return _drawn(self._avatar, self._paster, motion)

    def drawers(self, count: int) -> list[Callable[[Motion], Frame]]:
        """As `draw`, to be called at the same time, so that ``count`` pictures are drawn at once: the first in a thread of this
        process, each other one after half a second or more in a process of its own (see `render.apart`), which two threads keep
        busy and which ends with them."""
        if count == 1:
            return [self.draw]
        apart = [self._avatar.apart() for _ in range(count - 1)]
        return [self._drawer(avatar) for avatar in (self._avatar.twin(alone=False), *apart, *apart)]

    def _drawer(self, avatar: Avatar) -> Callable[[Motion], Frame]:
        paster = self._paster and self._paster.twin()
        return lambda motion: _drawn(avatar, paster, motion)

    def flush(self) -> None:
        """The end of the sound: what waits for its look-ahead is finished as if silence followed. In a call push silence."""
        if self._resampler is not None:
            self._hear(self._resampler.resample_chunk(np.zeros(0, np.float32), last=True))
            self._resampler = None
        if len(self._partial):  # the last frame is filled up
            self._hear(np.zeros(SAMPLES_PER_FRAME - len(self._partial), np.float32))
        self._heard(self._encoder.flush())
        self._ended = True

    def interrupt(self) -> int:
        """Stop speaking: sound and motion that wait are dropped, lips and head come to rest within 150 ms.

        Returns how many frames of sound already pushed are still to come, as silence: those that wait for look-ahead and hop.
        """
        due = self._generator.interrupt(self._shown) + self._encoder.hush()
        self._motion.clear()
        self._sound = deque(np.zeros(SAMPLES_PER_FRAME, np.float32) for _ in range(due))
        self._partial = np.zeros(0, np.float32)
        self._speech.clear()
        self._resampler = None
        return due

    def close(self) -> None:
        """Leave networks that are shared in batches; twice does no harm."""
        for shared in self._seats:
            shared.close()

    def _hear(self, samples: np.ndarray) -> None:
        sound = np.concatenate([self._partial, samples])
        whole = len(sound) // SAMPLES_PER_FRAME
        self._sound.extend(sound[: whole * SAMPLES_PER_FRAME].reshape(whole, SAMPLES_PER_FRAME))
        self._partial = sound[whole * SAMPLES_PER_FRAME :]
        self._heard(self._encoder.push(samples))

    def _heard(self, speech: EncodedSpeech) -> None:
        self._speech.extend(speech.cut(k, k + 1) for k in range(len(speech)))

    def _move(self) -> bool:
        """Make the next hop of motion; False when more sound is needed first."""
        while self._speech and not self._motion:
            self._take(self._generator.push(self._speech.popleft()))
        if not self._motion and self._ended and not self._finished:
            self._finished = True
            self._take(self._generator.flush())
        return bool(self._motion)

    def _take(self, latents: Latents) -> None:
        self._motion.extend(zip(latents.z_pose, latents.z_dyn, strict=True))

    def _resampled(self, samples: np.ndarray, rate: int) -> np.ndarray:
        if self._resampler is None:
            if not 4_000 <= rate <= 384_000:
                raise SpeechError(f"sound at {rate} Hz is not supported: give 4000 to 384000 Hz")
            self._resampler, self._rate = soxr.ResampleStream(rate, SAMPLE_RATE_HZ, 1, dtype="float32"), rate
        if rate != self._rate:
            raise SpeechError(
                f"the rate changed from {self._rate} to {rate} Hz within a session: resample it first, or interrupt"
            )
        return self._resampler.resample_chunk(samples)


def _drawn(avatar: Avatar, paster: Paster | CutoutPaster | None, motion: Motion) -> Frame:
    image = avatar.draw(motion.z_pose, motion.z_dyn)
    return Frame(image if paster is None else paster.paste(image), motion.pts, motion.audio)
