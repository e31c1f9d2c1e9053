"""An invisible mark in every picture that says "made by talkinghead", and the detector that finds it again.

Spread spectrum (Cox, Kilian, Leighton, Shamoon 1997): a faint noise pattern of middle frequencies, always the same, tiled over
the picture; weaker where the picture is smooth, stronger where its own texture hides it. Being the same in every frame it
survives video coding, and summing over frames makes the detector surer. The detector folds a picture into one tile, for every
scale that it may have been shown at, and looks for the pattern there by phase correlation (Kuglin, Hines 1975), for every
offset at once and in the mirror too.

The pattern is public: it tells honest people where a picture came from. It does not stop one who wants to remove it.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

TILES = 4
"""Along the picture's short side."""
_TILE_PX = 64
"""Of the pattern as it is defined and looked for."""
_BAND = (0.06, 0.30)
"""Cycles per pixel of that tile."""
_NAME = b"talkinghead watermark 1"
_WEAKEST, _STRONGEST, _PER_TEXTURE = 0.8, 2.0, 0.14
"""Root mean square of the mark where nothing hides it, and the most; grey levels, and per grey level of texture."""
THRESHOLD = 8.0
"""Score from which a mark is believed: chosen on `train` stills and clips, where 5,120 tries of chance reach 6.1 at most."""
_SURE = 1.5
"""Times the threshold: then no better place is looked for."""
_LUMA_SPAN = 219 / 255
"""Of a grey level in luma of limited range."""
_TILES_SEARCHED = (1.25, 8.0)
_STEP = 0.01


@dataclass(frozen=True)
class Found:
    """What the detector saw: score in standard deviations of chance, tiles along the short side (`TILES` for a whole picture),
    and whether the picture was mirrored."""

    score: float
    tiles: float
    mirrored: bool

    @property
    def marked(self) -> bool:
        return self.score >= THRESHOLD


