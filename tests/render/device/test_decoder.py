"""The decoder in torch beside that of NumPy and OpenCV, on the CPU: the same frames, alone and in a batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from shipped import needs_networks

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

from talkinghead.avatar import Avatar  # noqa: E402
from talkinghead.bench.quality import psnr_db  # noqa: E402
from talkinghead.errors import EngineError  # noqa: E402
from talkinghead.motion.latent import LatentModel  # noqa: E402
from talkinghead.networks import Networks  # noqa: E402
from talkinghead.render.device.decoder import DeviceDecoder  # noqa: E402
from talkinghead.runtime.weights import model_path  # noqa: E402

PHOTO = Path(__file__).resolve().parents[3] / "examples" / "data" / "portrait.jpg"
POSE_SPREAD = np.array((0.10, 0.15, 0.08, 0.04, 0.04, 0.03))
LEAST_DB = 40.0
"""Of the face; int8 networks on one side, float ones on the other."""
STOPS = ("_local_scalar_dense", "nonzero", "masked_select", "lift_fresh", "unique", "is_nonzero", "equal.default")
"""Operators that ask the GPU something, or bring it a list: a graph cannot hold them."""

pytestmark = needs_networks


@dataclass(frozen=True)
class Case:
    """A portrait on both sides."""

    avatar: Avatar
    slot: int

    def face(self, z_pose: np.ndarray, z_dyn: np.ndarray) -> tuple[slice, slice]:
        """The part of the picture that the driven face takes."""
        avatar = self.avatar
        points, _ = avatar._latent.draw(avatar.portrait.code, z_pose, avatar._rest + z_dyn)
        x0, y0, x1, y1 = np.clip([*points[:, :2].min(0), *points[:, :2].max(0)], 0, 512).astype(int)
        return slice(y0, max(y1, y0 + 1)), slice(x0, max(x1, x0 + 1))


@dataclass(frozen=True)
class Pair:
    """One decoder in torch, and avatars of the other way."""

    device: DeviceDecoder
    cases: tuple[Case, ...]

    def drawn(self, *rows: tuple[int, np.ndarray, np.ndarray], form: str = "rgb") -> np.ndarray:
        """Frames of cases by number under latents."""
        slots = np.array([self.cases[number].slot for number, _, _ in rows])
        z_pose, z_dyn = (np.stack([row[k] for row in rows]) for k in (1, 2))
        return self.device.run(slot=slots, z_pose=z_pose, z_dyn=z_dyn, form=form)["image"]


def made(refine: bool, *photos: np.ndarray) -> Pair:
    networks = Networks.load(refine=refine)
    device = DeviceDecoder(networks.latent, device="cpu", refine=refine)
    avatars = [Avatar.open(photo, networks=networks) for photo in photos]
    cases = [Case(a, device.add(a.portrait.face, a.portrait.points, a.portrait.code)) for a in avatars]
    return Pair(device, tuple(cases))


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Its tensors are small: threads wait for one another longer than they work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def pair() -> Pair:
    """The example, and its mirror image out of focus."""
    photo = np.ascontiguousarray(cv2.imread(str(PHOTO))[..., ::-1])
    soft = cv2.GaussianBlur(np.ascontiguousarray(photo[:, ::-1]), (0, 0), photo.shape[1] / 256)
    return made(True, photo, soft)


@pytest.fixture(scope="module")
def latents() -> Callable[[int], tuple[np.ndarray, np.ndarray]]:
    """z_pose and z_dyn by a seed; 0 is rest."""
    size = LatentModel.load(model_path("latent", "latent.npz")).size_dyn

    def random(seed: int) -> tuple[np.ndarray, np.ndarray]:
        rng, much = np.random.default_rng(seed), min(seed, 1)
        return much * rng.standard_normal(6) * POSE_SPREAD, much * 0.8 * rng.standard_normal(size)

    return random


Latents = Callable[[int], tuple[np.ndarray, np.ndarray]]


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("seed", [0, 1])
def test_frames_are_those_of_the_other_decoder(pair: Pair, latents: Latents, number: int, seed: int) -> None:
    case, (z_pose, z_dyn) = pair.cases[number], latents(seed)
    expected, got = case.avatar.draw(z_pose, z_dyn), pair.drawn((number, z_pose, z_dyn))[0]
    assert got.shape == expected.shape and got.dtype == np.uint8
    face = case.face(z_pose, z_dyn)
    assert psnr_db(got[face], expected[face]) >= LEAST_DB
    assert psnr_db(got, expected) >= LEAST_DB


@pytest.mark.parametrize("z_pose", [(0.1, 0.5, 0.1, 0, 0, 0), (0, 0.1, 0, 0.05, 0, 0.5), (0, 0, 0, 1.5, 0.2, 0)], ids=str)
def test_wide_turns_and_faces_near_and_half_outside(pair: Pair, latents: Latents, z_pose: tuple[float, ...]) -> None:
    pose, z_dyn = np.array(z_pose), 0.5 * latents(3)[1]
    expected, got = pair.cases[0].avatar.draw(pose, z_dyn), pair.drawn((0, pose, z_dyn))[0]
    assert psnr_db(got, expected) >= 36.0  # clothes whose mesh folds are the least alike
    face = pair.cases[0].face(pose, z_dyn)
    assert psnr_db(got[face], expected[face]) >= LEAST_DB


def test_rows_of_a_batch_do_not_meet(pair: Pair, latents: Latents) -> None:
    rows = [(number, *latents(seed)) for number, seed in ((0, 1), (1, 2), (0, 2))]
    together = pair.drawn(*rows)
    for row, frame in zip(rows, together, strict=True):
        alone = pair.drawn(row)[0].astype(int)
        assert np.abs(alone - frame).max() <= 1  # sums of a batch are taken in another order
    assert (together[0] != together[2]).any()


def test_the_networks_draw_too(pair: Pair, latents: Latents) -> None:
    plain = made(False, pair.cases[0].avatar.portrait.image)
    z_pose, z_dyn = latents(1)
    expected, got = plain.cases[0].avatar.draw(z_pose, z_dyn), plain.drawn((0, z_pose, z_dyn))[0]
    face = plain.cases[0].face(z_pose, z_dyn)
    assert psnr_db(got[face], expected[face]) >= LEAST_DB
    assert psnr_db(pair.drawn((0, z_pose, z_dyn))[0][face], got[face]) < LEAST_DB


def test_nv12_is_the_same_picture(pair: Pair, latents: Latents) -> None:
    row = (0, *latents(1))
    rgb, planes = pair.drawn(row)[0], pair.drawn(row, form="nv12")[0]
    expected = cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV_I420)
    assert planes.shape == (768, 512)
    np.testing.assert_array_equal(planes[:512], expected[:512])
    for k in (0, 1):
        np.testing.assert_array_equal(planes[512:].reshape(-1, 2)[:, k], expected[512:].reshape(2, -1)[k])


class Recorded(TorchDispatchMode):
    """Counts operators."""

    def __init__(self) -> None:
        super().__init__()
        self.called: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.called[str(func)] += 1
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("form", ["rgb", "nv12"])
def test_a_frame_can_be_recorded_as_a_graph(pair: Pair, latents: Latents, form: str) -> None:
    z_pose, z_dyn = (torch.tensor(z[None], dtype=torch.float32) for z in latents(1))
    given = [torch.tensor([pair.cases[1].slot]), z_pose, z_dyn]
    with torch.inference_mode(), Recorded() as recorded:
        pair.device._frames(given, form, True)
    assert recorded.called["aten.scatter_reduce_.two"] == 2  # it does see operators
    assert not [name for name in recorded.called if any(stop in name for stop in STOPS)]


def test_a_frame_is_traced_whole_and_drawn_the_same(pair: Pair, latents: Latents) -> None:
    """What a compiler gets to fuse: without a way back to Python."""
    z_pose, z_dyn = (torch.tensor(z[None], dtype=torch.float32) for z in latents(1))
    given = [torch.tensor([pair.cases[0].slot]), z_pose, z_dyn]
    traced = torch.compile(pair.device._frames, dynamic=False, fullgraph=True, backend="aot_eager")
    with torch.inference_mode():
        expected, got = (frames(given, "rgb", True) for frames in (pair.device._frames, traced))
    assert (got.int() - expected.int()).abs().max() <= 1


def test_the_cpu_needs_no_preparing(pair: Pair, latents: Latents) -> None:
    pair.drawn((0, *latents(0)))
    pair.device.prepare()
    assert not pair.device._graphs


class Replayed:
    """A recording that is made again each time."""

    def __init__(self, given: list[Any], call: Callable[[list[Any]], tuple[Any, ...]]) -> None:
        self.rows, self._call = len(given[0]), call

    def replay(self, given: list[Any], copy: bool) -> tuple[Any, ...]:
        assert len(given[0]) == self.rows
        return self._call(given)


def test_batches_are_recorded_by_size_and_prepared_before_they_come(
    pair: Pair, latents: Latents, monkeypatch: pytest.MonkeyPatch
) -> None:
    fused, recorded = list[int](), list[int]()

    def record(given: list[Any], call: Any) -> Replayed:
        recorded.append(len(given[0]))
        return Replayed(given, call)

    def compiled(call: Any) -> Any:
        return lambda given: (fused.append(len(given[0])), call(given))[1]

    monkeypatch.setattr(pair.device, "_record", record)
    monkeypatch.setattr(pair.device, "_graphs", {})
    monkeypatch.setattr(pair.device, "_fuser", None)
    monkeypatch.setattr(pair.device, "_pattern", [])
    monkeypatch.setattr("talkinghead.render.device.fusing.inductor", compiled)
    rows = [(0, *latents(seed)) for seed in (0, 1, 2)]
    expected = pair.drawn(*rows)
    assert recorded == [4] and not fused  # three are filled up, nothing is fused unasked
    pair.device.prepare(4, "rgb")
    assert sorted(recorded) == [1, 1, 2, 2, 4, 4, 4] and set(fused) == {1, 2, 4}
    fused.clear()
    np.testing.assert_array_equal(pair.drawn(*rows), expected)
    assert fused == [4] and len(recorded) == 7


def test_wrong_calls_are_told(pair: Pair, latents: Latents) -> None:
    z_pose, z_dyn = latents(0)
    with pytest.raises(EngineError, match="rgb or nv12, not 'bgr'"):
        pair.drawn((0, z_pose, z_dyn), form="bgr")
    with pytest.raises(EngineError, match="the same n"):
        pair.device.run(slot=np.array([0, 1]), z_pose=z_pose[None], z_dyn=z_dyn[None])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_on_a_gpu(pair: Pair, latents: Latents) -> None:
    portrait = pair.cases[0].avatar.portrait
    device = DeviceDecoder(LatentModel.load(model_path("latent", "latent.npz")), device="cuda")
    slot = np.array([device.add(portrait.face, portrait.points, portrait.code)] * 3)
    for seed in (1, 2):  # recorded, then replayed
        z_pose, z_dyn = latents(seed)
        got = device.run(slot=slot, z_pose=np.stack([z_pose] * 3), z_dyn=np.stack([z_dyn] * 3))["image"]
        assert all(psnr_db(frame, pair.drawn((0, z_pose, z_dyn))[0]) >= LEAST_DB for frame in got)
