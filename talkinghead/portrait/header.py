"""What a picture file says about itself before anything is decoded: its kind, its size, which way is up, is it whole.

Decoders allocate the whole picture first, so a few crafted bytes can ask for gigabytes: sizes are read here instead.
"""

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

_EXIF_ORIENTATION = 0x0112
_TIFF_WIDTH, _TIFF_HEIGHT = 256, 257
_JPEG_SOF = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_BARE = frozenset({0x01, *range(0xD0, 0xD9)})


@dataclass(frozen=True)
class Header:
    """Facts of a picture file. `width` and `height` in px as stored, before `orientation` (EXIF, 1 to 8) is applied."""

    kind: str
    width: int
    height: int
    orientation: int = 1
    whole: bool = True
    """False where the file stops before its end marker or fails its checksums."""


def read_header(data: bytes) -> Header | None:
    """The header of the picture file whose bytes are `data`; None for a kind that is not known or a broken header."""
    try:
        for magic, reader in _READERS:
            if data.startswith(magic):
                return reader(data)
        return _boxes(data) if data[4:8] == b"ftyp" else None
    except (struct.error, IndexError, ValueError):
        return None


def _jpeg(data: bytes) -> Header | None:
    size: tuple[int, int] | None = None
    orientation, at = 1, 2
    while at + 4 <= len(data):
        marker = data[at + 1]
        if data[at] != 0xFF or marker == 0xFF:  # fill bytes before a marker are allowed
            at += 1
            continue
        if marker in _JPEG_BARE:
            at += 2
            continue
        (length,) = struct.unpack_from(">H", data, at + 2)
        body = data[at + 4 : at + 2 + length]
        if marker in _JPEG_SOF:
            height, width = struct.unpack_from(">HH", body, 1)
            size = (width, height)
        elif marker == 0xE1 and body.startswith(b"Exif\0\0"):
            orientation = _orientation(body[6:])
        elif marker == 0xDA:  # searched for from here on: an embedded thumbnail has an end marker of its own
            return Header("JPEG", *size, orientation, data.find(b"\xff\xd9", at) >= 0) if size else None
        at += 2 + length
    return Header("JPEG", *size, orientation, whole=False) if size else None


def _png(data: bytes) -> Header:
    width, height = struct.unpack_from(">II", data, 16)
    orientation, at, ended, sound = 1, 8, False, True
    while at + 12 <= len(data) and not ended:
        (length,) = struct.unpack_from(">I", data, at)
        name, end = data[at + 4 : at + 8], at + 8 + length
        if end + 4 > len(data):
            break
        if name[:1].isupper():  # critical chunks only; a decoder ignores the others when they are damaged
            sound &= zlib.crc32(memoryview(data)[at + 4 : end]) == struct.unpack_from(">I", data, end)[0]
        if name == b"eXIf":
            orientation = _orientation(data[at + 8 : end])
        ended, at = name == b"IEND", end + 4
    return Header("PNG", width, height, orientation, ended and sound)


def _webp(data: bytes) -> Header | None:
    if data[8:12] != b"WEBP":
        return None
    whole = 8 + int(struct.unpack_from("<I", data, 4)[0]) <= len(data)
    first = data[12:16]
    if first == b"VP8X":
        width, height = (1 + int.from_bytes(data[i : i + 3], "little") for i in (24, 27))
    elif first == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    elif first == b"VP8 ":
        width, height = (v & 0x3FFF for v in struct.unpack_from("<HH", data, 26))
    else:
        return None
    exif = next((body for name, body in _riff_chunks(data) if name == b"EXIF"), b"")
    return Header("WebP", width, height, _orientation(exif.removeprefix(b"Exif\0\0")), whole)


def _riff_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 12
    while at + 8 <= len(data):
        name, length = data[at : at + 4], struct.unpack_from("<I", data, at + 4)[0]
        yield name, data[at + 8 : at + 8 + length]
        at += 8 + length + length % 2


def _gif(data: bytes) -> Header:
    return Header("GIF", *struct.unpack_from("<HH", data, 6))


def _bmp(data: bytes) -> Header:
    old = struct.unpack_from("<I", data, 14)[0] == 12
    width, height = struct.unpack_from("<HH" if old else "<ii", data, 18)
    return Header("BMP", abs(width), abs(height))


def _tiff(data: bytes) -> Header | None:
    tags = _ifd(data)
    width, height = tags.get(_TIFF_WIDTH, 0), tags.get(_TIFF_HEIGHT, 0)
    # OpenCV and Pillow both turn TIFF pictures by themselves, so the orientation is not repeated here.
    return Header("TIFF", width, height) if width and height else None


def _pnm(data: bytes) -> Header | None:
    plain = re.match(rb"P[1-6](?:\s|#[^\n]*\n)+(\d+)(?:\s|#[^\n]*\n)+(\d+)\s", data[:4096])
    tagged = re.match(rb"P7\s(?=.*?^WIDTH (\d+))(?=.*?^HEIGHT (\d+))", data[:4096], re.S | re.M)
    found = plain or tagged
    return Header("PNM", int(found[1]), int(found[2])) if found else None


def _jp2(data: bytes) -> Header:
    if data.startswith(b"\xff\x4f"):
        width, height = struct.unpack_from(">II", data, 8)
    else:
        height, width = struct.unpack_from(">II", data, data.index(b"ihdr", 0, 4096) + 4)
    return Header("JPEG 2000", width, height)


def _boxes(data: bytes) -> Header | None:
    """AVIF and HEIC: every picture and tile declares its extent in an `ispe` box; the largest is the whole picture."""
    sizes = [struct.unpack(">II", m[1]) for m in re.finditer(rb"ispe.{4}(.{8})", data[: 1 << 16], re.S)]
    if not sizes:
        return None
    width, height = (max(side) for side in zip(*sizes, strict=True))
    return Header("AVIF" if data[8:12] in (b"avif", b"avis") else "HEIC", width, height)


def _orientation(exif: bytes) -> int:
    """EXIF orientation 1 to 8; 1 where the block is damaged, as every viewer does."""
    try:
        found = _ifd(exif).get(_EXIF_ORIENTATION, 1)
    except (struct.error, ValueError):
        return 1
    return found if 1 <= found <= 8 else 1


def _ifd(data: bytes) -> dict[int, int]:
    """Tag -> value of the short and long numbers in the first directory of a TIFF block (EXIF is one as well)."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[:4])
    if order is None:
        raise ValueError("not a TIFF block")
    (start,) = struct.unpack_from(order + "I", data, 4)
    (count,) = struct.unpack_from(order + "H", data, start)
    tags: dict[int, int] = {}
    for entry in range(start + 2, start + 2 + 12 * count, 12):
        tag, form = struct.unpack_from(order + "HH", data, entry)
        if form in (3, 4):
            (tags[tag],) = struct.unpack_from(order + ("H" if form == 3 else "I"), data, entry + 8)
    return tags


_READERS = (
    (b"\xff\xd8\xff", _jpeg),
    (b"\x89PNG\r\n\x1a\n", _png),
    (b"RIFF", _webp),
    (b"GIF8", _gif),
    (b"BM", _bmp),
    (b"II*\0", _tiff),
    (b"MM\0*", _tiff),
    (b"P", _pnm),
    (b"\0\0\0\x0cjP  ", _jp2),
    (b"\xff\x4f\xff\x51", _jp2),
)
