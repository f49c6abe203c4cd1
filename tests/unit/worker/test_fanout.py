"""A long recording and several workers, without models: who does what, and what becomes of it."""

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.builders import BUCKET, a_ref, a_request, keys_in, stored_job
from tests.clock import ManualClock
from tests.engines import IdleEngine, WavDecoder, heard, wav_bytes
from whisperdrop.adapters.memory import MemoryJobQueue, MemoryObjectStore
from whisperdrop.domain import keys
from whisperdrop.domain.events import SpanRef, parse_event
from whisperdrop.domain.job import JobStatus, Lease, Outcome, Progress, WorkerReport
from whisperdrop.domain.models import ModelCatalog
from whisperdrop.domain.part import Part
from whisperdrop.domain.transcript import Segment, Transcript
from whisperdrop.errors import StoreError, TryAgainError
from whisperdrop.service.cancellation import cancel
from whisperdrop.service.documents import dump, read
from whisperdrop.service.leases import LeaseBusyError
from whisperdrop_worker.engine import EngineResult, Heard, OnProgress, Stretch
from whisperdrop_worker.fanout import FanOut
from whisperdrop_worker.heartbeat import InterruptedJobError
from whisperdrop_worker.plan import PLAN_VERSION
from whisperdrop_worker.planner import FanOutPolicy
from whisperdrop_worker.processor import AttemptFailedError, JobPolicy, JobProcessor

REF = a_ref()
REQUEST = a_request(REF, media_key=keys.upload(REF, "talk.wav"), name="talk.wav")
TTL = 60
WINDOWS = 24
WINDOW_S = 10
SPANS = 6
WINDOW = WINDOW_S * 16_000
SAID = (WINDOW_S - 1) * 16_000
"""Samples of a window, before a pause."""


class SpanEngine(IdleEngine):
    """Knows where the recording is cut, and hears what the samples say."""

    def __init__(self) -> None:
        self.heard = 0
        self.spans: list[int] = []
        self.before: dict[int, Callable[[OnProgress], None]] = {}
        self.whole = 0

    def hear(self, audio: Any, **_: Any) -> Heard:
        self.heard += 1
        assert len(next(audio)) <= 60 * 16_000
        audio.close()
        return Heard("de", 0.75)

    def transcribe_chapters(self, audio: Any, *, first: int, **given: Any) -> Stretch:
        on_progress: OnProgress = given["on_progress"]
        assert given["language"] == "de"
        samples = np.concatenate([np.zeros(0, np.float32), *audio])
        self.spans.append(first)
        if before := self.before.pop(first, None):
            before(on_progress)
        begin, end = self.grid.needed(first), given["end"]
        ends = begin + len(samples)
        if ends < self.grid.decided(first):
            return Stretch((), 0.0, engine_s=2.0, load_s=0.5)  # there is no such chapter
        if end is not None and ends >= self.grid.decided(end):
            assert ends == self.grid.decided(end), "no more is read than that"
            ends = self.grid.earliest(end)
        segments: list[Segment] = []
        for at in range(self.grid.earliest(first), ends, WINDOW):
            on_progress(Progress(stage="transcribing", done_s=(at + SAID) / 16_000))
            segment = heard(at, samples[at - begin : at - begin + SAID])
            segments.append(segment.model_copy(update={"id": len(segments)}))
        window_s = (WINDOW_S - 1) * len(segments)
        return Stretch(tuple(segments), window_s, engine_s=2.0, load_s=0.5)

    def transcribe(self, audio: Any, **given: Any) -> EngineResult:
        self.whole += 1
        return EngineResult(expected(), 1.0, 0.0)


