"""Constants of many portraits: each row gets its own, places are used again, and the bank grows."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from talkinghead.render.device.bank import Bank, PreparedPortrait  # noqa: E402


def portrait(value: float, size: int = 3) -> PreparedPortrait:
    floats = {"a": np.full((2, size), value, np.float32), "b": np.full(4, -value, np.float32)}
    return PreparedPortrait(floats, {"textures": np.full((1, 3), round(value), np.int32)}, np.full(5, round(value), np.int32))


def test_each_row_gets_what_its_portrait_has() -> None:
    bank = Bank("cpu")
    slots = [bank.add(portrait(value)) for value in (1, 2, 3)]
    rows = bank.rows(torch.tensor([slots[2], slots[0], slots[2]]))
    assert rows["a"].shape == (3, 2, 3) and rows["textures"].shape == (3, 1, 3)
    assert rows["a"][:, 1, 2].tolist() == [3, 1, 3] and rows["b"][:, 0].tolist() == [-3, -1, -3]
    assert rows["textures"][:, 0, 0].tolist() == [3, 1, 3]
    assert bank.texels[slots].unique(dim=1).flatten().tolist() == [1, 2, 3]


def test_places_are_used_again_and_the_bank_grows() -> None:
    bank = Bank("cpu")
    slots = [bank.add(portrait(value)) for value in range(4)]
    bank.remove(slots[1])
    assert bank.add(portrait(7)) == slots[1] and bank.grown == 0
    more = bank.add(portrait(8))
    assert more not in slots and bank.grown == 1 and len(bank.texels) == 8
    rows = bank.rows(torch.tensor([*slots, more]))
    assert rows["b"][:, 0].tolist() == [0, -7, -2, -3, -8]


def test_other_shapes_are_refused() -> None:
    bank = Bank("cpu")
    bank.add(portrait(1))
    with pytest.raises(ValueError, match="differ in shape"):
        bank.add(portrait(1, size=4))


def test_an_empty_bank_has_no_rows() -> None:
    with pytest.raises(ValueError, match="no portrait"):
        Bank("cpu").rows(torch.tensor([0]))
