"""What a call costs, and how many fit."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("aiortc")

from talkinghead.errors import PortraitError
from talkinghead.live.admission import HEADROOM, NETWORK_CORES, SessionCost, available_cores, measure, sessions_held
from talkinghead.live.avatars import AvatarSource
from talkinghead.live.codecs import H264Encoder, VideoSettings
from talkinghead.offline.watermark import find_mark

PHOTO = Path(__file__).parents[2] / "examples" / "data" / "portrait.jpg"


def test_the_sum() -> None:
    cost = SessionCost(hop_ms=10.0, draw_ms=16.0, encode_ms=4.0)
    assert cost.cores(25) == pytest.approx(0.2 + 0.5 + NETWORK_CORES)
    assert sessions_held(cost, 2.0, 25) == int(2 * HEADROOM / 0.8)
    assert sessions_held(cost, 64.0, 25) == int(64 * HEADROOM / 0.8)
    assert sessions_held(cost, 0.2, 25) == 1


@pytest.mark.parametrize(("text", "cores"), [("50000 100000", 0.5), ("10000 100000\n", 0.1), ("max 100000", None), ("", None)])
def test_a_container_has_a_quota(tmp_path: Path, text: str, cores: float | None) -> None:
    everything = available_cores(tmp_path / "none")
    assert everything >= 1
    (tmp_path / "cpu.max").write_text(text)
    assert available_cores(tmp_path / "cpu.max") == (cores or everything)


def test_avatars_of_the_own_portrait_and_of_bytes() -> None:
    source = AvatarSource(PHOTO)
    source.load()
    own, same, sample = source.open(None), source.open(PHOTO.read_bytes()), source.sample()
    assert own is not same  # each draws into buffers of its own
    assert own.portrait is same.portrait is sample.portrait  # read once
    frame = own.draw(np.zeros(6, np.float32), np.zeros_like(own.portrait.z_dyn))
    assert find_mark([frame]).marked
    for sent in (b"", b"I am a letter", PHOTO.read_bytes()[:5000]):
        with pytest.raises(PortraitError, match="the picture"):
            source.open(sent)


def test_a_server_without_portrait_warms_up_with_nobodys_face() -> None:
    source = AvatarSource(None)
    source.load()
    cost = measure(source.sample(), H264Encoder(VideoSettings()))
    assert cost.encode_ms > 0
    assert 0 < cost.draw_ms < 1000
    assert 0 < cost.hop_ms < 1000
    assert source.open(PHOTO.read_bytes()).portrait.notes == ()
