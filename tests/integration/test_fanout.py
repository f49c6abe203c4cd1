"""Four workers with the real engine share a recording: the same text as one alone."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from tests.builders import BUCKET, a_ref, a_request, keys_in, stored_job
from tests.emulator import CREDENTIALS
from tests.recordings import english_recording
from whisperdrop.adapters.aws import s3_client
from whisperdrop.adapters.memory import MemoryJobQueue, MemoryObjectStore
from whisperdrop.adapters.s3 import S3ObjectStore
from whisperdrop.domain import keys
from whisperdrop.domain.events import SpanRef, parse_event
from whisperdrop.domain.ids import JobRef
from whisperdrop.domain.job import JobStatus, Lease, Outcome
from whisperdrop.domain.models import ModelCatalog
from whisperdrop.domain.transcript import Transcript
from whisperdrop.ports import ObjectStore
from whisperdrop.service.clock import utc_now
from whisperdrop.service.documents import read
from whisperdrop.service.leases import LeaseBusyError, acquire
from whisperdrop_worker import composition
from whisperdrop_worker.composition import build_engine
from whisperdrop_worker.decode import Decoder
from whisperdrop_worker.engine import Engine
from whisperdrop_worker.engine.guard import Guard
from whisperdrop_worker.engine.whisper import Tuning
from whisperdrop_worker.engine.windows import Cutting
from whisperdrop_worker.fanout import FanOut
from whisperdrop_worker.plan import Plan
from whisperdrop_worker.planner import FanOutPolicy
from whisperdrop_worker.processor import JobPolicy, JobProcessor
from whisperdrop_worker.settings import WorkerSettings

pytestmark = pytest.mark.speech

RECORDING_S = 200
SPAN_S = 48.0
LEASE_S = 3.0


def _in_short_chapters(guard: Guard) -> Tuning:
    return Tuning(cutting=Cutting(first_chapter_s=SPAN_S, chapter_s=SPAN_S), guard=guard)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Decoder, Engine]]:
    """One decoder and one engine for all workers; nothing is sampled, so runs can be compared."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("machine"))
        nowhere = {"bucket": "none", "interactive_queue_url": "none", "bulk_queue_url": "none"}
        patch.setattr(composition, "Tuning", _in_short_chapters)
        decoder, engine = build_engine(
            WorkerSettings.model_validate(nowhere | {"guard_ladder": False})
        )
        with closing(decoder), closing(engine):
            engine.preload(["tiny.en"])
            yield decoder, engine


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return english_recording(tmp_path_factory.mktemp("media") / "talk.wav", RECORDING_S)


class Team:
    """Workers over one store and one queue."""

    def __init__(self, store: ObjectStore, machine: tuple[Decoder, Engine], scratch: Path) -> None:
        self.store = store
        self.bulk = MemoryJobQueue(utc_now)
        self._machine = machine
        self._scratch = scratch

    def worker(self, name: str, *, shares: bool = True) -> JobProcessor:
        decoder, engine = self._machine
        here: dict[str, Any] = {"owner": name, "scratch": self._scratch / name, "clock": utc_now}
        policy = FanOutPolicy(
            min_s=100 if shares else None,
            span_s=SPAN_S,
            always=True,
            poll_s=0.1,
            lease_s=LEASE_S,
            cancel_poll_s=1,
            max_failures=3,
            max_media_bytes=10**8,
        )
        return JobProcessor(
            self.store,
            decoder,
            engine,
            bucket=BUCKET,
            catalog=ModelCatalog(("tiny.en",)),
            policy=JobPolicy(
                lease_s=30, progress_s=1, cancel_poll_s=1, max_failures=4, max_media_bytes=10**8
            ),
            fanout=FanOut(self.store, self.bulk, decoder, engine, policy=policy, **here),
            **here,
        )

    def submit(self, media: Path, name: str) -> JobRef:
        ref = a_ref()
        request = a_request(ref, media_key=keys.upload(ref, name), name=name)
        stored_job(self.store, request, media=media.read_bytes())
        return ref

    def do(self, worker: JobProcessor, ref: JobRef) -> Outcome | None:
        return worker.process(ref, keep_message=lambda: None, stop=threading.Event())

    def help(self, worker: JobProcessor) -> None:
        """Take messages until the queue is empty."""
        while message := self.bulk.receive(wait_s=0, visibility_s=60):
            (work,) = parse_event(message.body, bucket=BUCKET)
            with suppress(LeaseBusyError):  # a first delivery is acknowledged all the same
                worker.process(work, keep_message=lambda: None, stop=threading.Event())
            self.bulk.delete(message)

    def transcript(self, ref: JobRef) -> dict[str, Any]:
        found = read(self.store, Transcript, keys.transcript(ref))
        assert found is not None
        return found.model_dump(exclude={"job_id"})


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture(params=["memory", "moto"])
def team(
    request: pytest.FixtureRequest,
    machine: tuple[Decoder, Engine],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Team]:
    if request.param == "memory":
        yield Team(MemoryObjectStore(utc_now), machine, tmp_path)
        return
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    with mock_aws():
        monkeypatch.setattr(boto3, "DEFAULT_SESSION", boto3.Session())
        client = s3_client(addressing_style="path")
        client.create_bucket(Bucket=BUCKET)
        yield Team(S3ObjectStore(client, BUCKET), machine, tmp_path)


