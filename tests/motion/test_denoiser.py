"""Conditions, scales, and the hop-by-hop loop round the network."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from talkinghead.constants import FRAME_RATE_HZ
from talkinghead.errors import EngineError
from talkinghead.motion.denoiser import (
    _HOME_S,
    CACHE_SHAPE,
    CONDITIONS,
    FLAGS,
    FRAME_CONDITIONS,
    HOP_FRAMES,
    HOP_SIZE,
    LASTING_SIZES,
    LEVELS,
    LOOKS,
    STATE,
    WINDOW,
    Denoiser,
    MotionScales,
    frame_conditions,
    hop_conditions,
)
from talkinghead.motion.latent import POSE_SIZE
from talkinghead.runtime.engine import Tensor, host
from talkinghead.runtime.memory import MemoryEngine
from talkinghead.speech.encoder import CURVES, SPEECH_FEATURES

RNG = np.random.default_rng(0)
HOME = np.ones((HOP_FRAMES, STATE))
HOME[:, :POSE_SIZE] = np.exp(-np.arange(1, HOP_FRAMES + 1)[:, None] / (_HOME_S * FRAME_RATE_HZ))
"""The slow pull of the head toward the portrait's pose, by frame of a hop."""
SPEECH = SPEECH_FEATURES + 2


class Recorder(MemoryEngine):
    """Answers ``made = 0.5 change + conditions[0]`` and keeps what it was asked; its keys count its calls."""

    def __init__(self) -> None:
        self.asked: list[dict[str, np.ndarray]] = []

    def run(self, **tensors: Tensor) -> dict[str, np.ndarray]:
        inputs = {name: host(tensor) for name, tensor in tensors.items()}
        assert all(x.dtype == np.float32 for x in inputs.values())
        self.asked.append(inputs)
        made = 0.5 * inputs["change"] + inputs["conditions"][:, :1]
        own = np.full((len(made), *CACHE_SHAPE[:2], CACHE_SHAPE[3]), len(self.asked), np.float32)
        return {"made": made.astype(np.float32), "new_keys": own, "new_values": -own}


@pytest.fixture
def scales() -> MotionScales:
    change = RNG.uniform(0.1, 1, (HOP_FRAMES, STATE))
    arrays = (RNG.uniform(0.5, 2, STATE), change, 0.1 * RNG.standard_normal((STATE, STATE)), RNG.standard_normal((48, 48)))
    state, step, spread, lips = (a.astype(np.float32) for a in arrays)
    return MotionScales(
        state,
        step,
        spread,
        lips,
        np.ones((CURVES, 48), np.float32),
        np.ones(48, np.float32),
        liveliness=0.3,
        articulation=-0.2,
        guidance=0.0,
    )


def conditions(value: float) -> np.ndarray:
    return np.full(CONDITIONS, value, np.float32)


def noise() -> np.ndarray:
    return RNG.standard_normal((HOP_FRAMES, STATE))


def test_conditions_have_their_places() -> None:
    speech, gaze, lids = RNG.random((HOP_FRAMES, SPEECH)), RNG.random((HOP_FRAMES, 2)), RNG.random((HOP_FRAMES, 1))
    lasting, given = RNG.random(sum(LASTING_SIZES)), np.ones(len(FLAGS))
    frames = frame_conditions(speech, gaze, lids)
    assert frames.shape == (HOP_FRAMES, FRAME_CONDITIONS)
    told = hop_conditions(frames, lasting, given)
    assert told.shape == (CONDITIONS,) and told.dtype == np.float32
    each = told[: HOP_FRAMES * FRAME_CONDITIONS].reshape(HOP_FRAMES, -1)
    np.testing.assert_allclose(each, np.concatenate([speech, gaze / 10, lids], 1), rtol=1e-6)
    np.testing.assert_allclose(told[-len(given) - len(lasting) :], [*lasting, *given], rtol=1e-6)
    many = hop_conditions(np.tile(frames, (3, 4, 1, 1)), np.tile(lasting, (3, 4, 1)), np.tile(given, (3, 4, 1)))
    assert many.shape == (3, 4, CONDITIONS) and (many == told).all()


