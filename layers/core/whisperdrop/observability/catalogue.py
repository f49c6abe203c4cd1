"""Every metric of the service, by the process that records it. docs/observability.md lists them."""

from whisperdrop.observability.metrics import CloudWatch, Kind, Labels, Metric

_COUNTER, _GAUGE, _HISTOGRAM = Kind.COUNTER, Kind.GAUGE, Kind.HISTOGRAM

_ANSWERS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
_WAITS_S = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0, 14_400.0)
_JOBS_S = (0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0, 14_400.0)
_LOADS_S = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
_DELIVERIES_S = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_BATCHES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)


def _status_class(labels: Labels) -> str:
    return f"Http{labels['status'][:1]}xx"


def _of_status(labels: Labels) -> str:
    return f"Jobs{labels['status'].capitalize()}"


def _of_result(labels: Labels) -> str:
    return "WebhooksDelivered" if labels["result"] == "delivered" else "WebhooksFailed"


# --- API ------------------------------------------------------------------------------------------

HTTP_REQUESTS = Metric(
    "whisperdrop_http_requests_total",
    _COUNTER,
    "Requests that were answered, by the route's template; `unmatched` where there is none",
    "requests",
    ("method", "route", "status"),
    cloudwatch=CloudWatch(_status_class, names=("Http2xx", "Http3xx", "Http4xx", "Http5xx")),
)
HTTP_SECONDS = Metric(
    "whisperdrop_http_request_seconds",
    _HISTOGRAM,
    "From the first byte of the request to the last one of the answer, waiting for jobs included",
    "seconds",
    ("method", "route"),
    _ANSWERS_S,
)
HTTP_IN_FLIGHT = Metric(
    "whisperdrop_http_requests_in_flight",
    _GAUGE,
    "Requests that are being answered, streams and long polls included",
    "requests",
)

# --- worker ---------------------------------------------------------------------------------------

