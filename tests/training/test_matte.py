"""The matting network's recipe: its layers add up, its pictures are what their mattes say, and it learns from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import synthetic_face as synthetic

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("safetensors")

from talkinghead.constants import MATTE_PX  # noqa: E402
from talkinghead.nets.matte import MatteNet  # noqa: E402
from talkinghead.runtime.onnx import OnnxEngine  # noqa: E402
from talkinghead.training.matte import Scenes, batches, export, loss, watch  # noqa: E402
from talkinghead.training.matte_data import HELD_SHARE, held, layers_of  # noqa: E402
from talkinghead.training.matte_report import Scene, by_colours, figures, report  # noqa: E402

POINTS = synthetic.pose().apply(synthetic.canonical_face())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four people, two of them held out, each with hair and wall of their own width."""
    made = tmp_path_factory.mktemp("matte")
    for k in range(4):
        face, _ = synthetic.portrait(synthetic.canonical_face(), wide=1.2 + 0.1 * k)
        layers = layers_of(face, POINTS)
        assert layers is not None
        np.savez(made / f"{k}.npz", held=k % 2 == 1, **layers)  # type: ignore[arg-type]
    return made


def test_a_portrait_before_a_plain_wall_gives_person_and_wall() -> None:
    face, person = synthetic.portrait(synthetic.canonical_face())
    layers = layers_of(face, POINTS)
    assert layers is not None and all(layer.shape[:2] == (MATTE_PX, MATTE_PX) for layer in layers.values())
    share = layers["alpha"][..., None] / 255
    again = share * layers["person"] + (1 - share) * layers["wall"]
    assert np.abs(again - layers["photo"]).mean() < 3
    assert np.abs(layers["alpha"] / 255 - person[::2, ::2]).mean() < 0.03
    assert np.abs(layers["wall"].astype(int) - synthetic.WALL).mean() < 12  # nothing of the person is left in it
    assert layers["face"][layers["alpha"] < 5].max() < 128 and layers["known"][layers["alpha"] > 5].max() == 0


def test_hair_before_its_own_colour_gives_a_wall_only_and_a_full_picture_nothing() -> None:
    layers = layers_of(synthetic.portrait(synthetic.canonical_face(), synthetic.HAIR)[0], POINTS)
    assert layers is not None and "alpha" not in layers
    assert layers_of(np.full((512, 512, 3), 120, np.uint8), 256 + (POINTS - 256) * 3.0) is None


def test_some_people_are_held_out_and_always_the_same() -> None:
    chosen = [held(f"person {k}") for k in range(2000)]
    assert abs(np.mean(chosen) - HELD_SHARE) < 0.03 and chosen == [held(f"person {k}") for k in range(2000)]


def test_people_held_out_do_not_teach(folder: Path, tmp_path: Path) -> None:
    assert len(Scenes(folder, held=False).people) == len(Scenes(folder, held=True).people) == 2
    with pytest.raises(SystemExit, match="matte_data"):
        Scenes(tmp_path, held=False)


def test_pictures_are_in_range_and_differ(folder: Path) -> None:
    given, true = next(batches(Scenes(folder, held=False), 12, 0))
    assert given.shape == (12, 4, MATTE_PX, MATTE_PX) and true.shape == (12, 1, MATTE_PX, MATTE_PX)
    assert given.min() >= 0 and given.max() <= 1 and true.min() >= 0 and true.max() <= 1
    face = given[:, 3:] > 0.99
    assert (true[face] > 0.9).float().mean() > 0.98  # the face is the person's
    assert ((given[1:] - given[:-1]).abs().mean((1, 2, 3)) > 0.01).all()


def test_the_loss_falls_and_is_least_for_the_truth(folder: Path) -> None:
    torch.manual_seed(0)
    batch = next(batches(Scenes(folder, held=False), 2, 0))
    net = MatteNet(4)
    optimiser = torch.optim.Adam(net.parameters(), 1e-2)
    course = []
    for _ in range(40):
        total = loss(net, batch)
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
        course.append(float(total.detach()))
    assert np.mean(course[-3:]) < 0.5 * course[0]

    class Right(torch.nn.Module):
        def forward(self, _: object) -> object:
            return torch.logit(batch[1].clamp(1e-4, 1 - 1e-4))

    assert float(loss(Right(), batch)) < 0.2 * np.mean(course[-3:]) + 0.1


def test_what_is_watched_tells_right_from_wrong(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("talkinghead.training.matte._WATCHED", 3)
    check = watch(Scenes(folder, held=True))

    class Nobody(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.full_like(x[:, :1], -20.0)

    words = check(Nobody())
    off, edge = (float(word) for word in (words.split()[1], words.split()[4]))
    assert 15 < off < 80 and 20 < edge < 80  # all of the person is off


def test_a_report_tells_what_is_left_behind_from_what_is_taken_along() -> None:
    face, person = synthetic.portrait(synthetic.canonical_face())
    scene = Scene(face, POINTS, person.astype(np.float32))
    one = np.float32(0)
    ways = {"right": lambda s: s.alpha, "nobody": lambda s: s.alpha * one, "everything": lambda s: s.alpha * one + 1}
    made = report(iter([scene, scene]), ways)
    share = 100 * person.mean()
    np.testing.assert_allclose(made["right"], 0)
    np.testing.assert_allclose(made["nobody"], (share, share, 0), rtol=1e-5)
    np.testing.assert_allclose(made["everything"], (100 - share, 0, 100 - share), rtol=1e-5)
    assert figures(by_colours(scene), scene.alpha)[0] < 3


def test_exported_is_the_same_network(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = MatteNet(8).eval()
    export(net, tmp_path)
    picture = torch.rand(2, 4, MATTE_PX, MATTE_PX)
    with torch.no_grad():
        true = net(picture).numpy()
    found = OnnxEngine(tmp_path / "matte.onnx").run(picture=picture.numpy())["logit"]
    np.testing.assert_allclose(found, true, atol=5e-3 * np.abs(true).max())
