"""Which part of a portrait is the person: a soft mask from the face's points and the picture's colours, made once a portrait."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from talkinghead.render.layout import OVAL

_SIDE_PX = 128
"""Side of the picture in which person and background are told apart."""
_FOREHEAD, _CHIN, _LEFT, _RIGHT = 10, 152, 234, 454
_SKULL_FH = (-0.33, 0.40, 0.335)
"""A ball that lies inside every skull: centre below and behind the middle of the face, radius; face heights."""
_OUTLINE_FH = (-0.17, 0.38)
"""Middle of an ellipse that hair seldom leaves by far, below and behind the middle of the face."""
_WIDE_FH, _HIGH_FH, _DEEP_FH = 0.60, 0.68, 0.85
"""That ellipse: half its width, and how far it reaches up and down."""
_STEEPNESS = 6.0
_SURE, _SUREST = 4.5, 6.0
"""Of log odds: colours cannot say otherwise beyond the first; no more than the second is believed."""
_SHOULDERS_FH = 0.2  # below the chin: what lies lower hardly moves with the head, and clothes say nothing about hair
_NECK_BELOW_FH, _NECK_HALF_FH = (0.0, 0.3, 0.35, 0.6), (0.16, 0.16, 0.3, 0.6)  # below the chin, and half the width there
_BINS = 18
_SPREAD = np.array((0.06, 0.24, 0.4, 0.24, 0.06))  # over neighbouring colours
_ROUNDS = 4
_PLACE, _SEEN, _COLOUR, _PATH = 0.6, 1.0, 0.6, 2.5
_LEAST_KNOWN = 128  # pixels: with fewer nothing can be learnt
_ALIKE = 8.0  # CIELAB distance under which person and background look the same
_SMALLEST_GAP = 60  # pixels: a smaller gap in the person is filled


@dataclass(frozen=True)
class Matte:
    """alpha (512, 512) float32: 1 where the person is, 0 where the background is, between at hair; confidence 0..1: how far the
    picture's colours bear it out; unsure (512, 512) float32 0..1, where a network was asked: where it may be wrong."""

    alpha: np.ndarray
    confidence: float
    unsure: np.ndarray | None = None


@dataclass(frozen=True)
class _Place:
    """What is known of each pixel (h, w) before its colour: log_odds of the person, and their weight beside colours; core, surely
    the person; head, bool, above the shoulders."""

    log_odds: np.ndarray
    core: np.ndarray
    head: np.ndarray
    weight: float


