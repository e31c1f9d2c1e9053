"""espeak-ng's symbols become the phones of data/speech: lips first, in time, and never in silence about a gap."""

from __future__ import annotations

import pytest

from talkinghead.training.espeak_phones import lookup, phones_of
from talkinghead.training.sound_bank import PHONE_NAMES

RATE_HZ = 22_050


@pytest.mark.parametrize(
    ("symbol", "language", "phones"),
    [
        ("y:", "de", "UW"),
        ("Y", "fr", "ER"),
        ("r", "de", "HH"),
        ("r", "fr", "HH"),
        ("r", "en-us", "R"),
        ("**", "es-419", "D"),
        ("R2", "es", "R"),
        ("R", "it", "D"),
        ("r", "ru", "R"),
        ("ts", "ru", "T+S"),
        ("pF", "de", "P+F"),
        ("n^", "it", "N+Y"),
        ("B", "es", "V"),
        ("m;", "ru", "M"),
        ("3", "en-us", "ER"),
        ("3", "en-gb-scotland", "AH"),
        ("0", "en", "AO"),
    ],
)
def test_lips_decide(symbol: str, language: str, phones: str) -> None:
    names = lookup(symbol, language)
    assert names == tuple(phones.split("+"))
    assert set(names) <= set(PHONE_NAMES)


def test_affricates_and_rhotic_vowels_are_two_phones_in_time() -> None:
    named, unmapped = phones_of([(0, "_"), (2000, "ts"), (5000, "e@"), (7000, "_:")], "en-us", 9000, RATE_HZ)
    assert [name for _, name in named] == ["SIL", "T", "S", "EH", "R", "SIL"]
    assert 2000 < named[2][0] <= 2000 + 0.026 * RATE_HZ
    assert 5900 < named[4][0] < 6200
    assert not unmapped


def test_a_foreign_word_is_read_by_its_own_table() -> None:
    named, _ = phones_of([(0, "r"), (100, "(en)"), (200, "r"), (300, "(de)"), (400, "r")], "de", 500, RATE_HZ)
    assert named == [(0, "HH"), (200, "R"), (400, "HH")]


def test_the_glide_before_a_tap_is_part_of_it() -> None:
    named, _ = phones_of([(0, "p"), (100, "@-"), (200, "*"), (300, "e")], "it", 500, RATE_HZ)
    assert named == [(0, "P"), (100, "D"), (300, "EH")]


def test_an_unknown_symbol_is_counted() -> None:
    named, unmapped = phones_of([(0, "a"), (100, "!x"), (200, "a")], "ru", 300, RATE_HZ)
    assert unmapped == {"ru !x": 1}
    assert named[1][1] not in PHONE_NAMES
