"""From what a caller kept to figures: when the mouth opened, when it was at rest, how steadily pictures came."""

from __future__ import annotations

import numpy as np

RISE = 0.2
"""Share of the way to a burst's widest opening at which the mouth counts as opening."""
REST = 0.2
"""Share of the opening in speech below which it counts as at rest."""
LOUD = 0.01
"""Root mean square from which a packet counts as sound, -40 dBFS."""
_BEFORE_S, _AFTER_S, _SETTLED_S = 0.25, 0.6, 0.6
_UPPER, _LOWER, _CORNERS = 13, 14, (33, 263)


def opening(points: np.ndarray) -> float:
    """Gap between the lips' middles over the distance of the eyes' outer corners, of points (478, 3) px."""
    width = float(np.linalg.norm(points[_CORNERS[0]] - points[_CORNERS[1]]))
    return float(np.linalg.norm(points[_LOWER] - points[_UPPER])) / max(width, 1e-6)


def mouth_to_glass_ms(begun_s: float, arrival_s: np.ndarray, gaps: np.ndarray) -> float | None:
    """From a burst's first packet to the first picture of an opening mouth; None where the mouth did not open.

    arrival_s (n,), gaps (n,): of the pictures round the burst. The mouth opens where its gap has risen by `RISE` of the way from
    its narrowest (lips may be pressed together before a syllable) to the burst's widest, and does not fall back before that."""
    before = gaps[(arrival_s >= begun_s - _BEFORE_S) & (arrival_s < begun_s)]
    after = (arrival_s >= begun_s) & (arrival_s < begun_s + _AFTER_S)
    if not len(before) or not after.any():
        return None
    times, course = arrival_s[after], gaps[after]
    widest = int(course.argmax())
    spread = max(float(before.max() - before.min()), 0.01)
    if course[widest] - float(np.median(before)) < 2 * spread:
        return None
    rest = float(course[: widest + 1].min())
    low = np.flatnonzero(course[: widest + 1] < rest + RISE * (course[widest] - rest))
    return 1000 * float(times[low[-1] + 1 if len(low) else 0] - begun_s)


def at_rest_ms(stopped_s: float, arrival_s: np.ndarray, gaps: np.ndarray) -> float | None:
    """From an interruption to the first picture from which on the mouth stays at rest; None where it did not speak before."""
    before = gaps[(arrival_s >= stopped_s - _SETTLED_S) & (arrival_s < stopped_s)]
    after = (arrival_s >= stopped_s) & (arrival_s < stopped_s + 1.0)
    late = gaps[(arrival_s >= stopped_s + _SETTLED_S) & (arrival_s < stopped_s + 1.0)]
    if not len(before) or not len(late):
        return None
    rest, wide = float(np.median(late)), float(np.quantile(before, 0.9))
    if wide - rest < 0.02:
        return None
    times, course = arrival_s[after], gaps[after]
    open_ = np.flatnonzero(course > rest + REST * (wide - rest))
    return 1000 * float(times[min(open_[-1] + 1, len(times) - 1)] - stopped_s) if len(open_) else 0.0


def silent_ms(stopped_s: float, packets: np.ndarray) -> float:
    """From an interruption to the arrival of the last packet with sound; packets (n, 3): arrival s, pts, root mean square."""
    after = (packets[:, 0] >= stopped_s) & (packets[:, 0] < stopped_s + 1.0) & (packets[:, 2] > LOUD)
    return 1000 * float(packets[after, 0].max() - stopped_s) if after.any() else 0.0


def rate_hz(arrival_s: np.ndarray) -> float:
    """Pictures a second between the first and the last."""
    return float((len(arrival_s) - 1) / max(arrival_s[-1] - arrival_s[0], 1e-9)) if len(arrival_s) > 1 else 0.0


def quantiles(values: list[float]) -> dict[str, float]:
    """Median, 95th percentile, largest, and how many."""
    if not values:
        return {"count": 0}
    p50, p95 = np.percentile(values, (50, 95))
    return {"p50": round(float(p50), 1), "p95": round(float(p95), 1), "max": round(max(values), 1), "count": len(values)}


def slope_per_hour(at_s: np.ndarray, values: np.ndarray) -> float:
    """Of the straight line that fits best; 0 for fewer than three values."""
    return float(np.polyfit(at_s, values, 1)[0] * 3600) if len(values) > 2 else 0.0
