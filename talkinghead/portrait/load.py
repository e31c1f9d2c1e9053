"""Any picture file -> upright 8-bit RGB."""

import io
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from talkinghead.errors import PortraitError
from talkinghead.portrait.header import Header, read_header

MAX_SIDE_PX = 12_000
MAX_PIXELS = 100_000_000
MAX_FILE_BYTES = 1 << 29
UPLOAD_KINDS = ("JPEG", "PNG", "WebP")
"""What browsers and phones send."""
_BACKDROP = 216
"""Grey level behind transparent parts: light, as the edge pixels of most cut-out portraits are."""


def load_photo(path: str | Path, *, max_side_px: int = 4096) -> np.ndarray:
    """Read a picture file: (h, w, 3) uint8 RGB, upright (EXIF turn applied), long side at most `max_side_px`.

    Reads what OpenCV reads, and what Pillow reads where Pillow is installed. Transparent parts become light grey;
    grey, palette, CMYK, 16-bit and float pictures become 8-bit RGB; of an animation the first picture counts.
    Raises PortraitError, one line that names the fix: missing, unreadable, damaged, cut off or too large a file.
    """
    path = Path(path)
    data = _read(path)
    header = _checked_header(data, path, MAX_PIXELS)
    pixels = _decode_opencv(data, header) if header is not None else None
    if pixels is None:
        pixels = _decode_pillow(path, data)
    if pixels is None:
        raise PortraitError(_unreadable(path, header))
    return _shrink(_to_rgb(path, pixels), max_side_px)


def load_photo_bytes(
    data: bytes, *, kinds: Collection[str] = UPLOAD_KINDS, max_pixels: int = MAX_PIXELS, max_side_px: int = 4096
) -> np.ndarray:
    """A picture that a stranger sent, as `load_photo` returns one of a file: (h, w, 3) uint8 RGB.

    Only ``kinds`` are decoded (names as in `Header.kind`), by OpenCV alone: the fewer decoders a stranger reaches, the better.
    Raises PortraitError as `load_photo` does; messages say "the picture".
    """
    name = "the picture"
    if not data:
        raise PortraitError(f"{name} is empty (0 bytes): choose it again")
    header = _checked_header(data, name, max_pixels)
    pixels = _decode_opencv(data, header) if header is not None and header.kind in kinds else None
    if pixels is None:
        raise PortraitError(f"{name} is not a whole {', '.join(kinds)} file: save the photo as JPEG or PNG")
    return _shrink(_to_rgb(name, pixels), max_side_px)


def _checked_header(data: bytes, name: str | Path, max_pixels: int) -> Header | None:
    """The header, None of an unknown kind; PortraitError where it tells of too large a picture or a damaged one."""
    header = read_header(data)
    if header is not None:
        _check_size(name, header.width, header.height, max_pixels)
        if not header.whole:
            raise PortraitError(f"{name} is damaged or cut off: copy or download the picture again")
    return header


def _read(path: Path) -> bytes:
    try:
        if path.is_dir():
            raise PortraitError(f"{path} is a folder: name the picture file in it")
        if not path.exists():
            raise PortraitError(f"no such photo: {path}: check the path")
        if not path.is_file():
            raise PortraitError(f"{path} is not a regular file: give a picture file such as photo.jpg")
        size = path.stat().st_size
        if size == 0:
            raise PortraitError(f"{path} is empty (0 bytes): copy or download the picture again")
        if size > MAX_FILE_BYTES:
            raise PortraitError(f"{path} is {size >> 20} MB, more than {MAX_FILE_BYTES >> 20}: save it as JPEG or PNG")
        return path.read_bytes()
    except PermissionError:
        raise PortraitError(f"no permission to read {path}: change its access rights") from None
    except OSError as error:
        raise PortraitError(f"cannot read {path}: {error.strerror or error}: check the path and the disk") from error