class Watermarker:
    """Marks the pictures of one video or call. The mark is fitted to the first picture, and again when the size changes."""

    def __init__(self, pattern: np.ndarray | None = None) -> None:
        self._pattern = tile_pattern() if pattern is None else pattern
        self._shape: tuple[int, ...] = ()
        self._lighter = self._darker = np.zeros(0, np.uint8)
        self._luma = [np.zeros(0, np.uint8)] * 2

    def mark(self, image: np.ndarray) -> np.ndarray:
        """The picture (h, w, 3) uint8 RGB with the mark, in new memory. Of a cut-out, (h, w, 4), what is seen of it is marked."""
        if image.shape[2] == 4:
            colours, alpha = cv2.cvtColor(image, cv2.COLOR_RGBA2RGB), cv2.extractChannel(image, 3)
            return np.dstack((cv2.copyTo(self.mark(colours), alpha, colours), alpha))
        if image.shape != self._shape:
            self._fit(image)
        # Two saturating additions of bytes are by far the quickest way: 0.2 ms at 512 x 512 px.
        return np.asarray(cv2.subtract(cv2.add(image, self._lighter), self._darker))

    def mark_planes(self, planes: np.ndarray) -> np.ndarray:
        """The same picture as NV12 (3 h / 2, w) uint8, of limited range, whose luma carries the mark, in new memory. The mark is
        that of a picture (h, w, 3) that was marked before."""
        if self._shape[:2] != (planes.shape[0] // 3 * 2, planes.shape[1]):
            raise ValueError(f"planes of shape {planes.shape}, but the mark is for pictures of {self._shape}")
        marked, height = planes.copy(), self._shape[0]
        lighter, darker = self._luma
        cv2.subtract(cv2.add(planes[:height], lighter), darker, dst=marked[:height])
        return marked

    def _fit(self, image: np.ndarray) -> None:
        change = np.round(_tiled(self._pattern, image.shape) * _strength(image)).astype(np.int16)
        lighter, darker = (np.clip(sign * change, 0, 255).astype(np.uint8) for sign in (1, -1))
        self._lighter, self._darker = cv2.merge([lighter] * 3), cv2.merge([darker] * 3)
        self._luma = [cv2.convertScaleAbs(each, alpha=_LUMA_SPAN) for each in (lighter, darker)]
        self._shape = image.shape


def tile_pattern(name: bytes = _NAME) -> np.ndarray:
    """The pattern, (64, 64) float32, periodic, of root mean square 1. Another name gives another one, unlike it."""
    count = _TILE_PX * _TILE_PX
    stream = b"".join(hashlib.sha256(name + k.to_bytes(4, "big")).digest() for k in range(-(-count * 4 // 32)))
    phase = np.frombuffer(stream[: 4 * count], ">u4").reshape(_TILE_PX, _TILE_PX) * (2 * np.pi / 2**32)
    spectrum = np.where(_band(), np.exp(1j * phase), 0)
    pattern = np.fft.ifft2(spectrum).real
    return (pattern / pattern.std()).astype(np.float32)


def find_mark(images: Iterable[np.ndarray], pattern: np.ndarray | None = None) -> Found:
    """Look for the mark in pictures (h, w, 3) uint8 RGB of one video, all of one size, or in a single one."""
    return Detector(pattern).find(mean_luma(images))


def mean_luma(images: Iterable[np.ndarray]) -> np.ndarray:
    """The mean picture (h, w) float32: the mark stays, what moves and the coder's noise fade."""
    total: np.ndarray | None = None
    count = 0
    for image in images:
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        if total is not None and grey.shape != total.shape:
            grey = cv2.resize(grey, total.shape[::-1], interpolation=cv2.INTER_AREA)
        total = grey.astype(np.float32) if total is None else cv2.accumulate(grey, total)
        count += 1
    if total is None:
        raise ValueError("no picture to look at")
    return total / count


class Detector:
    """Looks for one pattern, or for several at the price of one (the others tell what chance does)."""

    def __init__(self, *patterns: np.ndarray | None) -> None:
        given = [tile_pattern() if pattern is None else pattern for pattern in patterns or (None,)]
        both = [(pattern, pattern[:, ::-1]) for pattern in given]
        spectra = np.conj(np.fft.rfft2(np.array(both)))
        spectra /= np.maximum(np.abs(spectra), 1e-9)
        spectra[..., ~_band()[:, : _TILE_PX // 2 + 1]] = 0
        self._spectra = spectra.astype(np.complex64)

    def find(self, luma: np.ndarray) -> Found:
        """The best place of the first pattern in a picture (h, w) float32."""
        return self.find_each(luma)[0]

    def find_each(self, luma: np.ndarray) -> list[Found]:
        """The best place of each pattern."""
        count = len(self._spectra)
        best = [Found(0.0, 0.0, False)] * count
        for tiles in tile_counts():
            tile = _folded(luma, tiles)
            if tile is None:
                continue
            spectrum = np.fft.rfft2(tile)
            spectrum /= np.maximum(np.abs(spectrum), 1e-9)
            scores = _scores(spectrum.astype(np.complex64), self._spectra)
            for k in range(count):
                mirrored = bool(scores[k, 1] > scores[k, 0])
                if scores[k, int(mirrored)] > best[k].score:
                    best[k] = Found(float(scores[k, int(mirrored)]), tiles, mirrored)
            if all(found.score > _SURE * THRESHOLD for found in best):
                break
        return best


def tile_counts() -> list[float]:
    """Tiles along the short side that are tried: a whole picture first, then crops and frames round it in steps of 1 %."""
    low, high = (math.ceil(math.log(tiles / TILES) / _STEP) for tiles in _TILES_SEARCHED)
    return [TILES * math.exp(k * _STEP) for k in sorted(range(low, high + 1), key=abs)]


def _scores(spectrum: np.ndarray, patterns: np.ndarray) -> np.ndarray:
    """Highest phase correlation of a tile's spectrum (64, 33) with patterns (n, 2, 64, 33), in standard deviations: (n, 2)."""
    surface = np.fft.irfft2(spectrum * patterns, (_TILE_PX, _TILE_PX))
    deviation = np.sqrt(np.einsum("nkyx,nkyx->nk", surface, surface) / _TILE_PX**2)
    return np.asarray(surface.max((-2, -1)) / np.maximum(deviation, 1e-12))


def _folded(luma: np.ndarray, tiles: float) -> np.ndarray | None:
    """The picture as if ``tiles`` tiles lay along its short side, its tiles added up: (64, 64)."""
    scale = tiles * _TILE_PX / min(luma.shape)
    size = (round(luma.shape[1] * scale), round(luma.shape[0] * scale))
    if min(size) < _TILE_PX:
        return None
    small = cv2.resize(luma, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    rough = small - cv2.GaussianBlur(small, (0, 0), 1.5)
    # Edges are louder than the mark by far: level them.
    level = rough / (np.sqrt(np.maximum(cv2.blur(rough * rough, (5, 5)), 0)) + 0.5)
    down, across = (-(-side // _TILE_PX) * _TILE_PX for side in level.shape)
    padded = np.zeros((down, across), np.float32)
    padded[: level.shape[0], : level.shape[1]] = level
    return padded.reshape(down // _TILE_PX, _TILE_PX, across // _TILE_PX, _TILE_PX).sum((0, 2))


def _band() -> np.ndarray:
    """Which frequencies (64, 64) the pattern has."""
    cycles = np.fft.fftfreq(_TILE_PX)
    radius = np.hypot(cycles[:, None], cycles[None])
    return (radius >= _BAND[0]) & (radius <= _BAND[1])


def _tiled(pattern: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The pattern over a picture (h, w), `TILES` of it along the short side."""
    height, width = shape[:2]
    short = min(height, width)
    down, across = (math.ceil(TILES * side / short) for side in (height, width))
    whole = np.tile(pattern, (down, across))
    scale = short / (TILES * _TILE_PX)
    way = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA
    size = (round(across * _TILE_PX * scale), round(down * _TILE_PX * scale))
    return cv2.resize(whole, size, interpolation=way)[:height, :width]


def _strength(image: np.ndarray) -> np.ndarray:
    """How strong the mark may be at each pixel (h, w), grey levels."""
    luma = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    wide = min(luma.shape) / 128
    rough = cv2.absdiff(luma, cv2.GaussianBlur(luma, (0, 0), wide))
    # The weakest round about: beside an edge the smooth side must not show it.
    texture = cv2.GaussianBlur(cv2.erode(cv2.GaussianBlur(rough, (0, 0), wide), np.ones((5, 5), np.uint8)), (0, 0), wide)
    return np.asarray(np.clip(_WEAKEST + _PER_TEXTURE * texture, _WEAKEST, _STRONGEST))
