"""The generator: cuts, seeds, stillness, blinks, gaze, controls, interruptions and bounds. A stand-in plays the network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from fake_engines import FakeMotion, scales, talk

from talkinghead.motion.controls import EMOTIONS, Controls
from talkinghead.motion.denoiser import (
    CONDITIONS,
    FLAGS,
    FRAME_CONDITIONS,
    HOP_FRAMES,
    LASTING_SIZES,
    LEVELS,
    LOOKS,
    MotionScales,
)
from talkinghead.motion.eyes import EYE_LIMIT_DEG
from talkinghead.motion.generator import HEAD_LIMIT, HEAD_SHARE, LIPS_SETTLE_FRAMES, SETTLE_FRAMES, MotionGenerator
from talkinghead.motion.latent import LIDS_LEFT, LIDS_RIGHT, LatentModel, Latents
from talkinghead.motion.pose import facing_deg
from talkinghead.motion.rest import LIP_PAIRS, gap_rows
from talkinghead.motion.style import Style
from talkinghead.runtime.weights import model_path
from talkinghead.speech.encoder import NECK, SPEECH_FEATURES, EncodedSpeech, silence

BREATH = 0.0025
"""More than breathing moves the head: radians, face heights."""
EYEBALL_FH = 0.072
"""Radius, face heights: 12 mm over a face of 165 mm."""
MINUTE = 60 * 40
Make = Callable[..., MotionGenerator]


class Recorder(FakeMotion):
    """Keeps the conditions of each call."""

    def run(self, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        self.told = [*getattr(self, "told", []), inputs["conditions"]]
        return super().run(**inputs)


@pytest.fixture(scope="module")
def latent() -> LatentModel:
    return LatentModel.load(model_path("latent", "latent.npz"))


@pytest.fixture(scope="module")
def make(latent: LatentModel) -> Make:
    """make(engine=..., noise=..., ...) -> a generator with stand-ins where nothing else is said."""
    style = Style.load(model_path("motion", "style.npz"))

    def made(engine: Any = None, numbers: MotionScales | None = None, seed: int = 1, **options: Any) -> MotionGenerator:
        return MotionGenerator(engine or FakeMotion(latent), numbers or scales(latent), style, latent, seed=seed, **options)

    return made


def everything(generator: MotionGenerator, speech: EncodedSpeech) -> Latents:
    return Latents.join([generator.push(speech), generator.flush()])


def lips(latent: LatentModel, motion: Latents) -> np.ndarray:
    """How far the inner lips are parted beyond rest (n,), face heights."""
    return (motion.z_dyn @ gap_rows(latent, LIP_PAIRS).T).mean(1)


def faces(latent: LatentModel, motion: Latents) -> np.ndarray:
    return latent.mean + np.tensordot(motion.z_dyn, latent.basis_dyn, 1)


def lid_gap(points: np.ndarray) -> np.ndarray:
    gaps = [points[..., lids[12], 1] - points[..., lids[4], 1] for lids in (LIDS_LEFT, LIDS_RIGHT)]
    return np.asarray(np.mean(gaps, 0))


def eyes_deg(latent: LatentModel, motion: Latents) -> np.ndarray:
    """Where the irises look in the head (n, 2), degrees right and up of the mean face."""

    def offset(points: np.ndarray) -> np.ndarray:
        eyes = ((468, 33, 133), (473, 263, 362))
        return np.mean([points[..., i, :2] - (points[..., a, :2] + points[..., b, :2]) / 2 for i, a, b in eyes], 0)

    return np.degrees((offset(faces(latent, motion)) - offset(latent.mean)) * [1, -1] / EYEBALL_FH)


def head_deg(motion: Latents) -> np.ndarray:
    """The head's turn (n, 2), degrees right and up."""
    return facing_deg(motion.z_pose[:, :3])


def assert_same(a: Latents, b: Latents) -> None:
    np.testing.assert_array_equal(a.z_pose, b.z_pose)
    np.testing.assert_array_equal(a.z_dyn, b.z_dyn)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50])
