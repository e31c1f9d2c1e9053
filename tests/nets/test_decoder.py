"""The decoder's networks: harmless untrained, still at the border, small enough for every frame."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from talkinghead.nets.decoder import CHANNELS, CODE, PARTS, PatchDecoder, Widths, folded  # noqa: E402
from talkinghead.render.refine import CHANNELS as DRAWN_CHANNELS  # noqa: E402
from talkinghead.render.refine import EYE_PX, MOUTH_PX  # noqa: E402

SMALL = (16, 8, 16, 24)
Inputs = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def inputs(part: str, count: int = 2) -> Inputs:
    """Photo, patch and code of noise."""
    width_px, height_px, _ = PARTS[part]
    torch.manual_seed(1)
    photo, patch = torch.rand(2, count, CHANNELS, height_px, width_px)
    return photo, patch, torch.randn(count, CODE)


def random_net(part: str, widths: Widths | None = None) -> PatchDecoder:
    """What starts at nought is random, so that it counts."""
    torch.manual_seed(0)
    net = PatchDecoder(part, widths).eval()
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return net


def change(net: PatchDecoder, given: Inputs) -> torch.Tensor:
    with torch.no_grad():
        return net(*given)


def test_sizes_are_those_of_the_patches_that_are_drawn() -> None:
    assert PARTS["mouth"][:2] == MOUTH_PX and PARTS["eye"][:2] == EYE_PX
    assert CHANNELS == DRAWN_CHANNELS


@pytest.mark.parametrize("part", PARTS)
def test_untrained_it_changes_nothing(part: str) -> None:
    assert not change(PatchDecoder(part), inputs(part)).any()


@pytest.mark.parametrize("part", PARTS)
def test_the_border_stays_and_the_inside_does_not(part: str) -> None:
    made = change(random_net(part, SMALL), inputs(part))
    width_px, height_px, _ = PARTS[part]
    assert made.shape == (2, 3, height_px, width_px)
    for edge in (made[..., 0, :], made[..., -1, :], made[..., 0], made[..., -1]):
        assert not edge.any()
    assert made[..., 1:-1, 1:-1].abs().mean() > 1e-3
    near, inside = made[..., 1, :].abs().mean(), made[..., height_px // 2, :].abs().mean()
    assert near < 0.1 * inside  # it fades out


@pytest.mark.parametrize("part", PARTS)
def test_the_appearance_is_a_pyramid_that_the_painter_takes(part: str) -> None:
    net = PatchDecoder(part)
    width_px, height_px, widths = PARTS[part]
    photo, patch, code = inputs(part)
    with torch.no_grad():
        pyramid = net.appearance(photo)
    expected = [(2, widths[k], height_px >> k, width_px >> k) for k in (2, 3)]
    assert [tuple(level.shape) for level in pyramid] == expected
    example, for_painter = net.examples()
    assert example.shape[1:] == photo.shape[1:]
    assert [x.shape[1:] for x in for_painter] == [x.shape[1:] for x in (patch, code, *pyramid)]
    assert len(example) == (2 if part == "eye" else 1)


@pytest.mark.parametrize("which", range(3))
def test_photo_patch_and_code_all_count_and_rows_do_not_mix(which: int) -> None:
    net, given = random_net("eye", SMALL), inputs("eye")
    other = [x.clone() for x in given]
    other[which][1] = -other[which][1]
    off = (change(net, given) - change(net, (other[0], other[1], other[2]))).abs().amax((1, 2, 3))
    assert off[1] > 1e-3
    assert off[0] < 1e-6


def test_folding_loses_nothing() -> None:
    picture = torch.rand(1, CHANNELS, 6, 8)
    assert torch.equal(torch.nn.functional.pixel_shuffle(folded(picture), 2), picture)


@pytest.mark.parametrize(("part", "most_gflop"), [("mouth", 0.27), ("eye", 0.16)])
def test_a_frame_costs_little(part: str, most_gflop: float) -> None:
    net = PatchDecoder(part)
    flop = 0

    def count(layer: torch.nn.Module, _: object, out: torch.Tensor) -> None:
        nonlocal flop
        flop += 2 * out.numel() * layer.weight[0].numel()

    for layer in net.painter.modules():
        if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear):
            layer.register_forward_hook(count)
    with torch.no_grad():
        net.painter(*net.examples()[1])  # one mouth or two eyes
    assert 0.01e9 < flop <= most_gflop * 1e9


def test_outside_the_lips_a_mouth_s_grain_stays_the_warp_s() -> None:
    def grain(part: str, covered: float) -> float:
        photo, patch, code = inputs(part)
        patch[:, 3:] = 0.0
        patch[:, 4] = covered
        made = change(random_net(part, SMALL), (photo, patch, code))[..., 20:-20, 20:-20]
        fine = made - torch.nn.functional.avg_pool2d(made, 3, 1, 1, count_include_pad=False)
        return float(fine.square().mean() / made.square().mean())

    assert grain("mouth", 0.0) < 0.03 * grain("mouth", 1.0)
    assert grain("eye", 0.0) > 0.3 * grain("eye", 1.0)  # lids fold wherever they do