def expected() -> Transcript:
    """What the recording is, whoever transcribes it."""
    ramp = [(n * WINDOW % 32_000, (n * WINDOW + SAID - 1) % 32_000) for n in range(WINDOWS)]
    return Transcript.model_validate(
        {
            "job_id": REF.job_id,
            "model": "tiny.en",
            "task": "transcribe",
            "language": "de",
            "language_probability": 0.75,
            "duration": WINDOWS * WINDOW_S,
            "duration_after_vad": WINDOWS * (WINDOW_S - 1),
            "segments": [
                {
                    "id": n,
                    "seek": n * WINDOW_S * 100,
                    "start": n * WINDOW_S,
                    "end": n * WINDOW_S + 1,
                    "text": f" {first}-{last}",
                }
                for n, (first, last) in enumerate(ramp)
            ],
        }
    )


@dataclass
class Worker:
    """One process."""

    name: str
    engine: SpanEngine
    decoder: WavDecoder
    processor: JobProcessor
    stop: threading.Event = field(default_factory=threading.Event)
    kept: int = 0

    def process(self) -> Outcome | None:
        return self.processor.process(REF, keep_message=self.keep, stop=self.stop)

    def help(self, n: int) -> None:
        self.processor.process(SpanRef(REF, n), keep_message=self.keep, stop=self.stop)

    def keep(self) -> None:
        self.kept += 1


@dataclass
class World:
    """A store, a queue, and workers over them."""

    clock: ManualClock
    scratch: Path
    store: MemoryObjectStore
    bulk: MemoryJobQueue

    def worker(self, name: str, **policy: Any) -> Worker:
        engine, decoder = SpanEngine(), WavDecoder()
        given: dict[str, Any] = {
            "min_s": 100,
            "span_s": WINDOWS * WINDOW_S / SPANS,
            "always": True,
            "poll_s": 0.001,
            "lease_s": TTL,
            "cancel_poll_s": 0.001,
            "max_failures": 3,
            "max_media_bytes": 10**8,
        }
        here: dict[str, Any] = {"owner": name, "scratch": self.scratch / name, "clock": self.clock}
        fanout = FanOut(
            self.store, self.bulk, decoder, engine, policy=FanOutPolicy(**given | policy), **here
        )
        processor = JobProcessor(
            self.store,
            decoder,
            engine,
            bucket=BUCKET,
            catalog=ModelCatalog(("tiny.en",)),
            policy=JobPolicy(
                lease_s=TTL,
                progress_s=0.001,
                cancel_poll_s=0.001,
                max_failures=4,
                max_media_bytes=10**8,
            ),
            fanout=fanout,
            **here,
        )
        return Worker(name, engine, decoder, processor)

    def invitations(self) -> list[int]:
        """The spans that messages name; the messages are gone after it."""
        found = []
        while message := self.bulk.receive(wait_s=0, visibility_s=1):
            self.bulk.delete(message)
            (work,) = parse_event(message.body, bucket=BUCKET)
            assert isinstance(work, SpanRef)
            assert work.job == REF
            found.append(work.n)
        return found

    def parts(self) -> list[str]:
        return keys_in(self.store, keys.parts(REF))

    def planned(self, name: str = "planner") -> Worker:
        """A worker that planned and was killed before it did anything."""
        worker = self.worker(name)

        def die(_: OnProgress) -> None:
            raise SystemExit

        worker.engine.before = {0: die}
        with pytest.raises(SystemExit):
            worker.process()
        self.clock.advance(TTL)
        return worker

    def assert_done(self, outcome: Outcome | None) -> None:
        assert outcome is not None
        assert outcome.status is JobStatus.SUCCEEDED, outcome.error
        assert read(self.store, Transcript, keys.transcript(REF)) == expected()
        assert outcome.usage is not None
        assert outcome.usage.audio_s == WINDOWS * WINDOW_S
        assert len(keys_in(self.store, "usage/")) == 1
        left = keys_in(self.store, keys.documents(REF))
        assert left == [keys.lease(REF), keys.outcome(REF), keys.request(REF)]


@pytest.fixture
def world(clock: ManualClock, tmp_path: Path) -> World:
    store = MemoryObjectStore(clock)
    stored_job(store, REQUEST, media=wav_bytes(WINDOWS * WINDOW_S, tmp_path))
    return World(clock, tmp_path / "scratch", store, MemoryJobQueue(clock))