JOBS = Metric(
    "whisperdrop_jobs_total",
    _COUNTER,
    "Jobs that a worker has ended",
    "jobs",
    ("status", "model", "source"),
    cloudwatch=CloudWatch(_of_status, names=("JobsSucceeded", "JobsFailed", "JobsCancelled")),
)
JOB_FAILURES = Metric(
    "whisperdrop_job_failures_total",
    _COUNTER,
    "Jobs that failed, by the error's stable code",
    "jobs",
    ("code",),
    cloudwatch=CloudWatch("JobFailures", note="code"),
)
ATTEMPTS_FAILED = Metric(
    "whisperdrop_job_attempts_failed_total",
    _COUNTER,
    "Attempts at a job that ended without deciding it: another one follows",
    "attempts",
    ("reason",),
    known=(("bug",), ("interrupted",), ("lease_lost",), ("store",), ("try_again",)),
)
CHECKPOINT_RESUMES = Metric(
    "whisperdrop_checkpoint_resumes_total",
    _COUNTER,
    "Jobs that went on where an earlier attempt had come to",
    "jobs",
)
QUEUE_WAIT = Metric(
    "whisperdrop_queue_wait_seconds",
    _HISTOGRAM,
    "From the queueing of the job's message (SQS SentTimestamp) to the start of its first attempt",
    "seconds",
    ("queue",),
    _WAITS_S,
    known=(("interactive",), ("bulk",)),
    cloudwatch=CloudWatch("QueueWaitSeconds", "Seconds"),
)
JOB_SECONDS = Metric(
    "whisperdrop_job_seconds",
    _HISTOGRAM,
    "From the start of the attempt that ended a job to its outcome",
    "seconds",
    ("queue",),
    _JOBS_S,
    known=(("interactive",), ("bulk",)),
)
JOBS_IN_PROGRESS = Metric(
    "whisperdrop_jobs_in_progress",
    _GAUGE,
    "Messages that the worker holds",
    "jobs",
    ("queue",),
    watched=True,
)
AUDIO_SECONDS = Metric(
    "whisperdrop_audio_seconds_total",
    _COUNTER,
    "Audio of jobs that have succeeded",
    "seconds",
    ("model",),
    cloudwatch=CloudWatch("AudioSeconds", "Seconds"),
)
ENGINE_SECONDS = Metric(
    "whisperdrop_engine_seconds_total",
    _COUNTER,
    "Time in the model for jobs that have succeeded; audio over this is the times-real-time factor",
    "seconds",
    ("model",),
    cloudwatch=CloudWatch("EngineSeconds", "Seconds"),
)
DECODE_WAIT = Metric(
    "whisperdrop_decode_wait_seconds_total",
    _COUNTER,
    "Time that jobs have waited for their decoder's next block of samples",
    "seconds",
)
BATCH_SIZE = Metric(
    "whisperdrop_batch_size",
    _HISTOGRAM,
    "Windows in one call into a model",
    "windows",
    (),
    tuple(map(float, _BATCHES)),
)
MODEL_CALLS = Metric(
    "whisperdrop_model_call_seconds_total",
    _COUNTER,
    "Time in calls into models, whatever comes of the job; calls run side by side",
    "seconds",
)
REDECODES = Metric(
    "whisperdrop_guard_redecodes_total",
    _COUNTER,
    "Windows that the guard had transcribed again, by what was wrong with them",
    "windows",
    ("reason",),
    known=(("loop",), ("low_confidence",), ("missing_words",)),
)
MODEL_LOADS = Metric(
    "whisperdrop_model_loads_total",
    _COUNTER,
    "Models that were loaded into memory",
    "models",
    ("model",),
)
MODEL_UNLOADS = Metric(
    "whisperdrop_model_unloads_total",
    _COUNTER,
    "Models that were unloaded: idle, or to make room",
    "models",
    ("model",),
)
MODEL_LOAD_SECONDS = Metric(
    "whisperdrop_model_load_seconds",
    _HISTOGRAM,
    "What a load into memory takes, without fetching the weights",
    "seconds",
    (),
    _LOADS_S,
)
MODELS_LOADED = Metric(
    "whisperdrop_models_loaded",
    _GAUGE,
    "Names of models in memory",
    "models",
    watched=True,
)
GPU_MEMORY = Metric(
    "whisperdrop_gpu_memory_bytes",
    _GAUGE,
    "Memory of all GPUs that the driver shows, by NVML; absent where there is none",
    "bytes",
    ("kind",),
    watched=True,
)

# --- notifier -------------------------------------------------------------------------------------

WEBHOOK_ATTEMPTS = Metric(
    "whisperdrop_webhook_attempts_total",
    _COUNTER,
    "Attempts to tell of a job's end: `delivered`, `refused` (an answer that is no 2xx), "
    "`unreachable` (no answer)",
    "attempts",
    ("result",),
    known=(("delivered",), ("refused",), ("unreachable",)),
    cloudwatch=CloudWatch(_of_result, names=("WebhooksDelivered", "WebhooksFailed")),
)
WEBHOOK_SECONDS = Metric(
    "whisperdrop_webhook_seconds",
    _HISTOGRAM,
    "What one attempt takes, from the look-up of the name to the answer",
    "seconds",
    (),
    _DELIVERIES_S,
)

# --- dispatcher -----------------------------------------------------------------------------------

