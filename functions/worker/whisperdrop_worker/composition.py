"""The worker's composition root: the one place that knows which parts make a worker."""

from dataclasses import dataclass

from threadpoolctl import threadpool_limits

from whisperdrop.adapters.aws import s3_client, sqs_client
from whisperdrop.adapters.s3 import S3ObjectStore
from whisperdrop.adapters.sqs import SqsJobQueue
from whisperdrop.observability import Logger, configure
from whisperdrop.ports import ObjectStore
from whisperdrop.pulse import SILENCE_S, Pulse
from whisperdrop.service.clock import utc_now
from whisperdrop.service.proof import prove_conditional_writes
from whisperdrop.service.watched import WatchedQueue
from whisperdrop_worker.decode import DecodeLimits, Decoder
from whisperdrop_worker.engine import Engine, EngineDefaults
from whisperdrop_worker.engine.guard import Guard
from whisperdrop_worker.engine.whisper import Tuning, WhisperEngine
from whisperdrop_worker.fanout import FanOut
from whisperdrop_worker.model_pool import ModelPool
from whisperdrop_worker.models import ModelResolver
from whisperdrop_worker.planner import FanOutPolicy
from whisperdrop_worker.poller import Poller
from whisperdrop_worker.processor import JobPolicy, JobProcessor
from whisperdrop_worker.settings import WorkerSettings

logger = Logger(service="worker")


@dataclass(frozen=True)
class Worker:
    """Everything that an entry of the worker needs."""

    settings: WorkerSettings
    store: ObjectStore
    interactive: SqsJobQueue
    bulk: SqsJobQueue
    decoder: Decoder
    engine: Engine
    processor: JobProcessor

    def poller(self) -> Poller:
        """The poller over its queues."""
        # At work it renews a message three times in the time of a lease.
        silence_s = max(SILENCE_S, self.settings.lease_seconds)
        pulse = Pulse(self.settings.pulse_file, silence_s=silence_s)
        return Poller(
            self.processor,
            None if self.settings.queues == "bulk" else WatchedQueue(self.interactive, pulse),
            None if self.settings.queues == "interactive" else WatchedQueue(self.bulk, pulse),
            bucket=self.settings.bucket,
            interactive_slots=self.settings.interactive_slots,
            bulk_slots=self.settings.bulk_slots,
            receive_wait_s=self.settings.receive_wait_seconds,
            visibility_s=round(self.settings.lease_seconds),
            clock=utc_now,
        )


def build_engine(settings: WorkerSettings) -> tuple[Decoder, Engine]:
    """Decoder and engine alone: no storage, no queues. Starts no network traffic.

    NumPy's BLAS has one thread in this process from then on. It multiplies once for each window,
    and OpenBLAS's other threads then look for more work in a loop, on the cores that the model's
    calls need (https://github.com/OpenMathLib/OpenBLAS/issues/5171).
    """
    threadpool_limits(1, user_api="blas")
    decoder = Decoder(
        DecodeLimits(
            max_seconds=settings.max_audio_seconds,
            memory_bytes=settings.decode_memory_bytes,
            cpu_seconds=settings.decode_cpu_seconds,
            idle_seconds=settings.decode_idle_seconds,
        )
    )
    resolver = ModelResolver(
        aliases=settings.whisper_aliases,
        configured=settings.catalog.served,
        cache_dir=settings.model_dir,
        bucket=lambda name: S3ObjectStore(
            s3_client(addressing_style=settings.s3_addressing_style), name
        ),
    )
    pool = ModelPool(
        resolver,
        device=settings.whisper_device,
        compute_type=settings.whisper_compute_type,
        cpu_threads=settings.cpu_threads,
        # One for an interactive job while bulk jobs have the others.
        num_workers=settings.model_calls + 1,
        memory_bytes=settings.model_memory_bytes,
        idle_s=settings.model_idle_seconds,
    )
    engine = WhisperEngine(
        pool,
        calls=settings.model_calls,
        max_batch=settings.batch_size,
        defaults=EngineDefaults(
            beam_size=settings.whisper_beam_size,
            vad_filter=settings.whisper_vad_filter,
            language=settings.whisper_language,
        ),
        tuning=Tuning(guard=_guard(settings)),
    )
    return decoder, engine


def _guard(settings: WorkerSettings) -> Guard:
    everything = Guard()
    return Guard(
        max_compression=everything.max_compression if settings.guard_loops else None,
        max_tokens_per_s=everything.max_tokens_per_s if settings.guard_loops else None,
        min_avg_logprob=everything.min_avg_logprob if settings.guard_confidence else None,
        min_words_per_s=everything.min_words_per_s if settings.guard_missing_words else None,
        max_no_speech=everything.max_no_speech if settings.guard_silence else None,
        ladder=everything.ladder if settings.guard_ladder else (),
    )


def build(settings: WorkerSettings) -> Worker:
    """Build a worker, and prove that its store keeps its promises."""
    configure(logger, settings)
    store = S3ObjectStore(s3_client(addressing_style=settings.s3_addressing_style), settings.bucket)
    prove_conditional_writes(store)
    sqs = sqs_client()
    decoder, engine = build_engine(settings)
    decoder.warm()
    bulk = SqsJobQueue(sqs, settings.bulk_queue_url)
    fanout = FanOut(
        store,
        bulk,
        decoder,
        engine,
        policy=FanOutPolicy(
            min_s=settings.fanout_min_seconds,
            span_s=settings.fanout_span_seconds,
            always=settings.fanout_always,
            poll_s=settings.fanout_poll_seconds,
            lease_s=settings.lease_seconds,
            cancel_poll_s=settings.cancel_poll_seconds,
            max_failures=settings.max_failures,
            max_media_bytes=settings.max_media_bytes,
            max_audio_s=settings.max_audio_seconds,
        ),
        owner=settings.worker_id,
        scratch=settings.scratch_dir,
        clock=utc_now,
    )
    processor = JobProcessor(
        store,
        decoder,
        engine,
        bucket=settings.bucket,
        catalog=settings.catalog,
        policy=JobPolicy(
            lease_s=settings.lease_seconds,
            progress_s=settings.progress_seconds,
            cancel_poll_s=settings.cancel_poll_seconds,
            max_failures=settings.max_failures,
            max_media_bytes=settings.max_media_bytes,
        ),
        owner=settings.worker_id,
        scratch=settings.scratch_dir,
        clock=utc_now,
        fanout=fanout,
    )
    return Worker(
        settings=settings,
        store=store,
        interactive=SqsJobQueue(sqs, settings.interactive_queue_url),
        bulk=bulk,
        decoder=decoder,
        engine=engine,
        processor=processor,
    )