def test_a_worker_that_nobody_helps_does_all_of_it(world: World) -> None:
    worker = world.worker("w1")
    outcome = worker.process()
    world.assert_done(outcome)
    assert worker.engine.spans == list(range(SPANS))
    assert outcome is not None
    assert outcome.usage is not None
    assert (outcome.usage.engine_s, outcome.usage.load_s) == (2.0 * SPANS, 0.5 * SPANS)
    assert world.invitations() == list(range(SPANS))


def test_workers_that_come_share_the_spans_and_do_none_twice(world: World) -> None:
    planner, helpers = world.worker("w0"), [world.worker(f"w{n}") for n in (1, 2, 3)]
    together = threading.Barrier(4)

    def wait(_: OnProgress) -> None:
        together.wait(10)

    for worker in (planner, *helpers):
        # Whoever has its first span waits for the others to have theirs.
        worker.engine.before = dict.fromkeys(range(4), wait)
        only_first(worker)
    with ThreadPoolExecutor(4) as threads:
        done = threads.submit(planner.process)
        wait_for(lambda: len(world.bulk) == SPANS)
        helped = [threads.submit(worker.help, n) for n, worker in enumerate(helpers, 1)]
        for one in helped:
            one.result(10)
        world.assert_done(done.result(10))
    spans = [n for worker in (planner, *helpers) for n in worker.engine.spans]
    assert sorted(spans) == list(range(SPANS))
    assert all(worker.engine.spans for worker in helpers)
    assert [worker.decoder.decoded for worker in helpers] == [0, 0, 0], "a WAV is read in part"


def only_first(worker: Worker) -> None:
    """``before`` of the first span that the worker does, and of no other."""
    engine, before = worker.engine, dict(worker.engine.before)
    for n, action in before.items():

        def once(report: OnProgress, action: Callable[[OnProgress], None] = action) -> None:
            engine.before.clear()
            action(report)

        engine.before[n] = once


def wait_for(condition: Callable[[], bool]) -> None:
    """Until another thread has come so far."""
    for _ in range(10_000):
        if condition():
            return
        threading.Event().wait(0.001)
    raise AssertionError("it never came")


def test_progress_is_what_all_have_done(world: World) -> None:
    world.planned()
    helper = world.worker("w1")
    helper.engine.before = {4: lambda _: helper.stop.set()}
    with pytest.raises(InterruptedJobError):
        helper.help(3)

    def published(done_s: float) -> Callable[[OnProgress], None]:
        def before(_: OnProgress) -> None:
            wait_for(lambda: progress_of(world).done_s == done_s)
            assert progress_of(world).total_s == WINDOWS * WINDOW_S

        return before

    worker = world.worker("w2")
    worker.engine.before = {1: published(40), 2: published(80)}
    world.assert_done(worker.process())


def progress_of(world: World) -> Progress:
    """What the job's lease says."""
    lease = read(world.store, Lease, keys.lease(REF))
    assert lease is not None
    return lease.progress


def test_a_span_that_was_handed_back_is_free_at_once(world: World) -> None:
    worker, helper = world.worker("w1"), world.worker("w2")

    def meanwhile(_: OnProgress) -> None:
        helper.engine.before = {1: lambda _: helper.stop.set()}
        with pytest.raises(InterruptedJobError):
            helper.help(1)

    worker.engine.before = {0: meanwhile}
    world.assert_done(worker.process())
    assert worker.engine.spans == [0, 2, 3, 4, 5, 1], "what nobody had yet comes first"


def test_of_two_that_want_a_span_one_gets_it(world: World) -> None:
    world.planned()
    helper, other = world.worker("w1"), world.worker("w2")

    def rival(_: OnProgress) -> None:
        other.help(3)  # takes other spans, this one is held

    helper.engine.before = {3: rival}
    helper.help(3)
    assert helper.engine.spans == [3]
    assert other.engine.spans == [4, 5, 1, 2, 0], "the dead planner's last"
    assert len(world.parts()) == SPANS
    world.assert_done(world.worker("w3").process())