def _check_size(name: str | Path, width: int, height: int, max_pixels: int = MAX_PIXELS) -> None:
    if min(width, height) < 1:
        raise PortraitError(f"{name} is damaged (its header says {width}×{height} px): save the photo again")
    if max(width, height) > MAX_SIDE_PX or width * height > max_pixels:
        limit = f"the limit is {MAX_SIDE_PX} px a side and {max_pixels // 1_000_000} megapixels"
        raise PortraitError(f"{name} is too large ({width}×{height} px; {limit}): save it at 4000 px or less")


def _decode_opencv(data: bytes, header: Header) -> np.ndarray | None:
    """(h, w) or (h, w, 3 or 4) RGB(A) of the file's own depth, upright; None where OpenCV cannot."""
    with _opencv_silent():
        try:
            pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        except (cv2.error, MemoryError):
            return None
    if pixels is None or pixels.size == 0:
        return None
    if pixels.ndim == 3 and pixels.shape[2] >= 3:
        pixels = pixels[..., [2, 1, 0, 3][: pixels.shape[2]]]
    return _upright(pixels, header.orientation)


@contextmanager
def _opencv_silent() -> Iterator[None]:
    """OpenCV writes about damaged files to standard error; the one line to the user is ours."""
    log = getattr(cv2.utils, "logging", cv2)  # OpenCV 5 moved the two functions; 0 is silence in both
    level = log.getLogLevel()
    log.setLogLevel(0)
    try:
        yield
    finally:
        log.setLogLevel(level)


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Undo the camera's turn: EXIF orientations 5 to 8 are stored transposed, then up to two mirrorings."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels


def _decode_pillow(path: Path, data: bytes) -> np.ndarray | None:
    """As `_decode_opencv`, with Pillow if it is installed; None where it is not or cannot."""
    try:
        from PIL import Image, ImageOps
    except ImportError:
        return None
    try:
        # Pillow's warnings go to standard error; sizes are checked here, and what it cannot read raises anyway.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data)) as picture:
                _check_size(path, *picture.size)
                upright = ImageOps.exif_transpose(picture)
            if upright.mode.startswith("I"):  # 16 bits, kept in integers of 16 or 32
                return np.asarray(upright).clip(0, 65535).astype(np.uint16)
            alpha = "A" in upright.getbands() or "transparency" in upright.info
            return np.asarray(upright.convert("RGBA" if alpha else "RGB"))
    except Image.DecompressionBombError:
        raise PortraitError(f"{path} is too large: save it at 4000 px or less") from None
    except (OSError, ValueError, SyntaxError, EOFError, MemoryError):
        return None


def _unreadable(path: Path, header: Header | None) -> str:
    if header is None:
        return f"{path} is no picture that can be read here (or a damaged one): save the photo as JPEG or PNG"
    return f"{path} is damaged or of a {header.kind} variant that cannot be read here: save the photo as JPEG or PNG"


def _to_rgb(name: str | Path, pixels: np.ndarray) -> np.ndarray:
    """Any depth and 1 to 4 channels (RGB order) -> (h, w, 3) uint8."""
    if pixels.dtype == np.uint16:
        pixels = ((pixels.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
    elif pixels.dtype in (np.float32, np.float64):
        pixels = (np.nan_to_num(pixels).clip(0, 1) * 255 + 0.5).astype(np.uint8)
    elif pixels.dtype != np.uint8:
        raise PortraitError(f"{name} has {pixels.dtype} pixels: save the photo as JPEG or PNG")
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.shape[2] in (2, 4):
        pixels = _over_backdrop(pixels[..., :-1], pixels[..., -1:])
    if pixels.shape[2] == 1:
        pixels = np.repeat(pixels, 3, axis=2)
    return np.ascontiguousarray(pixels[..., :3])


def _over_backdrop(colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    if not alpha.any():  # some programs store a picture with an alpha of all zeros and mean it opaque
        return colour
    weight = alpha.astype(np.uint16)
    return ((colour * weight + _BACKDROP * (255 - weight) + 127) // 255).astype(np.uint8)


def _shrink(rgb: np.ndarray, max_side_px: int) -> np.ndarray:
    height, width = rgb.shape[:2]
    scale = max_side_px / max(height, width)
    if scale >= 1:
        return rgb
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)
