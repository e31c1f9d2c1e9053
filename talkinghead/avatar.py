"""The pipeline: sound in, pictures out. Files, calls and benchmarks all go through it."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soxr

from talkinghead.ahead import ahead
from talkinghead.constants import FRAME_RATE_HZ, SAMPLE_RATE_HZ, SAMPLES_PER_FRAME
from talkinghead.errors import SpeechError
from talkinghead.motion.controls import Controls
from talkinghead.motion.generator import MotionGenerator
from talkinghead.motion.latent import Latents
from talkinghead.motion.rest import resting_dynamics
from talkinghead.networks import Networks
from talkinghead.portrait.portrait import Portrait
from talkinghead.render.cutout import CutoutPaster, cut_out
from talkinghead.render.decoder import Decoder
from talkinghead.render.paste import Paster
from talkinghead.render.tone import one_tone
from talkinghead.runtime.batching import SessionEngine, seat
from talkinghead.runtime.engine import Engine
from talkinghead.speech.encoder import EncodedSpeech, SpeechEncoder
from talkinghead.speech.source import SpeechFile

if TYPE_CHECKING:
    from talkinghead.render.device.seat import DevicePortrait

_BLOCK = SAMPLE_RATE_HZ // 10
_MOTIONS_AHEAD = 8
"""Of a recording: motion and pictures are made side by side, on two cores."""


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


class Avatar:
    """A face that can speak: a portrait with the networks that move it. Make one with `Avatar.open`."""

    def __init__(self, portrait: Portrait, networks: Networks, *, alpha: bool = False) -> None:
        self._cutout = cut_out(portrait) if alpha else None
        if self._cutout is not None:
            portrait = self._cutout.portrait(portrait)
        self.portrait = portrait
        self._latent = latent = networks.latent
        self._rest = resting_dynamics(latent, portrait.code)
        self._speech_engine, self._motion_engine = networks.speech, networks.motion
        self._scales, self._style = networks.scales, networks.style
        matte = None if self._cutout is None else self._cutout.face_alpha(portrait.crop)
        face, points, code = portrait.face, portrait.points, portrait.code
        self._decoder: Decoder | DevicePortrait
        if networks.device_decoder is not None and matte is None and one_tone(face, points) is None:
            self._decoder = networks.device_decoder.seat(face, points, code)
        else:
            self._decoder = Decoder(face, points, code.pose, latent, networks.decoder, matte)

    @classmethod
    def open(
        cls,
        photo: str | Path | np.ndarray,
        *,
        device: str = "cpu",
        refine: bool = True,
        networks: Networks | None = None,
        alpha: bool = False,
    ) -> Avatar:
        """The avatar of the largest face in a photo: a path, or uint8 RGB (h, w, 3). Without ``refine`` mouth and eyes are
        only warped and painted, not drawn by the decoder's networks. ``networks``: see `Networks`. With ``alpha`` pictures are
        RGBA: the person alone, straight (unpremultiplied) colours; a note says so where the matte is not to be trusted.

        Raises PortraitError when the photo cannot be used, EngineError when the networks cannot be run.
        """
        networks = networks or Networks.load(device, refine=refine)
        return cls(networks.face.read(photo), networks, alpha=alpha)

    def twin(self) -> Avatar:
        """Another avatar of the same portrait, which may be drawn in another thread at the same time."""
        other = copy.copy(self)
        other._decoder = self._decoder.twin()
        return other

    def session(
        self,
        *,
        seed: int = 0,
        controls: Controls | None = None,
        full: bool = False,
        eager: bool = False,
        observer: Callable[[str, float], None] | None = None,
    ) -> Session:
        """A live session: push sound, take frames, `Session.close`. ``full`` gives pictures of the whole photo's size. ``eager``
        gives each frame as soon as its look-ahead has been heard, 25 ms before the hop is whole (see `motion.generator`): for
        calls. Where sessions share networks in batches, the observer is told how long this one waited
        for each ("wait_ms")."""
        face = self._latent.shape(self.portrait.z_id, self._rest) + self.portrait.code.residual
        numbers = (self._scales, self._style, self._latent)
        speech, motion = (seat(engine, observer) for engine in (self._speech_engine, self._motion_engine))
        generator = MotionGenerator(motion, *numbers, face=face, controls=controls, seed=seed, eager=eager)
        return Session(self, SpeechEncoder(speech), generator, self._paster() if full else None, (speech, motion))

    def _paster(self) -> Paster | CutoutPaster:
        if self._cutout is not None:
            return CutoutPaster(self._cutout, self.portrait.crop)
        return Paster(self.portrait.image, self.portrait.crop)

    def render(
        self,
        audio: str | Path | np.ndarray | Iterable[np.ndarray],
        *,
        rate: int = SAMPLE_RATE_HZ,
        seed: int = 0,
        controls: Controls | None = None,
        full: bool = False,
        wanted: Callable[[int], bool] | None = None,
    ) -> Iterator[Frame]:
        """Frames at 40 FPS for a whole recording: a file, mono samples at ``rate``, or chunks of them.

        The same photo, sound, seed and controls give the same frames. There are as many frames as begin within the sound.
        ``wanted`` is asked for each of them in order, 0 first: those that it refuses are not drawn and do not come.
        """
        session = self.session(seed=seed, controls=controls, full=full)
        rate = SAMPLE_RATE_HZ if isinstance(audio, str | Path) else rate
        try:
            for number, motion in enumerate(ahead(_motions(session, _blocks(audio), rate), _MOTIONS_AHEAD)):
                if wanted is None or wanted(number):
                    yield session.draw(motion)
        finally:
            session.close()

    def draw(self, z_pose: np.ndarray, z_dyn: np.ndarray) -> np.ndarray:
        """The face (512, 512, 3) uint8 RGB under latents: z_pose (6,) from the portrait's pose, z_dyn (D,) from its rest. Of a
        cut-out: (512, 512, 4)."""
        points, pose = self._latent.draw(self.portrait.code, z_pose, self._rest + z_dyn)
        return self._decoder.draw(points, pose, z_pose, z_dyn)


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

    def push_audio(self, pcm: np.ndarray, rate: int = SAMPLE_RATE_HZ) -> None:
        """Mono sound: float (n,) in -1..1 or int16 (n,), any n, at a rate that stays the same until `interrupt`."""
        if self._ended:
            raise SpeechError("this session's sound has ended: open another session, or push silence instead of flushing")
        samples = np.asarray(pcm)
        if samples.ndim != 1:
            raise SpeechError(f"sound must be mono of shape (n,), not {samples.shape}: mix the channels first")
        scale = np.float32(1 / 32768) if samples.dtype == np.int16 else np.float32(1)
        samples = np.nan_to_num(samples.astype(np.float32) * scale)
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
        image = self._avatar.draw(motion.z_pose, motion.z_dyn)
        return Frame(image if self._paster is None else self._paster.paste(image), motion.pts, motion.audio)

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


def _motions(session: Session, blocks: Iterable[np.ndarray], rate: int) -> Iterator[Motion]:
    for block in blocks:
        session.push_audio(block, rate)
        yield from session.motions()
    session.flush()
    yield from session.motions()


def _blocks(audio: str | Path | np.ndarray | Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Sound in pieces of about a tenth of a second."""
    if isinstance(audio, str | Path):
        yield from SpeechFile(audio).blocks()
    elif isinstance(audio, np.ndarray):
        for start in range(0, len(audio), _BLOCK):
            yield audio[start : start + _BLOCK]
    else:
        yield from audio
