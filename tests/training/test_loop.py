"""The training loop stops, resumes and learns."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from talkinghead.training.loop import Schedule, train  # noqa: E402


def _batches():  # type: ignore[no-untyped-def]
    generator = torch.Generator().manual_seed(0)
    while True:
        x = torch.rand(32, 2, generator=generator)
        yield x, x @ torch.tensor([[1.0], [-2.0]])


def _loss(net, batch):  # type: ignore[no-untyped-def]
    return (net(batch[0]).float() - batch[1]).square().mean()


def test_it_learns_and_resumes_where_it_stopped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    checkpoint = tmp_path / "net.pt"
    schedule = Schedule(400, rate=3e-2, weight_decay=0.0)
    net = torch.nn.Sequential(torch.nn.Linear(2, 1))
    with pytest.raises(StopIteration):  # the batches run out in the middle: as a stop would
        train(net, islice(_batches(), 150), _loss, schedule, checkpoint)
    assert torch.load(checkpoint, weights_only=True)["step"] == 150
    trained = train(torch.nn.Sequential(torch.nn.Linear(2, 1)), _batches(), _loss, schedule, checkpoint)
    assert "step 150" in capsys.readouterr().out
    assert _loss(trained, next(_batches())) < 0.02
