"""Puts the moving face back into the whole photo."""

from __future__ import annotations

import cv2
import numpy as np

from talkinghead.constants import SIZE_PX
from talkinghead.portrait.crop import Crop

_FEATHER_PX = 14  # crop pixels along the border over which a change fades out
_QUIET = 1  # grey levels: a smaller difference is rounding, the photo's own pixel is better


class Paster:
    """Pastes frames of one photo.

    Only what differs from the still crop is laid over the photo, with a soft rim: where nothing moved the photo stays
    bit-equal and as sharp as it was, so there is no seam at the crop's border. Adding the enlarged difference instead
    would keep the photo's finer detail, but in its old place: a moved edge would have the old one shining through.
    """

    def __init__(self, photo: np.ndarray, crop: Crop, size_px: int = SIZE_PX) -> None:
        """``photo`` (H, W, 3) uint8 RGB; ``crop`` may reach past it; frames are (size_px, size_px, 3)."""
        self._photo = np.ascontiguousarray(photo)
        self._crop = crop
        self._size_px = size_px
        self._still = crop.extract(photo, size_px)
        ramp = np.clip((np.minimum(np.arange(size_px), np.arange(size_px)[::-1]) - 1) / _FEATHER_PX, 0, 1)
        ramp = ramp * ramp * (3 - 2 * ramp)
        self._feather = np.outer(ramp, ramp).astype(np.float32)
        self._scale = crop.side / size_px

    @property
    def still(self) -> np.ndarray:
        """The crop (size_px, size_px, 3) that frames are compared with."""
        return self._still

    def paste(self, face: np.ndarray) -> np.ndarray:
        """``face`` (size_px, size_px, 3) uint8 RGB in its place: a new picture (H, W, 3) uint8."""
        out = self._photo.copy()
        change = cv2.absdiff(face, self._still)
        loud = cv2.threshold(cv2.max(cv2.max(change[..., 0], change[..., 1]), change[..., 2]), _QUIET, 255, 0)[1]
        x, y, w, h = cv2.boundingRect(loud)
        if w == 0:
            return out
        reach = 6
        # Where it changed, and softly round it, the drawn pixels replace the photo's.
        x0, y0 = max(x - reach, 0), max(y - reach, 0)
        x1, y1 = min(x + w + reach, self._size_px), min(y + h + reach, self._size_px)
        near = cv2.dilate(loud[y0:y1, x0:x1], np.ones((5, 5), np.uint8))
        alpha = cv2.blur(near, (5, 5))
        alpha = cv2.multiply(alpha, self._feather[y0:y1, x0:x1], scale=1 / 255, dtype=cv2.CV_32F)
        self._blend(out, face[y0:y1, x0:x1], alpha, x0, y0)
        return out

    def _blend(self, out: np.ndarray, patch: np.ndarray, alpha: np.ndarray, x0: int, y0: int) -> None:
        """Resample ``patch`` and its alpha from the crop's place (x0, y0) to the photo and lay it over ``out``."""
        height, width = out.shape[:2]
        step, crop = self._scale, self._crop
        left, top = crop.x + x0 * step, crop.y + y0 * step
        px0, py0 = max(int(np.floor(left)), 0), max(int(np.floor(top)), 0)
        px1 = min(int(np.ceil(left + patch.shape[1] * step)), width)
        py1 = min(int(np.ceil(top + patch.shape[0] * step)), height)
        if px1 <= px0 or py1 <= py0:
            return
        # Photo pixel p (centre) lies at (p + 0.5 - left) / step - 0.5 in the patch.
        matrix = np.array([[1 / step, 0, (px0 + 0.5 - left) / step - 0.5], [0, 1 / step, (py0 + 0.5 - top) / step - 0.5]])
        target = (px1 - px0, py1 - py0)
        if step < 1:
            patch = cv2.GaussianBlur(patch, (0, 0), 0.4 / step)
        flags = cv2.WARP_INVERSE_MAP | (cv2.INTER_CUBIC if step > 1 else cv2.INTER_LINEAR)
        moved = cv2.warpAffine(patch, matrix, target, flags=flags, borderMode=cv2.BORDER_REPLICATE)
        share = cv2.warpAffine(alpha, matrix, target, flags=cv2.WARP_INVERSE_MAP | cv2.INTER_LINEAR)
        region = out[py0:py1, px0:px1]
        # Weights add up to one; with none for the frame this gives the photo's pixel back exactly.
        cv2.blendLinear(moved, region, share, 1.0 - share, dst=region)