def cut_head(face: np.ndarray, points: np.ndarray, logit: np.ndarray | None = None) -> Matte:
    """The matte of a portrait by its colours, ``face`` (s, s, 3) uint8 RGB with its ``points`` (478, 3) px.

    A soft guess from where the face lies, which colours go with it and how smoothly a pixel is tied to face or border; a graph
    cut that starts from it (GrabCut: Rother, Kolmogorov, Blake 2004); and a guided filter (He, Sun, Tang 2013) that finds the
    hair's edge at full size. The same picture gives the same matte. With ``logit`` (h, w) of the person, as the matting network
    sees it, that is what the colours are weighed against, in place of where heads mostly are.
    """
    small = cv2.resize(face, (_SIDE_PX, _SIDE_PX), interpolation=cv2.INTER_AREA)
    place = _place(points, face.shape[0])
    if logit is not None:
        seen = cv2.resize(np.clip(logit, -_SUREST, _SUREST), (_SIDE_PX, _SIDE_PX), interpolation=cv2.INTER_AREA)
        place = replace(place, log_odds=seen, weight=_SEEN, core=_with(place.core, (seen > _SURE) | place.core))
    guess = _guess(small, place)
    found = _cut(small, guess, place)
    if found is None:
        return Matte(np.ones(face.shape[:2], np.float32), 0.0)
    alpha = refined(face, found.astype(np.float32), (face.shape[1] // 2, face.shape[0] // 2))
    return Matte(alpha, _confidence(small, guess, found, place))


def _place(points: np.ndarray, size_px: int) -> _Place:
    shape = points.astype(np.float64)
    down = shape[_CHIN] - shape[_FOREHEAD]
    height = float(np.linalg.norm(down))
    down /= height
    right = shape[_RIGHT] - shape[_LEFT]
    right -= down * (right @ down)
    back = np.cross(right / np.linalg.norm(right), down)
    middle = (shape[_FOREHEAD] + shape[_CHIN]) / 2
    scale = size_px / _SIDE_PX
    y, x = (np.mgrid[:_SIDE_PX, :_SIDE_PX] + 0.5) * scale - 0.5
    # Hair: an ellipse that leans with the head.
    centre = middle + height * (_OUTLINE_FH[0] * down + _OUTLINE_FH[1] * back)
    lean = down[:2] / max(float(np.linalg.norm(down[:2])), 1e-6)
    dx, dy = (x - centre[0]) / height, (y - centre[1]) / height
    low, side = dx * lean[0] + dy * lean[1], dx * lean[1] - dy * lean[0]
    log_odds = _STEEPNESS * (1 - np.hypot(side / _WIDE_FH, low / np.where(low < 0, _HIGH_FH, _DEEP_FH)))
    # The neck stands upright however the head leans.
    chin = shape[_CHIN] + 0.12 * height * back
    below = (y - chin[1]) / height
    neck = (np.abs(x - chin[0]) / height < np.interp(below, _NECK_BELOW_FH, _NECK_HALF_FH)) & (below > -0.1)
    ball = middle + height * (_SKULL_FH[0] * down + _SKULL_FH[1] * back)
    turn = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    skull = ball[:2] + _SKULL_FH[2] * height * np.stack((np.cos(turn), np.sin(turn)), axis=1)
    hull = cv2.convexHull(np.concatenate((shape[list(OVAL), :2], skull)).astype(np.float32))
    ball_and_face = np.zeros((_SIDE_PX, _SIDE_PX), np.uint8)
    cv2.fillConvexPoly(ball_and_face, np.round((hull + 0.5) / scale - 0.5).astype(np.int32), 1)
    inside = cv2.erode(ball_and_face, np.ones((3, 3), np.uint8)) > 0
    return _Place(log_odds, inside | neck, below < _SHOULDERS_FH, _PLACE)


def _guess(small: np.ndarray, place: _Place) -> np.ndarray:
    """How likely each pixel (h, w) is the person's, 0..1."""
    bins = _colour_bins(small)
    path = _path(small, place)
    guide = small.astype(np.float32) / 255
    share = _logistic(place.log_odds)
    for _ in range(_ROUNDS):
        share[place.core] = 1.0
        # Clothes below are no sign of the head, nor of the background.
        ratio = _colour_ratio(bins, np.where(place.head, share, 0.0), np.where(place.head, 1 - share, 0.0))
        share = _logistic(place.weight * place.log_odds + _COLOUR * ratio + _PATH * path)
        share[(place.log_odds < -_SURE) & place.head] = 0.0
        share[place.core] = 1.0
        share = np.clip(guided(guide, share.astype(np.float32), 4, 1e-3), 0.0, 1.0)
    share[place.core] = 1.0
    return share


def _logistic(value: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-np.clip(value, -30, 30))))


def _lab(picture: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2LAB))


def _colour_bins(small: np.ndarray) -> np.ndarray:
    """Number (h, w) of each pixel's colour, finer near grey."""
    lab = _lab(small)
    tint = np.sign(lab[..., 1:]) * np.sqrt(np.abs(lab[..., 1:]) / 80)
    unit = np.concatenate((lab[..., :1] / 100, (tint + 1) / 2), axis=2)
    number = np.clip((unit * _BINS).astype(np.int64), 0, _BINS - 1)
    return np.asarray((number[..., 0] * _BINS + number[..., 1]) * _BINS + number[..., 2])


