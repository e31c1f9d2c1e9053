"""A decoder in a process of its own draws what it draws here, and what becomes of the process hinders nobody."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from shipped import needs_networks

from talkinghead.avatar import Avatar
from talkinghead.render.apart import ApartDecoder

DATA = Path(__file__).resolve().parents[2] / "examples" / "data"
WAIT_S = 60.0
Motion = tuple[np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def avatar() -> Avatar:
    return Avatar.open(DATA / "portrait.jpg")


@pytest.fixture(scope="module")
def motions(avatar: Avatar) -> list[Motion]:
    rng, size = np.random.default_rng(0), len(avatar.portrait.z_dyn)
    return [(rng.normal(0, 0.03, 6).astype(np.float32), rng.normal(0, 1, size).astype(np.float32)) for _ in range(6)]


@pytest.fixture
def apart(avatar: Avatar) -> Iterator[Avatar]:
    yield moved(avatar)


def moved(avatar: Avatar) -> Avatar:
    """A twin that is drawn in another process."""
    twin, size = avatar.apart(), len(avatar.portrait.z_dyn)
    assert twin._decoder is not None
    twin._elsewhere = elsewhere = ApartDecoder(twin._decoder, after=1)
    assert not elsewhere.moved
    twin.draw(np.zeros(6, np.float32), np.zeros(size, np.float32))
    until = time.monotonic() + WAIT_S
    while not elsewhere.moved and time.monotonic() < until:
        time.sleep(0.02)
    assert elsewhere.moved
    return twin


def same(made: list[np.ndarray], avatar: Avatar, motions: list[Motion]) -> bool:
    return all(np.array_equal(picture, avatar.draw(*motion)) for picture, motion in zip(made, motions, strict=True))


@needs_networks
def test_it_draws_the_same_for_two_threads_at_once(avatar: Avatar, apart: Avatar, motions: list[Motion]) -> None:
    with ThreadPoolExecutor(2) as pool:
        made = list(pool.map(lambda motion: apart.draw(*motion), 3 * motions))
    assert same(made, avatar, 3 * motions)
    assert apart._elsewhere is not None and apart._elsewhere.moved


@needs_networks
def test_cut_outs_come_with_their_matte(motions: list[Motion]) -> None:
    avatar = Avatar.open(DATA / "portrait.jpg", alpha=True)
    made = [moved(avatar).draw(*motion) for motion in motions[:2]]
    assert made[0].shape[2] == 4 and same(made, avatar, motions[:2])


@needs_networks
def test_a_process_that_is_lost_is_done_without(avatar: Avatar, apart: Avatar, motions: list[Motion]) -> None:
    assert apart._elsewhere is not None and apart._elsewhere._process is not None
    apart._elsewhere._process.process.kill()
    assert same([apart.draw(*motion) for motion in motions], avatar, motions)
    assert not apart._elsewhere.moved


@needs_networks
def test_the_process_ends_with_its_decoder(avatar: Avatar) -> None:
    twin = moved(avatar)
    assert twin._elsewhere is not None and twin._elsewhere._process is not None
    process = twin._elsewhere._process.process
    assert process.poll() is None
    del twin
    assert process.wait(WAIT_S) is not None


class Fixed:
    """Draws one picture, and cannot be sent."""

    def __init__(self) -> None:
        self.unsendable = lambda: None

    def draw(self, *_: object) -> np.ndarray:
        return np.ones((2, 2, 3), np.uint8)


def test_what_cannot_be_sent_is_drawn_here() -> None:
    decoder = ApartDecoder(Fixed(), after=1)  # type: ignore[arg-type]
    for _ in range(3):
        assert decoder.draw(*4 * [None]).all()  # type: ignore[arg-type]
        time.sleep(0.05)
    assert not decoder.moved
