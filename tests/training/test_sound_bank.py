"""Training material: faces and phones stay in time with their disguised sound, and the cache gives back what was made."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from talkinghead.constants import SAMPLE_RATE_HZ, SAMPLES_PER_FRAME
from talkinghead.speech.features import BANDS, FEATURES, SUB_FRAMES
from talkinghead.training.motion_data import Clip
from talkinghead.training.sound_augment import Behind
from talkinghead.training.sound_bank import PHONE_NAMES, Spoken, Stream, face_streams, kept, phone_streams

LOUD = BANDS * SUB_FRAMES
BEHIND = Behind(*np.random.default_rng(0).standard_normal((2, 20 * SAMPLE_RATE_HZ)).astype(np.float32))


def bursts(frames: int, every: int) -> tuple[np.ndarray, np.ndarray]:
    """Noise that is on in every other span of ``every`` frames: sound, and on (frames,)."""
    on = np.arange(frames) // every % 2 == 1
    noise = np.random.default_rng(1).standard_normal(frames * SAMPLES_PER_FRAME)
    return (0.1 * noise * np.repeat(on, SAMPLES_PER_FRAME)).astype(np.float32), on


def clip(name: str, identity: str, frames: int) -> Clip:
    sound, on = bursts(frames, 15)
    z_dyn, z_pose = np.zeros((frames + 2, 4), np.float32), np.zeros((frames + 2, 6), np.float32)
    z_dyn[:frames, 0], z_pose[:, 1] = on, np.linspace(0, 1, frames + 2)
    return Clip(name, identity, "hq", "train", True, np.zeros(2), z_dyn, z_pose, sound)


def test_clips_of_one_person_are_strung_together() -> None:
    clips = [clip("a", "x", 120), clip("b", "y", 130), clip("c", "x", 150)]
    gaps = {c.name: np.full(15, k) for k, c in enumerate(clips)}
    for seed in range(4):  # several speeds
        streams = list(face_streams(clips, gaps, np.random.default_rng(seed), BEHIND))
        assert len(streams) == 2 and all(s.source == "hq" for s in streams)
        for stream in streams:
            assert stream.z_dyn is not None and stream.z_pose is not None and stream.gaps is not None and stream.cuts is not None
            n = len(stream.rows)
            assert stream.rows.shape == (n, FEATURES) and stream.rows.dtype == np.float16
            assert (len(stream.z_dyn), len(stream.z_pose), len(stream.gaps)) == (n, n, n)
            assert stream.cuts[0] == 0 and len(stream.cuts) == (1 if stream.gaps[0, 0] == 1 else 2)
            starts = np.flatnonzero(np.diff(stream.z_pose[:, 1].astype(float)) < -0.3) + 1
            assert np.abs(starts - stream.cuts[1:]).max(initial=0) <= 1
            on = stream.z_dyn[:, 0].astype(float)
            r = [np.corrcoef(np.roll(on, k), stream.rows[:, LOUD].astype(float))[0, 1] for k in range(-6, 7)]
            assert abs(int(np.argmax(r)) - 6) <= 1 and max(r) > 0.5  # in time, at any speed


def test_labels_are_those_of_the_middles_of_frames() -> None:
    names = np.array([PHONE_NAMES.index(p) for p in ("SIL", "M", "AA", "SIL")], np.int8)
    spoken = Spoken("x", np.zeros(0, np.float16), np.array([0.0, 0.1, 0.2, 0.3]), names)
    labels = spoken.labels(1.0, 16)
    assert labels.tolist() == np.repeat(names, 4).tolist()
    assert spoken.labels(2.0, 8).tolist() == np.repeat(names, 2).tolist()


def test_phones_stay_with_their_sound() -> None:
    sound, on = bursts(1600, 15)
    start_s = np.arange(0, 1600, 15) / 40
    phone = np.where(np.arange(len(start_s)) % 2 == 1, PHONE_NAMES.index("AA"), 0).astype(np.int8)
    spoken = Spoken("x", sound.astype(np.float16), start_s, phone)
    streams = list(phone_streams([spoken], np.random.default_rng(3), BEHIND))
    assert 0.9 * 1600 < sum(len(s.rows) for s in streams) < 1.2 * 1600
    for stream in streams:
        assert stream.phones is not None and len(stream.phones) == len(stream.rows)
        said, loud = stream.phones > 0, stream.rows[:, LOUD].astype(float)
        assert loud[said].mean() > loud[~said].mean() + 0.3
        r = [np.corrcoef(np.roll(said, k), loud)[0, 1] for k in range(-6, 7)]
        assert abs(int(np.argmax(r)) - 6) <= 1


def test_what_was_made_is_kept_and_made_once(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)

    def make():  # type: ignore[no-untyped-def]
        yield Stream(
            "hq", rng.random((5, FEATURES)).astype(np.float16), rng.random((5, 4)), rng.random((5, 6)), cuts=np.array([0])
        )
        yield Stream("speech", rng.random((3, FEATURES)).astype(np.float16), phones=np.arange(3, dtype=np.int8))

    def never():  # type: ignore[no-untyped-def]
        pytest.fail("made again")
        yield

    first = kept(tmp_path / "cache" / "faces.0.npz", make())
    again = kept(tmp_path / "cache" / "faces.0.npz", never())
    assert [s.source for s in first] == [s.source for s in again] == ["hq", "speech"]
    for a, b in zip(first, again, strict=True):
        for name in ("rows", "z_dyn", "z_pose", "gaps", "cuts", "phones"):
            x, y = getattr(a, name), getattr(b, name)
            assert (x is None) == (y is None)
            if x is not None:
                np.testing.assert_array_equal(x, y)
    assert first[0].phones is None and first[1].z_dyn is None and first[1].phones is not None
    assert [p.name for p in (tmp_path / "cache").iterdir()] == ["faces.0.npz"]