@pytest.mark.parametrize("missing", range(len(FLAGS)))
def test_what_is_not_given_is_nought_and_nothing_else_is(missing: int) -> None:
    given = np.ones(len(FLAGS))
    given[missing] = 0
    told = hop_conditions(np.ones((HOP_FRAMES, FRAME_CONDITIONS)), np.ones(sum(LASTING_SIZES)), given)
    sizes = [HOP_FRAMES * SPEECH, HOP_FRAMES * 2, HOP_FRAMES, *LASTING_SIZES]
    assert (told == 0).sum() == sizes[missing] + 1  # and its flag
    assert told[-len(FLAGS) + missing] == 0
    other = hop_conditions(7 * np.ones((HOP_FRAMES, FRAME_CONDITIONS)), 7 * np.ones(sum(LASTING_SIZES)), given)
    np.testing.assert_array_equal(other == 0, told == 0)


def test_at_most_four_evaluations_a_hop_the_last_of_them_clean(scales: MotionScales) -> None:
    engine = Recorder()
    denoiser = Denoiser(engine, scales)
    made = denoiser.step(conditions(1), conditions(0), noise())
    assert made.shape == (HOP_FRAMES, STATE)
    levels = [float(asked["t"][0, 0]) for asked in engine.asked]
    assert levels == pytest.approx([*LEVELS, 0.0])
    assert len(levels) <= 4 and levels[0] == 1.0
    np.testing.assert_allclose(made, engine.asked[-1]["change"][0].reshape(HOP_FRAMES, STATE) * scales.change * HOME, rtol=1e-4)


def test_levels_are_walked_on_a_straight_line(scales: MotionScales) -> None:
    engine = Recorder()
    start = noise()
    Denoiser(engine, scales).step(conditions(1), conditions(0), start)
    np.testing.assert_allclose(engine.asked[0]["change"][0], (start @ scales.noise.T).ravel(), rtol=1e-5)
    for (before, after), (level, lower) in zip(pairwise(engine.asked), pairwise((*LEVELS, 0.0)), strict=True):
        clean = 0.5 * before["change"] + 1
        at = (1 - lower) * clean + lower * (before["change"] - (1 - level) * clean) / level  # y_t = (1 - t) y + t e
        np.testing.assert_allclose(after["change"], at, rtol=1e-4, atol=1e-5)


def test_a_look_is_gone_on_from_and_remembers_nothing(scales: MotionScales) -> None:
    engine, usual = Recorder(), Recorder()
    denoiser, start = Denoiser(engine, scales), noise()
    seen = denoiser.look(conditions(1), conditions(0), start)
    assert [float(asked["t"][0, 0]) for asked in engine.asked] == pytest.approx(LEVELS[:LOOKS])
    assert not denoiser.last.any()
    clean = 0.5 * engine.asked[-1]["change"] + 1
    np.testing.assert_allclose(seen, clean[0].reshape(HOP_FRAMES, STATE) * scales.change * HOME, rtol=1e-4)
    made = denoiser.step(conditions(1), conditions(0), noise())  # its noise does not count
    assert len(engine.asked) == len(LEVELS) + 1
    np.testing.assert_allclose(made, Denoiser(usual, scales).step(conditions(1), conditions(0), start), rtol=1e-5)
    denoiser.look(conditions(1), conditions(0), noise())
    denoiser.reset()  # forgets the look too
    denoiser.step(conditions(1), conditions(0), start)
    assert float(engine.asked[len(LEVELS) + 1 + LOOKS]["t"][0, 0]) == 1.0


def test_guidance_goes_beyond_what_speech_says(scales: MotionScales) -> None:
    engine = Recorder()
    denoiser = Denoiser(engine, replace(scales, guidance=0.5))
    denoiser.step(conditions(2), conditions(-1), noise())
    first, second = engine.asked[:2]
    assert [len(asked["change"]) for asked in engine.asked] == [2] * 4
    assert (first["conditions"][0] == 2).all() and (first["conditions"][1] == -1).all()
    assert (first["change"][0] == first["change"][1]).all()
    with_speech, without = 0.5 * first["change"][0] + 2, 0.5 * first["change"][0] - 1
    clean = with_speech + 0.5 * (with_speech - without)
    heads = np.arange(HOP_SIZE) % STATE < POSE_SIZE
    clean[heads] = with_speech[heads]  # the head is not guided
    np.testing.assert_allclose(second["change"][1], clean + LEVELS[1] * (first["change"][0] - clean), rtol=1e-4, atol=1e-5)


def test_without_guidance_one_row_is_enough(scales: MotionScales) -> None:
    engine = Recorder()
    Denoiser(engine, scales).step(conditions(2), conditions(-1), noise())
    assert all(len(x) == 1 for asked in engine.asked for x in asked.values())


