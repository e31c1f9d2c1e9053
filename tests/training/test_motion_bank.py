"""Training sequences: shapes, a past that goes together, conditions dropped and flagged, and features as they are at run time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fake_engines import FakeSpeech

torch = pytest.importorskip("torch")

from talkinghead.motion.denoiser import (  # noqa: E402
    CONDITIONS,
    FLAGS,
    FRAME_CONDITIONS,
    HOP_FRAMES,
    HOP_SIZE,
    LASTING_SIZES,
    STATE,
)
from talkinghead.motion.latent import POSE_SIZE, LatentModel  # noqa: E402
from talkinghead.motion.style import Style  # noqa: E402
from talkinghead.runtime.weights import model_path  # noqa: E402
from talkinghead.speech.encoder import LOOKAHEAD_FRAMES, PAST_SHAPE, SPEECH_FEATURES, SpeechEncoder  # noqa: E402
from talkinghead.speech.features import FEATURES, SpeechFrames  # noqa: E402
from talkinghead.training.motion_bank import (  # noqa: E402
    BUCKETS,
    DROPPED,
    Act,
    Scales,
    Sequences,
    acts_of,
    encoded,
    silent_acts,
)
from talkinghead.training.motion_data import Clip  # noqa: E402
from talkinghead.training.motion_state import Eyes, Performance, mirror  # noqa: E402
from talkinghead.training.sound_augment import Behind  # noqa: E402
from talkinghead.training.sound_bank import Stream, face_streams  # noqa: E402

SPEECH = SPEECH_FEATURES + 2
Parts = dict[str, np.ndarray]


class Hearing(torch.nn.Module):
    """`FakeSpeech` over whole sounds."""

    def __init__(self) -> None:
        super().__init__()
        self.none = torch.nn.Parameter(torch.zeros(1))

    def forward(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        engine, past, parts = FakeSpeech(), np.zeros((1, *PAST_SHAPE), np.float32), []
        for row in rows[0].numpy():
            answer = engine.run(rows=row[None, None], past=past)
            past = answer["later"]
            parts.append(answer["features"])
        return torch.from_numpy(np.concatenate(parts, 1)), torch.zeros(*rows.shape[:2], 40)


@pytest.fixture(scope="module")
def latent() -> LatentModel:
    return LatentModel.load(model_path("latent", "latent.npz"))


@pytest.fixture(scope="module")
def eyes(latent: LatentModel) -> Eyes:
    return Eyes.of(Style.load(model_path("motion", "style.npz")), latent)


def act(source: str, frames: int, seed: int, known: bool = True) -> Act:
    rng = np.random.default_rng(seed)
    state = np.cumsum(0.1 * rng.standard_normal((frames, STATE)), 0).astype(np.float32)
    gaze, lids = rng.uniform(2, 5, (frames, 2)), rng.uniform(0.2, 1, frames)
    made = Performance(state, gaze, lids, np.full(4, 0.5), 0.3, -0.4)
    return Act(source, made, rng.uniform(0.5, 1, (frames, SPEECH)).astype(np.float16) if known else None)


@pytest.fixture(scope="module")
def acts() -> list[Act]:
    kinds = (("grid_s1", 120), ("hq", 200), ("silent", 150), ("anchors", 60))
    return [act(source, frames, i, source != "silent") for i, (source, frames) in enumerate(kinds)]


@pytest.fixture(scope="module")
def scales(acts: list[Act]) -> Scales:
    return Scales.of(acts)


def drawn(sequences: Sequences, scales: Scales, count: int = 1) -> Parts:
    """Batches, one after another, with the state's units put back: past and wanted (b, n, HOP_FRAMES, STATE), last (b, n, STATE);
    frames (b, n, HOP_FRAMES, FRAME_CONDITIONS), lasting and given."""
    batches = [sequences.draw() for _ in range(count)]
    batch = {k: np.concatenate([b[k].numpy() for b in batches]) for k in batches[0]}
    last = batch["last"] * scales.state
    made = {"last": last, "forget": batch["forget"]}
    for name, key in (("past", "change"), ("wanted", "y")):
        made[name] = last[:, :, None] + batch[key].reshape(*last.shape[:2], HOP_FRAMES, STATE) * scales.change
    ends = np.cumsum([HOP_FRAMES * FRAME_CONDITIONS, sum(LASTING_SIZES)])
    frames, made["lasting"], made["given"] = np.split(batch["conditions"], ends, 2)
    return {**made, "frames": frames.reshape(*last.shape[:2], HOP_FRAMES, FRAME_CONDITIONS)}


@pytest.mark.parametrize("bucket", range(len(BUCKETS)))
def test_shapes(acts: list[Act], latent: LatentModel, scales: Scales, bucket: int) -> None:
    batch = Sequences([acts, acts], latent, scales, bucket).draw()
    count, hops = BUCKETS[bucket]["count"], BUCKETS[bucket]["hops"]
    sizes = {"change": HOP_SIZE, "y": HOP_SIZE, "last": STATE, "conditions": CONDITIONS}
    assert {k: tuple(v.shape) for k, v in batch.items() if k != "forget"} == {k: (count, hops, n) for k, n in sizes.items()}
    assert batch["forget"].shape == (count,) and batch["forget"].dtype == torch.bool
    assert all(v.dtype == torch.float32 and torch.isfinite(v).all() for k, v in batch.items() if k != "forget")


def test_scales_are_of_places_and_of_steps(acts: list[Act], scales: Scales) -> None:
    assert scales.state.shape == (STATE,) and scales.change.shape == (HOP_FRAMES, STATE)
    assert scales.change[0].mean() == pytest.approx(0.1, rel=0.05)
    assert scales.change[1].mean() == pytest.approx(0.1 * np.sqrt(2), rel=0.08)
    doubled = Scales.of([replace(a, made=replace(a.made, state=2 * a.made.state)) for a in acts])
    np.testing.assert_allclose(doubled.state, 2 * scales.state, rtol=1e-4)


def test_the_past_goes_on_from_hop_to_hop(acts: list[Act], latent: LatentModel, scales: Scales) -> None:
    part = drawn(Sequences([acts], latent, scales, 1), scales, 3)
    np.testing.assert_allclose(part["past"][:, :-1, -1], part["last"][:, 1:], atol=1e-3)


def test_a_true_past_is_a_stretch_of_the_act_or_its_mirror_image(latent: LatentModel, scales: Scales) -> None:
    one, turn = act("anchors", 60, 9), mirror(latent)
    part = drawn(Sequences([[one]], latent, scales, 1), scales, 2)
    true = np.abs(part["past"] - part["wanted"]).max((1, 2, 3)) < 1e-4
    assert 0.15 < true.mean() < 0.75
    found = {"plain": 0, "flipped": 0}
    for past, last, frames in zip(part["past"][true], part["last"][true], part["frames"][true], strict=True):
        course = np.concatenate([last[:1], past.reshape(-1, STATE)])
        starts = range(len(one.made.state) - len(course) + 1)
        right = frames[0, 0, SPEECH]  # of the gaze, which the act has above nought; nought when not given
        for name, real, sign in (("plain", one.made.state, 1), ("flipped", one.made.state @ turn.T, -1)):
            if any(np.abs(real[s : s + len(course)] - course).max() < 1e-3 for s in starts):
                found[name] += 1
                assert right * sign >= 0, name
    assert sum(found.values()) == true.sum() and min(found.values()) > 0.2 * true.sum()


def test_from_a_wrong_past_the_way_leads_back(acts: list[Act], latent: LatentModel, scales: Scales) -> None:
    part = drawn(Sequences([acts], latent, scales, 1), scales, 3)
    wrong = np.abs(part["past"] - part["wanted"]).max((1, 2, 3)) > 1e-3
    assert wrong.any()
    step = (part["wanted"][:, :, 0] - part["last"])[wrong]
    assert np.abs(step / scales.change[0]).mean() < 5  # no jump: only a share of the error a frame


def test_what_is_dropped_is_flagged_and_nought(acts: list[Act], latent: LatentModel, scales: Scales) -> None:
    part = drawn(Sequences([acts], latent, scales, 0), scales, 8)
    given = part["given"][:, 0]
    assert set(np.unique(given)) == {0.0, 1.0}
    assert (part["given"] == given[:, None]).all()
    ends = [0, SPEECH, SPEECH + 2, FRAME_CONDITIONS]
    values = [part["frames"][..., a:b] for a, b in zip(ends, ends[1:], strict=False)]
    values += np.split(part["lasting"], np.cumsum(LASTING_SIZES)[:-1], 2)
    for flag, value in zip(given.T, values, strict=True):
        assert not value[flag == 0].any()
        assert (value[flag == 1] != 0).all()
    for k, name in enumerate(FLAGS[1:], 1):
        assert (given[:, k] == 0).mean() == pytest.approx(DROPPED[name], abs=0.15), name


def test_speech_that_is_not_known_is_never_given(latent: LatentModel, scales: Scales) -> None:
    part = drawn(Sequences([[act("silent", 150, 0, known=False)]], latent, scales, 0), scales)
    assert not part["given"][..., 0].any() and not part["frames"][..., :SPEECH].any()


def test_conditions_are_of_the_frames_that_follow_the_last_one(latent: LatentModel, scales: Scales) -> None:
    one = act("anchors", 60, 3)
    counted = np.tile(np.arange(60.0)[:, None], (1, STATE)).astype(np.float32)
    told = np.tile(np.arange(60.0)[:, None], (1, SPEECH)).astype(np.float16)
    one = Act(one.source, replace(one.made, state=counted), told)
    part = drawn(Sequences([[one]], latent, scales, 1), scales, 2)
    true = (np.abs(part["past"] - part["wanted"]).max((1, 2, 3)) < 1e-2) & (part["given"][:, 0, 0] == 1)
    assert true.any()
    np.testing.assert_allclose(part["frames"][true][..., 0], part["past"][true][..., 0], atol=1e-2)  # nodding is not mirrored
    np.testing.assert_allclose(part["frames"][true][:, :, 0, 0], part["last"][true][..., 0] + 1, atol=1e-2)


def test_short_acts_wait_for_the_short_bucket(latent: LatentModel, scales: Scales) -> None:
    short, long = act("hq", 60, 0), act("hq", 200, 1)
    assert len(Sequences([[short, long]], latent, scales, 0)._pools[0]["hq"]) == 1
    assert len(Sequences([[short, long]], latent, scales, 1)._pools[0]["hq"]) == 2


def test_features_are_those_of_run_time() -> None:
    rng = np.random.default_rng(0)
    rows = rng.random((60, FEATURES)).astype(np.float32)
    rows[:, -1] = rng.random(60) > 0.4
    told = encoded(Hearing(), rows)
    speech = SpeechEncoder(FakeSpeech()).push_rows(SpeechFrames(rows, rows[:, -1]))
    assert told.shape == (60 - LOOKAHEAD_FRAMES, SPEECH)
    expected = np.concatenate([speech.features, speech.gate[:, None], speech.loud[:, None]], 1)
    np.testing.assert_allclose(told, expected, rtol=1e-5, atol=1e-6)


def test_streams_become_the_acts_of_their_clips(latent: LatentModel, eyes: Eyes) -> None:
    rng = np.random.default_rng(0)
    rows = rng.random((150, FEATURES)).astype(np.float16)
    z_dyn = (0.1 * rng.standard_normal((150, latent.size_dyn))).astype(np.float16)
    z_pose = (0.01 * rng.standard_normal((150, POSE_SIZE))).astype(np.float16)
    stream = Stream("hq", rows, z_dyn, z_pose, np.zeros((150, 15)), np.array([0, 70, 90]))
    made = list(acts_of([stream], Hearing(), latent, eyes, np.zeros(latent.size_dyn)))
    lengths = [len(a.made.state) for a in made]
    assert lengths == pytest.approx([70, 150 - 90 - LOOKAHEAD_FRAMES], abs=1)  # twenty frames are too few
    np.testing.assert_allclose(made[1].made.state[:, :POSE_SIZE], z_pose[90 : 90 + lengths[1]].astype(np.float32))
    speech = encoded(Hearing(), rows)
    assert made[1].speech is not None
    np.testing.assert_allclose(made[1].speech, speech[90 : 90 + lengths[1]], rtol=1e-3, atol=1e-3)


def test_no_act_holds_a_frame_of_another_clip(latent: LatentModel, eyes: Eyes) -> None:
    sound = np.random.default_rng(0).standard_normal(110 * 400).astype(np.float32)
    clips, gaps = [], {}
    for k in range(3):
        z_dyn, z_pose = np.zeros((110, latent.size_dyn), np.float32), np.full((110, POSE_SIZE), 0.1 * k, np.float32)
        clips.append(Clip(str(k), "one person", "hq", "train", True, np.zeros(2), z_dyn, z_pose, sound))
        gaps[str(k)] = np.zeros(15)
    for seed in range(6):  # several speeds
        streams = list(face_streams(clips, gaps, np.random.default_rng(seed), Behind(sound, sound)))
        for one in acts_of(streams, Hearing(), latent, eyes, np.zeros(latent.size_dyn)):
            assert np.abs(np.diff(one.made.state[:, 1])).max() < 1e-3, f"a jump at {seed}"


def test_clips_without_speech_teach_silence_only_when_still(latent: LatentModel, eyes: Eyes) -> None:
    rng = np.random.default_rng(0)
    opening = np.linalg.norm(rng.standard_normal((200, 1)), axis=1, keepdims=True)
    nothing = np.zeros(0, np.float32)

    def clip(size: float, frames: int, audible: bool = False) -> Clip:
        z_dyn = np.zeros((frames, latent.size_dyn))
        z_dyn[:, :1] = size * opening[:frames]
        return Clip("a", "b", "hq", "train", audible, nothing, z_dyn, np.zeros((frames, POSE_SIZE)), nothing)

    clips = [clip(0.0, 200), clip(3.0, 200), clip(0.0, 50), clip(0.0, 200, audible=True)]
    made = list(silent_acts(clips, latent, eyes, np.zeros(latent.size_dyn)))
    assert [a.source for a in made] == ["silent"] * 2
    assert made[0].speech is not None and not made[0].speech.any() and made[1].speech is None
