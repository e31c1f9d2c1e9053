"""The encoder's stream: the same however the sound is cut, in step after an interruption, gated by voice."""

from __future__ import annotations

import numpy as np
import pytest
from fake_engines import FakeSpeech

from talkinghead.constants import SAMPLE_RATE_HZ, SAMPLES_PER_FRAME
from talkinghead.speech.encoder import LOOKAHEAD_FRAMES, SPEECH_FEATURES, EncodedSpeech, SpeechEncoder, gate_course, silence

FRAME = SAMPLES_PER_FRAME


def arrays(speech: EncodedSpeech) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What a stretch of speech holds."""
    return speech.features, speech.gate, speech.loud


def voice_like(frames: float) -> np.ndarray:
    """A buzz of four syllables a second, float32 (400 * frames,)."""
    t = np.arange(int(frames * FRAME)) / SAMPLE_RATE_HZ
    buzz = sum(np.sin(2 * np.pi * 120 * k * t) / k for k in range(1, 30))
    hiss = 1e-2 * np.random.default_rng(0).standard_normal(len(t))
    return (0.1 * (buzz * np.clip(np.sin(2 * np.pi * 2 * t), 0, 1) + hiss)).astype(np.float32)


def heard(encoder: SpeechEncoder, sound: np.ndarray) -> EncodedSpeech:
    return EncodedSpeech.join([encoder.push(sound), encoder.flush()])


@pytest.fixture
def encoder() -> SpeechEncoder:
    return SpeechEncoder(FakeSpeech())


@pytest.mark.parametrize("sizes", [(1,) * 900 + (20_000,), (399, 401, 400, 4000), (160,) * 60, (0, 7777, 0, 3)])
def test_chunks_change_no_bit(encoder: SpeechEncoder, sizes: tuple[int, ...]) -> None:
    sound = voice_like(sum(sizes) / FRAME)
    whole = heard(SpeechEncoder(FakeSpeech()), sound)
    parts = [encoder.push(part) for part in np.split(sound, np.cumsum(sizes)[:-1])]
    pieces = EncodedSpeech.join([*parts, encoder.flush()])
    for a, b in zip(arrays(pieces), arrays(whole), strict=True):
        np.testing.assert_array_equal(a, b)


def test_as_many_frames_as_begin_within_the_sound(encoder: SpeechEncoder) -> None:
    for frames, count in ((8, 8), (8.01, 9), (LOOKAHEAD_FRAMES, LOOKAHEAD_FRAMES), (0, 0)):
        assert len(heard(encoder, voice_like(frames))) == count, frames
        assert encoder.pending == 0


@pytest.mark.parametrize("frames", [0.1, 1, 2, 2.5])
def test_sound_shorter_than_the_look_ahead_is_not_lost(encoder: SpeechEncoder, frames: float) -> None:
    assert len(heard(encoder, voice_like(frames))) == np.ceil(frames)


def test_frames_come_after_the_stated_look_ahead(encoder: SpeechEncoder) -> None:
    sound = voice_like(20)
    assert len(encoder.push(sound[: LOOKAHEAD_FRAMES * FRAME])) == 0
    assert encoder.pending == LOOKAHEAD_FRAMES
    assert len(encoder.push(sound[LOOKAHEAD_FRAMES * FRAME : (LOOKAHEAD_FRAMES + 1) * FRAME - 1])) == 0
    assert len(encoder.push(sound[:1])) == 1
    assert encoder.pending == LOOKAHEAD_FRAMES


def test_features_are_the_answer_to_the_row_that_lies_ahead(encoder: SpeechEncoder) -> None:
    speech = heard(encoder, voice_like(40))
    sure = speech.gate > 0.5
    assert sure.sum() > 10
    row = speech.features[sure, 2] / speech.gate[sure]  # the stand-in counts the rows
    np.testing.assert_allclose(row, np.flatnonzero(sure) + 1 + LOOKAHEAD_FRAMES, rtol=1e-5)


def test_loudness_is_the_frames_own(encoder: SpeechEncoder) -> None:
    speech = heard(encoder, voice_like(40))
    ahead = speech.features[10:30, 0] / speech.gate[10:30]
    np.testing.assert_allclose(ahead, speech.loud[10 + LOOKAHEAD_FRAMES : 30 + LOOKAHEAD_FRAMES], rtol=1e-5)


def test_silence_gives_noughts(encoder: SpeechEncoder) -> None:
    speech = heard(encoder, np.zeros(40 * FRAME, np.float32))
    assert len(speech) == 40
    assert not speech.gate.any() and not speech.features.any()
    for a, b in zip(arrays(silence(40)), arrays(speech), strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype


def test_broken_samples_do_no_harm(encoder: SpeechEncoder) -> None:
    sound = voice_like(20)
    sound[500:600], sound[900], sound[1300:1310] = np.nan, np.inf, 1e30
    assert all(np.isfinite(part).all() for part in arrays(heard(encoder, sound)))


def test_the_gate_opens_early_and_closes_slowly() -> None:
    voice = np.zeros(60, np.float32)
    voice[20:30] = 1
    gate = gate_course(voice, 60 - LOOKAHEAD_FRAMES)
    assert not gate[: 20 - LOOKAHEAD_FRAMES].any()
    assert 0.7 < gate[19] < 1 and gate[20 - LOOKAHEAD_FRAMES] > 0.3
    assert (np.diff(gate[20:30]) >= 0).all()
    assert 0.5 < gate[31] < 1 and gate[29 + 24] < 0.05
    assert gate.max() <= 1


def test_the_gates_course_can_be_cut() -> None:
    voice = np.random.default_rng(0).random(50).astype(np.float32)
    whole, n = gate_course(voice, 50), 17
    first = gate_course(voice[: n + LOOKAHEAD_FRAMES], n)
    np.testing.assert_array_equal(first, whole[:n])
    np.testing.assert_allclose(gate_course(voice[n:], 50 - n, float(first[-1])), whole[n:], atol=1e-6)


def test_speech_is_gated_in_pauses(encoder: SpeechEncoder) -> None:
    sound = np.concatenate([voice_like(30), np.zeros(40 * FRAME, np.float32), voice_like(30)])
    gate = heard(encoder, sound).gate
    assert gate[8] > 0.8
    assert gate[55:65].max() < 0.06
    assert gate[80:88].max() > 0.8


@pytest.mark.parametrize("frames", [1, 2, 5, 20.3])
def test_after_a_hush_what_waits_is_silent_and_in_step(encoder: SpeechEncoder, frames: float) -> None:
    sound = voice_like(60)
    given = len(encoder.push(sound[: int(frames * FRAME)]))
    due = encoder.hush()
    assert due == encoder.pending == int(frames) - given
    after = encoder.push(sound[: 20 * FRAME])  # the incomplete frame is forgotten
    assert given + len(after) == int(frames) + 20 - LOOKAHEAD_FRAMES
    assert not after.gate[:due].any() and not after.features[:due].any() and not after.loud[:due].any()
    assert after.gate[due:].max() > 0.8
    assert encoder.pending == LOOKAHEAD_FRAMES


def test_nothing_of_hushed_speech_is_heard_later(encoder: SpeechEncoder) -> None:
    encoder.push(voice_like(20))
    due = encoder.hush()
    after = encoder.push(np.zeros(20 * FRAME, np.float32))
    assert due == LOOKAHEAD_FRAMES and len(after) == 20
    assert not after.gate.any() and not after.features.any()


def test_after_a_hush_the_network_and_the_incomplete_frame_begin_anew(encoder: SpeechEncoder) -> None:
    encoder.push(voice_like(20.8))
    due = encoder.hush()
    assert len(encoder.push(voice_like(0.9))) == 0 and encoder.pending == due
    encoder.hush()
    after = encoder.push(voice_like(12))
    rows = after.features[due:, 2] / np.maximum(after.gate[due:], 1e-6)  # the stand-in counts the rows
    assert rows.max() <= 12


def test_reset_forgets(encoder: SpeechEncoder) -> None:
    first = heard(encoder, voice_like(30))
    encoder.push(voice_like(12.5))
    encoder.reset()
    for a, b in zip(arrays(heard(encoder, voice_like(30))), arrays(first), strict=True):
        np.testing.assert_array_equal(a, b)


def test_after_a_flush_the_stream_is_as_new(encoder: SpeechEncoder) -> None:
    heard(encoder, voice_like(30.5))
    again = heard(encoder, np.zeros(12 * FRAME, np.float32))
    assert len(again) == 12
    assert not again.gate.any() and not again.features.any()


def test_parts_join_and_cut() -> None:
    speech = EncodedSpeech(np.arange(3.0 * SPEECH_FEATURES).reshape(3, -1), np.arange(3.0), np.arange(3.0))
    joined = EncodedSpeech.join([speech.cut(0, 1), speech.cut(1), EncodedSpeech.join([])])
    assert len(joined) == 3
    for a, b in zip(arrays(joined), arrays(speech), strict=True):
        np.testing.assert_array_equal(a, b)