def test_a_message_for_a_span_that_is_done_is_acknowledged(world: World) -> None:
    world.planned()
    world.worker("w1").help(0)
    late = world.worker("w2")
    late.help(0)
    late.help(5)
    assert late.engine.spans == []
    world.assert_done(world.worker("w3").process())


def test_a_message_is_busy_where_every_span_is_held(world: World) -> None:
    world.planned()
    helper = world.worker("w1")
    rivals = [world.worker(f"r{n}") for n in range(SPANS)]
    busy: list[str] = []

    def all_held(n: int) -> Callable[[OnProgress], None]:
        def before(_: OnProgress) -> None:
            if n + 1 < SPANS:
                rivals[n + 1].engine.before = {n + 1: all_held(n + 1)}
                rivals[n + 1].help(n + 1)
                return
            with pytest.raises(LeaseBusyError) as error:
                helper.help(2)
            busy.append(error.value.lease.owner)

        return before

    rivals[0].engine.before = {0: all_held(0)}
    rivals[0].help(0)
    assert busy == ["r2"]
    assert helper.engine.spans == []


@pytest.mark.parametrize("document", ["plan", "request"])
def test_a_message_of_a_job_that_is_gone_is_acknowledged(document: str, world: World) -> None:
    world.planned()
    world.store.delete(keys.plan(REF) if document == "plan" else keys.request(REF))
    helper = world.worker("w1")
    helper.help(0)
    assert helper.engine.spans == []


def test_a_message_of_a_job_that_has_ended_is_acknowledged(world: World) -> None:
    world.worker("w1").process()
    helper = world.worker("w2")
    helper.help(0)
    assert helper.engine.spans == []
    assert world.parts() == []


def test_one_process_does_one_span_of_a_job_at_a_time(world: World) -> None:
    worker = world.worker("w1")
    worker.engine.before = {0: lambda _: worker.help(1)}
    world.assert_done(worker.process())
    assert worker.engine.spans == list(range(SPANS))


def test_a_planner_that_died_after_its_plan_is_followed(world: World) -> None:
    planner = world.planned()
    plan = world.store.get(keys.plan(REF))
    world.invitations()
    world.worker("w1").help(2)
    world.clock.advance(TTL)
    successor = world.worker("w2", min_s=None, always=False)
    outcome = successor.process()
    world.assert_done(outcome)
    assert planner.engine.heard == 1
    assert successor.engine.heard == successor.engine.whole == 0
    assert plan is not None
    assert outcome is not None
    assert outcome.attempt == 2


def test_what_is_done_is_not_sent_again(world: World) -> None:
    world.planned()
    world.invitations()
    helper = world.worker("w1")
    helper.engine.before = {4: lambda _: helper.stop.set()}
    with pytest.raises(InterruptedJobError):
        helper.help(3)
    world.worker("w2").process()
    assert world.invitations() == [0, 1, 2, 4, 5]


def test_a_span_of_a_dead_worker_is_taken_over(world: World) -> None:
    worker, dead = world.worker("w1"), world.worker("w2", lease_s=TTL / 2)

    def die(_: OnProgress) -> None:
        raise SystemExit

    def meanwhile(_: OnProgress) -> None:
        dead.engine.before = {1: die}
        with pytest.raises(SystemExit):
            dead.help(1)

    worker.engine.before = {0: meanwhile}
    with ThreadPoolExecutor(1) as threads:
        done = threads.submit(worker.process)
        wait_for(lambda: len(world.parts()) == SPANS - 1)
        assert not done.done(), "a process that is killed releases nothing"
        world.clock.advance(TTL / 2)
        world.assert_done(done.result(10))
    assert worker.engine.spans == [0, 2, 3, 4, 5, 1]


