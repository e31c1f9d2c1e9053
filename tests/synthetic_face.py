"""A drawn face with 478 points, for tests: rings where the real topology has them, the rest strewn over the skin."""

from __future__ import annotations

import cv2
import numpy as np

from talkinghead.motion.pose import HeadPose
from talkinghead.render import layout
from talkinghead.render.eyes import LEFT_EYE, RIGHT_EYE

EYE_X, EYE_Y, MOUTH_Y = 0.19, 0.0, 0.43
SIZE_PX = 512
HAIR, SKIN, WALL, COAT = (60, 40, 30), (205, 165, 140), (150, 170, 190), (40, 60, 120)


def _bow(middle: tuple[float, float], half: float, rise: float, count: int) -> np.ndarray:
    t = np.linspace(-1, 1, count)
    return np.stack((middle[0] + half * t, middle[1] + rise * np.cos(t * np.pi / 2)), axis=1)


def canonical_face(mouth_open: float = 0.0, lids: float = 0.035) -> np.ndarray:
    """(478, 3) in face heights; ``mouth_open`` and ``lids`` are the heights of the openings."""
    flat = np.full((478, 2), np.nan)
    angle = np.linspace(0, 2 * np.pi, len(layout.OVAL), endpoint=False)
    flat[list(layout.OVAL)] = np.stack((0.42 * np.sin(angle), 0.2 - 0.5 * np.cos(angle)), axis=1)
    for eye, side in ((LEFT_EYE, -1), (RIGHT_EYE, 1)):
        middle = (side * EYE_X, EYE_Y)
        flat[list(eye.lower)] = _bow(middle, 0.075, lids * 0.4, 9)
        flat[list(eye.upper)] = _bow(middle, 0.075, -lids * 0.6, 9)
        flat[list(eye.upper_fold)] = _bow(middle, 0.075, -0.05, 9)[1:-1]
        flat[list(eye.lower_fold)] = _bow(middle, 0.075, 0.045, 9)[1:-1]
        flat[eye.iris[0]] = middle
        flat[list(eye.iris[1:])] = np.array(middle) + 0.03 * np.array(((1, 0), (0, -1), (-1, 0), (0, 1)))
    flat[list(layout.LOWER_LIP)] = _bow((0, MOUTH_Y), 0.13, mouth_open * 0.8, 11)
    flat[list(layout.UPPER_LIP)] = _bow((0, MOUTH_Y), 0.13, -mouth_open * 0.2, 11)
    flat[list(layout.OUTER_LIPS[:11])] = _bow((0, MOUTH_Y), 0.15, -0.045 - mouth_open * 0.2, 11)
    flat[list(layout.OUTER_LIPS[10:]) + [layout.OUTER_LIPS[0]]] = _bow((0, MOUTH_Y), -0.15, 0.05 + mouth_open * 0.8, 11)
    _strew(flat)
    z = 0.9 * (flat[:, 0] ** 2) + 0.4 * (flat[:, 1] - 0.2) ** 2 - 0.12
    return np.concatenate((flat, z[:, None]), axis=1)


def _strew(flat: np.ndarray) -> None:
    """Fill what is still nan with a spiral over the face, clear of eyes and mouth."""
    free = np.flatnonzero(np.isnan(flat[:, 0]))
    spots: list[tuple[float, float]] = []
    for k in range(1, 4000):
        r, a = np.sqrt(k / 900), k * 2.39996
        x, y = 0.39 * r * np.cos(a), 0.2 + 0.46 * r * np.sin(a)
        if r > 0.96 or abs(y - 0.2) > 0.45 or (abs(y - EYE_Y) < 0.07 and 0.09 < abs(x) < 0.29):
            continue
        if abs(x) < 0.18 and -0.07 < y - MOUTH_Y < 0.09:
            continue
        spots.append((x, y))
    step = np.linspace(0, len(spots) - 1, len(free)).astype(int)
    flat[free] = np.array(spots)[step]


def pose() -> HeadPose:
    """Frontal, in the middle."""
    return HeadPose(np.eye(3), np.array((256.0, 215.0)), 233.0)


def picture(canonical: np.ndarray) -> np.ndarray:
    """(512, 512, 3) uint8: textured background, hair, skin, eyes with dark irises, red lips closed on a line."""
    rng = np.random.default_rng(3)
    noise = cv2.GaussianBlur(rng.normal(0, 30, (SIZE_PX, SIZE_PX, 3)), (0, 0), 2)
    image = np.clip(np.array((90, 110, 130)) + noise, 0, 255).astype(np.uint8)
    points = pose().apply(canonical)[:, :2]

    def fill(ring: np.ndarray, color: tuple[int, int, int]) -> None:
        cv2.fillPoly(image, [np.round(ring * 16).astype(np.int32)], color, cv2.LINE_AA, 4)

    oval = points[list(layout.OVAL)]
    fill(oval.mean(axis=0) + (oval - oval.mean(axis=0)) * 1.25 - (0, 18), (60, 40, 30))
    fill(oval, (205, 165, 140))
    for eye in (LEFT_EYE, RIGHT_EYE):
        ring = points[list(eye.upper + eye.lower[-2:0:-1])]
        mask = np.zeros((SIZE_PX, SIZE_PX), np.uint8)
        cv2.fillPoly(mask, [np.round(ring * 16).astype(np.int32)], 255, cv2.LINE_8, 4)
        ball = image.copy()
        ball[:] = (235, 235, 230)
        center = np.round(points[eye.iris[0]] * 16).astype(int)
        cv2.circle(ball, (int(center[0]), int(center[1])), 7 * 16, (30, 20, 15), -1, cv2.LINE_AA, 4)
        image[mask > 0] = ball[mask > 0]
    fill(points[list(layout.OUTER_LIPS)], (170, 70, 75))
    return image


def portrait(canonical: np.ndarray, wall: tuple[int, int, int] = WALL, wide: float = 1.25) -> tuple[np.ndarray, np.ndarray]:
    """A face with hair, neck and coat before a plain wall with grain (512, 512, 3), and where the person is (512, 512) bool."""
    points = pose().apply(canonical)[:, :2]
    oval = points[list(layout.OVAL)]
    person = np.zeros((512, 512), np.uint8)
    image = np.zeros((512, 512, 3), np.float32) + wall

    def fill(ring: np.ndarray, color: tuple[int, int, int]) -> None:
        cv2.fillPoly(image, [np.round(ring).astype(np.int32)], color)
        cv2.fillPoly(person, [np.round(ring).astype(np.int32)], 1)

    fill(oval.mean(axis=0) + (oval - oval.mean(axis=0)) * wide - (0, 18), HAIR)
    fill(np.array(((200, 330), (312, 330), (312, 512), (200, 512))), SKIN)
    fill(np.array(((216, 440), (296, 440), (420, 512), (92, 512))), COAT)
    fill(oval, SKIN)
    image = cv2.GaussianBlur(image, (0, 0), 1.0) + np.random.default_rng(0).normal(0, 4, image.shape)
    return np.clip(np.round(image), 0, 255).astype(np.uint8), person > 0
