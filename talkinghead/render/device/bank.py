"""What is made once a portrait, for many portraits, where they are drawn: one gather gives a batch all of its constants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from torch import Tensor

_FIRST = 4
"""Portraits that there is room for at first; the room is doubled when it is full."""


@dataclass(frozen=True)
class PreparedPortrait:
    """Constants of one portrait by name, of the same shapes for every portrait, and its pictures.

    floats: float32; ints: int32; texels (n,) int32, each four bytes red, green, blue, alpha; ``ints["textures"]`` (k, 3) tells
    where each picture begins, its width and its height.
    """

    floats: Mapping[str, np.ndarray]
    ints: Mapping[str, np.ndarray]
    texels: np.ndarray


Rows = dict[str, Tensor]
"""Constants by name, (n, ...) of the n rows of a batch."""


class _Packed:
    """Arrays of given names and shapes as one row a portrait."""

    def __init__(self, arrays: Mapping[str, np.ndarray], dtype: torch.dtype, device: str) -> None:
        self._shapes = {name: array.shape for name, array in arrays.items()}
        self._dtype = dtype
        size = sum(prod(shape) for shape in self._shapes.values())
        self.store = torch.zeros(_FIRST, size, dtype=dtype, device=device)

    def put(self, slot: int, arrays: Mapping[str, np.ndarray]) -> None:
        if {name: array.shape for name, array in arrays.items()} != self._shapes:
            raise ValueError("constants of a portrait differ in shape from those before")
        flat = np.concatenate([np.asarray(array).reshape(-1) for array in arrays.values()])
        self.store[slot] = torch.as_tensor(flat).to(self.store)

    def rows(self, slots: Tensor) -> Rows:
        flat, start, made = self.store[slots], 0, {}
        for name, shape in self._shapes.items():
            size = prod(shape)
            made[name] = flat[:, start : start + size].view(len(slots), *shape)
            start += size
        return made


class Bank:
    """Portraits by slot. A slot that is given back is used again; the tensors stay where they are until the bank grows."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._free = list(range(_FIRST))
        self._floats: _Packed | None = None
        self._ints: _Packed | None = None
        self.texels = torch.zeros(0, 0, dtype=torch.int32, device=device)
        """(slots, n) int32."""
        self.grown = 0
        """How often all tensors were moved: what was recorded with them has to be recorded again."""

    def add(self, portrait: PreparedPortrait) -> int:
        """The slot of one portrait more."""
        if self._floats is None or self._ints is None:
            self._floats = _Packed(portrait.floats, torch.float32, self._device)
            self._ints = _Packed(portrait.ints, torch.int32, self._device)
            self.texels = torch.zeros(_FIRST, len(portrait.texels), dtype=torch.int32, device=self._device)
        if not self._free:
            self._grow(self._floats, self._ints)
        slot = min(self._free)
        self._free.remove(slot)
        self._floats.put(slot, portrait.floats)
        self._ints.put(slot, portrait.ints)
        self.texels[slot] = torch.from_numpy(portrait.texels).to(self._device)
        return slot

    def remove(self, slot: int) -> None:
        """Its place may be used again."""
        self._free.append(slot)

    def rows(self, slots: Tensor) -> Rows:
        """Constants of portraits by their slots (n,) int64."""
        if self._floats is None or self._ints is None:
            raise ValueError("there is no portrait yet")
        return {**self._floats.rows(slots), **self._ints.rows(slots)}

    def _grow(self, floats: _Packed, ints: _Packed) -> None:
        count = len(self.texels)
        stores = (floats.store, ints.store, self.texels)
        floats.store, ints.store, self.texels = (torch.cat((store, torch.zeros_like(store))) for store in stores)
        self._free += range(count, 2 * count)
        self.grown += 1
