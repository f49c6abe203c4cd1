"""Writes docker/grafana/dashboards: three dashboards, declared here as panels and their queries.

``make docs`` writes them; a test fails when they are out of date, and
another asks a Prometheus beside a running service for every panel's query.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path("docker/grafana/dashboards")

_SCHEMA = 39  # of Grafana 11; later ones read it
_COLUMNS = 24
_RATE = "$__rate_interval"
_QUICK = r'route!~"/transcribe.*|.*/audio/.*|.*/events|/v1/jobs/\\{job_id\\}|unmatched"'


@dataclass(frozen=True)
class Query:
    """What a panel asks, and how its lines are called."""

    expr: str
    legend: str = ""


@dataclass(frozen=True)
class Panel:
    """``kind`` is Grafana's name of it, ``unit`` its name of a unit."""

    title: str
    unit: str
    queries: tuple[Query, ...]
    help: str = ""
    kind: str = "timeseries"
    width: int = 8
    height: int = 8
    stacked: bool = False


@dataclass(frozen=True)
class Dashboard:
    """Rows of panels, by their titles."""

    uid: str
    title: str
    rows: tuple[tuple[str, tuple[Panel, ...]], ...]


def _stat(title: str, unit: str, expr: str, text: str = "") -> Panel:
    return Panel(title, unit, (Query(expr),), text, kind="stat", width=4, height=4)


def _quantiles(metric: str, by: str = "", select: str = "") -> tuple[Query, ...]:
    """Median and 95th percentile of a histogram."""
    grouped = f"le, {by}" if by else "le"
    rate = f"sum by ({grouped}) (rate({metric}_bucket{{{select}}}[{_RATE}]))"
    prefix = f"{{{{{by}}}}} " if by else ""
    return tuple(
        Query(f"histogram_quantile({q}, {rate})", f"{prefix}p{round(q * 100)}") for q in (0.5, 0.95)
    )


def _rate(metric: str, by: str, select: str = "") -> Query:
    return Query(f"sum by ({by}) (rate({metric}{{{select}}}[{_RATE}]))", f"{{{{{by}}}}}")