def _colour_ratio(bins: np.ndarray, person: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Log ratio (h, w) of how common a pixel's colour is in the person and in the background, by weights (h, w) of each."""
    dense = []
    for weight in (person, background):
        count = np.bincount(bins.ravel(), weight.ravel(), _BINS**3).astype(np.float32)
        # Three passes, each over the last axis, which then becomes the first: a cube comes back as it was.
        for _ in range(3):
            rows = cv2.sepFilter2D(count.reshape(-1, _BINS), -1, np.ones(1), _SPREAD, borderType=cv2.BORDER_CONSTANT)
            count = np.ascontiguousarray(rows.T)
        dense.append(count.ravel() / max(float(weight.sum()), 1.0))
    return np.asarray(np.clip(np.log((dense[0] + 3e-5) / (dense[1] + 3e-5)), -5, 5)[bins])


def _path(small: np.ndarray, place: _Place) -> np.ndarray:
    """-1..1 (h, w): whether the smoothest way leads to the picture's border (-1) or to the face (1)."""
    calm = _lab(cv2.bilateralFilter(small, 5, 20, 3))
    across, down = (np.abs(np.diff(calm, axis=axis)).sum(axis=2) + 0.3 for axis in (1, 0))
    rim = np.zeros_like(place.core)
    rim[0] = rim[:, 0] = rim[:, -1] = True
    rim &= place.log_odds < -1.0
    if rim.sum() < 20:
        rim[0] = True
    rim |= place.log_odds < -3.5
    rim &= place.head & ~place.core
    border, person = _distance(rim, across, down), _distance(place.core, across, down)
    return (border - person) / (border + person + 1e-3)


def _distance(start: np.ndarray, across: np.ndarray, down: np.ndarray) -> np.ndarray:
    """Cost (h, w) of the cheapest way from ``start`` (h, w) bool; ``across`` (h, w - 1) and ``down`` (h - 1, w) cost a step."""
    cost = np.where(start, 0.0, 1e4)
    for _ in range(2):
        for lines, steps in ((cost.T, across.T), (cost, down)):  # views: both write into ``cost``
            for k in range(1, len(lines)):
                np.minimum(lines[k], lines[k - 1] + steps[k - 1], out=lines[k])
            for k in range(len(lines) - 2, -1, -1):
                np.minimum(lines[k], lines[k + 1] + steps[k], out=lines[k])
    return cost


def _cut(small: np.ndarray, guess: np.ndarray, place: _Place) -> np.ndarray | None:
    """The person (h, w) bool by GrabCut; None where the picture shows no background to learn from."""
    person, background = guess > 0.6, (guess < 0.2) & place.head
    if background.sum() < _LEAST_KNOWN:
        return None
    mask = np.where(guess > 0.5, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    mask[(guess < 0.04) & place.head] = cv2.GC_BGD
    mask[(guess > 0.8) | place.core] = cv2.GC_FGD
    # Colours are learnt from what is known: the known pixels as a picture of their own.
    known = np.concatenate((small[person], small[background]))
    label = np.repeat(np.array((cv2.GC_FGD, cv2.GC_BGD), np.uint8), (person.sum(), background.sum()))
    chosen = np.random.default_rng(0).permutation(len(known))[: len(known) // 64 * 64]
    behind, front = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.setRNGSeed(0)  # GrabCut draws its first clusters from it
    whole = (0, 0, 1, 1)  # not read: the masks say where
    sample, told = np.ascontiguousarray(known[chosen].reshape(-1, 64, 3)), label[chosen].reshape(-1, 64).copy()
    cv2.grabCut(sample, told, whole, behind, front, 1, cv2.GC_INIT_WITH_MASK)
    for mode in (cv2.GC_EVAL_FREEZE_MODEL, cv2.GC_EVAL):
        cv2.grabCut(small, mask, whole, behind, front, 1, mode)
    found = (mask == cv2.GC_FGD) | (mask == cv2.GC_PR_FGD)
    found = _with(place.core, found)
    count, part, stats, _ = cv2.connectedComponentsWithStats((~found).astype(np.uint8), connectivity=4)
    small_parts = [k for k in range(1, count) if stats[k, cv2.CC_STAT_AREA] < _SMALLEST_GAP]
    return np.asarray(found | np.isin(part, small_parts))


def _with(core: np.ndarray, found: np.ndarray) -> np.ndarray:
    """What of ``found`` (h, w) bool hangs together with the core."""
    _, part = cv2.connectedComponents(found.astype(np.uint8), connectivity=4)
    return np.isin(part, np.setdiff1d(part[core], 0))


def refined(picture: np.ndarray, found: np.ndarray, guide_px: tuple[int, int]) -> np.ndarray:
    """``found`` (h, w) float32 0..1 brought to the size of ``picture`` (H, W, 3) uint8, its edge drawn to the picture's, which is
    looked at in a copy of ``guide_px`` (width, height)."""
    guide = cv2.resize(picture, guide_px, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    slope, offset = _guided_lines(guide, cv2.resize(found, guide_px, interpolation=cv2.INTER_LINEAR), 4, 1e-4)
    # The lines are smooth: found at a smaller size, applied at full (He, Sun 2015).
    size = picture.shape[1::-1]
    slope = cv2.resize(slope, size, interpolation=cv2.INTER_LINEAR)
    offset = cv2.resize(offset, size, interpolation=cv2.INTER_LINEAR)
    alpha = (slope * (picture.astype(np.float32) / 255)).sum(axis=2) + offset
    return np.asarray(np.clip((alpha - 0.03) / 0.94, 0.0, 1.0), np.float32)


def guided(guide: np.ndarray, value: np.ndarray, radius_px: int, ridge: float) -> np.ndarray:
    """``value`` (h, w) float32 smoothed along the edges of ``guide`` (h, w, 3) float32 0..1 (He, Sun, Tang 2013)."""
    slope, offset = _guided_lines(guide, value, radius_px, ridge)
    return np.asarray((slope * guide).sum(axis=2) + offset)


def _guided_lines(guide: np.ndarray, value: np.ndarray, radius_px: int, ridge: float) -> tuple[np.ndarray, np.ndarray]:
    """slope (h, w, 3) and offset (h, w), so that slope . guide + offset comes closest to ``value``."""

    def mean(picture: np.ndarray) -> np.ndarray:
        return np.asarray(cv2.blur(picture, (2 * radius_px + 1, 2 * radius_px + 1)))

    colour, level = mean(guide), mean(value)
    joint = mean(guide * value[..., None]) - colour * level[..., None]
    spread = {
        (i, j): mean(guide[..., i] * guide[..., j]) - colour[..., i] * colour[..., j] for i in range(3) for j in range(i, 3)
    }
    for i in range(3):
        spread[i, i] += ridge
    slope = _solved(spread, joint)
    return mean(slope), mean(level - (slope * colour).sum(axis=2))


def _solved(square: dict[tuple[int, int], np.ndarray], right: np.ndarray) -> np.ndarray:
    """x (h, w, 3) with S x = ``right`` (h, w, 3), S symmetric, its upper entries (h, w) by row and column. By cofactors: many
    times as quick as LAPACK's solver, one small matrix at a time."""
    a, b, c, d, e, f = (square[k].astype(np.float64) for k in ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)))
    aa, bb, cc, dd, ee, ff = d * f - e * e, c * e - b * f, b * e - c * d, a * f - c * c, b * c - a * e, a * d - b * b
    x, y, z = (right[..., k] / (a * aa + b * bb + c * cc) for k in range(3))
    return np.stack((aa * x + bb * y + cc * z, bb * x + dd * y + ee * z, cc * x + ee * y + ff * z), axis=-1).astype(np.float32)


def _confidence(small: np.ndarray, guess: np.ndarray, found: np.ndarray, place: _Place) -> float:
    """1 less the share of the head that was likely but not found, and of its edge that shows no change of colour."""
    mine = found & place.head
    missed = (guess > 0.5) & place.head & ~found
    weight = found.astype(np.float32)
    calm = _lab(cv2.bilateralFilter(small, 5, 20, 3))
    window = (7, 7)
    inside = cv2.blur(calm * weight[..., None], window) / np.maximum(cv2.blur(weight, window), 1e-3)[..., None]
    outside = cv2.blur(calm * (1 - weight)[..., None], window) / np.maximum(cv2.blur(1 - weight, window), 1e-3)[..., None]
    edge = (cv2.dilate(found.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0) & ~found & place.head
    if not edge.any():
        return 0.0
    alike = (np.linalg.norm(inside - outside, axis=2)[edge] < _ALIKE).mean()
    return float(np.clip(1 - missed.sum() / max(int(mine.sum()), 1) - alike, 0.0, 1.0))
