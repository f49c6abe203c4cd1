"""Who is next at a model that answers when the test lets it."""

import math
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from tests.unit.worker.engine.scripted import an_answer
from whisperdrop_worker.engine import scheduler as scheduler_module
from whisperdrop_worker.engine.interface import Priority
from whisperdrop_worker.engine.recognizer import Answer, Ask, Prompt, Style
from whisperdrop_worker.engine.scheduler import Lane, Scheduler

PATIENCE_S = 10.0
"""A test that waits for so long has failed."""

SILENCE = np.zeros(0, np.float32)


class Time:
    """Stands in for the module ``time``: only the model's work takes any."""

    now = 0.0

    def perf_counter(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now


class GatedModel:
    """Answers one call for each ``let``; remembers all calls by the names of their rows."""

    def __init__(self, time: Time, row_s: float = 0.01) -> None:
        self.row_s = row_s
        self.batches: list[list[str]] = []
        self.fails: Callable[[Sequence[Ask]], Exception | None] = lambda _: None
        self._time = time
        self._gate = threading.Condition()
        self._permits = 0.0
        self._began = threading.Semaphore(0)
        self._running = self.most_at_once = 0

    def run(self, asks: Sequence[Ask]) -> list[Answer]:
        with self._gate:
            self._running += 1
            self.most_at_once = max(self.most_at_once, self._running)
            self.batches.append([str(ask.prompt.text) for ask in asks])
            self._began.release()
            assert self._gate.wait_for(lambda: self._permits > 0, PATIENCE_S)
            self._permits -= 1
            self._running -= 1
        if error := self.fails(asks):
            raise error
        self._time.now += self.row_s * len(asks)
        return [an_answer(text=str(ask.prompt.text)) for ask in asks]

    def prompt_length(self, prompt: Prompt) -> int:
        return len(prompt.previous)

    def has_begun(self) -> bool:
        """Wait until one more call has begun."""
        return self._began.acquire(timeout=PATIENCE_S)

    def let(self) -> None:
        """Let one call go on."""
        self._permit(self._permits + 1)

    def open(self) -> None:
        """Let every call go on from now."""
        self._permit(math.inf)

    def shut(self) -> None:
        """Let no call go on any more; none is in flight."""
        while self._began.acquire(blocking=False):
            pass
        self._permit(0)

    def _permit(self, calls: float) -> None:
        with self._gate:
            self._permits = calls
            self._gate.notify_all()

    @property
    def order(self) -> list[str]:
        """Names of all rows, in the order in which they ran."""
        return [name for batch in self.batches for name in batch]


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    time = Time()
    monkeypatch.setattr(scheduler_module, "time", time)
    return time


@pytest.fixture
def model(time: Time) -> GatedModel:
    return GatedModel(time)


@pytest.fixture
def start(model: GatedModel) -> Iterator[Callable[..., Scheduler]]:
    """Starts schedulers, and ends them with the test."""
    started: list[Scheduler] = []

    def start(*, calls: int = 1, max_batch: int = 1, **options: Any) -> Scheduler:
        started.append(Scheduler(calls=calls, max_batch=max_batch, **options))
        return started[-1]

    yield start
    model.open()
    for one in started:
        one.close()


Start = Callable[..., Scheduler]


def an_ask(name: str, *, encoded_s: float = 10.0, **fields: Any) -> Ask:
    style = fields.pop("style", Style())
    prompt = Prompt("en", text=name, previous=fields.pop("previous", ()))
    return Ask(SILENCE, encoded_s, style, prompt, 100, **fields)


def asking(*asks: Ask) -> Generator[Ask, Answer, str]:
    """A conversation that returns what it was told, joined."""
    told = []
    for ask in asks:
        answer = yield ask
        told.append(answer.text)
    return "+".join(told)


def submit(lane: Lane, *names: str, **fields: Any) -> None:
    """Conversations of one question each."""
    for name in names:
        lane.submit(asking(an_ask(name, **fields)))


def occupy(scheduler: Scheduler, model: GatedModel) -> Lane:
    """Take the model's only call, so that what comes now has to wait."""
    lane = scheduler.open(model, Priority.BULK)
    submit(lane, "first")
    assert model.has_begun()
    return lane


def results(lane: Lane) -> list[object]:
    """What all conversations of ``lane`` returned, as they ended."""
    found = []
    while lane.unfinished:
        result = lane.take(PATIENCE_S)
        assert result is not None, "it took too long"
        found.append(result)
    return found


def test_an_idle_model_begins_at_once(start: Start, model: GatedModel) -> None:
    lane = start(max_batch=8).open(model, Priority.BULK)

    submit(lane, "a")

    assert model.has_begun()
    assert model.batches == [["a"]]


def test_a_conversation_gets_its_answers_and_its_result_is_taken(
    start: Start, model: GatedModel
) -> None:
    model.open()
    lane = start().open(model, Priority.BULK)

    lane.submit(asking(an_ask("a"), an_ask("b"), an_ask("c")))

    assert results(lane) == ["a+b+c"]
    assert lane.take(0) is None


def test_interactive_jobs_go_before_bulk_jobs(start: Start, model: GatedModel) -> None:
    scheduler = start()
    occupy(scheduler, model)
    bulk = scheduler.open(model, Priority.BULK)
    interactive = scheduler.open(model, Priority.INTERACTIVE)

    submit(bulk, "b1", "b2")
    submit(interactive, "i1", "i2")
    model.open()
    results(bulk)

    assert model.order == ["first", "i1", "i2", "b1", "b2"]


def test_a_clip_waits_for_one_call_and_not_for_the_end_of_a_long_recording(
    start: Start, model: GatedModel
) -> None:
    scheduler = start()
    bulk = scheduler.open(model, Priority.BULK)
    submit(bulk, *(f"b{n}" for n in range(20)))
    assert model.has_begun()

    clip = scheduler.open(model, Priority.INTERACTIVE)
    submit(clip, "clip")
    model.open()
    results(bulk)

    assert model.order.index("clip") == 1


def test_two_long_jobs_share_the_model_evenly(start: Start, model: GatedModel) -> None:
    scheduler = start()
    occupy(scheduler, model)
    one, other = (scheduler.open(model, Priority.BULK) for _ in range(2))

    submit(one, *(f"a{n}" for n in range(6)))
    submit(other, *(f"b{n}" for n in range(6)))
    model.open()
    results(one)
    results(other)

    for ran in range(1, 13):
        names = [name[0] for name in model.order[1 : 1 + ran]]
        assert abs(names.count("a") - names.count("b")) <= 1


def test_the_shares_are_of_audio_and_not_of_windows(start: Start, model: GatedModel) -> None:
    scheduler = start()
    occupy(scheduler, model)
    short, long = (scheduler.open(model, Priority.BULK) for _ in range(2))

    submit(short, *(f"s{n}" for n in range(8)), encoded_s=5)
    submit(long, *(f"l{n}" for n in range(4)), encoded_s=10)
    model.open()
    results(short)
    results(long)

    names = [name[0] for name in model.order[1:7]]
    assert (names.count("s"), names.count("l")) == (4, 2)


def test_a_newcomer_starts_level_and_catches_up_nothing(start: Start, model: GatedModel) -> None:
    scheduler = start()
    old = scheduler.open(model, Priority.BULK)
    submit(old, *(f"old{n}" for n in range(8)))
    for _ in range(3):
        assert model.has_begun()
        model.let()
    assert model.has_begun()  # the fourth runs

    new = scheduler.open(model, Priority.BULK)
    submit(new, *(f"new{n}" for n in range(4)))
    model.open()
    results(old)
    results(new)

    after = [name[:3] for name in model.order[4:]]
    assert after[:4].count("new") == 2
    assert after[:4].count("old") == 2


def test_who_was_away_comes_back_level_too(start: Start, model: GatedModel) -> None:
    scheduler = start()
    away = scheduler.open(model, Priority.BULK)
    submit(away, "away")
    assert model.has_begun()
    model.let()
    results(away)
    busy = scheduler.open(model, Priority.BULK)
    submit(busy, *(f"busy{n}" for n in range(8)))
    for _ in range(4):
        assert model.has_begun()
        model.let()
    assert model.has_begun()

    submit(away, *(f"back{n}" for n in range(4)))
    model.open()
    results(busy)
    results(away)

    after = [name[:4] for name in model.order[6:10]]
    assert (after.count("back"), after.count("busy")) == (2, 2)


def test_what_goes_on_comes_before_what_is_new_in_its_job(start: Start, model: GatedModel) -> None:
    lane = start().open(model, Priority.BULK)

    lane.submit(asking(an_ask("a1"), an_ask("a2")))
    submit(lane, "b")
    model.open()

    assert results(lane) == ["a1+a2", "b"]


def test_what_waited_shares_a_call_whoever_it_belongs_to(start: Start, model: GatedModel) -> None:
    scheduler = start(max_batch=4)
    occupy(scheduler, model)
    one, other = (scheduler.open(model, Priority.BULK) for _ in range(2))

    submit(one, "a1", "a2", "a3")
    submit(other, "b1", "b2", "b3")
    model.open()

    assert results(one) == ["a1", "a2", "a3"]
    assert results(other) == ["b1", "b2", "b3"]
    assert [len(batch) for batch in model.batches] == [1, 4, 2]
    assert {name[0] for name in model.batches[1]} == {"a", "b"}


def test_a_call_is_not_kept_waiting_for_a_fuller_batch(start: Start, model: GatedModel) -> None:
    scheduler = start(max_batch=8)
    first = occupy(scheduler, model)
    model.let()
    results(first)
    lane = scheduler.open(model, Priority.BULK)

    submit(lane, "a")

    assert model.has_begun()
    assert model.batches[-1] == ["a"]


@pytest.mark.parametrize(
    "other",
    [
        {"encoded_s": 15.0},
        {"style": Style(beam_size=1)},
        {"style": Style(words=True)},
        {"previous": (1, 2, 3)},
        {"detect_only": True},
    ],
    ids=["length", "beam", "words", "prompt length", "detection"],
)
def test_only_what_the_model_can_do_at_once_shares_a_call(
    start: Start, model: GatedModel, other: dict[str, Any]
) -> None:
    scheduler = start(max_batch=8)
    occupy(scheduler, model)
    lane = scheduler.open(model, Priority.BULK)

    submit(lane, "a1")
    submit(lane, "b1", **other)
    submit(lane, "a2")
    submit(lane, "b2", **other)
    model.open()
    results(lane)

    assert model.batches[1:] == [["a1", "a2"], ["b1", "b2"]]


def test_two_models_share_no_call(start: Start, model: GatedModel, time: Time) -> None:
    second = GatedModel(time)
    second.open()
    scheduler = start(max_batch=8)
    occupy(scheduler, model)
    one = scheduler.open(model, Priority.BULK)
    other = scheduler.open(second, Priority.BULK)

    submit(one, "a1", "a2")
    submit(other, "b1", "b2")
    model.open()
    results(one)
    results(other)

    assert model.order == ["first", "a1", "a2"]
    assert second.order == ["b1", "b2"]


@pytest.mark.parametrize(("row_s", "rows"), [(0.01, 8), (0.5, 4), (0.9, 2), (5.0, 1)])
def test_a_batch_is_as_large_as_a_call_may_last(
    start: Start, model: GatedModel, row_s: float, rows: int
) -> None:
    model.row_s = row_s
    scheduler = start(max_batch=8, bulk_call_s=2.0)
    first = occupy(scheduler, model)
    lane = scheduler.open(model, Priority.BULK)

    submit(lane, *(f"a{n}" for n in range(8)))
    model.open()
    results(first)
    results(lane)

    assert len(model.batches[1]) == rows


def test_a_batch_grows_when_calls_turn_out_to_be_quick(start: Start, model: GatedModel) -> None:
    model.row_s = 2.0
    scheduler = start(max_batch=8, bulk_call_s=2.0)
    first = occupy(scheduler, model)
    model.open()
    results(first)
    model.shut()
    model.row_s = 0.1
    occupy(scheduler, model)
    lane = scheduler.open(model, Priority.BULK)

    submit(lane, *(f"a{n}" for n in range(60)))
    model.open()
    results(lane)

    sizes = [len(batch) for batch in model.batches[2:-1]]
    assert sizes == sorted(sizes)
    assert (sizes[0], max(sizes)) == (1, 8)


def test_a_call_carries_no_more_audio_than_may_be_lost(start: Start, model: GatedModel) -> None:
    scheduler = start(max_batch=8, call_audio_s=60.0)
    occupy(scheduler, model)
    lane = scheduler.open(model, Priority.BULK)

    submit(lane, *(f"long{n}" for n in range(4)), encoded_s=24.0)
    submit(lane, *(f"short{n}" for n in range(8)), encoded_s=6.0)
    model.open()
    results(lane)

    assert [len(batch) for batch in model.batches[1:]] == [2, 2, 8]


def test_a_call_for_an_interactive_job_is_shorter_than_one_for_bulk_jobs(
    start: Start, model: GatedModel
) -> None:
    model.row_s = 0.4
    scheduler = start(max_batch=8, call_s=0.9, bulk_call_s=2.5)
    first = occupy(scheduler, model)
    model.let()
    results(first)
    bulk, clips = (scheduler.open(model, priority) for priority in reversed(Priority))

    for lane, name in ((bulk, "b"), (clips, "i")):
        model.shut()
        occupy(scheduler, model)
        submit(lane, *[name] * 9)
        model.open()
        results(lane)

    sizes = {name: max(len(one) for one in model.batches if one[0] == name) for name in "bi"}
    assert sizes == {"b": 6, "i": 2}


def test_how_long_a_call_lasts_goes_by_its_audio(start: Start, model: GatedModel) -> None:
    model.row_s = 1.0  # for 20 s of audio
    lane = start(max_batch=8, bulk_call_s=2.1).open(model, Priority.BULK)
    submit(lane, "first", encoded_s=20.0)
    model.open()
    results(lane)
    model.shut()
    submit(lane, "again", encoded_s=20.0)
    assert model.has_begun()

    submit(lane, *(f"long{n}" for n in range(8)), encoded_s=20.0)
    submit(lane, *(f"short{n}" for n in range(8)), encoded_s=5.0)
    model.open()
    results(lane)

    assert len(next(one for one in model.batches if "long0" in one)) == 2
    assert len(next(one for one in model.batches if "short0" in one)) == 8


def test_a_clip_does_not_wait_for_a_call_of_bulk_jobs(start: Start, model: GatedModel) -> None:
    scheduler = start(calls=2)
    bulk = scheduler.open(model, Priority.BULK)
    submit(bulk, "b1", "b2", "b3")
    assert model.has_begun()
    assert model.has_begun()
    clips = scheduler.open(model, Priority.INTERACTIVE)

    submit(clips, "i1", "i2")

    assert model.has_begun()
    assert model.order[2:] == ["i1"], "one call more, for the first of them alone"
    model.open()
    results(clips)
    results(bulk)
    assert model.order.index("i2") < model.order.index("b3")


def test_interactive_jobs_alone_get_no_call_more(start: Start, model: GatedModel) -> None:
    clips = start(calls=2).open(model, Priority.INTERACTIVE)

    submit(clips, *(f"i{n}" for n in range(20)))

    assert model.has_begun()
    for _ in range(19):
        assert model.has_begun()
        model.let()
    model.let()
    results(clips)
    assert model.most_at_once == 2


def test_a_call_for_a_clip_carries_no_window_of_a_bulk_job(start: Start, model: GatedModel) -> None:
    scheduler = start(max_batch=8)
    bulk, clips = (scheduler.open(model, priority) for priority in reversed(Priority))
    submit(bulk, "first")
    assert model.has_begun()
    model.let()
    results(bulk)
    submit(bulk, "b1", "b2", "b3")
    assert model.has_begun()

    submit(clips, "clip")
    model.open()
    results(bulk)

    assert ["clip"] in model.batches


def test_as_many_calls_run_at_once_as_are_allowed(start: Start, model: GatedModel) -> None:
    lane = start(calls=2).open(model, Priority.BULK)

    submit(lane, "a", "b", "c")

    assert model.has_begun()
    assert model.has_begun()
    assert len(model.batches) == 2
    model.open()
    assert sorted(str(one) for one in results(lane)) == ["a", "b", "c"]


def test_a_call_counts_for_each_job_by_its_share(start: Start, model: GatedModel) -> None:
    scheduler = start(max_batch=4)
    first = occupy(scheduler, model)
    one, other = (scheduler.open(model, Priority.BULK) for _ in range(2))
    submit(one, "a1", "a2", "a3")
    submit(other, "b1")
    model.open()
    for lane in (first, one, other):
        results(lane)

    assert model.batches[1:] == [["a1", "b1", "a2", "a3"]]
    assert one.busy_s == pytest.approx(0.03)
    assert other.busy_s == pytest.approx(0.01)


def test_who_leaves_takes_along_what_waits(start: Start, model: GatedModel) -> None:
    scheduler = start()
    occupy(scheduler, model)
    dropped = asking(an_ask("dropped"))
    with scheduler.open(model, Priority.BULK) as leaving:
        leaving.submit(dropped)
    staying = scheduler.open(model, Priority.BULK)
    submit(staying, "stays")
    model.open()

    assert results(staying) == ["stays"]
    assert "dropped" not in model.order
    assert next(dropped, "closed") == "closed"


def test_who_leaves_during_a_call_asks_nothing_more(start: Start, model: GatedModel) -> None:
    scheduler = start()
    with scheduler.open(model, Priority.BULK) as leaving:
        leaving.submit(asking(an_ask("a1"), an_ask("a2")))
        assert model.has_begun()
    staying = scheduler.open(model, Priority.BULK)
    submit(staying, "stays")
    model.open()

    assert results(staying) == ["stays"]
    assert model.order == ["a1", "stays"]


def test_an_error_in_one_row_reaches_its_own_job_alone(start: Start, model: GatedModel) -> None:
    model.fails = lambda asks: (
        ValueError("this row") if any(ask.prompt.text == "bad" for ask in asks) else None
    )
    scheduler = start(max_batch=8)
    occupy(scheduler, model)
    good, bad = (scheduler.open(model, Priority.BULK) for _ in range(2))

    submit(good, "a", "b")
    submit(bad, "bad")
    model.open()

    assert results(good) == ["a", "b"]
    with pytest.raises(ValueError, match="this row"):
        results(bad)
    assert bad.unfinished == 0
    assert {"a", "b", "bad"} in [set(batch) for batch in model.batches]
    assert scheduler.max_batch == 8


def test_out_of_memory_halves_the_batch_from_then_on(start: Start, model: GatedModel) -> None:
    model.fails = lambda asks: (
        RuntimeError("CUDA failed with error out of memory") if len(asks) > 2 else None
    )
    scheduler = start(max_batch=4)
    occupy(scheduler, model)
    lane = scheduler.open(model, Priority.BULK)

    submit(lane, *"abcdefgh")
    model.open()

    assert results(lane) == list("abcdefgh")
    assert scheduler.max_batch == 2
    assert [len(batch) for batch in model.batches[1:]] == [4, 2, 2, 2, 2]


def test_a_row_that_is_too_much_by_itself_is_an_error(start: Start, model: GatedModel) -> None:
    model.fails = lambda _: RuntimeError("out of memory")
    model.open()
    lane = start().open(model, Priority.BULK)

    submit(lane, "a")

    with pytest.raises(RuntimeError, match="out of memory"):
        results(lane)


def test_what_a_conversation_raises_comes_out_where_it_is_taken(
    start: Start, model: GatedModel
) -> None:
    def failing() -> Generator[Ask, Answer, None]:
        yield an_ask("a")
        raise LookupError("in the conversation")

    model.open()
    scheduler = start()
    lane = scheduler.open(model, Priority.BULK)
    lane.submit(failing())

    with pytest.raises(LookupError, match="in the conversation"):
        results(lane)
    submit(lane, "b")
    assert results(lane) == ["b"]


def test_a_prompt_that_the_model_cannot_take_fails_its_own_job_alone(
    start: Start, model: GatedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse_long(prompt: Prompt) -> int:
        if prompt.previous:
            raise ValueError("no such prompt")
        return 0

    monkeypatch.setattr(model, "prompt_length", refuse_long)
    model.open()
    scheduler = start()
    bad, good = (scheduler.open(model, Priority.BULK) for _ in range(2))
    bad.submit(asking(an_ask("a"), an_ask("b", previous=(1,))))

    with pytest.raises(ValueError, match="no such prompt"):
        results(bad)
    submit(good, "c")
    assert results(good) == ["c"]


def test_closing_ends_the_threads_after_the_call_in_flight(start: Start, model: GatedModel) -> None:
    before = set(threading.enumerate())
    scheduler = Scheduler(calls=2, max_batch=1)
    threads = set(threading.enumerate()) - before
    lane = scheduler.open(model, Priority.BULK)
    submit(lane, "a", "b", "waits")
    assert model.has_begun()
    assert model.has_begun()
    closing = threading.Thread(target=scheduler.close)
    closing.start()
    model.open()
    closing.join(PATIENCE_S)

    assert len(threads) == 3, "one of them for interactive jobs"
    assert not closing.is_alive()
    assert not any(one.is_alive() for one in threads)
    assert model.order == ["a", "b"]