_SERVICE = Dashboard(
    "whisperdrop-service",
    "Whisperdrop: service",
    (
        (
            "In the time shown",
            (
                _stat("Jobs ended", "short", "sum(increase(whisperdrop_jobs_total[$__range]))"),
                _stat(
                    "Failed",
                    "percentunit",
                    '(sum(increase(whisperdrop_jobs_total{status="failed"}[$__range]))'
                    " or vector(0))"
                    " / clamp_min(sum(increase(whisperdrop_jobs_total[$__range])), 1)",
                ),
                _stat(
                    "Audio transcribed",
                    "s",
                    "sum(increase(whisperdrop_audio_seconds_total[$__range]))",
                ),
                _stat(
                    "Times real time",
                    "none",
                    "sum(increase(whisperdrop_audio_seconds_total[$__range]))"
                    " / sum(increase(whisperdrop_engine_seconds_total[$__range]))",
                    "Seconds of audio for a second in the model",
                ),
                _stat("Workers", "short", 'max(whisperdrop_fleet_workers{state="running"})'),
                _stat(
                    "Dead letters",
                    "short",
                    'sum(max by (queue) (whisperdrop_queue_messages{state="dead"}))',
                    "Messages that nobody could settle: see the alert WhisperdropDeadLetters",
                ),
            ),
        ),
        (
            "HTTP",
            (
                Panel(
                    "Requests",
                    "reqps",
                    (_rate("whisperdrop_http_requests_total", "status"),),
                    stacked=True,
                ),
                Panel(
                    "Answered 5xx",
                    "percentunit",
                    (
                        Query(
                            "(sum(rate(whisperdrop_http_requests_total"
                            f'{{status=~"5.."}}[{_RATE}])) or vector(0))'
                            f" / sum(rate(whisperdrop_http_requests_total[{_RATE}]))",
                            "5xx",
                        ),
                    ),
                ),
                Panel(
                    "Latency",
                    "s",
                    _quantiles("whisperdrop_http_request_seconds", select=_QUICK),
                    "Of routes that wait for no job",
                ),
                Panel(
                    "Requests by route",
                    "reqps",
                    (_rate("whisperdrop_http_requests_total", "route"),),
                ),
                Panel(
                    "Latency by route, p95",
                    "s",
                    (_quantiles("whisperdrop_http_request_seconds", "route")[1],),
                    "Those that wait for a job are as slow as the job",
                ),
                Panel(
                    "Being answered",
                    "short",
                    (Query("sum(whisperdrop_http_requests_in_flight)", "requests"),),
                    "Streams and long polls included",
                ),
            ),
        ),
        (
            "Jobs",
            (
                Panel(
                    "Jobs",
                    "ops",
                    (_rate("whisperdrop_jobs_total", "status"),),
                    "As they end",
                    stacked=True,
                ),
                Panel(
                    "By door",
                    "ops",
                    (_rate("whisperdrop_jobs_total", "source"),),
                    "Presigned upload, synchronous route, bucket drop",
                    stacked=True,
                ),
                Panel(
                    "Failures by code",
                    "ops",
                    (_rate("whisperdrop_job_failures_total", "code"),),
                ),
                Panel(
                    "Wait for a worker",
                    "s",
                    _quantiles("whisperdrop_queue_wait_seconds", "queue"),
                    "From the message to the start of the first attempt",
                ),
                Panel(
                    "Start to outcome",
                    "s",
                    _quantiles("whisperdrop_job_seconds", "queue"),
                ),
                Panel(
                    "Without an outcome",
                    "short",
                    (Query("max(whisperdrop_sweep_pending)", "jobs"),),
                    "Uploads that have not come included",
                ),
            ),
        ),
        (
            "Webhooks",
            (
                Panel(
                    "Deliveries",
                    "ops",
                    (_rate("whisperdrop_webhook_attempts_total", "result"),),
                    stacked=True,
                ),
                Panel("Time of one", "s", _quantiles("whisperdrop_webhook_seconds")),
                Panel(
                    "Waiting",
                    "short",
                    (
                        Query(
                            'max by (state) (whisperdrop_queue_messages{queue="notify"})',
                            "{{state}}",
                        ),
                    ),
                ),
            ),
        ),
    ),
)

