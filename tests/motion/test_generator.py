"""The generator: chunks, seeds, silence, blinks, bounds, interruptions and controls. A simple stand-in plays the network."""

from __future__ import annotations

import numpy as np
import pytest

from talkinghead.constants import POINTS
from talkinghead.motion.controls import EMOTIONS, Controls
from talkinghead.motion.generator import SETTLE_FRAMES, MotionGenerator, Style
from talkinghead.motion.latent import LIDS_LEFT, LIDS_RIGHT, LIPS, LatentModel, Latents
from talkinghead.motion.lips import LOOKAHEAD_FRAMES, LOOKAHEAD_MS
from talkinghead.speech.features import BANDS, FEATURES, silent_rows

SIZE = 12
MOUTH, BLINK, RIGHT, UP, BROW = 0, 1, 2, 3, 4


class Mouth:
    """Opens the mouth by the first band, remembering a little."""

    def run(self, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        rows, past = inputs["rows"], inputs["past"].copy()
        z_dyn = np.zeros((1, rows.shape[1], SIZE), np.float32)
        for i, value in enumerate(rows[0, :, 0]):
            past[0, 0, 0] = 0.5 * past[0, 0, 0] + value
            z_dyn[0, i, MOUTH] = past[0, 0, 0]
        return {"z_dyn": z_dyn, "later": past}


@pytest.fixture(scope="module")
def latent() -> LatentModel:
    rng = np.random.default_rng(0)
    basis = np.zeros((SIZE, POINTS, 3), np.float32)
    for i in range(SIZE):  # modes that do not overlap
        basis[i, i::SIZE] = 0.01 * rng.standard_normal((len(range(i, POINTS, SIZE)), 3))
    return LatentModel(
        rng.standard_normal((POINTS, 3)).astype(np.float32),
        np.zeros((2, POINTS, 3), np.float32),
        basis,
        np.full(POINTS, 1e5, np.float32),
    )


@pytest.fixture(scope="module")
def style(latent: LatentModel) -> Style:
    step = np.stack([np.eye(6) * [0.03, 0.03, 0.02, 0.02, 0.02, 0.01], np.eye(6) * 0.01])
    curve = np.array([0.1, 0.6, 1.0, 0.9, 0.6, 0.4, 0.2, 0.1])
    modes = {"blink": BLINK, "gaze_right": RIGHT, "gaze_up": UP, "brows": BROW, **{n: 5 + i for i, n in enumerate(EMOTIONS[1:])}}
    return Style(step, 0.5 * step, np.array([0.4, 0.13]), curve, 20.0, {name: latent.basis_dyn[i] for name, i in modes.items()})


@pytest.fixture
def generator(latent: LatentModel, style: Style) -> MotionGenerator:
    return MotionGenerator(Mouth(), style, latent, seed=1)


def speech(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Syllables (count, FEATURES) and voice (count,): the first and last second silent."""
    rng = np.random.default_rng(seed)
    beat = np.clip(np.sin(np.arange(count) * 0.7), 0, 1) * rng.uniform(0.7, 1, count)
    beat[:40], beat[-40:] = 0, 0
    rows = np.zeros((count, FEATURES), np.float32)
    rows[:, 0], rows[:, 2 * BANDS] = 2 * beat, 2 * beat
    voice = np.zeros(count, np.float32)
    voice[40:-40] = 1
    return rows, voice


def everything(generator: MotionGenerator, rows: np.ndarray, voice: np.ndarray) -> Latents:
    return Latents.join([generator.push(rows, voice), generator.flush()])


def test_looks_ahead_80_ms_at_most() -> None:
    assert LOOKAHEAD_MS <= 80


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50])
def test_chunks_change_no_bit(generator: MotionGenerator, size: int) -> None:
    rows, voice = speech(201)
    whole = everything(generator, rows, voice)
    generator.reset(1)
    parts = [generator.push(rows[i : i + size], voice[i : i + size]) for i in range(0, 201, size)]
    pieces = Latents.join([*parts, generator.flush()])
    np.testing.assert_array_equal(pieces.z_pose, whole.z_pose)
    np.testing.assert_array_equal(pieces.z_dyn, whole.z_dyn)
    assert len(whole) == 201


def test_frames_are_in_step_with_rows_and_need_the_stated_look_ahead(generator: MotionGenerator) -> None:
    rows, voice = speech(120)
    lips = everything(generator, rows, voice).z_dyn[:, MOUTH]
    generator.reset(1)
    assert len(generator.push(rows[:LOOKAHEAD_FRAMES], voice[:LOOKAHEAD_FRAMES])) == 0
    shifted = np.roll(rows[:, 0], -LOOKAHEAD_FRAMES)[45:75]  # the stand-in answers at once: its frames are early
    assert np.corrcoef(lips[45:75], np.convolve(shifted, [1, 0.5, 0.25])[:30])[0, 1] > 0.9


def test_seeds_repeat_and_differ(generator: MotionGenerator) -> None:
    rows, voice = speech(160)
    runs = []
    for seed in (1, 1, 2):
        generator.reset(seed)
        runs.append(everything(generator, rows, voice))
    np.testing.assert_array_equal(runs[0].z_pose, runs[1].z_pose)
    np.testing.assert_array_equal(runs[0].z_dyn, runs[1].z_dyn)
    assert np.abs(runs[0].z_pose - runs[2].z_pose).max() > 0.01
    np.testing.assert_allclose(runs[0].z_dyn[:, MOUTH], runs[2].z_dyn[:, MOUTH], atol=0.05)


def test_silence_keeps_the_lips_still_and_the_rest_alive(generator: MotionGenerator) -> None:
    rows = silent_rows(1200).rows
    rows[:, 0] = np.random.default_rng(0).uniform(0, 1, 1200)  # whatever the network says
    idle = everything(generator, rows, np.zeros(1200, np.float32))
    assert np.abs(idle.z_dyn[:, MOUTH]).max() < 0.02
    assert idle.z_pose[:, :3].std(0).min() > 0.002
    assert idle.z_dyn[:, RIGHT].std() > 0.3


def test_blinks_come_at_a_human_rate(generator: MotionGenerator) -> None:
    shut = everything(generator, *silent_rows(5 * 60 * 40)).z_dyn[:, BLINK] > 0.6
    assert 10 <= np.diff(shut.astype(int)).clip(0).sum() / 5 <= 30


def test_no_blinks_when_asked_for_none(generator: MotionGenerator) -> None:
    generator.controls.blink_rate = 0
    assert everything(generator, *silent_rows(2400)).z_dyn[:, BLINK].max() < 0.3


def test_half_an_hour_does_not_drift(generator: MotionGenerator) -> None:
    idle = everything(generator, *silent_rows(30 * 60 * 40))
    pose = idle.z_pose.reshape(30, -1, 6)
    assert np.abs(idle.z_pose[:, :3]).max() < 0.4
    assert np.abs(idle.z_dyn).max() < 30
    first, last = pose[:10].reshape(-1, 6), pose[-10:].reshape(-1, 6)
    assert (np.abs(first.mean(0) - last.mean(0)) < 0.5 * pose.std((0, 1))).all()
    assert (first.std(0) / last.std(0) > 0.7).all()
    assert (first.std(0) / last.std(0) < 1.4).all()


def test_speech_begins_and_ends_without_a_jump(generator: MotionGenerator) -> None:
    rows, voice = speech(240)
    rows[40:200, 0] = 2.0
    lips = everything(generator, rows, voice).z_dyn[:, MOUTH]
    assert lips[:36].max() < 0.02
    assert lips[235:].max() < 0.2
    assert np.abs(np.diff(lips)).max() < 0.55 * lips.max()


def test_interrupt_rests_within_150_ms_and_without_a_jump(generator: MotionGenerator) -> None:
    generator.controls.blink_rate = 0
    rows, voice = speech(400)
    rows[:, 0] = 2.0
    shown = generator.push(rows[:200], voice[:200])
    due = generator.interrupt(Latents(shown.z_pose[:-5], shown.z_dyn[:-5]))
    assert due <= LOOKAHEAD_FRAMES + 1
    after = generator.push(*silent_rows(80))
    lips = np.concatenate([shown.z_dyn[-6:-5, MOUTH], after.z_dyn[:, MOUTH]])
    assert lips[0] > 2
    assert np.abs(lips[SETTLE_FRAMES:]).max() < 0.02 * lips[0]
    assert np.abs(np.diff(lips)).max() < 0.35 * lips[0]
    assert np.linalg.norm(after.z_pose[SETTLE_FRAMES, :3]) < max(0.02, 0.6 * np.linalg.norm(shown.z_pose[-6, :3]))


def test_after_an_interruption_new_speech_is_heard(generator: MotionGenerator) -> None:
    rows, voice = speech(200)
    generator.push(rows[:100], voice[:100])
    generator.interrupt()
    assert generator.push(rows[60:160], voice[60:160]).z_dyn[20:, MOUTH].max() > 1


@pytest.mark.parametrize(
    ("change", "pick", "sign"),
    [
        ({"gaze": (20, 0)}, lambda m: m.z_dyn[:, RIGHT], 1),
        ({"gaze": (20, 0)}, lambda m: m.z_pose[:, 1], 1),
        ({"gaze": (0, -20)}, lambda m: m.z_dyn[:, UP], -1),
        ({"gaze": (0, -20)}, lambda m: m.z_pose[:, 0], 1),
        ({"distance": 1.5}, lambda m: m.z_pose[:, 5], -1),
        ({"emotion": "happy"}, lambda m: m.z_dyn[:, 5], 1),
        ({"emotion": "surprised"}, lambda m: m.z_dyn[:, 8], 1),
    ],
)
def test_controls_move_what_they_should_and_ramp(generator: MotionGenerator, change: dict, pick, sign: int) -> None:  # type: ignore[type-arg,no-untyped-def]
    still = everything(generator, *silent_rows(240))
    generator.reset(1)
    parts = [generator.push(*silent_rows(80))]
    for name, value in change.items():
        setattr(generator.controls, name, value)
    moved = Latents.join([*parts, generator.push(*silent_rows(160)), generator.flush()])
    effect = sign * (pick(moved) - pick(still))
    assert np.abs(effect[:76]).max() < 1e-6
    assert effect[200:].mean() > 0.08
    assert np.abs(np.diff(effect)).max() < 0.25 * effect.max()


def test_pose_scale_nought_holds_the_head(latent: LatentModel, style: Style) -> None:
    generator = MotionGenerator(Mouth(), style, latent, controls=Controls(pose_scale=0.0))
    assert np.abs(everything(generator, *speech(200)).z_pose).max() < 1e-6


def test_controls_set_before_the_start_hold_from_the_first_frame(latent: LatentModel, style: Style) -> None:
    generator = MotionGenerator(Mouth(), style, latent, controls=Controls(distance=2.0, pose_scale=0.0))
    np.testing.assert_allclose(everything(generator, *silent_rows(40)).z_pose[:, 5], -np.log(2), atol=1e-6)


def test_a_style_is_read_back(style: Style, latent: LatentModel, tmp_path) -> None:  # type: ignore[no-untyped-def]
    style.save(tmp_path / "style.npz")
    again = Style.load(tmp_path / "style.npz")
    np.testing.assert_allclose(again.head_talking, style.head_talking, atol=1e-6)
    moved = {name: np.argmax(np.abs(code)) for name, code in again.codes(latent).items() if name != "neutral"}
    assert moved["blink"] == BLINK
    assert moved["gaze_right"] == RIGHT
    assert {*LIDS_LEFT, *LIDS_RIGHT}.isdisjoint(LIPS)
