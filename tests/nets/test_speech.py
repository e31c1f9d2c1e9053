"""The speech network: streamed as whole, causal, small."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from talkinghead.nets.speech import FACE_PULL, PHONES, SpeechNet, StreamingSpeech, delayed  # noqa: E402
from talkinghead.speech.encoder import LOOKAHEAD_FRAMES, NECK, PAST_SHAPE, SPEECH_FEATURES, STEP_FRAMES  # noqa: E402
from talkinghead.speech.features import FEATURES  # noqa: E402


@pytest.fixture(scope="module")
def net() -> SpeechNet:
    torch.manual_seed(0)
    return SpeechNet().eval()


def test_small_and_with_the_stated_past(net: SpeechNet) -> None:
    assert sum(p.numel() for p in net.parameters()) <= 6_000_000
    assert (net.size.past, net.size.width) == PAST_SHAPE
    rows, past = StreamingSpeech(net).example()
    assert rows.shape == (1, STEP_FRAMES, FEATURES) and past.shape == (1, *PAST_SHAPE)


def test_streamed_is_as_whole(net: SpeechNet) -> None:
    rows = 2 * torch.rand(2, 80, FEATURES)
    past, parts = torch.zeros(2, *PAST_SHAPE), []
    with torch.no_grad():
        whole, phones = net(rows)
        for at in range(0, 80, STEP_FRAMES):
            features, past = StreamingSpeech(net)(rows[:, at : at + STEP_FRAMES], past)
            parts.append(features)
    assert whole.shape == (2, 80, SPEECH_FEATURES) and phones.shape == (2, 80, PHONES)
    torch.testing.assert_close(torch.cat(parts, 1), whole, atol=1e-4, rtol=1e-4)


def test_causal_and_every_row_counts(net: SpeechNet) -> None:
    rows = torch.rand(1, 60, FEATURES)
    other = rows.clone()
    other[:, 40] += 1
    with torch.no_grad():
        a, b = net(rows), net(other)
    for x, y in zip(a, b, strict=True):
        torch.testing.assert_close(x[:, :40], y[:, :40])
        assert (x[:, 40:] - y[:, 40:]).abs().amax(2).min() > 0
        assert (x[:, 40] - y[:, 40]).abs().max() > 1e-3


def test_the_past_reaches_as_far_as_stated_and_no_further(net: SpeechNet) -> None:
    rows = torch.rand(1, 130, FEATURES)
    other = rows.clone()
    other[:, 10] += 1
    with torch.no_grad():
        change = (net(rows)[0] - net(other)[0])[0].abs().amax(1)
    assert change[10 + net.size.past] > 0
    assert change[10 + net.size.past + 1 :].max() < 1e-6


def test_the_neck_is_bounded(net: SpeechNet) -> None:
    with torch.no_grad():
        features, _ = net(1e3 * torch.rand(1, 20, FEATURES))
    assert features[..., :NECK].abs().max() <= 1
    assert torch.isfinite(features).all()


def test_faces_pull_the_trunk_less_than_phones_do() -> None:
    net = SpeechNet(dropout=0.0)
    torch.manual_seed(0)
    rows, pull = torch.rand(1, 20, FEATURES), []
    for training in (True, False):
        net.train(training).zero_grad()
        net(rows)[0][..., NECK:].sum().backward()
        pull.append(float(net.enter.weight.grad.norm()))  # type: ignore[union-attr]
    assert pull[0] == pytest.approx(FACE_PULL * pull[1], rel=0.02)


def test_targets_are_delayed_by_the_look_ahead() -> None:
    values = torch.arange(20.0).reshape(1, 10, 2)
    late = delayed(values)
    assert late.shape == values.shape
    assert late[0, LOOKAHEAD_FRAMES:].tolist() == values[0, : 10 - LOOKAHEAD_FRAMES].tolist()
    assert (late[0, :LOOKAHEAD_FRAMES] == values[0, 0]).all()
    assert delayed(torch.arange(10)[None])[0, LOOKAHEAD_FRAMES:].tolist() == list(range(10 - LOOKAHEAD_FRAMES))