def test_a_span_that_kills_every_worker_ends_the_job(world: World) -> None:
    world.planned()

    def die(_: OnProgress) -> None:
        raise SystemExit

    for n in range(3):
        helper = world.worker(f"w{n}")
        helper.engine.before = {2: die}
        with pytest.raises(SystemExit):
            helper.help(2)
        world.clock.advance(TTL)
    world.worker("w8").help(2)  # leaves it to the holder of the job
    outcome = world.worker("w9").process()
    assert outcome is not None
    assert outcome.error is not None
    assert outcome.error.code == "gave_up"
    assert world.parts() == keys_in(world.store, keys.spans(REF)) == []


def test_a_helper_that_fails_gives_its_span_back(world: World) -> None:
    world.planned()
    helper = world.worker("w1")

    def fail(_: OnProgress) -> None:
        raise RuntimeError("a bug")

    helper.engine.before = {1: fail}
    with pytest.raises(AttemptFailedError):
        helper.help(1)
    lease = read(world.store, Lease, keys.span(REF, 1))
    assert lease is not None
    assert (lease.released, lease.failures) == (True, 1)
    other = world.worker("w2")
    other.help(1)
    assert other.engine.spans[0] == 1


def test_a_helper_whose_machine_fails_lets_the_message_come_again(world: World) -> None:
    world.planned()
    helper = world.worker("w1")

    def fail(_: OnProgress) -> None:
        raise TryAgainError("no decoder")

    helper.engine.before = {1: fail}
    with pytest.raises(AttemptFailedError):
        helper.help(1)
    lease = read(world.store, Lease, keys.span(REF, 1))
    assert lease is not None
    assert (lease.released, lease.failures) == (True, 0)


def test_a_job_that_is_cancelled_stops_everybody(world: World) -> None:
    planner, helper = world.worker("w1"), world.worker("w2")
    both = threading.Barrier(2)

    def until_stopped(report: OnProgress) -> None:
        both.wait(10)
        cancel(world.store, REF, world.clock)
        while True:
            report(Progress(stage="transcribing"))

    planner.engine.before = {0: until_stopped}
    helper.engine.before = {1: until_stopped}
    with ThreadPoolExecutor(2) as threads:
        done = threads.submit(planner.process)
        wait_for(lambda: len(world.bulk) == SPANS)
        threads.submit(helper.help, 1).result(10)
        outcome = done.result(10)
    assert outcome is not None
    assert outcome.status is JobStatus.CANCELLED
    assert world.parts() == keys_in(world.store, keys.plan(REF)) == []
    assert keys_in(world.store, "usage/") == keys_in(world.store, "results/") == []


def test_a_helper_that_finishes_after_the_end_leaves_nothing(world: World) -> None:
    world.planned()
    helper = world.worker("w1")

    def the_job_ends(_: OnProgress) -> None:
        world.clock.advance(TTL)  # the others think that it is dead
        world.assert_done(world.worker("w2").process())

    helper.engine.before = {3: the_job_ends}
    helper.help(3)
    left = keys_in(world.store, keys.documents(REF))
    assert left == [keys.lease(REF), keys.outcome(REF), keys.request(REF)]


@pytest.mark.parametrize("harm", ["damaged", "of another cut"])
def test_a_part_that_cannot_be_used_is_done_again(harm: str, world: World) -> None:
    world.planned()
    world.worker("w1").help(0)
    key = keys.part(REF, 2)
    part = read(world.store, Part, key)
    assert part is not None
    other = part.model_copy(update={"first_window": 1})
    world.store.put(key, b"{" if harm == "damaged" else dump(other))
    world.clock.advance(TTL)
    worker = world.worker("w2")
    world.assert_done(worker.process())
    assert worker.engine.spans == [2]


