"""Networks that sessions share in batches: everybody moves and looks as alone, and nothing stays of who has gone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier

import numpy as np
import pytest

pytest.importorskip("onnxruntime")

from shipped import needs_networks
from sounds import babble

from talkinghead.avatar import Avatar
from talkinghead.live.avatars import mean_portrait
from talkinghead.networks import BATCHED, Networks
from talkinghead.runtime.batching import Batcher
from talkinghead.runtime.onnx import OnnxEngine
from talkinghead.runtime.weights import model_path

pytestmark = needs_networks
SESSIONS = 3


@pytest.fixture(scope="module")
def networks() -> Networks:
    speech, motion = (OnnxEngine(model_path(name, f"{name}.onnx")) for name in ("speech", "motion"))
    return replace(Networks.load(), speech=speech, motion=motion)  # float: int8 counts by what all sessions give


@pytest.fixture(scope="module")
def avatar(networks: Networks) -> Avatar:
    return Avatar(mean_portrait(networks.latent), networks)


@pytest.fixture
def told() -> list[tuple[str, str, float]]:
    return []


@pytest.fixture
def shared(networks: Networks, told: list[tuple[str, str, float]]) -> Iterator[Networks]:
    made = networks.batched(lambda *what: told.append(what))
    yield made
    made.close()


def spoken(
    avatar: Avatar, k: int, seconds: float = 0.4, opened: Callable[[], object] = lambda: None
) -> tuple[np.ndarray, list[np.ndarray]]:
    """z_dyn of every frame, and some pictures, of a session of its own voice; ``opened`` is called before it moves."""
    session = avatar.session(seed=k)
    opened()
    session.push_audio(babble(3.0)[8_000 * k :][: round(16_000 * seconds)])
    session.flush()
    motions = list(session.motions())
    pictures = [session.draw(motion).image for motion in motions[::8]]
    session.close()
    return np.stack([motion.z_dyn for motion in motions]), pictures


def test_many_move_and_look_as_each_alone(
    networks: Networks, shared: Networks, avatar: Avatar, told: list[tuple[str, str, float]]
) -> None:
    together = Avatar(avatar.portrait, shared)
    twins = [together.twin() for _ in range(SESSIONS)]
    shared.batchers[1]._queue._window_s = 5.0  # motion waits until all have asked: that they meet is not left to chance
    all_open = Barrier(SESSIONS)
    with ThreadPoolExecutor(SESSIONS) as pool:
        got = list(pool.map(lambda twin, k: spoken(twin, k, opened=all_open.wait), twins, range(SESSIONS)))
    for k, (moved, pictures) in enumerate(got):
        alone, drawn = spoken(avatar, k)
        assert moved.shape == alone.shape and np.abs(moved - alone).max() < 0.01 * np.abs(alone).max()
        assert all(np.abs(a.astype(int) - b).max() <= 2 for a, b in zip(pictures, drawn, strict=True))
    assert np.abs(got[0][0] - got[1][0]).max() > 0.1  # they do not all do the same
    assert {network for network, _, _ in told} == {name.split("/")[1] for name in BATCHED}
    largest = max(rows for network, name, rows in told if (network, name) == ("motion", "batch_rows"))
    assert largest > 2  # two are a session's


def test_nothing_stays_of_sessions_that_have_gone(shared: Networks, avatar: Avatar) -> None:
    together = Avatar(avatar.portrait, shared)
    waits: list[tuple[str, float]] = []
    sessions = [together.session(observer=lambda *what: waits.append(what)) for _ in range(SESSIONS)]
    counted = [(each.sessions, each.held > 0) for each in shared.batchers[:2]]
    assert counted == [(SESSIONS, True)] * 2  # speech and motion
    sessions[0].push_audio(babble(0.3))
    assert list(sessions[0].motions()) and {name for name, _ in waits} == {"wait_ms"}
    for session in sessions:
        session.close(), session.close()
    sessions.clear()
    del session
    assert [each.sessions for each in shared.batchers] == [0] * 4
    assert [each.held for each in shared.batchers[:2]] == [0, 0]


def test_batches_keep_to_the_largest_of_the_plans(shared: Networks) -> None:
    assert len(shared.batchers) == 4 and all(isinstance(each, Batcher) for each in shared.batchers)
    assert Networks.batchers.fget(replace(shared, decoder=None)) == shared.batchers[:2]  # type: ignore[attr-defined]