def test_the_cache_rolls_and_opens(scales: MotionScales) -> None:
    engine = Recorder()
    denoiser = Denoiser(engine, replace(scales, guidance=1.0))
    for k in range(WINDOW + 2):
        denoiser.step(conditions(1), conditions(0), noise())
        asked = engine.asked[4 * k]
        assert all(np.array_equal(asked[n], engine.asked[4 * k + i][n]) for n in ("keys", "unseen") for i in range(4))
        seen = min(k, WINDOW)
        assert asked["keys"].shape == (2, *CACHE_SHAPE)
        assert (asked["unseen"] == np.r_[np.ones(WINDOW - seen), np.zeros(seen)]).all()
        expected = [4.0 * (j + 1) for j in range(k - seen, k)]  # of the clean evaluation of each hop, oldest first
        assert asked["keys"][1, 2, 3, WINDOW - seen :, 7].tolist() == expected
        assert asked["values"][0, 0, 0, WINDOW - seen :, 0].tolist() == [-v for v in expected]


def test_the_next_hop_goes_on_from_the_last_frame(scales: MotionScales) -> None:
    engine = Recorder()
    denoiser = Denoiser(engine, scales)
    assert not denoiser.last.any()
    first = denoiser.step(conditions(1), conditions(0), noise())
    np.testing.assert_array_equal(denoiser.last, first[-1])
    second = denoiser.step(conditions(1), conditions(0), noise())
    np.testing.assert_allclose(engine.asked[4]["last"][0], first[-1] / scales.state, rtol=1e-5)
    change = engine.asked[7]["change"][0].reshape(HOP_FRAMES, STATE) * scales.change
    np.testing.assert_allclose(second, (first[-1] + change) * HOME, rtol=1e-4, atol=1e-5)


def test_the_head_is_drawn_home_and_the_face_is_not(scales: MotionScales) -> None:
    class Idle(Recorder):
        def run(self, **inputs: Tensor) -> dict[str, np.ndarray]:
            answer = super().run(**inputs)
            return {**answer, "made": 0 * answer["made"]}

    denoiser = Denoiser(Idle(), scales)
    denoiser.last = np.full(STATE, 0.1, np.float32)
    course = np.concatenate([denoiser.step(conditions(1), conditions(0), noise()) for _ in range(80)])
    np.testing.assert_allclose(course[:, POSE_SIZE:], 0.1, rtol=1e-5)
    assert (np.diff(course[:, 0]) < 0).all() and np.diff(course[:, 0]).min() > -0.002  # too slow to be seen
    assert course[-1, 0] < 0.07


def test_what_is_remembered_is_bounded(scales: MotionScales) -> None:
    class Runaway(Recorder):
        def run(self, **inputs: Tensor) -> dict[str, np.ndarray]:
            answer = super().run(**inputs)
            return {**answer, "made": answer["made"] + 1e4}

    engine = Runaway()
    denoiser = Denoiser(engine, scales)
    for _ in range(5):
        denoiser.step(conditions(1), conditions(0), noise())
    assert np.abs(engine.asked[-1]["last"]).max() < 10


def test_reset_forgets(scales: MotionScales) -> None:
    denoiser, start = Denoiser(Recorder(), scales), noise()
    first = denoiser.step(conditions(1), conditions(0), start)
    denoiser.step(conditions(1), conditions(0), noise())
    denoiser.reset()
    np.testing.assert_array_equal(denoiser.step(conditions(1), conditions(0), start), first)


def test_scales_are_read_back(scales: MotionScales, tmp_path: Path) -> None:
    scales.save(tmp_path / "new" / "motion.npz")
    again = MotionScales.load(tmp_path / "new" / "motion.npz")
    for name in ("state", "change", "noise", "lips"):
        np.testing.assert_array_equal(getattr(again, name), getattr(scales, name))
    assert (again.liveliness, again.articulation, again.guidance) == pytest.approx((0.3, -0.2, 0.0))


def test_missing_and_damaged_scales_are_one_clear_line(scales: MotionScales, tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("not a zip")
    replace(scales, noise=scales.noise[:3]).save(tmp_path / "cut.npz")
    np.savez(tmp_path / "few.npz", state=scales.state)
    for name in ("none.npz", "text.npz", "cut.npz", "few.npz"):
        with pytest.raises(EngineError, match="reinstall") as caught:
            MotionScales.load(tmp_path / name)
        assert name in str(caught.value) and "\n" not in str(caught.value)


def test_sizes_agree() -> None:
    assert HOP_SIZE == HOP_FRAMES * STATE
    assert CACHE_SHAPE[2] == WINDOW
    assert list(LEVELS) == sorted(LEVELS, reverse=True)
