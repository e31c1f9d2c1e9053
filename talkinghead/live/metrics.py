"""Figures for Prometheus, kept in a registry of each server's own."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

CONTENT_TYPE = CONTENT_TYPE_LATEST
STAGES = ("features", "motion", "draw", "late", "latency", "encode", "send", "total")
"""Of a frame: speech features, motion, picture; late: after it was due; latency: from the arrival of its last sound to
its picture; encoding, with the wait for the sound's lead; packets; total: from the arrival of its last sound until it is sent."""
DROPS = ("video", "outlet", "skipped")
"""Pictures too late to be drawn or encoded, frames that a consumer was too slow for, frames that a stall swallowed."""
REFUSALS = ("full", "overload", "closing")
BATCHED = ("speech", "motion", "mouth", "eye")
"""Networks that sessions share on a GPU, see `networks.BATCHED`."""
_BUCKETS_ROWS = tuple(2**k for k in range(10))
_BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.015, 0.02, 0.025, 0.03, 0.04, 0.06, 0.08, 0.1, 0.125, 0.15, 0.17, 0.2, 0.25, 0.5, 1.0)


class Metrics:
    """What `GET /metrics` tells. `observe` is what sessions, peers and the store report to; any thread."""

    def __init__(self) -> None:
        kept = self.registry = CollectorRegistry()
        told = "Time of a frame by stage."
        self._stages = Histogram("talkinghead_stage_seconds", told, ["stage"], buckets=_BUCKETS_S, registry=kept)
        self._drops = Counter("talkinghead_frames_dropped", "Frames without a picture, by the reason.", ["kind"], registry=kept)
        told = "Sound that was never spoken, interrupted sound included."
        self._unheard = Counter("talkinghead_sound_dropped_seconds", told, registry=kept)
        self._refused = Counter("talkinghead_sessions_refused", "Sessions not let in, by reason.", ["reason"], registry=kept)
        self._opened = Counter("talkinghead_sessions", "Sessions opened.", registry=kept)
        told = "Interruptions, counted when a session ends."
        self._interrupts = Counter("talkinghead_interrupts", told, registry=kept)
        told = "By how much pictures leave after their sound, the last one told."
        self._skew = Gauge("talkinghead_skew_seconds", told, registry=kept)
        self._running = Gauge("talkinghead_sessions_running", "Sessions now.", registry=kept)
        self._capacity = Gauge("talkinghead_sessions_capacity", "Sessions that this machine holds.", registry=kept)
        told = "Sound that waits to be spoken, of all sessions."
        self._queued = Gauge("talkinghead_queued_seconds", told, registry=kept)
        self._by_name = self._reporters()
        self._by_batch = self._batch_reporters()

    def _reporters(self) -> dict[str, Callable[[float], None]]:
        """What to do with each name. Labels are made now, so that every series is there, with 0, from the start."""
        found: dict[str, Callable[[float], None]] = {
            "opened": self._opened.inc,
            "interrupts": self._interrupts.inc,
            "drop_sound": self._unheard.inc,
            "skew_ms": _in_seconds(self._skew.set),
        }
        found.update((f"{stage}_ms", _in_seconds(self._stages.labels(stage).observe)) for stage in STAGES)
        found.update((f"drop_{kind}", self._drops.labels(kind).inc) for kind in DROPS)
        found.update((f"refused_{reason}", self._refused.labels(reason).inc) for reason in REFUSALS)
        return found

    def observe(self, name: str, value: float) -> None:
        """Something happened: "draw_ms" (any of STAGES), "drop_video" (any of DROPS), "refused_full" (any of REFUSALS),
        "drop_sound" (seconds), "opened", "interrupts", "skew_ms". Other names are not counted here."""
        report = self._by_name.get(name)
        if report is not None:
            report(value)

    def _batch_reporters(self) -> dict[tuple[str, str], Callable[[float], None]]:
        told, kept = "Rows of a batch, all sessions together (on a GPU; motion and eyes have two a session).", self.registry
        rows = Histogram("talkinghead_batch_rows", told, ["network"], buckets=_BUCKETS_ROWS, registry=kept)
        told = "Time of a batch."
        took = Histogram("talkinghead_batch_seconds", told, ["network"], buckets=_BUCKETS_S, registry=kept)
        told = "From a session's call to the beginning of its batch."
        waited = Histogram("talkinghead_batch_wait_seconds", told, ["network"], buckets=_BUCKETS_S, registry=kept)
        found: dict[tuple[str, str], Callable[[float], None]] = {}
        for network in BATCHED:
            found[network, "batch_rows"] = rows.labels(network).observe
            found[network, "batch_ms"] = _in_seconds(took.labels(network).observe)
            found[network, "wait_ms"] = _in_seconds(waited.labels(network).observe)
        return found

    def observe_batch(self, network: str, name: str, value: float) -> None:
        """A batch of one of `BATCHED` ran: "batch_rows", "batch_ms"; "wait_ms" of each call in it."""
        self._by_batch[network, name](value)

    def watch(self, running: Callable[[], float], capacity: Callable[[], float], queued_s: Callable[[], float]) -> None:
        """Where to look for what is asked only when the figures are read."""
        self._running.set_function(running)
        self._capacity.set_function(capacity)
        self._queued.set_function(queued_s)

    def text(self) -> bytes:
        """All figures in Prometheus' text format, `CONTENT_TYPE`."""
        return generate_latest(self.registry)


def _in_seconds(report: Callable[[float], None]) -> Callable[[float], None]:
    return lambda value_ms: report(value_ms / 1000)
