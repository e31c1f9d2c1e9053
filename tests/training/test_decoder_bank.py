"""Batches of pairs: shapes and ranges, mirror images whose codes are mirrored too, and who is never trained on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from decoder_shards import DARK, LIGHT, SIZES, write_shard  # noqa: E402

from talkinghead.motion.latent import LatentModel  # noqa: E402
from talkinghead.render.refine import CHANNELS, code_mirror  # noqa: E402
from talkinghead.runtime.weights import model_path  # noqa: E402
from talkinghead.training.decoder_bank import SHARES, Bank, Batch  # noqa: E402
from talkinghead.training.decoder_pairs import Shard  # noqa: E402

TRAINED = {"hq": 1.0, "grid_s1": 2.0, "teeth": 3.0, "london": 4.0, "returned": 5.0, "avatar": 6.0}
HELD = {"hq": 7.0, "london": 8.0}


@pytest.fixture(scope="module")
def latent() -> LatentModel:
    return LatentModel.load(model_path("latent", "latent.npz"))


@pytest.fixture(scope="module")
def folder(latent: LatentModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pairs")
    for kind, source in TRAINED.items():
        write_shard(path / kind / "a.npz", kind, source, latent.size_dyn)
    for kind, source in HELD.items():
        write_shard(path / kind / "b.npz", kind, source, latent.size_dyn, held=True, pairs=5)
    Shard().save(path / "teeth" / "closed.npz", "teeth", False)  # a source that gave no pair
    return path


@pytest.fixture(scope="module", params=["mouth", "eye"])
def part(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def bank(folder: Path, part: str, latent: LatentModel) -> Bank:
    return Bank(folder, part, latent)


@pytest.fixture(scope="module")
def drawn(bank: Bank) -> Batch:
    return bank.draw(120)


def left_lighter(pictures: torch.Tensor) -> torch.Tensor:
    """Which of (n, c, h, w) are lighter in their left half."""
    half = pictures.shape[3] // 2
    return pictures[..., :half].mean((1, 2, 3)) > pictures[..., half:].mean((1, 2, 3))


def test_shapes_and_ranges(drawn: Batch, part: str, latent: LatentModel) -> None:
    size = SIZES[part][1:]
    for given in (drawn.photo, drawn.patch):
        assert given.shape == (120, CHANNELS, *size)
    assert drawn.true.shape == drawn.drawn.shape == (120, 3, *size)
    assert drawn.code.shape == (120, latent.size_dyn + 3)
    assert drawn.weight.shape == (120, 1, 1, 1) and drawn.sharp.shape == (120,) and len(drawn.kinds) == 120
    for values in (drawn.photo, drawn.patch, drawn.true, drawn.code):
        assert values.dtype == torch.float32 and torch.isfinite(values).all()
    for values in (drawn.photo, drawn.patch, drawn.true):
        assert values.min() >= 0 and values.max() <= 1
    assert set(drawn.patch[:, 3:].unique().tolist()) == {0.0, 1.0}
    assert torch.equal(drawn.drawn, drawn.patch[:, :3])


def test_kinds_come_by_their_shares(drawn: Batch, part: str) -> None:
    assert set(drawn.kinds) == set(SHARES[part])
    for kind, share in SHARES[part].items():
        assert drawn.kinds.count(kind) / 120 == pytest.approx(share, abs=0.15), kind
    sources = drawn.code[:, -3].round().tolist()
    assert all(TRAINED[kind] == source for kind, source in zip(drawn.kinds, sources, strict=True))


def test_soft_clips_count_less_and_do_not_teach_sharpness(drawn: Batch) -> None:
    soft = torch.tensor([kind == "grid_s1" for kind in drawn.kinds])
    assert torch.equal(drawn.sharp, ~soft)
    assert drawn.weight[soft].max() < 1 and (drawn.weight[~soft] == 1).all()


def test_people_held_out_are_watched_and_never_trained_on(bank: Bank, drawn: Batch, part: str) -> None:
    assert not set(drawn.code[:, -3].round().tolist()) & set(HELD.values())
    held = bank.held(12)
    assert set(held.code[:, -3].round().tolist()) == set(HELD.values())
    assert f"held out {10 * SIZES[part][0]}" in bank.told()


def test_what_is_held_out_is_shown_as_it_is(bank: Bank, folder: Path, part: str) -> None:
    first, again = bank.held(12), bank.held(12)
    assert torch.equal(first.patch, again.patch) and torch.equal(first.code, again.code)
    for kind in HELD:
        with np.load(folder / kind / "b.npz") as data:
            at = first.kinds.index(kind)
            for batch, name in ((first.photo[:, :3], "photo"), (first.drawn, "drawn"), (first.true, "true")):
                expected = data[f"{part}_{name}"][0, 0].transpose(2, 0, 1) / 255  # its rows are alike
                np.testing.assert_allclose(batch[at].numpy(), expected, atol=1e-6)


def test_mouths_are_mirrored_whole_and_with_their_codes(folder: Path, latent: LatentModel) -> None:
    batch, matrix = Bank(folder, "mouth", latent).draw(60), code_mirror(latent)
    plain = batch.code[:, -2] > 0
    assert 15 < int(plain.sum()) < 45
    for pictures in (batch.photo[:, :3], batch.photo[:, 3:], batch.drawn, batch.patch[:, 3:], batch.true):
        assert torch.equal(left_lighter(pictures), plain)
    stored = np.concatenate([np.load(folder / kind / "a.npz")["code"] for kind in TRAINED])
    for codes, known in ((batch.code[plain], stored), (batch.code[~plain], stored @ matrix)):
        off = np.abs(codes.numpy()[:, None] - known[None]).max(2).min(1)
        assert off.max() < 1e-4


def test_a_patch_is_shifted_whole_while_the_photo_stays(folder: Path, latent: LatentModel) -> None:
    batch = Bank(folder, "eye", latent).draw(40)
    with np.load(folder / "hq" / "a.npz") as data:
        stored = {name: data[f"eye_{name}"][0, 0].mean(2) for name in ("drawn", "true", "photo")}
    hq = [i for i, kind in enumerate(batch.kinds) if kind == "hq"]
    places = {
        name: [_place(pictures[i, :3].mean(0).numpy(), stored[name]) for i in hq]
        for name, pictures in (("drawn", batch.drawn), ("true", batch.true), ("photo", batch.photo))
    }
    assert set(places["photo"]) == {(0, 0)}
    assert places["drawn"] == places["true"]
    for axis in range(2):
        seen = {place[axis] for place in places["drawn"]}
        assert len(seen) > 2 and max(map(abs, seen)) <= 2
    edges = [int(batch.patch[i, 3, 32].sum()) - batch.patch.shape[3] // 2 for i in hq]  # the left half is covered
    assert edges == [aside for _, aside in places["drawn"]]


def _place(shown: np.ndarray, stored: np.ndarray) -> tuple[int, int]:
    """How far down and aside ``shown`` is moved, px."""
    inner = np.s_[4:-4, 4:-4]

    def likeness(by: tuple[int, int]) -> float:
        there = np.roll(stored, by, (0, 1))[inner]
        a, b = (np.diff(np.diff(x, axis=0), axis=1).ravel() for x in (shown[inner], there))  # light and halves do not count
        return float(a @ b)

    return max(((down, aside) for down in range(-3, 4) for aside in range(-3, 4)), key=likeness)


def test_eyes_are_all_turned_one_way_and_stay_so(folder: Path, latent: LatentModel) -> None:
    batch = Bank(folder, "eye", latent).draw(60)
    for pictures in (batch.photo, batch.drawn, batch.patch[:, 3:], batch.true):
        assert left_lighter(pictures).all()
    mirrored = batch.code[:, -2] < 0  # that on the picture's right, stored mirrored
    assert 15 < int(mirrored.sum()) < 45
    assert torch.equal(mirrored, batch.code[:, -1] > 0)


def test_colours_are_disguised_alike_in_all_pictures(folder: Path, latent: LatentModel) -> None:
    batch = Bank(folder, "eye", latent).draw(60)
    left = [p[:, :3, :, 8:32].mean((2, 3)) for p in (batch.photo, batch.drawn)]
    torch.testing.assert_close(left[0], left[1], atol=0.05, rtol=0)  # they were the same but for noise
    assert left[0][:, 0].std() > 0.03  # of light and hue
    assert (left[0].std(1) < 1e-3).float().mean() == pytest.approx(0.08, abs=0.08)  # without colour
    assert abs(float(left[0][:, 0].mean()) - LIGHT / 255) < abs(DARK - LIGHT) / 255


def test_a_missing_kind_leaves_its_share_to_the_others(latent: LatentModel, tmp_path: Path) -> None:
    write_shard(tmp_path / "london" / "a.npz", "london", 4.0, latent.size_dyn)
    assert set(Bank(tmp_path, "eye", latent).draw(4).kinds) == {"london"}


def test_nothing_to_learn_from_is_told(latent: LatentModel, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="decoder_data"):
        Bank(tmp_path, "mouth", latent)


def test_a_seed_repeats(folder: Path, latent: LatentModel) -> None:
    a, b, c = (Bank(folder, "mouth", latent, seed).draw(4).patch for seed in (3, 3, 4))
    assert torch.equal(a, b) and not torch.equal(a, c)


def test_pairs_of_an_older_kind_are_told(tmp_path: Path, latent: LatentModel) -> None:
    path = tmp_path / "hq" / "a.npz"
    write_shard(path, "hq", 1.0, latent.size_dyn)
    with np.load(path) as data:
        older = {name: data[name] for name in data.files if name != "width"}
    np.savez(path, **older)
    with pytest.raises(SystemExit, match="older kind.*decoder_data"):
        Bank(tmp_path, "mouth", latent)