_WORKER = Dashboard(
    "whisperdrop-worker",
    "Whisperdrop: worker and engine",
    (
        (
            "Speed",
            (
                Panel(
                    "Audio a second",
                    "none",
                    (_rate("whisperdrop_audio_seconds_total", "model"),),
                    "Seconds of audio that are transcribed in a second, counted as jobs succeed",
                    stacked=True,
                ),
                Panel(
                    "Times real time",
                    "none",
                    (Query("whisperdrop:realtime_factor:rate5m", "{{model}}"),),
                    "Audio for a second in the model, over five minutes",
                ),
                Panel(
                    "Model at work",
                    "none",
                    (
                        Query(
                            "sum by (instance) "
                            f"(rate(whisperdrop_model_call_seconds_total[{_RATE}]))",
                            "{{instance}}",
                        ),
                    ),
                    "Calls into the model at the same time, on average; at most MODEL_CALLS, "
                    "and one more for interactive jobs",
                ),
                Panel(
                    "Windows in a call",
                    "none",
                    (
                        Query(
                            f"sum(rate(whisperdrop_batch_size_sum[{_RATE}]))"
                            f" / sum(rate(whisperdrop_batch_size_count[{_RATE}]))",
                            "mean",
                        ),
                        _quantiles("whisperdrop_batch_size")[1],
                    ),
                    "Fuller batches are faster; they fill when jobs wait",
                ),
                Panel(
                    "Windows done again",
                    "ops",
                    (_rate("whisperdrop_guard_redecodes_total", "reason"),),
                    "What the guard would not believe",
                    stacked=True,
                ),
                Panel(
                    "Waiting for the decoder",
                    "none",
                    (
                        Query(
                            f"sum(rate(whisperdrop_decode_wait_seconds_total[{_RATE}]))",
                            "jobs that wait",
                        ),
                    ),
                    "Jobs that wait for samples at the same time, on average",
                ),
            ),
        ),
        (
            "Jobs",
            (
                Panel(
                    "Held",
                    "short",
                    (Query("sum by (queue) (whisperdrop_jobs_in_progress)", "{{queue}}"),),
                    stacked=True,
                ),
                Panel(
                    "Attempts that did not decide",
                    "ops",
                    (_rate("whisperdrop_job_attempts_failed_total", "reason"),),
                    "Each is followed by another one; `interrupted` is a worker that was stopped",
                    stacked=True,
                ),
                Panel(
                    "Went on at a checkpoint",
                    "ops",
                    (Query(f"sum(rate(whisperdrop_checkpoint_resumes_total[{_RATE}]))", "jobs"),),
                ),
            ),
        ),
        (
            "Models and machine",
            (
                Panel(
                    "Models in memory",
                    "short",
                    (Query("sum by (instance) (whisperdrop_models_loaded)", "{{instance}}"),),
                ),
                Panel(
                    "Loads",
                    "ops",
                    (
                        Query(
                            f"sum by (model) (rate(whisperdrop_model_loads_total[{_RATE}]))",
                            "{{model}}",
                        ),
                    ),
                    "Many of them: MODEL_MEMORY_BYTES is too small for what is asked for",
                ),
                Panel(
                    "Time of a load",
                    "s",
                    (
                        Query(
                            "sum(whisperdrop_model_load_seconds_sum)"
                            " / sum(whisperdrop_model_load_seconds_count)",
                            "mean",
                        ),
                    ),
                    "Since the workers' start",
                ),
                Panel(
                    "CPU",
                    "none",
                    (
                        Query(
                            "sum by (instance) "
                            f'(rate(process_cpu_seconds_total{{job=~"worker.*"}}[{_RATE}]))',
                            "{{instance}}",
                        ),
                    ),
                    "Cores at work in the worker itself; decoders are processes of their own",
                ),
                Panel(
                    "Memory",
                    "bytes",
                    (
                        Query(
                            'sum by (instance) (process_resident_memory_bytes{job=~"worker.*"})',
                            "{{instance}}",
                        ),
                    ),
                ),
                Panel(
                    "GPU memory",
                    "bytes",
                    (
                        Query(
                            "sum by (kind) (whisperdrop_gpu_memory_bytes) or vector(0)", "{{kind}}"
                        ),
                    ),
                    "0 where there is no GPU",
                ),
            ),
        ),
    ),
)

_FLEET = Dashboard(
    "whisperdrop-fleet",
    "Whisperdrop: queues, fleet and sweep",
    (
        (
            "Backlog",
            (
                Panel(
                    "Messages that wait",
                    "short",
                    (
                        Query(
                            'max by (queue) (whisperdrop_queue_messages{state="visible"})',
                            "{{queue}}",
                        ),
                    ),
                ),
                Panel(
                    "Messages in work",
                    "short",
                    (
                        Query(
                            'max by (queue) (whisperdrop_queue_messages{state="in_flight"})',
                            "{{queue}}",
                        ),
                    ),
                ),
                Panel(
                    "Dead letters",
                    "short",
                    (
                        Query(
                            'max by (queue) (whisperdrop_queue_messages{state="dead"})',
                            "{{queue}}",
                        ),
                    ),
                ),
                Panel(
                    "Audio that waits",
                    "s",
                    (Query("max(whisperdrop_backlog_audio_seconds)", "audio"),),
                    "Estimated from the sizes of the files",
                ),
                Panel(
                    "Until it is done",
                    "s",
                    (
                        Query(
                            "max(whisperdrop_backlog_audio_seconds)"
                            " / sum(rate(whisperdrop_audio_seconds_total[15m]))",
                            "at the pace of the last 15 min",
                        ),
                    ),
                ),
                Panel(
                    "Workers",
                    "short",
                    (Query("max by (state) (whisperdrop_fleet_workers)", "{{state}}"),),
                ),
            ),
        ),
        (
            "Sweep",
            (
                Panel(
                    "Found",
                    "ops",
                    tuple(
                        Query(f"sum(rate(whisperdrop_sweep_{name}_total[{_RATE}]))", legend)
                        for name, legend in (
                            ("requeued", "queued again"),
                            ("expired", "expired"),
                            ("lost_drops", "lost drops"),
                            ("deleted", "deleted"),
                            ("notifications_sent", "webhooks woken"),
                        )
                    ),
                    "What events have lost, and what was due",
                ),
                Panel("Time of a pass", "s", _quantiles("whisperdrop_sweep_seconds")),
                Panel(
                    "Needs a person",
                    "short",
                    (
                        Query("sum(whisperdrop_sweep_damaged)", "damaged documents"),
                        Query(
                            "sum(increase(whisperdrop_sweep_failures_total[$__range]))",
                            "failed passes",
                        ),
                    ),
                ),
            ),
        ),
        (
            "Processes",
            (
                Panel("Answer", "short", (Query("sum by (job) (up)", "{{job}}"),)),
                Panel(
                    "Memory",
                    "bytes",
                    (Query("sum by (job) (process_resident_memory_bytes)", "{{job}}"),),
                    stacked=True,
                ),
                Panel(
                    "Started",
                    "dateTimeFromNow",
                    (
                        Query(
                            "1000 * max by (job) (process_start_time_seconds)",
                            "{{job}}",
                        ),
                    ),
                    kind="stat",
                ),
            ),
        ),
    ),
)