def test_cuts_change_no_bit(make: Make, size: int) -> None:
    speech = talk(121)
    whole, generator = everything(make(), speech), make()
    parts = [generator.push(speech.cut(k, k + size)) for k in range(0, 121, size)]
    assert_same(Latents.join([*parts, generator.flush()]), whole)
    assert len(whole) == 121
    assert whole.z_pose.dtype == whole.z_dyn.dtype == np.float32


@pytest.mark.parametrize("size", [1, 2, 3, 50])
def test_an_eager_generator_waits_for_no_hop(make: Make, size: int) -> None:
    speech = talk(121)
    whole, generator = make(eager=True).push(speech), make(eager=True)
    parts = []
    for k in range(0, 121, size):
        parts.append(generator.push(speech.cut(k, k + size)))
        assert len(parts[-1]) == len(speech.cut(k, k + size))
        assert generator.pending == 0
    assert_same(Latents.join([*parts, generator.flush()]), whole)


def test_an_eager_generator_tells_the_network_what_it_knows(make: Make, latent: LatentModel) -> None:
    eager, patient, speech = Recorder(latent), Recorder(latent), talk(8, first=0)
    shown = make(eager, eager=True).push(speech)
    waited = make(patient).push(speech)
    told = np.array([asked[0][: HOP_FRAMES * FRAME_CONDITIONS] for asked in eager.told]).reshape(-1, HOP_FRAMES, FRAME_CONDITIONS)
    spoken = told[..., :SPEECH_FEATURES]
    evaluations = len(LEVELS) + 1  # the last remembers
    assert len(eager.told) == len(patient.told) == 4 * evaluations
    assert (spoken[:LOOKS] == speech.features[0]).all()
    assert (spoken[LOOKS:evaluations] == speech.features[:2]).all()
    assert len(shown) == len(waited) == 8


@pytest.mark.usefixtures("plain_width")
def test_an_eager_generator_is_interrupted_within_a_hop(make: Make, latent: LatentModel) -> None:
    generator = make(controls=Controls(blink_rate=0.0), eager=True)
    generator.push(talk(201, first=0, last=0))
    assert generator.interrupt() == 0
    after = generator.push(silence(80))
    assert np.abs(lips(latent, after)[SETTLE_FRAMES:]).max() < 0.002


@pytest.mark.usefixtures("plain_width")
def test_listening_moves_the_head_and_leaves_the_lips(make: Make, latent: LatentModel) -> None:
    made = []
    for listens in (False, True):
        generator = make(controls=Controls(blink_rate=0.0), seed=3)
        parts = []
        for k in range(600):
            generator.other = float(listens and k % 200 < 120)
            parts.append(generator.push(silence(1)))
        made.append(Latents.join(parts))
    down = made[1].z_pose[:, 0] - made[0].z_pose[:, 0]
    assert down.max() > np.radians(1.5) and down[:110].max() < 1e-6
    np.testing.assert_allclose(lips(latent, made[1]), lips(latent, made[0]), atol=0.002)
    looked = [np.abs(eyes_deg(latent, m)[:, 1] + head_deg(m)[:, 1]) for m in made]
    assert looked[1].max() < looked[0].max() + 2.5  # while it nods the eyes stay


def test_seeds_repeat_and_differ(make: Make, latent: LatentModel) -> None:
    speech, generator = talk(160), make(seed=5)
    first = everything(generator, speech)
    generator.reset(5)
    assert_same(everything(generator, speech), first)
    assert_same(everything(make(seed=5), speech), first)
    other = everything(make(seed=6), speech)
    assert np.abs(first.z_pose - other.z_pose).max() > 0.01
    np.testing.assert_allclose(lips(latent, first), lips(latent, other), atol=0.004)


@pytest.mark.usefixtures("plain_width")
def test_frames_belong_to_the_speech_of_the_same_number(make: Make, latent: LatentModel) -> None:
    speech = talk(160)
    motion = everything(make(controls=Controls(blink_rate=0.0)), speech)
    np.testing.assert_allclose(lips(latent, motion), 0.03 * speech.features[:, 0], atol=0.004)


