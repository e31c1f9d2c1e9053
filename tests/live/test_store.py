"""Who is let in, who is shown out, and that nothing of a call stays behind."""

import asyncio
import gc
import logging
import weakref
from collections.abc import Awaitable, Callable

import pytest

pytest.importorskip("aiohttp")

from live.fake_calls import PATIENCE_S, Engine, until

from talkinghead.errors import TalkingHeadError
from talkinghead.live import store as module
from talkinghead.live.store import BadToken, Full, NoSession, SessionStore, TooManyPeers


def run(engine: Engine, scenario: Callable[[SessionStore], Awaitable[None]], **options: object) -> list[tuple[str, float]]:
    """Play a scenario on a store that is closed afterwards; returns what it reported."""
    told: list[tuple[str, float]] = []

    async def play() -> None:
        store = SessionStore(
            engine.open_session, engine.make_peer, **{"capacity": 2, "observer": lambda *fact: told.append(fact), **options}
        )
        try:
            await scenario(store)
        finally:
            await store.close_all()

    asyncio.run(asyncio.wait_for(play(), PATIENCE_S))
    return told


def test_ids_and_tokens(engine: Engine) -> None:
    async def scenario(store: SessionStore) -> None:
        one, other = await store.open(b"photo"), await store.open(None)
        assert engine.photos == [b"photo", None]
        assert one.notes == ("2 faces found",)
        assert len({one.id, one.token, other.id, other.token}) == 4
        assert len(one.token) >= 43  # 256 bits
        assert store.get(one.id, one.token) is one
        for token in ("", other.token, one.token[:-1], "\udcff"):
            with pytest.raises(BadToken):
                store.get(one.id, token)
        with pytest.raises(NoSession):
            store.get("../" + one.id, one.token)

    assert [name for name, _ in run(engine, scenario)].count("opened") == 2