DASHBOARDS = (_SERVICE, _WORKER, _FLEET)
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}


def rendered() -> dict[str, str]:
    """Every dashboard as Grafana reads it, by the name of its file."""
    return {
        f"{dashboard.uid.removeprefix('whisperdrop-')}.json": json.dumps(
            _dashboard(dashboard), indent=1
        )
        + "\n"
        for dashboard in DASHBOARDS
    }


def _dashboard(dashboard: Dashboard) -> dict[str, Any]:
    panels: list[dict[str, Any]] = []
    y = 0
    for title, row in dashboard.rows:
        at = {"x": 0, "y": y, "w": _COLUMNS, "h": 1}
        panels.append({"type": "row", "title": title, "collapsed": False, "gridPos": at})
        y += 1
        x = 0
        for panel in row:
            if x + panel.width > _COLUMNS:
                x, y = 0, y + panel.height
            panels.append(_panel(panel, x, y))
            x += panel.width
        y += max(panel.height for panel in row)
    for number, panel_json in enumerate(panels, 1):
        panel_json["id"] = number
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "tags": ["whisperdrop"],
        "schemaVersion": _SCHEMA,
        "editable": False,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "links": [
            {
                "type": "dashboards",
                "title": "Whisperdrop",
                "tags": ["whisperdrop"],
                "keepTime": True,
                "includeVars": True,
            }
        ],
        "templating": {
            "list": [
                {
                    "name": "datasource",
                    "label": "Data source",
                    "type": "datasource",
                    "query": "prometheus",
                    "current": {},
                    "hide": 0,
                }
            ]
        },
        "panels": panels,
    }


def _panel(panel: Panel, x: int, y: int) -> dict[str, Any]:
    defaults: dict[str, Any] = {"unit": panel.unit, "min": 0}
    options: dict[str, Any]
    if panel.kind == "stat":
        defaults = {"unit": panel.unit}
        options = {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "none"}
    else:
        stacking = {"mode": "normal" if panel.stacked else "none"}
        fill = 20 if panel.stacked else 5
        defaults["custom"] = {"fillOpacity": fill, "stacking": stacking, "showPoints": "never"}
        options = {
            "legend": {"displayMode": "list", "placement": "bottom"},
            "tooltip": {"mode": "multi", "sort": "desc"},
        }
    instant = panel.kind == "stat"
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.help,
        "datasource": _SOURCE,
        "gridPos": {"x": x, "y": y, "w": panel.width, "h": panel.height},
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options,
        "targets": [
            {
                "refId": chr(ord("A") + number),
                "datasource": _SOURCE,
                "expr": query.expr,
                "legendFormat": query.legend or "__auto",
                "instant": instant,
                "range": not instant,
            }
            for number, query in enumerate(panel.queries)
        ],
    }


def main() -> int:
    """Write them."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in rendered().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
