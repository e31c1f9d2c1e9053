"""A procedural mouth interior: cavity, tongue and two rows of teeth, painted once a portrait."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

_FACE_HEIGHT_MM = 185.0
_UPPER_WIDTHS_MM = (9.1, 6.9, 6.0, 4.5, 3.5)
_UPPER_EDGES_MM = (0.0, 0.7, 0.1, 0.9, 1.4)  # how much higher each cutting edge ends
_LOWER_WIDTHS_MM = (5.2, 5.4, 5.2, 4.0, 3.2)
_LOWER_EDGES_MM = (0.0, 0.1, -0.2, 0.5, 0.9)
_UPPER_LENGTH_MM = 9.5
_LOWER_LENGTH_MM = 7.5
_ARCH_MM, _ARCH_HALF_MM = 3.2, 15.0  # how much higher a jaw that has dropped shows its teeth so far from its middle
_GUM = np.array((0.62, 0.36, 0.36), np.float32)
_TOOTH = np.array((1.0, 0.965, 0.90), np.float32)


@dataclass(frozen=True)
class MouthTextures:
    """Pictures over one canvas, ``step`` canvas px a picture px, the lip line's middle at ``middle`` (canvas px).

    ``cavity`` (h, w, 3) with the tongue, ``upper`` and ``lower`` (h, w, 4) with alpha 0..1; float32, colours 0..255.
    """

    cavity: np.ndarray
    upper: np.ndarray
    lower: np.ndarray
    step: float
    middle: tuple[float, float]


def paint_mouth(scale_px: float, tooth: np.ndarray, flesh: np.ndarray) -> MouthTextures:
    """Paint for a face of ``scale_px`` px height; ``tooth`` (3,) the colour of a lit tooth, ``flesh`` (3,) of lips."""
    step, tooth, flesh = 3.0, tooth.astype(np.float32), flesh.astype(np.float32)
    mm = scale_px / _FACE_HEIGHT_MM * step
    half_w, half_h = round(36 * mm), round(46 * mm)
    x, y = (np.arange(-half, half + 1, dtype=np.float32) / np.float32(mm) for half in (half_w, half_h))
    x, y = x[None, :], y[:, None]  # most of the shading is of one of them
    cavity = _cavity(x, y, flesh)
    upper = _row(x, y - 2.0, _UPPER_WIDTHS_MM, _UPPER_EDGES_MM, _UPPER_LENGTH_MM, tooth, flesh, 1.0)
    arch = y + 0.3 + _ARCH_MM * np.minimum((x / _ARCH_HALF_MM) ** 2, 2.0)
    lower = _row(x, -arch, _LOWER_WIDTHS_MM, _LOWER_EDGES_MM, _LOWER_LENGTH_MM, _behind(tooth, flesh), flesh, 0.55)
    return MouthTextures(cavity, upper, lower, step, (float(half_w), float(half_h)))


def _behind(tooth: np.ndarray, flesh: np.ndarray) -> np.ndarray:
    """The lower teeth stand in the upper ones' shade and catch light from tongue and lip."""
    warm = tooth @ np.array((0.30, 0.59, 0.11), np.float32) * flesh / max(float(flesh.mean()), 1.0)
    return 0.75 * (0.8 * tooth + 0.2 * warm)


def _soft(value: np.ndarray, width: float) -> np.ndarray:
    return np.clip(value / width + 0.5, 0.0, 1.0)


def _cavity(x: np.ndarray, y: np.ndarray, flesh: np.ndarray) -> np.ndarray:
    """Dark and warm; the tongue fills its lower part, duller than lips, lit where it is near them."""
    back = flesh * np.array((0.38, 0.25, 0.25), np.float32)
    side = np.clip(np.abs(x) / 26.0, 0, 1)[..., None]
    base = back * (1.25 - 0.7 * side)
    # The tongue's tip lies behind the lower teeth (y about -2) and its back fades into the dark.
    height = y + 16.0 - 3.0 * (x / 17.0) ** 2
    inside = _soft(20.0 - np.abs(x) - 0.25 * np.maximum(-y, 0), 7.0) * np.clip(height / 12.0, 0, 1) ** 1.5
    groove = 1.0 - 0.03 * np.exp(-((x / 1.5) ** 2)) * np.clip((6.0 - y) / 8.0, 0, 1)
    light = (0.54 + 0.24 * np.clip(height / 11.0, 0, 1)) * groove * (1 - 0.35 * (x / 20.0) ** 2)
    hue = flesh * np.array((0.97, 0.82, 0.83), np.float32)
    tongue = (0.8 * hue + 0.2 * hue.mean()) * light[..., None]
    return (base + (tongue - base) * inside[..., None]).astype(np.float32)


def _row(
    x: np.ndarray,
    y: np.ndarray,
    widths: tuple[float, ...],
    edges: tuple[float, ...],
    length: float,
    tooth: np.ndarray,
    flesh: np.ndarray,
    relief: float,
) -> np.ndarray:
    """Teeth whose cutting edges lie at y = 0 and whose roots are at negative y; mm."""
    side = np.abs(x)
    ends = np.cumsum(widths, dtype=np.float32)
    number = np.minimum(np.searchsorted(ends, side), len(widths) - 1)
    start = np.concatenate((np.zeros(1, np.float32), ends[:-1]))[number]
    width = np.array(widths, np.float32)[number]
    across = (side - start) / width * 2 - 1  # -1..1 over one tooth
    edge = -np.array(edges, np.float32)[number] - relief * 0.55 * np.abs(across) ** 4
    gap = np.exp(-(((1 - np.abs(across)) * width / 2 / 0.30) ** 2))
    body = _soft(edge - y, 0.7) * _soft(ends[-1] - side, 1.5)
    height = np.clip((edge - y) / length, 0, 1)
    round_shade = 1.0 - 0.10 * np.abs(across) ** 3 - relief * 0.26 * gap * (0.5 + 0.5 * height)
    arch = 1.0 - (0.85 - 0.30 * relief) * np.clip(side / ends[-1], 0, 1) ** 1.8
    tip = 1.0 - 0.10 * np.clip(1 - (edge - y) / 1.6, 0, 1)
    variation = (1.0 + 0.025 * np.cos(number * 2.4 + (x > 0) * 1.1)).astype(np.float32)
    color = (tooth * _TOOTH) * (round_shade * arch * tip * variation * (1 - 0.10 * height))[..., None]
    gum_line = length - 0.9 * np.abs(across) ** 2
    gum = _soft((edge - y) - gum_line, 0.8)[..., None]
    color = color * (1 - gum) + flesh * _GUM * arch[..., None] * gum
    return np.dstack((color, body)).astype(np.float32)


def sharpened(textures: MouthTextures, blur_px: float) -> MouthTextures:
    """The same, softened by ``blur_px`` picture px so that it is as sharp as the photo round it."""
    sigma = max(blur_px * textures.step, 0.1)
    soft = [cv2.GaussianBlur(t, (0, 0), sigma) for t in (textures.cavity, textures.upper, textures.lower)]
    return MouthTextures(soft[0], soft[1], soft[2], textures.step, textures.middle)
