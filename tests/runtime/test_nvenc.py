"""When a GPU encodes: asked by encoding a picture, behind a stand-in for its encoder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from talkinghead.offline.writer import Mp4Writer
from talkinghead.runtime import nvenc
from talkinghead.runtime.nvenc import NVENC, encodes_on_gpu, file_encoder, has_nvenc

X264 = {"crf": "18", "preset": "veryfast"}


class FakeEncoder:
    """Takes pictures and gives a packet at the end, or fails."""

    def __init__(self, error: Exception | None = None, packet: bytes = b"h264") -> None:
        self.error, self.packet = error, packet
        self.pictures: list[av.VideoFrame | None] = []

    def encode(self, picture: av.VideoFrame | None) -> list[bytes]:
        self.pictures.append(picture)
        if self.error is not None:
            raise self.error
        return [] if picture is not None else [self.packet]


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    has_nvenc.cache_clear()
    yield
    has_nvenc.cache_clear()


def put(monkeypatch: pytest.MonkeyPatch, encoder: FakeEncoder) -> FakeEncoder:
    monkeypatch.setattr(nvenc.av.CodecContext, "create", lambda name, mode: encoder)
    return encoder


def test_an_encoder_that_gives_a_picture_is_there_and_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = put(monkeypatch, FakeEncoder())
    assert has_nvenc() and has_nvenc()
    picture, end = encoder.pictures
    assert picture is not None and (picture.width, picture.height, end) == (512, 512, None)


@pytest.mark.parametrize(
    "encoder",
    [FakeEncoder(av.error.ExternalError(-542398533, "no device")), FakeEncoder(ValueError("unknown")), FakeEncoder(packet=b"")],
    ids=["no GPU", "unknown", "empty"],
)
def test_an_encoder_that_gives_none_is_not(monkeypatch: pytest.MonkeyPatch, encoder: FakeEncoder) -> None:
    put(monkeypatch, encoder)
    assert not has_nvenc()


def test_only_pictures_of_a_gpu_are_encoded_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvenc, "has_nvenc", lambda: True)
    assert [encodes_on_gpu(device) for device in ("cpu", "cuda", "tensorrt")] == [False, True, True]
    name, options = file_encoder("cuda", 512, 512, X264)
    assert name == NVENC and options["cq"] == "18"
    assert file_encoder("cuda", 128, 128, X264) == file_encoder("cpu", 512, 512, X264) == ("libx264", X264)
    monkeypatch.setattr(nvenc, "has_nvenc", lambda: False)
    assert file_encoder("cuda", 512, 512, X264) == ("libx264", X264)


def test_a_file_is_written_by_the_encoder_that_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[tuple[str, int, int]] = []

    def named(device: str, width: int, height: int, x264: dict[str, str]) -> tuple[str, dict[str, str]]:
        asked.append((device, width, height))
        return "mpeg4", {}

    monkeypatch.setattr("talkinghead.offline.writer.file_encoder", named)
    path = tmp_path / "v.mp4"
    with Mp4Writer(path, 64, 48, sound=iter(()), sound_rate_hz=48_000, sound_channels=1, device="cuda") as out:
        for _ in range(4):
            out.write(np.zeros((48, 64, 3), np.uint8))
    assert asked == [("cuda", 64, 48)]
    with av.open(str(path)) as made:
        assert made.streams.video[0].codec_context.name == "mpeg4"
