"""The figures that Prometheus reads."""

import threading

import pytest

pytest.importorskip("prometheus_client")

from prometheus_client.parser import text_string_to_metric_families

from talkinghead.live.metrics import DROPS, REFUSALS, STAGES, Metrics


def values(metrics: Metrics) -> dict[str, float]:
    """Every sample by its name and labels, such as 'x_total{kind=video}'."""
    found = {}
    for family in text_string_to_metric_families(metrics.text().decode()):
        for sample in family.samples:
            if sample.name.endswith("_created"):
                continue
            labels = ",".join(f"{key}={value}" for key, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


def test_every_series_is_there_from_the_start() -> None:
    found = values(Metrics())
    assert {f"talkinghead_stage_seconds_count{{stage={stage}}}" for stage in STAGES} <= found.keys()
    assert {f"talkinghead_frames_dropped_total{{kind={kind}}}" for kind in DROPS} <= found.keys()
    assert {f"talkinghead_sessions_refused_total{{reason={reason}}}" for reason in REFUSALS} <= found.keys()
    assert set(found.values()) == {0.0}


def test_what_is_observed_is_told() -> None:
    metrics = Metrics()
    for name, value in (
        ("draw_ms", 14.0),
        ("draw_ms", 16.0),
        ("drop_video", 3.0),
        ("drop_sound", 0.25),
        ("refused_full", 1.0),
        ("opened", 1.0),
        ("interrupts", 2.0),
        ("skew_ms", -20.0),
        ("nobody knows this one", 1.0),
    ):
        metrics.observe(name, value)
    found = values(metrics)
    assert found["talkinghead_stage_seconds_count{stage=draw}"] == 2
    assert found["talkinghead_stage_seconds_sum{stage=draw}"] == pytest.approx(0.030)
    assert found["talkinghead_stage_seconds_bucket{le=0.015,stage=draw}"] == 1
    assert found["talkinghead_frames_dropped_total{kind=video}"] == 3
    assert found["talkinghead_sound_dropped_seconds_total"] == 0.25
    assert found["talkinghead_sessions_refused_total{reason=full}"] == 1
    assert found["talkinghead_sessions_total"] == 1
    assert found["talkinghead_interrupts_total"] == 2
    assert found["talkinghead_skew_seconds"] == pytest.approx(-0.020)


def test_gauges_are_read_when_asked() -> None:
    metrics = Metrics()
    now = {"running": 1.0}
    metrics.watch(lambda: now["running"], lambda: 4, lambda: 2.5)
    now["running"] = 3.0
    found = values(metrics)
    assert found["talkinghead_sessions_running"] == 3
    assert found["talkinghead_sessions_capacity"] == 4
    assert found["talkinghead_queued_seconds"] == 2.5


def test_servers_in_one_process_do_not_share_figures() -> None:
    one, other = Metrics(), Metrics()
    one.observe("opened", 1.0)
    assert values(other)["talkinghead_sessions_total"] == 0


def test_threads_may_report_at_once() -> None:
    metrics = Metrics()
    threads = [threading.Thread(target=lambda: [metrics.observe("draw_ms", 1.0) for _ in range(500)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert values(metrics)["talkinghead_stage_seconds_count{stage=draw}"] == 2000
