"""The pipeline: sound in, pictures out. Files, calls and benchmarks all go through it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from talkinghead.ahead import ahead, opencv_alone, side_by_side
from talkinghead.constants import SAMPLE_RATE_HZ
from talkinghead.cores import usable_cores
from talkinghead.motion.controls import Controls
from talkinghead.motion.generator import MotionGenerator
from talkinghead.motion.rest import resting_dynamics
from talkinghead.networks import Networks
from talkinghead.portrait.portrait import Portrait
from talkinghead.render.apart import ApartDecoder
from talkinghead.render.cutout import CutoutPaster, cut_out
from talkinghead.render.decoder import Decoder
from talkinghead.render.paste import Paster
from talkinghead.render.surround import Borders
from talkinghead.render.tone import one_tone
from talkinghead.runtime.batching import seat
from talkinghead.session import Frame, Motion, Session
from talkinghead.speech.activity import voices
from talkinghead.speech.encoder import SpeechEncoder
from talkinghead.speech.source import SpeechFile

if TYPE_CHECKING:
    from talkinghead.render.device.seat import DevicePortrait

_BLOCK = SAMPLE_RATE_HZ // 10
_MOTIONS_AHEAD = 8
"""Of a recording: motion and pictures are made side by side."""
_MOST_DRAWERS = 4
"""Pictures of a recording that are drawn at the same time, where there are as many cores."""


class Avatar:
    """A face that can speak: a portrait with the networks that move it. Make one with `Avatar.open`."""

    def __init__(self, portrait: Portrait, networks: Networks, *, alpha: bool = False) -> None:
        matting = None if networks.decoder is None else networks.decoder.matte
        self._cutout = cut_out(portrait, matting) if alpha else None
        if self._cutout is not None:
            portrait = self._cutout.portrait(portrait)
        self.portrait = portrait
        self._latent = latent = networks.latent
        self._rest = resting_dynamics(latent, portrait.code)
        self._speech_engine, self._motion_engine = networks.speech, networks.motion
        self._scales, self._style = networks.scales, networks.style
        matte = None if self._cutout is None else self._cutout.face_alpha(portrait.crop)
        face, points, code = portrait.face, portrait.points, portrait.code
        self._decoder: Decoder | None = None
        self._seat: DevicePortrait | None = None
        self._device = networks.device_decoder if matte is None and one_tone(face, points) is None else None
        self._bordered: Avatar | None = None
        self._elsewhere: ApartDecoder | None = None
        if self._device is not None:
            self._seat = self._device.seat(face, points, code)
        else:
            self._decoder = Decoder(face, points, code.pose, latent, networks.decoder, matte)
            self._decoder.match_detail(face, code, latent)

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

    def twin(self, alone: bool = True) -> Avatar:
        """Another avatar of the same portrait, which may be drawn in another thread at the same time; not ``alone``: others are
        drawn beside it all the time, so that no second core waits for parts of its pictures."""
        other = copy.copy(self)
        other._decoder = None if self._decoder is None else self._decoder.twin(alone)
        other._bordered = other._elsewhere = None
        return other

    def apart(self) -> Avatar:
        """A twin that is drawn beside others for long: it moves to a process of its own (see `render.apart`)."""
        other = self.twin(alone=False)
        other._elsewhere = None if other._decoder is None else ApartDecoder(other._decoder)
        return other

    @property
    def on_gpu(self) -> bool:
        """Whole frames are drawn on a GPU."""
        return self._seat is not None

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
        calls. Where sessions share networks in batches, the observer is told how long this one waited for each ("wait_ms")."""
        face = self._latent.shape(self.portrait.z_id, self._rest) + self.portrait.code.residual
        numbers = (self._scales, self._style, self._latent)
        speech, motion = (seat(engine, observer) for engine in (self._speech_engine, self._motion_engine))
        generator = MotionGenerator(motion, *numbers, face=face, controls=controls, seed=seed, eager=eager)
        drawn, paster = (self._held(), self._paster()) if full else (self, None)
        return Session(drawn, SpeechEncoder(speech), generator, paster, (speech, motion))

    def _held(self) -> Avatar:
        """This avatar for pictures that are put back into the photo: where that goes on beyond the square, shoulders stay."""
        if self._bordered is None:
            crop, area = self.portrait.crop, self.portrait.crop.within(self.portrait.image.shape)
            right, bottom = crop.x + crop.side, crop.y + crop.side
            borders = Borders(crop.x > area.left + 1, right < area.right - 1, bottom < area.bottom - 1)
            other = copy.copy(self)
            if self._device is not None:
                other._seat = self._device.seat(self.portrait.face, self.portrait.points, self.portrait.code, borders)
            if self._decoder is not None:
                other._decoder = self._decoder.held(borders)
            self._bordered = other
        return self._bordered

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
        other: str | Path | np.ndarray | Iterable[np.ndarray] | None = None,
        threads: int | None = None,
    ) -> Iterator[Frame]:
        """Frames at 40 FPS for a whole recording: a file, mono samples at ``rate``, or chunks of them.

        The same photo, sound, seed and controls give the same frames. There are as many frames as begin within the sound.
        ``wanted`` is asked for each of them in order, 0 first, some before they are drawn: those that it refuses are not drawn
        and do not come. ``other``: the other party's sound, from the same beginning, likewise: the face listens to it.
        ``threads``: how many pictures are drawn at the same time, all but one by processes of their own; None: one for each core,
        up to four.
        """
        session = self.session(seed=seed, controls=controls, full=full)
        heard = iter(()) if other is None else voices(_blocks(other), SAMPLE_RATE_HZ if isinstance(other, str | Path) else rate)
        rate = SAMPLE_RATE_HZ if isinstance(audio, str | Path) else rate
        try:
            motions: Iterable[Motion] = ahead(_attentive(session, _motions(session, _blocks(audio), rate), heard), _MOTIONS_AHEAD)
            if wanted is not None:
                motions = (motion for number, motion in enumerate(motions) if wanted(number))
            count = 1 if self.on_gpu else min(_MOST_DRAWERS, threads or len(usable_cores()))
            with opencv_alone() if count > 1 else nullcontext():
                yield from side_by_side(motions, session.drawers(count))
        finally:
            session.close()

    def draw(self, z_pose: np.ndarray, z_dyn: np.ndarray) -> np.ndarray:
        """The face (512, 512, 3) uint8 RGB under latents: z_pose (6,) from the portrait's pose, z_dyn (D,) from its rest. Of a
        cut-out: (512, 512, 4)."""
        if self._seat is not None:
            return self._seat.draw(z_pose, z_dyn)
        decoder = self._elsewhere or self._decoder
        assert decoder is not None
        points, pose = self._latent.draw(self.portrait.code, z_pose, self._rest + z_dyn)
        return decoder.draw(points, pose, z_pose, z_dyn)

    def draw_planes(self, z_pose: np.ndarray, z_dyn: np.ndarray) -> np.ndarray:
        """The same as NV12 (768, 512) uint8, as encoders take it (BT.601, limited range), of an avatar that is `on_gpu`: half of
        RGB's bytes leave the GPU, and no processor turns colours."""
        assert self._seat is not None
        return self._seat.draw(z_pose, z_dyn, "nv12")


def _motions(session: Session, blocks: Iterable[np.ndarray], rate: int) -> Iterator[Motion]:
    for block in blocks:
        session.push_audio(block, rate)
        yield from session.motions()
    session.flush()
    yield from session.motions()


def _attentive(session: Session, motions: Iterable[Motion], heard: Iterator[float]) -> Iterator[Motion]:
    """The motions of a session that is told, before each, how surely the other party speaks."""
    session.other = next(heard, 0.0)
    for motion in motions:
        yield motion
        session.other = next(heard, 0.0)


def _blocks(audio: str | Path | np.ndarray | Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Sound in pieces of about a tenth of a second."""
    if isinstance(audio, str | Path):
        yield from SpeechFile(audio).blocks()
    elif isinstance(audio, np.ndarray):
        for start in range(0, len(audio), _BLOCK):
            yield audio[start : start + _BLOCK]
    else:
        yield from audio
