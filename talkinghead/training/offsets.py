"""Sound and picture of training clips brought together, by what `talkinghead train sync` measured."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from talkinghead.constants import SAMPLE_RATE_HZ, SAMPLES_PER_FRAME
from talkinghead.training.motion_data import Clip

FILE = "sync.json"
"""In the cache: offset in ms by clip's name, > 0 where the sound is late."""
LEAD_MS = {"grid_s1": 20.0, "anchors": 60.0, "hq": 60.0}
"""How much sooner than their sound lips are taught. Viewers take sound from 45 ms early to 125 ms late for simultaneous (ITU-R
BT.1359) and are used to its being late; a call is answered so much sooner. Voices that are not known well are followed some 30 ms
late, since the network waits until it is sure: people of whom there is little are taught so much sooner than the one of whom
there is an hour."""


def in_step(clip: Clip, offset: float) -> Clip:
    """A clip whose sound was ``offset`` ms late, with it in its place."""
    shift = round(offset / 1000 * SAMPLE_RATE_HZ)
    skipped = max(0, -(shift // SAMPLES_PER_FRAME))  # frames without sound
    sound = clip.sound[shift + skipped * SAMPLES_PER_FRAME :]
    return replace(clip, z_dyn=clip.z_dyn[skipped:], z_pose=clip.z_pose[skipped:], sound=sound)


def all_in_step(clips: list[Clip], cache: Path, lead_ms: dict[str, float] = LEAD_MS) -> list[Clip]:
    """Audible clips by the offsets of CACHE/sync.json, where there are any, and lips ahead by ``lead_ms``; others as they are."""
    path = cache / FILE
    if not path.exists():
        raise SystemExit(f"{path} is missing: run `talkinghead train sync` first")
    known = json.loads(path.read_text())
    return [in_step(c, known.get(c.name, 0.0) - lead_ms.get(c.source, 0.0)) if c.audible else c for c in clips]