def test_the_network_is_told_what_is_asked(make: Make, latent: LatentModel) -> None:
    engine = Recorder(latent)
    numbers = replace(scales(latent), guidance=1.0, liveliness=0.5, articulation=0.7)
    make(engine, numbers, controls=Controls(emotion="sad", emotion_strength=1.5)).push(talk(80, first=0))
    with_speech, without = engine.told[4]  # the second hop
    lasting, flags = np.split(with_speech[CONDITIONS - sum(LASTING_SIZES) - len(FLAGS) :], [sum(LASTING_SIZES)])
    assert flags.tolist() == [1.0] * len(FLAGS)
    assert (lasting[: len(EMOTIONS) - 1] > 0).tolist() == [name == "sad" for name in EMOTIONS[1:]]
    assert lasting[-2:] == pytest.approx([0.5, 0.7], abs=0.1)
    assert with_speech[0] > 0 and without[0] == 0 and without[CONDITIONS - len(FLAGS)] == 0
    assert (without[-len(FLAGS) + 1 :] == 1).all()
    assert engine.told[-1][0][CONDITIONS - len(FLAGS) - 2] < 0.4  # a silent head is asked for less


def test_the_network_is_told_where_the_eyes_look(make: Make, latent: LatentModel) -> None:
    engine = Recorder(latent)
    motion = make(engine, controls=Controls(gaze=(20.0, 0.0), pose_scale=0.0, blink_rate=0.0)).push(silence(80))
    told = 10 * np.concatenate(engine.told[::4])[:, SPEECH_FEATURES + 2 : SPEECH_FEATURES + 4]
    np.testing.assert_allclose(told[5:], eyes_deg(latent, motion)[10::2], atol=1.5)


def test_silence_keeps_the_lips_still_and_the_rest_alive(make: Make, latent: LatentModel) -> None:
    noisy = scales(latent, face_noise=1.0)
    spoken = talk(1200, first=0, last=0)
    unheard = spoken.features.copy()
    unheard[:, NECK] = 0
    unvoiced = EncodedSpeech(unheard, 0 * spoken.gate, spoken.loud)  # the network speaks on
    idle, loud = (everything(make(FakeMotion(latent, wild=0.8), noisy), s) for s in (unvoiced, spoken))
    assert lips(latent, loud).std() > 0.008
    assert lips(latent, idle).std() < 0.0005
    assert np.abs(lips(latent, idle)).max() < 0.004  # blinks and glances tug at the whole face
    assert idle.z_pose[:, :3].std(0).min() > 0.002
    assert idle.z_dyn.std(0).mean() > 0.03  # the rest of the face goes on
    assert eyes_deg(latent, idle).std(0).min() > 0.5


