"""Who in a picture is the person, by a network and by colours, once a portrait.

The network has seen many people and knows hair, hats and shoulders when it sees them, but draws their edge only roughly; graph
cuts by colours find the edge, but take a wall of hair's colour for hair. Here the cuts of head and body weigh colours against
what the network says, and where the two still differ the matte is said to be unsure.
"""

from __future__ import annotations

import cv2
import numpy as np

from talkinghead.constants import MATTE_PX
from talkinghead.render.body import with_body
from talkinghead.render.layout import OVAL
from talkinghead.render.matte import Matte, cut_head
from talkinghead.render.surround import smoothstep
from talkinghead.runtime.engine import Engine, load_engine
from talkinghead.runtime.weights import model_path

_SHIFT = 4
_FOREHEAD, _CHIN = 10, 152
_HEAD_ENDS_FH = (0.2, 0.35)
"""Below the chin, face heights: there the head's cut gives way to the body's."""
_DIFFERENT, _DIFFERENT_BODY = 0.2, 0.6
"""By so much the network differs from the cuts of head and body where one of them may be wrong."""
_THIN_PX, _NEAR_PX, _SOFT_PX = 9, 41, 8.0
"""Differences along an edge that are no wider are none; and how far round others a matte is unsure."""


def load_matting() -> Engine:
    """The shipped network, on the processor wherever the others run: once a portrait that is quick, and no device cuts people out
    otherwise than another."""
    return load_engine(model_path("matte", "matte.onnx"))


def face_oval(points: np.ndarray, size_px: int) -> np.ndarray:
    """255 within the outline of a face's points (478, 3) px: (s, s) uint8."""
    out = np.zeros((size_px, size_px), np.uint8)
    outline = np.clip(points[list(OVAL), :2], -4096, 4096)
    cv2.fillPoly(out, [np.round(outline * (1 << _SHIFT)).astype(np.int32)], 255, cv2.LINE_AA, _SHIFT)
    return out


def see_person(network: Engine, face: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Logit (`MATTE_PX`, `MATTE_PX`) float32 of how much of each pixel is the person's, of a portrait (s, s, 3) uint8 RGB with
    points (478, 3) px."""
    layers = np.dstack((face, face_oval(points, len(face))))
    small = cv2.resize(layers, (MATTE_PX, MATTE_PX), interpolation=cv2.INTER_AREA)
    picture = np.ascontiguousarray(small.transpose(2, 0, 1)[None], np.float32) / np.float32(255)
    return np.asarray(network.run(picture=picture)["logit"][0, 0])


def person_matte(network: Engine, face: np.ndarray, points: np.ndarray) -> Matte:
    """The matte of the whole person in a portrait (s, s, 3) uint8 RGB with points (478, 3) px."""
    logit = see_person(network, face, points)
    seen = 1 / (1 + np.exp(-np.clip(logit, -30, 30)))
    cut = cut_head(face, points, logit)
    if cut.confidence <= 0:
        return cut
    below = (np.arange(len(face)) - points[_CHIN, 1]) / float(np.linalg.norm(points[_CHIN, :2] - points[_FOREHEAD, :2]))
    head = cut.alpha * (1 - smoothstep(*_HEAD_ENDS_FH, below))[:, None]
    alpha = with_body(face, head.astype(np.float32), points[:, :2], seen.astype(np.float32))
    return Matte(alpha, cut.confidence, _unsure(seen, alpha, smoothstep(*_HEAD_ENDS_FH, below)))


def _unsure(seen: np.ndarray, alpha: np.ndarray, body: np.ndarray) -> np.ndarray:
    """How unsure (s, s) float32, 0..1, a matte is, of what the network saw; ``body`` (s,): 1 in rows below the head."""
    seen = cv2.resize(seen, alpha.shape[::-1], interpolation=cv2.INTER_LINEAR)
    most = _DIFFERENT + (_DIFFERENT_BODY - _DIFFERENT) * body
    apart = (np.abs(seen - alpha) > most[:, None]).astype(np.uint8)
    wide = cv2.morphologyEx(apart, cv2.MORPH_OPEN, np.ones((_THIN_PX, _THIN_PX), np.uint8))
    near = cv2.dilate(wide, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (_NEAR_PX, _NEAR_PX)))
    return np.asarray(cv2.GaussianBlur(near.astype(np.float32), (0, 0), _SOFT_PX))
