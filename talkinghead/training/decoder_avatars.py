"""Pairs of rendered avatars: one head in one light before one wall, in two postures. They show what few clips do: wide open
mouths with tongue and both rows of teeth, eyes that look far aside, faces turned away."""

from __future__ import annotations

import zlib
from dataclasses import replace

import numpy as np

from talkinghead.motion.latent import LatentModel
from talkinghead.training.avatars import Head
from talkinghead.training.decoder_pairs import Shard, cropped, pair, posed

SIDE_PX = 640
"""Of the pictures: the face is then as large as in a crop."""
_PORTRAITS, _TARGETS = 3, 7


def avatar_shard(latent: LatentModel, head: Head) -> Shard:
    """Pairs of one avatar; the points are the mesh's own."""
    from talkinghead.training.avatar_scenes import draw, random_posture, random_scene  # numba: only for drawing

    shard, rng = Shard(), np.random.default_rng(zlib.crc32(head.name.encode()))
    for _ in range(_PORTRAITS):
        scene = random_scene(head, rng, SIDE_PX)
        shown = draw(head, scene)
        at = posed(latent, shown.image, shown.points, rng)
        shard.portrait(at)
        for _ in range(_TARGETS):
            other = draw(head, replace(scene, posture=random_posture(head, rng)))
            shard.add(pair(latent, at, at.crop.extract(other.image), cropped(at.crop, other.points)))
    return shard