def test_four_workers_write_what_one_writes_and_a_dead_one_is_replaced(
    team: Team, media: Path
) -> None:
    alone = team.submit(media, "talk.wav")
    team.do(team.worker("w0", shares=False), alone)
    shared = team.submit(media, "talk.wav")
    workers = [team.worker(f"w{n}") for n in range(4)]
    with ThreadPoolExecutor(4) as threads:
        done = threads.submit(team.do, workers[0], shared)
        until(lambda: team.store.get(keys.plan(shared)))
        plan = read(team.store, Plan, keys.plan(shared))
        assert plan is not None
        assert len(plan.ends) == 4
        # Somebody claims the last span, and is never heard of again.
        last = keys.span(shared, len(plan.ends) - 1)
        acquire(team.store, shared, owner="dead", ttl_s=LEASE_S, clock=utc_now, key=last)
        until(lambda: len(team.bulk))
        for helped in [threads.submit(team.help, worker) for worker in workers[1:]]:
            helped.result(120)
        lease = read(team.store, Lease, last)
        outcome = done.result(120)

    assert outcome is not None
    assert outcome.status is JobStatus.SUCCEEDED
    assert lease is None or lease.attempt <= 2
    assert team.transcript(shared) == team.transcript(alone)
    left = [keys.lease(shared), keys.outcome(shared), keys.request(shared)]
    assert keys_in(team.store, keys.documents(shared)) == left


def test_spans_of_a_compressed_recording_are_decoded_to_the_same_samples(
    machine: tuple[Decoder, Engine], media: Path, tmp_path: Path
) -> None:
    av = pytest.importorskip("av")
    compressed = tmp_path / "talk.mp3"
    with av.open(str(media)) as source, av.open(str(compressed), "w") as target:
        stream = target.add_stream("mp3", rate=44_100)
        for frame in source.decode(audio=0):
            for packet in stream.encode(frame):
                target.mux(packet)
        for packet in stream.encode(None):
            target.mux(packet)
    team = Team(MemoryObjectStore(utc_now), machine, tmp_path / "scratch")
    alone = team.submit(compressed, "talk.mp3")
    team.do(team.worker("w0", shares=False), alone)
    shared = team.submit(compressed, "talk.mp3")
    with ThreadPoolExecutor(1) as threads:
        done = threads.submit(team.do, team.worker("w1"), shared)
        until(lambda: len(team.bulk))
        team.worker("w2").process(
            SpanRef(shared, 3), keep_message=lambda: None, stop=threading.Event()
        )
        done.result(120)
    assert team.transcript(shared) == team.transcript(alone)