@pytest.fixture
def plain_width(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lips as wide as they are generated."""
    monkeypatch.setattr("talkinghead.motion.lips.Articulation.gain", lambda self, opening_fh, gate: 1.0)


@pytest.fixture
def steady_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """No glance beside the target."""
    monkeypatch.setattr("talkinghead.motion.generator.Gaze.step", lambda self, voice, attention=0.0: [0.0, 0.0])


@pytest.mark.usefixtures("steady_look")
@pytest.mark.parametrize("gaze", [(12.0, -8.0), (-20.0, 5.0), (30.0, 14.0)])
def test_gaze_is_reached_by_eyes_and_head_together(make: Make, latent: LatentModel, gaze: tuple[float, float]) -> None:
    options: dict[str, Any] = {"pose_scale": 0.0, "blink_rate": 0.0}
    ahead, aside = (everything(make(controls=Controls(gaze=g, **options)), silence(160)) for g in ((0, 0), gaze))
    head = (head_deg(aside) - head_deg(ahead)).mean(0)
    eyes = (eyes_deg(latent, aside) - eyes_deg(latent, ahead)).mean(0)
    assert head == pytest.approx(HEAD_SHARE * np.array(gaze), abs=0.05)
    assert (np.abs(eyes) < EYE_LIMIT_DEG).all()
    assert head + eyes == pytest.approx(gaze, abs=1.0 + 0.05 * np.abs(gaze).max())


@pytest.mark.usefixtures("steady_look")
def test_eyes_hold_their_target_while_the_head_turns(make: Make, latent: LatentModel) -> None:
    motion = everything(make(controls=Controls(gaze=(8.0, 0.0), blink_rate=0.0)), silence(1200))
    head, eyes = head_deg(motion), eyes_deg(latent, motion)
    assert head.std(0).min() > 0.4
    assert ((head + eyes).std(0) < 0.3 * head.std(0)).all()
    assert (head + eyes).mean(0) == pytest.approx([8, 0], abs=0.8)


def test_distance_is_exact_and_held_from_the_first_frame(make: Make) -> None:
    far = everything(make(controls=Controls(distance=2.0, pose_scale=0.0)), silence(80))
    np.testing.assert_allclose(far.z_pose[:, 5], -np.log(2), atol=BREATH)
    own, moved = (everything(make(controls=Controls(distance=d)), talk(120)).z_pose for d in (1.0, 0.8))
    np.testing.assert_allclose(moved - own, np.tile([0, 0, 0, 0, 0, -np.log(0.8)], (120, 1)), atol=1e-6)


def test_pose_scale_nought_leaves_breath_alone(make: Make) -> None:
    pose = everything(make(controls=Controls(pose_scale=0.0)), talk(400)).z_pose
    assert np.abs(pose).max() < BREATH
    assert np.abs(pose).max(0)[[0, 4, 5]].min() > 0.0005
    crossings = np.diff(np.sign(pose[:, 0])) != 0
    assert 0.1 < crossings.sum() / 2 / 10 < 0.5  # breaths a second


def test_pose_scale_scales(make: Make) -> None:
    pose = [everything(make(controls=Controls(pose_scale=s)), talk(200)).z_pose for s in (0.0, 1.0, 2.0)]
    np.testing.assert_allclose(pose[2] - pose[0], 2 * (pose[1] - pose[0]), atol=1e-6)
    generator = make()
    parts = [generator.push(talk(200).cut(0, 80))]
    generator.controls.pose_scale = 2.0
    turned = Latents.join([*parts, generator.push(talk(200).cut(80))]).z_pose
    own = pose[1] - pose[0]
    scale = ((turned - pose[0]) * own).sum(1) / (own**2).sum(1)
    assert (scale[:80] == 1).all()
    assert scale[120:] == pytest.approx(2, abs=0.01)
    assert 0 < scale[80] - 1 < 0.05 and np.diff(scale).min() > -1e-6 and np.diff(scale).max() < 0.15


@pytest.mark.parametrize("emotion", EMOTIONS[1:])
def test_emotions_are_laid_on_as_strong_as_asked(make: Make, latent: LatentModel, emotion: str) -> None:
    plain, mild, strong = (
        everything(make(controls=Controls(emotion=emotion, emotion_strength=s)), talk(120)).z_dyn for s in (0.0, 0.5, 1.0)
    )
    code = Style.load(model_path("motion", "style.npz")).codes(latent)[emotion]
    np.testing.assert_allclose(strong - plain, np.tile(code, (120, 1)), atol=1e-4)
    np.testing.assert_allclose(mild - plain, np.tile(code / 2, (120, 1)), atol=1e-4)


def test_blinks_come_at_a_human_rate_and_shut(make: Make, latent: LatentModel) -> None:
    gap = lid_gap(faces(latent, everything(make(), silence(3 * MINUTE // 2)))) / lid_gap(latent.mean)
    blinks = int(np.diff((gap < 0.5).astype(int)).clip(0).sum())
    assert 10 <= blinks / 1.5 <= 32
    assert np.abs(gap.min()) < 0.2


def test_no_blinks_when_asked_for_none(make: Make, latent: LatentModel) -> None:
    idle = everything(make(controls=Controls(blink_rate=0.0)), silence(MINUTE))
    assert lid_gap(faces(latent, idle)).min() > 0.6 * lid_gap(latent.mean)


@pytest.mark.parametrize("share", [0.6, 1.3])
def test_a_blink_shuts_the_lids_of_this_face(make: Make, latent: LatentModel, share: float) -> None:
    face = latent.mean.copy()
    for lids in (LIDS_LEFT, LIDS_RIGHT):  # narrower or wider eyes than the mean face's
        middle = face[list(lids), 1].mean()
        face[list(lids), 1] = middle + share * (face[list(lids), 1] - middle)
    moved = faces(latent, everything(make(face=face), silence(MINUTE))) - latent.mean
    assert np.abs(lid_gap(face + moved).min()) < 0.25 * lid_gap(face)


@pytest.mark.parametrize(("name", "value"), [("gaze", (20.0, 10.0)), ("distance", 1.5), ("emotion", "surprised")])
def test_controls_ramp_without_a_jump(make: Make, name: str, value: Any) -> None:
    speech, generator = talk(240), make()
    still, parts = everything(make(), speech), [generator.push(speech.cut(0, 80))]
    generator.controls = replace(generator.controls, **{name: value})
    moved = Latents.join([*parts, generator.push(speech.cut(80))])
    effect = np.concatenate([moved.z_pose - still.z_pose, moved.z_dyn - still.z_dyn], 1)
    assert not effect[:80].any()
    size = np.abs(effect[80:])
    assert size.max() > 0.01
    assert size[0].max() < 0.1 * size.max()
    assert np.abs(np.diff(effect, axis=0)).max() < 0.25 * size.max()


def test_interrupt_rests_within_150_ms_and_without_a_jump(make: Make, latent: LatentModel) -> None:
    speech = talk(400, first=0, last=0)
    speech.features[:, 0] = speech.features[:, NECK] = 1
    generator, other = (make(controls=Controls(blink_rate=0.0)) for _ in range(2))
    shown = generator.push(speech.cut(0, 200))
    other.push(speech.cut(0, 200))
    assert generator.interrupt(Latents(shown.z_pose[:-5], shown.z_dyn[:-5])) == 0
    after, going_on = generator.push(silence(80)), other.push(silence(80))
    course = np.concatenate([lips(latent, shown)[194:195], lips(latent, after)])
    assert course[0] > 0.02
    assert np.abs(course[LIPS_SETTLE_FRAMES:]).max() < 0.05 * course[0]
    for before, z in ((shown.z_pose[194], after.z_pose), (shown.z_dyn[194], after.z_dyn)):
        step = np.abs(np.diff(np.concatenate([before[None], z[:12]]), axis=0))
        assert step[0].max() < 0.5 * max(step.max(), 0.05)
        assert step.max() < 0.45 * np.abs(z[:12] - before).max() + 0.05
    calm, wild = (np.linalg.norm(m.z_pose[SETTLE_FRAMES:18, :3], axis=1).mean() for m in (after, going_on))
    assert calm < 0.5 * wild
    np.testing.assert_allclose(after.z_pose[78:], going_on.z_pose[78:], atol=0.01)  # and is let go again


@pytest.mark.usefixtures("plain_width")
def test_an_interruption_keeps_frames_and_sound_in_step(make: Make, latent: LatentModel) -> None:
    generator, speech = make(controls=Controls(blink_rate=0.0)), talk(201, first=0, last=0)
    shown = generator.push(speech)
    assert len(shown) == 200
    assert generator.pending == generator.interrupt() == 1
    assert not generator._waiting.gate.any() and not generator._waiting.features.any()
    after = generator.push(talk(119, first=79, last=0))
    assert len(after) == 120
    assert np.abs(lips(latent, after)[SETTLE_FRAMES:80]).max() < 0.002
    np.testing.assert_allclose(lips(latent, after)[80:], 0.03 * talk(119, first=79, last=0).features[79:, 0], atol=0.004)


def test_bounded_when_the_network_runs_away(make: Make, latent: LatentModel) -> None:
    class Runaway(FakeMotion):
        def run(self, **inputs: np.ndarray) -> dict[str, np.ndarray]:
            answer = super().run(**inputs)
            return {**answer, "made": np.full_like(answer["made"], 30.0)}

    motion = everything(make(Runaway(latent)), talk(4000))
    assert (np.abs(motion.z_pose) <= HEAD_LIMIT + BREATH).all()
    assert (np.abs(motion.z_pose[1000:]) > 0.9 * HEAD_LIMIT).all()
    assert np.abs(motion.z_dyn).max() < 15
    assert np.isfinite(motion.z_dyn).all()
