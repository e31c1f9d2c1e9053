"""Every kind of picture comes out upright and in RGB; every kind of trouble in one line."""

import io
import os
import socket
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from talkinghead.errors import PortraitError
from talkinghead.portrait import load
from talkinghead.portrait.load import load_photo

HEIGHT, WIDTH = 48, 64


@pytest.fixture
def rgb() -> np.ndarray:
    """A smooth picture without any symmetry: red to the right, green downward."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.dstack([x * 4, y * 5, np.full_like(x, 40)]).astype(np.uint8)


def write(path: Path, rgb: np.ndarray) -> Path:
    order = [2, 1, 0, 3][: rgb.shape[2]] if rgb.ndim == 3 else slice(None)
    path.write_bytes(cv2.imencode(path.suffix, rgb[..., order] if rgb.ndim == 3 else rgb)[1].tobytes())
    return path


def error(path: Path) -> str:
    """The message, which is one line that names the file."""
    with pytest.raises(PortraitError) as caught:
        load_photo(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


def difference(one: np.ndarray, other: np.ndarray) -> float:
    assert one.shape == other.shape
    return float(np.abs(one.astype(int) - other).mean())


def png_chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png_of_size(width: int, height: int) -> bytes:
    """A valid header and almost no data: a picture bomb."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = png_chunk(b"IDAT", zlib.compress(b"\0" * 1000))
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + data + png_chunk(b"IEND", b"")


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tiff", ".ppm", ".jp2", ".webp", ".jpg"])
def test_reads_the_formats_of_opencv(tmp_path: Path, rgb: np.ndarray, suffix: str) -> None:
    photo = load_photo(write(tmp_path / f"a{suffix}", rgb))
    assert photo.dtype == np.uint8
    assert photo.flags.c_contiguous
    assert difference(photo, rgb) < 4


def test_grey_becomes_three_equal_channels(tmp_path: Path, rgb: np.ndarray) -> None:
    photo = load_photo(write(tmp_path / "a.png", rgb[..., 0]))
    assert difference(photo, np.repeat(rgb[..., :1], 3, axis=2)) == 0


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_16_bits_become_8(tmp_path: Path, rgb: np.ndarray, suffix: str) -> None:
    assert difference(load_photo(write(tmp_path / f"a{suffix}", rgb.astype(np.uint16) * 257)), rgb) == 0