def test_capacity_counts_those_that_are_being_opened(engine: Engine) -> None:
    async def scenario(store: SessionStore) -> None:
        engine.gate.clear()
        opening = [asyncio.ensure_future(store.open(None)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Full, match="all 2 calls"):
            await store.open(None)
        engine.gate.set()
        entry, _ = await asyncio.gather(*opening)
        with pytest.raises(Full):
            store.admit()
        await store.close(entry, "test")
        await store.open(None)

    told = run(engine, scenario)
    assert [name for name, _ in told].count("refused_full") == 2


def test_a_failed_opening_frees_its_place(engine: Engine) -> None:
    async def scenario(store: SessionStore) -> None:
        for _ in range(3):
            with pytest.raises(TalkingHeadError, match="no face"):
                await store.open(b"no face")
        assert len(store) == 0
        await store.open(None)

    run(engine, scenario, capacity=1)


def test_overload_lets_nobody_in(engine: Engine) -> None:
    async def scenario(store: SessionStore) -> None:
        entry = await store.open(None)
        engine.sessions[0].level = module.OVERLOADED_LEVEL
        store.admit()  # it does not run yet
        await store.answer(entry, "call", "offer", "offer")
        with pytest.raises(Full, match="too much"):
            await store.open(None)
        engine.sessions[0].level = 0
        await store.open(None)

    assert "refused_overload" in [name for name, _ in run(engine, scenario)]


def test_a_session_without_a_peer_expires(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "talkinghead.live")

    async def scenario(store: SessionStore) -> None:
        entry = await store.open(None)
        await until(engine.sessions[0].closed.is_set)
        assert len(store) == 0
        await until(lambda: bool(caplog.messages))
        assert caplog.messages == [m for m in caplog.messages if m.startswith(f"session {entry.id[:6]} ended: no peer")]
        assert entry.id not in caplog.text
        assert entry.token not in caplog.text

    run(engine, scenario, expire_s=0.01)


def test_a_peer_keeps_the_session_and_its_end_ends_it(engine: Engine) -> None:
    async def scenario(store: SessionStore) -> None:
        entry = await store.open(None)
        assert await store.answer(entry, "call", "offer", "offer") == ("answer to offer", "answer")
        assert entry.expiry is None
        assert engine.sessions[0].started == 1
        await asyncio.get_running_loop().run_in_executor(None, engine.peers[0].gone)  # from whatever thread
        await until(engine.sessions[0].closed.is_set)
        assert len(store) == 0
        assert engine.peers[0].closed == 1

    run(engine, scenario)


def test_a_second_offer_replaces_the_first_peer(engine: Engine) -> None:
    async def scenario(store: SessionStore) -> None:
        entry = await store.open(None, own=True)
        await asyncio.gather(*(store.answer(entry, "call", "offer", "offer") for _ in range(3)))
        assert [peer.closed for peer in engine.peers] == [1, 1, 0]
        engine.peers[0].gone()  # late news of the old one
        await asyncio.sleep(0.01)
        assert list(entry.peers) == ["call"]
        assert engine.sessions[0].started == 1
        assert len(store) == 1

    run(engine, scenario)


def test_one_of_several_peers_may_go(engine: Engine) -> None:
    async def scenario(store: SessionStore) -> None:
        entry = await store.open(None)
        for k in range(module.MAX_PEERS):
            await store.answer(entry, f"peer {k}", "offer", "offer")
        with pytest.raises(TooManyPeers):
            await store.answer(entry, "one more", "offer", "offer")
        engine.peers[0].gone()
        await until(lambda: engine.peers[0].closed == 1)
        assert len(store) == 1
        for k in range(1, module.MAX_PEERS):
            await store.leave(entry, f"peer {k}")
        assert len(store) == 1
        assert entry.expiry is not None  # it waits for another one

    run(engine, scenario)


def test_a_session_of_one_peer_ends_when_it_leaves(engine: Engine) -> None:
    async def scenario(store: SessionStore) -> None:
        entry = await store.open(None, own=True)
        await store.answer(entry, "call", "offer", "offer")
        await store.leave(entry, "call")
        assert len(store) == 0
        patient = await store.open(None)
        with pytest.raises(TalkingHeadError, match="none"):
            await store.answer(patient, "call", "bad", "offer")
        await asyncio.sleep(0)
        await store.answer(patient, "call", "offer", "offer")  # another offer may be better
        await store.close(patient, "test")
        entry = await store.open(None, own=True)
        with pytest.raises(TalkingHeadError, match="none"):
            await store.answer(entry, "call", "bad", "offer")
        assert len(store) == 0
        assert engine.sessions[2].closed.is_set()

    run(engine, scenario)


def test_an_answer_that_never_comes(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ANSWER_S", 0.01)

    async def scenario(store: SessionStore) -> None:
        entry = await store.open(None)
        with pytest.raises(asyncio.TimeoutError):
            await store.answer(entry, "call", "slow", "offer")
        assert engine.peers[0].closed == 1
        assert not entry.peers
        assert entry.expiry is not None

    run(engine, scenario)


def test_closing_while_a_peer_joins(engine: Engine) -> None:
    async def scenario(store: SessionStore) -> None:
        entry = await store.open(None)
        joining = asyncio.ensure_future(store.answer(entry, "call", "slow", "offer"))
        await until(lambda: bool(engine.peers))
        await engine.peers[0].answering.wait()
        await store.close(entry, "test")
        assert engine.peers[0].closed == 1
        joining.cancel()
        with pytest.raises(asyncio.CancelledError):
            await joining
        with pytest.raises(NoSession):
            await store.answer(entry, "call", "offer", "offer")
        assert len(engine.peers) == 1

    run(engine, scenario)


def test_closing_all_shuts_the_door(engine: Engine) -> None:
    async def scenario(store: SessionStore) -> None:
        await store.open(None)
        engine.gate.clear()
        opening = asyncio.ensure_future(store.open(None))
        await asyncio.sleep(0)
        closing = asyncio.ensure_future(store.close_all())
        await until(engine.sessions[0].closed.is_set)
        engine.gate.set()
        with pytest.raises(Full, match="shutting down"):
            await opening
        await closing
        assert all(session.closed.is_set() for session in engine.sessions)
        with pytest.raises(Full):
            store.admit()

    told = run(engine, scenario)
    assert [name for name, _ in told].count("refused_closing") == 2


def test_nothing_is_left(engine: Engine) -> None:
    left: list[weakref.ref] = []

    async def scenario(store: SessionStore) -> None:
        for k in range(10):
            entry = await store.open(None)
            await store.answer(entry, "call", "offer", "offer")
            left.extend(map(weakref.ref, (entry, engine.sessions.pop(), engine.peers.pop())))
            if k % 2:
                await store.close(entry, "test")
            else:
                entry.peers["call"].peer.gone()  # type: ignore[attr-defined]
                await until(lambda: len(store) == 0)
            del entry

    run(engine, scenario)
    gc.collect()
    assert not [ref() for ref in left if ref() is not None]


def test_a_session_that_fails_to_close_is_told(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(store: SessionStore) -> None:
        entry = await store.open(None)

        def fail() -> None:
            raise RuntimeError("stuck")

        engine.sessions[0].close = fail  # type: ignore[method-assign]
        await store.close(entry, "test")
        assert len(store) == 0
        await store.open(None)

    run(engine, scenario)
    assert "stuck" in caplog.text
