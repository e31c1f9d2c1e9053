"""Synthetic speech: labels sit on their sound, closures are shut, the cache is read again."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import pytest

from talkinghead.errors import TalkingHeadError
from talkinghead.training import synthetic
from talkinghead.training.sound_bank import PHONE_NAMES, UNKNOWN
from talkinghead.training.synthetic import Espeak, engine, labelled, sentences, synthesise, without_echo

RATE_HZ = 22_050
HEADER = "file\tclip_id\tset\tspeaker\tlanguage\tstart\tend\ttranscript\tsplit\thas_phones\n"


@pytest.fixture
def espeak() -> Espeak:
    try:
        return engine()
    except TalkingHeadError as error:
        pytest.skip(str(error))


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    rows = [
        ("en-us", "... A PAPER BOAT [LOUD], A HAPPY BABY", "train"),
        ("de", "Der Apfel. Zwei schöne Bäume!", "train"),
        ("de", "Nur zur Probe.", "test"),
        ("zh", "", "train"),
    ]
    folder = tmp_path / "data" / "speech"
    folder.mkdir(parents=True)
    lines = [f"x.ogg\tx\tx\tx\t{language}\t0\t1\t{text}\t{split}\t1\n" for language, text, split in rows]
    (folder / "clips.tsv").write_text(HEADER + "".join(lines), encoding="utf-8")
    return tmp_path


def level(sound: np.ndarray) -> float:
    return float(np.sqrt((sound.astype(float) ** 2).mean()))


def test_sentences_are_of_the_train_rows_and_can_be_spoken(shared: Path) -> None:
    assert sentences(shared) == {"en": ["a paper boat loud , a happy baby"], "de": ["Der Apfel.", "Zwei schöne Bäume!"]}


def test_a_stop_starts_with_its_closure_and_short_pauses_vanish() -> None:
    sound = np.full(RATE_HZ, 5000, np.int16)
    burst, closure, pause = 8000, 1000, 300
    sound[burst - closure : burst] = 20
    marks = [(0, "_"), (4000, "a"), (burst, "p"), (9000, "a"), (12_000, "_:"), (12_000 + pause, "a"), (15_000, "_:")]
    starts, ids, unmapped = labelled(sound, marks, "de", RATE_HZ)
    assert [PHONE_NAMES[k] for k in ids] == ["SIL", "AA", "P", "AA", "AA", "SIL"]
    assert starts[2] == burst - closure
    assert not unmapped


def test_a_first_stop_shuts_in_the_silence_before_it() -> None:
    sound = np.concatenate([np.zeros(4000, np.int16), np.full(4000, 5000, np.int16)])
    starts, ids, _ = labelled(sound, [(4000, "p"), (5000, "a")], "it", RATE_HZ)
    assert [PHONE_NAMES[k] for k in ids] == ["SIL", "P", "AA"]
    assert 4000 - 0.08 * RATE_HZ < starts[1] < 4000 - 0.05 * RATE_HZ


def test_an_unknown_symbol_is_labelled_unknown() -> None:
    _, ids, unmapped = labelled(np.full(8000, 5000, np.int16), [(0, "a"), (3000, "!x"), (6000, "a")], "de", RATE_HZ)
    assert ids[2] == UNKNOWN
    assert sum(unmapped.values()) == 1


@pytest.mark.parametrize("variant", ["+m1", "+f2", "+m2"])
def test_labels_sit_on_their_sound(espeak: Espeak, variant: str) -> None:
    sound, marks = espeak.say("en-us" + variant, "A happy paper copy, a pepper.")
    sound = without_echo(sound, variant, espeak.rate_hz)
    starts, ids, unmapped = labelled(sound, marks, "en-us", espeak.rate_hz)
    spans = [(PHONE_NAMES[k], sound[a:b]) for k, a, b in zip(ids, starts, [*starts[1:], len(sound)], strict=True)]
    assert not unmapped
    stops = [part for name, part in spans if name == "P"]
    assert len(stops) == 6
    vowel = np.median([level(part) for name, part in spans if name in ("AE", "IY", "EY", "EH", "AA")])
    for part in stops:
        assert level(part[: int(0.02 * espeak.rate_hz)]) < 0.02 * vowel, variant
    assert all(level(part) > 0.2 * vowel for name, part in spans if name in ("AE", "EY", "AA"))


def test_speech_is_made_once_and_kept(espeak: Espeak, shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spoken = synthesise(shared, tmp_path / "cache", minutes=0.02, seed=3)
    assert {one.speaker.split("/")[1][:2] for one in spoken} == {"de", "en"}
    for one in spoken:
        assert one.sound.dtype == np.float16
        assert 20 < len(one.sound) / 16_000 < 65
        assert one.start_s[0] == 0
        assert one.phone[0] == one.phone[-1] == 0
        assert (np.diff(one.start_s) >= 0).all()
        assert abs(one.start_s[-1] - len(one.sound) / 16_000) < 0.01
    monkeypatch.setattr(synthetic, "_make", lambda *_: pytest.fail("made twice"))
    again = synthesise(shared, tmp_path / "cache", minutes=0.02, seed=3)
    for one, two in zip(spoken, again, strict=True):
        assert one.speaker == two.speaker
        np.testing.assert_array_equal(one.sound, two.sound)
        np.testing.assert_array_equal(one.phone, two.phone)


def test_an_unknown_voice_is_named(espeak: Espeak) -> None:
    with pytest.raises(TalkingHeadError, match="no voice 'xx-none'"):
        espeak.say("xx-none", "a")


def test_a_missing_voice_of_diphones_names_its_package(espeak: Espeak) -> None:
    with pytest.raises(TalkingHeadError, match="apt-get install mbrola mbrola-xx9 "):
        espeak.say("mb-xx9-en", "a")


def test_every_language_has_texts_for_its_diphones() -> None:
    assert set(synthetic.DIPHONES) <= set(synthetic.VOICES)
    names = [name for voices in synthetic.DIPHONES.values() for name in voices.split()]
    assert len(set(names)) == len(names)


def test_marks_of_diphones_sit_on_their_sound(espeak: Espeak) -> None:
    try:
        sound, marks = espeak.say("mb-us1", "A happy paper copy, a pepper.")
    except TalkingHeadError as error:
        pytest.skip(str(error))
    rate_hz = espeak.rate_hz
    starts, ids, _ = labelled(sound, marks, "en-us", rate_hz)
    begins = [a for a, k in zip(starts, ids, strict=True) if PHONE_NAMES[k] == "P"]
    stops = [sound[a + int(0.02 * rate_hz) : a + int(0.045 * rate_hz)] for a in begins]
    assert len(stops) == 6
    assert max(map(level, stops)) < 0.35 * level(sound)


def test_a_missing_library_names_the_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", missing)
    with pytest.raises(TalkingHeadError, match="apt-get install espeak-ng"):
        Espeak()