def test_transparent_parts_become_light_grey(tmp_path: Path, rgb: np.ndarray) -> None:
    alpha = np.zeros((HEIGHT, WIDTH, 1), np.uint8)
    alpha[:, WIDTH // 2 :] = 255
    photo = load_photo(write(tmp_path / "a.png", np.concatenate([rgb, alpha], axis=2)))
    assert (photo[:, : WIDTH // 2] == 216).all()
    assert difference(photo[:, WIDTH // 2 :], rgb[:, WIDTH // 2 :]) == 0


def test_an_alpha_of_all_zeros_means_opaque(tmp_path: Path, rgb: np.ndarray) -> None:
    photo = load_photo(write(tmp_path / "a.png", np.concatenate([rgb, np.zeros_like(rgb[..., :1])], axis=2)))
    assert difference(photo, rgb) == 0


def test_large_photos_are_shrunk(tmp_path: Path, rgb: np.ndarray) -> None:
    assert load_photo(write(tmp_path / "a.png", rgb), max_side_px=32).shape == (24, 32, 3)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_turn(tmp_path: Path, rgb: np.ndarray, kind: str, orientation: int) -> None:
    image = pytest.importorskip("PIL.Image")
    ops = pytest.importorskip("PIL.ImageOps")
    exif = image.Exif()
    exif[0x0112] = orientation
    stored = io.BytesIO()
    image.fromarray(rgb).save(stored, kind, exif=exif, quality=97)
    (tmp_path / "a.jpg").write_bytes(stored.getvalue())
    expected = np.asarray(ops.exif_transpose(image.open(stored)).convert("RGB"))
    assert difference(load_photo(tmp_path / "a.jpg"), expected) < 3


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        ("CMYK", "JPEG"),
        ("CMYK", "TIFF"),
        ("P", "PNG"),
        ("P", "GIF"),
        ("P", "BMP"),
        ("LA", "PNG"),
        ("1", "PNG"),
        ("RGB", "TGA"),
    ],
)
def test_modes_of_pillow(tmp_path: Path, rgb: np.ndarray, mode: str, kind: str) -> None:
    image = pytest.importorskip("PIL.Image")
    converted = image.fromarray(rgb).convert(mode)
    converted.save(tmp_path / "a.bin", kind)
    assert difference(load_photo(tmp_path / "a.bin"), np.asarray(converted.convert("RGB"))) < 4


def test_no_such_file(tmp_path: Path) -> None:
    assert "no such photo" in error(tmp_path / "nobody.jpg")


def test_folder(tmp_path: Path) -> None:
    assert "is a folder" in error(tmp_path)


def test_empty_file(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    assert "is empty" in error(tmp_path / "a.jpg")


@pytest.mark.parametrize("text", ["Dear photo,\nplease speak.\n", "P", "BM", "RIFFxxxxWEBPmore", "II*\0", "GIF8"])
def test_text_named_jpg(tmp_path: Path, text: str, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.jpg").write_text(text)
    assert "save the photo as JPEG or PNG" in error(tmp_path / "a.jpg")
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp", ".tiff", ".jp2", ".ppm"])
@pytest.mark.parametrize("kept", [0.5, 0.97])
def test_truncated(tmp_path: Path, suffix: str, kept: float, capfd: pytest.CaptureFixture[str]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    path = write(tmp_path / f"a{suffix}", noise)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    assert "damaged" in error(path)
    assert capfd.readouterr().err == ""


def test_truncated_jpeg_with_a_whole_thumbnail(tmp_path: Path, rgb: np.ndarray) -> None:
    """The thumbnail's end marker must not pass for the picture's."""
    whole = write(tmp_path / "a.jpg", rgb).read_bytes()
    thumbnail = b"Exif\0\0" + whole
    (tmp_path / "a.jpg").write_bytes(
        b"\xff\xd8\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail + whole[2 : len(whole) - 20]
    )
    assert "cut off" in error(tmp_path / "a.jpg")


def test_png_with_a_flipped_bit(tmp_path: Path, rgb: np.ndarray, capfd: pytest.CaptureFixture[str]) -> None:
    data = bytearray(write(tmp_path / "a.png", rgb).read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "a.png").write_bytes(data)
    assert "damaged" in error(tmp_path / "a.png")
    assert capfd.readouterr().err == ""


def bombs() -> dict[str, bytes]:
    side = 30_000
    sof = struct.pack(">BHH", 8, side, side) + b"\3\1\x11\0\2\x11\1\3\x11\1"
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, side) for tag in (256, 257))
    return {
        "png": png_of_size(side, side),
        "jpeg": b"\xff\xd8\xff\xc0" + struct.pack(">H", len(sof) + 2) + sof + b"\xff\xda\0\2\xff\xd9",
        "webp": b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + (side - 1).to_bytes(3, "little") * 2,
        "gif": b"GIF89a" + struct.pack("<HH", side, side) + b"\0\0\0;",
        "bmp": b"BM" + b"\0" * 12 + struct.pack("<Iii", 40, side, -side) + b"\0" * 40,
        "tiff": b"II*\0" + struct.pack("<IH", 8, 2) + entries + b"\0" * 4,
        "pnm": b"P6\n# made by hand\n30000 30000\n255\n",
        "jp2": b"\xff\x4f\xff\x51" + struct.pack(">HHII", 41, 0, side, side),
        "avif": b"\0\0\0\x10ftypavif\0\0\0\0" + b"ispe" + struct.pack(">III", 0, side, side),
    }


@pytest.mark.parametrize("kind", bombs())
def test_picture_bombs_are_never_decoded(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("decoded"))
    (tmp_path / "a").write_bytes(bombs()[kind])
    message = error(tmp_path / "a")
    assert "30000×30000" in message
    assert "4000 px" in message


def test_many_pixels_count_even_where_the_sides_are_fine(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png_of_size(11_000, 11_000))
    assert "too large" in error(tmp_path / "a.png")


def test_bombs_for_pillow(tmp_path: Path) -> None:
    """A kind whose header only Pillow knows (TGA) is measured as well."""
    pytest.importorskip("PIL")
    header = struct.pack("<BBBHHBHHHHBB", 0, 0, 2, 0, 0, 0, 0, 0, 30_000, 30_000, 24, 0)
    (tmp_path / "a.tga").write_bytes(header + b"\0" * 100)
    error(tmp_path / "a.tga")


def test_works_without_pillow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "PIL", None)
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x10ftypheic\0\0\0\0" + b"ispe" + struct.pack(">III", 0, 64, 64))
    assert "HEIC" in error(tmp_path / "a.heic")


def test_no_permission(tmp_path: Path, rgb: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(self))

    path = write(tmp_path / "a.png", rgb)
    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert "no permission" in error(path)


def test_special_files_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    assert "not a regular file" in error(tmp_path / "pipe.jpg")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s.jpg"))
        assert "not a regular file" in error(tmp_path / "s.jpg")


def test_opencv_keeps_its_log_level(tmp_path: Path, rgb: np.ndarray) -> None:
    log = getattr(cv2.utils, "logging", cv2)
    before = log.getLogLevel()
    load_photo(write(tmp_path / "a.png", rgb))
    assert log.getLogLevel() == before


def test_file_size_limit(tmp_path: Path, rgb: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "MAX_FILE_BYTES", 10)
    assert "limit" in error(write(tmp_path / "a.png", rgb))


@pytest.mark.parametrize("suffix", [".png", ".webp", ".jpg"])
def test_bytes_of_the_kinds_that_are_sent(tmp_path: Path, rgb: np.ndarray, suffix: str) -> None:
    photo = load.load_photo_bytes(write(tmp_path / f"a{suffix}", rgb).read_bytes(), max_side_px=32)
    assert difference(photo, load_photo(tmp_path / f"a{suffix}", max_side_px=32)) == 0


def test_bytes_of_other_kinds_reach_no_decoder(tmp_path: Path, rgb: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    data = [write(tmp_path / f"a{suffix}", rgb).read_bytes() for suffix in (".tiff", ".ppm", ".jp2", ".bmp")]
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("decoded"))
    monkeypatch.setattr(load, "_decode_pillow", lambda *_: pytest.fail("decoded"))
    for sent in (*data, b"", b"hello", bombs()["jpeg"], bombs()["webp"], png_of_size(8000, 8000)):
        with pytest.raises(PortraitError) as caught:
            load.load_photo_bytes(sent, max_pixels=50_000_000)
        assert str(caught.value).startswith("the picture is")


def test_bytes_that_are_cut_off(tmp_path: Path, rgb: np.ndarray) -> None:
    with pytest.raises(PortraitError, match="cut off"):
        load.load_photo_bytes(write(tmp_path / "a.png", rgb).read_bytes()[:-40])
