"""Milliseconds by stage, by network and thread count, and how soon the first picture comes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from talkinghead.avatar import Avatar
from talkinghead.bench.material import Material, Say, say_nothing, shipped
from talkinghead.bench.networks import NETWORKS, random_inputs
from talkinghead.bench.report import Figure, clocked_ms, figure
from talkinghead.constants import FRAME_RATE_HZ, SAMPLE_RATE_HZ, SAMPLES_PER_FRAME
from talkinghead.cores import usable_cores
from talkinghead.motion.denoiser import HOP_FRAMES
from talkinghead.session import Session
from talkinghead.speech.encoder import LOOKAHEAD_MS, SpeechEncoder

_FILLING = 8
"""Frames of sound until the look-ahead is full."""
ANSWER = "a call's frame: encoder, motion, picture"
FRAME_MS = 1000 / FRAME_RATE_HZ


@dataclass(frozen=True)
class Rounds:
    """How often each is measured: whole portraits and sessions; stages."""

    whole: int = 10
    stage: int = 200


def latency(
    material: Material, device: str, rounds: Rounds | None = None, seed: int = 0, say: Say = say_nothing
) -> tuple[Figure, ...]:
    """All figures, one thread but where a name tells another count."""
    rounds = rounds or Rounds()
    made = []
    for part in (stages(material, device, rounds, seed), _networks(device, rounds)):
        for found in part:
            say(found.name)
            made.append(found)
    answer = next(f for f in made if f.name == ANSWER)
    waited = FRAME_MS + LOOKAHEAD_MS + (answer.p95 or answer.p50)
    return (
        *made,
        Figure(f"from sound to its picture: its own {FRAME_MS:g} + look-ahead {LOOKAHEAD_MS:g} + p95", "ms", round(waited, 1)),
    )


def stages(material: Material, device: str, rounds: Rounds, seed: int) -> Iterator[Figure]:
    """The pipeline's, each by itself, and a call's frame through all of them (`ANSWER`)."""
    yield figure("avatar ready (once)", clocked_ms(lambda: material.avatar(device), max(3, rounds.whole // 3), 1))
    avatar = material.avatar(device)
    encoder = SpeechEncoder(shipped("speech/speech", device))
    tenths = material.pieces(SAMPLE_RATE_HZ // 10)
    yield figure("speech encoder, 100 ms of sound", clocked_ms(lambda: encoder.push(next(tenths)), rounds.stage))
    speech = SpeechEncoder(shipped("speech/speech", device)).push(material.sound)
    starts = range(0, len(speech) - HOP_FRAMES + 1, HOP_FRAMES)
    hops = itertools.cycle([speech.cut(k, k + HOP_FRAMES) for k in starts])
    generator = material.generator(shipped("motion/motion", device), seed)
    yield figure(f"motion, a hop of {HOP_FRAMES} frames", clocked_ms(lambda: generator.push(next(hops)), rounds.stage))
    session = avatar.session(seed=seed)
    session.push_audio(material.sound)
    session.flush()
    motions = itertools.cycle(list(session.motions()))
    yield figure("decoder, a frame", clocked_ms(lambda: session.draw(next(motions)), rounds.stage))
    yield figure("first frame of a session, compute", clocked_ms(lambda: _first_frame(avatar, material, seed), rounds.whole))
    called, pieces = avatar.session(seed=seed, eager=True), material.pieces(SAMPLES_PER_FRAME)
    for _ in range(_FILLING):
        _answer(called, next(pieces))
    yield figure(ANSWER, clocked_ms(lambda: _answer(called, next(pieces)), rounds.stage))


def _first_frame(avatar: Avatar, material: Material, seed: int) -> None:
    """A new session hears so much that its first frame can be drawn, and draws it."""
    session = avatar.session(seed=seed, eager=True)
    for piece in material.pieces(SAMPLES_PER_FRAME):
        session.push_audio(piece)
        if next(session.frames(), None) is not None:
            return


def _answer(session: Session, piece: np.ndarray) -> None:
    """The sound of a frame goes in, and the picture that it was waited for comes out."""
    session.push_audio(piece)
    for motion in session.motions():
        session.draw(motion)


def _networks(device: str, rounds: Rounds) -> Iterator[Figure]:
    counts = sorted({1, len(usable_cores())}) if device == "cpu" else [1]
    for name, threads in itertools.product(NETWORKS, counts):
        engine, given = shipped(name, device, threads), random_inputs(name)
        label = f"network {name}" + (f", {threads} thread{'s' * (threads > 1)}" if device == "cpu" else "")
        yield figure(label, clocked_ms(partial(engine.run, **given), rounds.stage))