SWEEP_PENDING = Metric(
    "whisperdrop_sweep_pending",
    _GAUGE,
    "Jobs without an outcome, as the last pass saw them",
    "jobs",
    cloudwatch=CloudWatch("Pending"),
)
SWEEP_REQUEUED = Metric(
    "whisperdrop_sweep_requeued_total",
    _COUNTER,
    "Jobs whose message was lost or late, and that the sweep has queued again",
    "jobs",
    cloudwatch=CloudWatch("Requeued"),
)
SWEEP_EXPIRED = Metric(
    "whisperdrop_sweep_expired_total",
    _COUNTER,
    "Jobs whose upload never came",
    "jobs",
    cloudwatch=CloudWatch("Expired"),
)
SWEEP_LOST_DROPS = Metric(
    "whisperdrop_sweep_lost_drops_total",
    _COUNTER,
    "Bucket drops whose event was lost",
    "jobs",
    cloudwatch=CloudWatch("LostDrops"),
)
SWEEP_DELETED = Metric(
    "whisperdrop_sweep_deleted_total",
    _COUNTER,
    "Jobs whose deletion the sweep has finished",
    "jobs",
    cloudwatch=CloudWatch("Deleted"),
)
SWEEP_DAMAGED = Metric(
    "whisperdrop_sweep_damaged",
    _GAUGE,
    "Documents that the last pass could not read; they need a person",
    "documents",
    ("of",),
    known=(("jobs",), ("notifications",)),
    cloudwatch=CloudWatch("Damaged"),
)
SWEEP_NOTIFICATIONS = Metric(
    "whisperdrop_sweep_notifications_sent_total",
    _COUNTER,
    "Webhooks that were due and whose notifier the sweep has woken",
    "notifications",
    cloudwatch=CloudWatch("NotificationsSent"),
)
SWEEP_SECONDS = Metric(
    "whisperdrop_sweep_seconds",
    _HISTOGRAM,
    "What one pass takes",
    "seconds",
    (),
    _JOBS_S,
)
SWEEP_FAILURES = Metric(
    "whisperdrop_sweep_failures_total",
    _COUNTER,
    "Passes that the store or a queue has stopped",
    "passes",
)
QUEUE_MESSAGES = Metric(
    "whisperdrop_queue_messages",
    _GAUGE,
    "Messages, as SQS counts them, nearly: `visible`, `in_flight`, and `dead` in the dead-letter "
    "queue",
    "messages",
    ("queue", "state"),
)
BACKLOG_AUDIO = Metric(
    "whisperdrop_backlog_audio_seconds",
    _GAUGE,
    "Audio that waits for a worker, estimated",
    "seconds",
    cloudwatch=CloudWatch("BacklogAudioSeconds", "Seconds"),
)


def _of_workers(labels: Labels) -> str:
    return f"Workers{labels['state'].capitalize()}"


FLEET_WORKERS = Metric(
    "whisperdrop_fleet_workers",
    _GAUGE,
    "Workers: `running` as they report themselves; where the dispatcher starts them, `starting` "
    "and `wanted` too",
    "workers",
    ("state",),
    cloudwatch=CloudWatch(
        _of_workers, names=("WorkersWanted", "WorkersStarting", "WorkersRunning")
    ),
)

BY_SERVICE: dict[str, tuple[Metric, ...]] = {
    "api": (HTTP_REQUESTS, HTTP_SECONDS, HTTP_IN_FLIGHT),
    "worker": (
        *(JOBS, JOB_FAILURES, ATTEMPTS_FAILED, CHECKPOINT_RESUMES, QUEUE_WAIT, JOB_SECONDS),
        *(JOBS_IN_PROGRESS, AUDIO_SECONDS, ENGINE_SECONDS, DECODE_WAIT, BATCH_SIZE, MODEL_CALLS),
        *(REDECODES, MODEL_LOADS, MODEL_UNLOADS, MODEL_LOAD_SECONDS, MODELS_LOADED, GPU_MEMORY),
    ),
    "notifier": (WEBHOOK_ATTEMPTS, WEBHOOK_SECONDS),
    "dispatcher": (
        *(SWEEP_PENDING, SWEEP_REQUEUED, SWEEP_EXPIRED, SWEEP_LOST_DROPS, SWEEP_DELETED),
        *(SWEEP_DAMAGED, SWEEP_NOTIFICATIONS, SWEEP_SECONDS, SWEEP_FAILURES, QUEUE_MESSAGES),
        *(BACKLOG_AUDIO, FLEET_WORKERS),
    ),
}