def test_two_that_think_they_hold_the_job_end_it_once(world: World) -> None:
    world.planned()
    zombie, successor = world.worker("w1"), world.worker("w2")

    def overtaken(_: OnProgress) -> None:
        world.clock.advance(TTL)
        world.assert_done(successor.process())

    zombie.engine.before = {SPANS - 1: overtaken}
    with pytest.raises(AttemptFailedError):
        zombie.process()
    assert len(keys_in(world.store, "usage/")) == 1


@pytest.mark.parametrize(
    ("policy", "request_fields"),
    [
        ({"min_s": None}, {}),
        ({"min_s": 1000}, {}),
        ({"always": False}, {}),
        ({"span_s": 1000}, {}),
        ({}, {"source": "sync"}),
    ],
    ids=["off", "too short", "alone", "one span", "somebody waits"],
)
def test_a_recording_is_not_shared_where_that_makes_no_sense(
    policy: dict[str, Any], request_fields: dict[str, Any], world: World
) -> None:
    world.store.put(keys.request(REF), dump(REQUEST.model_copy(update=request_fields)))
    worker = world.worker("w1", **policy)
    assert worker.process() is not None
    assert (worker.engine.whole, worker.engine.spans) == (1, [])
    assert world.invitations() == []


def test_a_recording_is_shared_with_workers_that_report_themselves(world: World) -> None:
    for name in ("w1", "w2", "w3", "w4"):
        report = WorkerReport(worker_id=name, models=(), jobs=0, seen_at=world.clock())
        world.store.put(keys.worker(name), dump(report))
    worker = world.worker("w1", always=False)
    world.assert_done(worker.process())
    assert len(world.invitations()) == 15


def test_a_job_with_checkpoints_goes_on_as_it_began(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = world.worker("w1", min_s=None)

    def die(_: Any, **__: Any) -> EngineResult:
        world.store.put(keys.part(REF, 0), b"{}")
        raise SystemExit

    monkeypatch.setattr(alone.engine, "transcribe", die)
    with pytest.raises(SystemExit):
        alone.process()
    world.clock.advance(TTL)
    worker = world.worker("w2")
    worker.process()
    assert (worker.engine.heard, worker.engine.whole) == (0, 1)


def test_a_plan_of_another_version_is_not_worked_by(world: World) -> None:
    world.planned()
    found = world.store.get(keys.plan(REF))
    assert found is not None
    world.store.put(
        keys.plan(REF), json.dumps(json.loads(found.body) | {"version": PLAN_VERSION + 1}).encode()
    )
    helper = world.worker("w1")
    helper.help(0)
    assert helper.engine.spans == []
    worker = world.worker("w2")
    worker.process()
    assert (worker.engine.heard, worker.engine.whole) == (0, 1)


def test_a_queue_that_takes_no_invitations_costs_no_job(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise StoreError("queueing the job failed")

    monkeypatch.setattr(world.bulk, "send", fail)
    worker = world.worker("w1")
    world.assert_done(worker.process())
    assert worker.engine.spans == list(range(SPANS))


def test_a_recording_that_is_longer_or_shorter_than_its_header_says_is_done_to_its_end(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    media = world.store.get(REQUEST.media_key)
    assert media is not None
    # A header that lies lets nobody read the file in part.
    world.store.put(REQUEST.media_key, media.body[:40] + b"\xff\xff\xff\xff" + media.body[44:])
    decode = WavDecoder.decode
    for says_s in (130.0, 430.0):

        def lying(self: WavDecoder, path: Path, says_s: float = says_s) -> Any:
            path.write_bytes(media.body)
            stream = decode(self, path)
            stream.expected_s = says_s
            return stream

        monkeypatch.setattr(WavDecoder, "decode", lying)
        worker = world.worker("w1")
        world.assert_done(worker.process())
        assert len(worker.engine.spans) == worker.engine.grid.count(round(says_s * 16_000))
        for key in (keys.outcome(REF), keys.transcript(REF), keys.lease(REF)):
            world.store.delete(key)
        for key in keys_in(world.store, "usage/"):
            world.store.delete(key)
