"""What lies behind the head, filled once a portrait, and the head without the old background at its soft edge."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

_CLEAR = 0.03  # alpha: less of the person than this is none
_RIM_PX = 6  # round the person no pixel is taken for background: stray hair, blur and the codec's ringing reach so far
_STRAYS_PX = 24  # how far from the matte hair may still be that it missed
_STRAY_ALPHA = 0.25
_UNLIKE = 3.0  # deviations of the background
_WHOLE = 0.97  # more of it is nothing else
_COARSE = 32  # px: finer than this is texture
_DEVIATION = 0.6  # of the brightest difference of three: a deviation of one
_SQUEEZE = 4  # shelves, horizons and walls go on sideways: so much farther is looked that way
_NEAR_PX = 8.0  # how far into the hole the fill goes on from the nearest pixels alone
_GRAIN_PX = 1.2
_RADII_PX = (40, 12, 5)
_TRUST = 0.15  # how far the matte's alpha may be off
_STRAY = 1.5  # standard deviations of the background's own texture by which the fill may be off
_UNFORESEEN = 80.0  # grey levels by which it may be off where nothing of the person is
_LEAST_SPREAD = 12.0  # squared grey levels, three colours


@dataclass(frozen=True)
class Layers:
    """A portrait in two layers: ``head + (1 - alpha) * plate`` is the photo within a grey level.

    head (s, s, 3) uint8 RGB, premultiplied; alpha (s, s) uint8, 255 = the person's; plate (s, s, 3) uint8 RGB, the photo itself
    where alpha is 0.
    """

    head: np.ndarray
    alpha: np.ndarray
    plate: np.ndarray


def separate(face: np.ndarray, alpha: np.ndarray) -> Layers:
    """The layers of ``face`` (s, s, 3) uint8 RGB under ``alpha`` (s, s) float32 0..1.

    Near the edge alpha is first weighed against what the colours of both sides say. What the mixture still misses goes to the
    side that has more of the pixel, so that a texture of the wall stays on the wall and a strand goes with the hair.
    """
    known = _known(alpha)
    plate = background_plate(face, alpha)
    colours = foreground_colours(face, alpha, plate)
    share = np.where(known, 0, 255).astype(np.uint8)
    head = np.where(known[..., None], 0, face).astype(np.uint8)
    plate[known] = face[known]
    edge = np.flatnonzero(~known & (alpha < _WHOLE))
    photo, front, behind = (picture.reshape(-1, 3)[edge].astype(np.float32) for picture in (face, colours, plate))
    spread = _roughness(face, known).ravel()[edge]
    soft = _weighed(photo, alpha.ravel()[edge], front, behind, spread)[:, None]
    # Far out, where little of a pixel goes along, it is surely a part of the wall that the fill did not foresee.
    most = (_STRAY * np.sqrt(spread / 3) + _UNFORESEEN * (1 - alpha.ravel()[edge]) ** 2)[:, None]
    rest = (photo - soft * front - (1 - soft) * behind) * (1 - soft) / (soft * soft + (1 - soft) ** 2)
    behind = np.round(np.clip(behind + np.clip(rest, -most, most), 0, 255))
    # No less of the person than it takes to explain the photo over this plate.
    need = np.maximum((behind - photo) / np.maximum(behind, 1), (photo - behind) / np.maximum(255 - behind, 1)).max(axis=1)
    whole = np.clip(np.ceil(255 * np.maximum(soft[:, 0], np.where(need > 1 / 255, need, 0.0))), 0, 255)
    share.ravel()[edge], plate.reshape(-1, 3)[edge] = whole, behind
    head.reshape(-1, 3)[edge] = np.clip(np.round(photo - (1 - whole[:, None] / 255) * behind), 0, 255)
    return Layers(head, share, plate)


def background_plate(face: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """The background (s, s, 3) uint8 RGB without the person: ``face`` where it is surely seen, elsewhere filled.

    The fill is a smooth blend of what is known round it (push-pull: Gortler, Grzeszczuk, Szeliski, Cohen 1996), more of what lies
    beside, with the photo's grain over it. Nothing in it invites the eye: a line carried on wrongly would.
    """
    known = _known(alpha)
    if not known.any():
        return face.copy()
    weight = known.astype(np.float32)
    noise = cv2.absdiff(face, cv2.GaussianBlur(face, (0, 0), _GRAIN_PX)).max(axis=2).astype(np.float32)
    noise = np.minimum(noise, 2 * np.median(noise[::2, ::2][known[::2, ::2]]))
    values = np.dstack((face, noise))
    # The fill is smooth: found at half size.
    size, half = weight.shape[::-1], (weight.shape[1] // 2, weight.shape[0] // 2)
    share = cv2.resize(weight, half, interpolation=cv2.INTER_AREA)
    coarse = cv2.resize(values * weight[..., None], half, interpolation=cv2.INTER_AREA) / np.maximum(share, 1e-6)[..., None]
    seen = (share > 0).astype(np.float32)
    near, far = push_pull(coarse, seen), _sideways(coarse, seen)
    depth = cv2.distanceTransform((~known).astype(np.uint8), cv2.DIST_L2, 5)
    beside = np.exp(-((cv2.resize(depth, half, interpolation=cv2.INTER_AREA) / _NEAR_PX) ** 2))
    filled = cv2.resize(far + (near - far) * beside[..., None], size, interpolation=cv2.INTER_LINEAR)
    grain = cv2.GaussianBlur(np.random.default_rng(0).standard_normal(half[::-1], np.float32), (0, 0), 0.6)
    grain = np.tile(grain, (3, 3))[: size[1], : size[0]]
    grain = grain * (filled[..., 3] * np.float32(_DEVIATION / max(float(grain.std()), 1e-6)))
    hole = cv2.GaussianBlur(np.ascontiguousarray(filled[..., :3]), (0, 0), 1.5) + grain[..., None]
    sure = np.clip(2 * cv2.GaussianBlur(weight, (0, 0), 1.2) - 1, 0.0, 1.0)
    hole = hole + (face - hole) * sure[..., None]
    return np.asarray(cv2.add(hole, 0.0, dtype=cv2.CV_8U))  # rounds and saturates


def foreground_colours(face: np.ndarray, alpha: np.ndarray, plate: np.ndarray) -> np.ndarray:
    """The person's own colours (s, s, 3) uint8 RGB, the old background taken out where ``alpha`` (s, s) mixes it in.

    Beyond the edge the colours of hair and skin go on, so that none of the wall comes along (blur fusion: Forte 2021, with the
    background ``plate`` (s, s, 3) given; far off at half size, since it is smooth).
    """
    size_px = face.shape[0]
    half = (size_px // 2, size_px // 2)
    pictures = [cv2.resize(picture, half, interpolation=cv2.INTER_AREA).astype(np.float32) for picture in (face, plate, alpha)]
    out: np.ndarray = pictures[0]
    for radius_px in _RADII_PX:
        out = _unmixed(out, radius_px // 2, *pictures)
    out = np.asarray(cv2.resize(out, (size_px, size_px), interpolation=cv2.INTER_LINEAR))
    mixed = alpha < _WHOLE
    photo, behind, share = face[mixed].astype(np.float32), plate[mixed].astype(np.float32), alpha[mixed][:, None]
    found = face.copy()
    around = out[mixed]
    found[mixed] = np.clip(np.round(around + _correction(photo, around, behind, share)), 0, 255)
    return found


def _unmixed(out: np.ndarray, radius_px: int, photo: np.ndarray, behind: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """One round: colours (h, w, 3) so far, averaged where the person is, then corrected by what they do not explain."""
    weight = np.where(alpha > 0.9, 1.0, 0.2 * alpha**2 + 1e-4).astype(np.float32)
    kernel = (2 * radius_px + 1, 2 * radius_px + 1)
    around = cv2.blur(out * weight[..., None], kernel) / cv2.blur(weight, kernel)[..., None]
    share = alpha[..., None]
    around += _correction(photo, around, behind, share)
    return np.asarray(np.where(share > _WHOLE, photo, np.clip(around, 0, 255)))


def _correction(photo: np.ndarray, front: np.ndarray, behind: np.ndarray, share: np.ndarray) -> np.ndarray:
    return np.asarray(share / (share * share + 0.02) * (photo - share * front - (1 - share) * behind))


def push_pull(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """``values`` (h, w, c) float32, c > 1, where ``weight`` (h, w) float32 is 1, elsewhere a smooth blend of those around."""
    levels = []
    total = values * weight[..., None]
    while min(weight.shape) > 2:
        levels.append((total, weight))
        total, coarse = cv2.pyrDown(total), cv2.pyrDown(weight)
        weight = np.minimum(1.0, 2.5 * coarse)  # a few known pixels are enough to tell a coarse one
        total = total * (weight / np.maximum(coarse, 1e-6))[..., None]
    out = total / np.maximum(weight, 1e-6)[..., None]
    for total, weight in levels[::-1]:
        out = total + (1 - weight)[..., None] * cv2.pyrUp(out, dstsize=weight.shape[::-1])
    return np.asarray(out)


def with_strays(face: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Alpha (h, w) with the curls and strands that the matte missed: near the person, unlike the wall, like the hair."""
    size, half = face.shape[1::-1], (face.shape[1] // 2, face.shape[0] // 2)
    known = _known(alpha, _STRAYS_PX)
    if not known.any():
        return alpha
    small = cv2.resize(face, half, interpolation=cv2.INTER_AREA).astype(np.float32)
    share = cv2.resize(alpha, half, interpolation=cv2.INTER_AREA)
    clear = cv2.resize(known.astype(np.float32), half, interpolation=cv2.INTER_AREA) > 0.99
    weight = clear.astype(np.float32)
    # A shelf or a door's frame may go on behind the hair: no stray what continues something level or upright.
    turned = _sideways(np.ascontiguousarray(small.swapaxes(0, 1)), np.ascontiguousarray(weight.T)).swapaxes(0, 1)
    fills = np.stack((push_pull(small, weight), _sideways(small, weight), turned))
    nearest = ((small - fills) ** 2).sum(axis=3).argmin(axis=0)
    behind = np.take_along_axis(fills, nearest[None, ..., None], axis=0)[0]
    person = (share > 0.9).astype(np.float32)
    kernel = (_STRAYS_PX + 1, _STRAYS_PX + 1)
    front = cv2.blur(small * person[..., None], kernel) / np.maximum(cv2.blur(person, kernel), 1e-3)[..., None]
    spread = cv2.resize(_roughness(face, known), half, interpolation=cv2.INTER_AREA)
    apart, off = front - behind, small - behind
    told = (off * apart).sum(axis=2) / np.maximum((apart * apart).sum(axis=2), 1e-3)
    unlike = (off * off).sum(axis=2) > _UNLIKE**2 * spread
    stray = np.where(unlike & ~clear & (told > _STRAY_ALPHA), np.clip(told, 0, 1), 0.0).astype(np.float32)
    return np.maximum(alpha, cv2.resize(stray, size, interpolation=cv2.INTER_LINEAR))


def _known(alpha: np.ndarray, rim_px: int = _RIM_PX) -> np.ndarray:
    """Where (h, w) bool the picture shows the background and nothing else."""
    return np.asarray(cv2.distanceTransform((alpha <= _CLEAR).astype(np.uint8), cv2.DIST_L2, 5) > rim_px)


def _sideways(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """As `push_pull`, but what lies beside counts for more than what lies above and below."""
    height, width = weight.shape
    size = (max(width // _SQUEEZE, 1), height)
    coarse = cv2.resize(weight, size, interpolation=cv2.INTER_AREA)
    total = cv2.resize(values * weight[..., None], size, interpolation=cv2.INTER_AREA)
    out = push_pull(total / np.maximum(coarse, 1e-3)[..., None], np.where(coarse > 0.25, 1.0, 0.0).astype(np.float32))
    return np.asarray(cv2.resize(out, (width, height), interpolation=cv2.INTER_LINEAR))


def _roughness(face: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Variance (h, w), summed over the colours, of the background near by: so far a smooth fill may be off."""
    size, coarse = face.shape[1::-1], (face.shape[1] // _COARSE, face.shape[0] // _COARSE)
    smooth = cv2.resize(cv2.resize(face, coarse, interpolation=cv2.INTER_AREA), size, interpolation=cv2.INTER_LINEAR)
    rough = cv2.absdiff(face, smooth).astype(np.float32) ** 2
    weight = known.astype(np.float32)
    share = cv2.resize(weight, coarse, interpolation=cv2.INTER_AREA)
    mean = cv2.resize(rough * weight[..., None], coarse, interpolation=cv2.INTER_AREA) / np.maximum(share, 1e-3)[..., None]
    spread = push_pull(mean, np.where(share > 0.25, 1.0, 0.0).astype(np.float32)).sum(axis=2)
    return np.asarray(cv2.resize(cv2.GaussianBlur(spread, (0, 0), 1.0), size, interpolation=cv2.INTER_LINEAR) + _LEAST_SPREAD)


def _weighed(photo: np.ndarray, alpha: np.ndarray, front: np.ndarray, behind: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Alpha (n,) between what the matte says and what the colours (n, 3) say, by how sure each is."""
    apart = front - behind
    length = (apart * apart).sum(axis=1)
    told = ((photo - behind) * apart).sum(axis=1) / np.maximum(length, 1e-3)
    sure = length / (length + spread / _TRUST**2)
    soft = np.clip(alpha + sure * (np.clip(told, 0, 1) - alpha), 0, 1)
    return np.asarray(np.where(soft < _CLEAR, 0.0, soft), np.float32)
