"""Which models are in memory, and when: with a loader that loads nothing."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import pytest
from faster_whisper import WhisperModel

from whisperdrop.errors import ModelUnavailableError
from whisperdrop_worker.model_pool import LoadedModel, ModelPool
from whisperdrop_worker.models import ModelResolver

MB = 2**20
PATIENCE_S = 30.0  # for what must happen; nothing waits for as long as that


class FakeWhisper:
    """Tells when the CTranslate2 model in it is taken away."""

    def __init__(self, name: str, house: "House") -> None:
        self.name = name
        self.house = house

    @property
    def model(self) -> None:
        """Nothing but the fact that it goes matters."""

    @model.deleter
    def model(self) -> None:
        self.house.events.append(f"-{self.name}")
        self.house.inside.discard(self.name)


class House:
    """Models of 100 MB each (of 30 MB where the name is small), and what happened to them."""

    def __init__(self, folder: Path) -> None:
        self.events: list[str] = []
        self.inside: set[str] = set()
        self.most = 0
        self.now = 0.0
        self.gates: dict[str, threading.Event] = {}
        self.failing: set[str] = set()
        self.waiting = threading.Semaphore(0)
        self.loading = threading.Semaphore(0)
        aliases = {name: self._write(folder / name, name) for name in ("a", "b", "c", "d", "small")}
        self.resolver = ModelResolver(cache_dir=folder, aliases=aliases | {"alias-of-a": "a"})
        self.pools = ExitStack()
        self.threads = ThreadPoolExecutor(8)

    def _write(self, directory: Path, name: str) -> str:
        directory.mkdir()
        for file in ("config.json", "tokenizer.json", "vocabulary.txt"):
            (directory / file).write_bytes(b"{}")
        with (directory / "model.bin").open("wb") as weights:
            # Twice this in float32, and 14 MB besides: see model_pool. A hole, on disk.
            weights.truncate((8 if name == "small" else 43) * MB)
        return str(directory)

    def load(self, name: str, directory: Path) -> WhisperModel:
        self.events.append(f"{name}?")
        if name in self.gates:
            self.loading.release()
            assert self.gates[name].wait(PATIENCE_S)
        if name in self.failing:
            raise ModelUnavailableError(f"model {name!r} is broken")
        self.events.append(f"+{name}")
        self.inside.add(name)
        self.most = max(self.most, len(self.inside))
        return cast(WhisperModel, FakeWhisper(name, self))

    def pool(self, *, room: float | None = None, **arguments: Any) -> ModelPool:
        """With room for so many models."""
        pool = ModelPool(
            self.resolver,
            device="cpu",
            compute_type="float32",
            memory_bytes=10**12 if room is None else round(room * 100 * MB),
            load=self.load,
            **{"clock": lambda: self.now, **arguments},
        )
        self.pools.callback(pool.close)
        wait = pool._changed.wait

        def observed(timeout: float | None = None) -> bool:
            self.waiting.release()  # the lock is still held: who asks for it now finds us waiting
            return wait(timeout)

        pool._changed.wait = observed  # type: ignore[method-assign]
        return pool

    def use(self, pool: ModelPool, *names: str) -> None:
        for name in names:
            with pool.hold(name):
                self.now += 1

    def begin_to_use(self, pool: ModelPool, name: str) -> Future[None]:
        """From another thread, which waits for something when this returns."""
        future = self.threads.submit(self.use, pool, name)
        assert self.waiting.acquire(timeout=PATIENCE_S)
        return future

    def begin_to_load(self, pool: ModelPool, name: str) -> tuple[Future[None], threading.Event]:
        """From another thread, which goes on when the event is set."""
        gate = self.gates[name] = threading.Event()
        future = self.threads.submit(self.use, pool, name)
        assert self.loading.acquire(timeout=PATIENCE_S)
        return future, gate

    def loads(self) -> list[str]:
        """What came in and went out, in order."""
        return [event for event in self.events if event[0] in "+-"]


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    # There is no memory to give back, and collecting the garbage of a whole suite takes long.
    monkeypatch.setattr("whisperdrop_worker.model_pool._give_memory_back", lambda: None)
    house = House(tmp_path)
    yield house
    for gate in house.gates.values():
        gate.set()
    house.pools.close()
    house.threads.shutdown()


# --- One model in memory


def test_a_model_is_loaded_once_whatever_it_is_called(house: House) -> None:
    pool = house.pool()
    assert pool.loaded() == ()
    with pool.hold("a") as model, pool.hold("alias-of-a") as same:
        assert same is model
        assert pool.loaded() == ("a", "alias-of-a")
    assert (model.name, model.device, model.compute_type) == ("a", "cpu", "float32")
    assert model.directory == house.resolver.resolve("a")
    assert model.size_bytes == 100 * MB
    assert house.loads() == ["+a"]


def test_two_who_ask_for_the_same_model_load_it_once(house: House) -> None:
    pool = house.pool()
    first, gate = house.begin_to_load(pool, "a")
    second = house.begin_to_use(pool, "a")
    assert pool.loaded() == ()
    gate.set()
    first.result(PATIENCE_S)
    second.result(PATIENCE_S)
    assert house.loads() == ["+a"]


def test_a_model_that_is_being_loaded_holds_up_nobody_else(house: House) -> None:
    pool = house.pool(room=3)
    house.use(pool, "a")
    loading, gate = house.begin_to_load(pool, "b")
    house.use(pool, "a", "c")
    assert pool.loaded() == ("a", "c")
    gate.set()
    loading.result(PATIENCE_S)
    assert pool.loaded() == ("a", "b", "c")


def test_all_who_wait_for_a_model_learn_that_it_cannot_be_loaded(house: House) -> None:
    pool = house.pool()
    house.failing.add("a")
    first, gate = house.begin_to_load(pool, "a")
    second = house.begin_to_use(pool, "a")
    gate.set()
    for future in (first, second):
        with pytest.raises(ModelUnavailableError, match="'a' is broken"):
            future.result(PATIENCE_S)
    assert house.events == ["a?"]
    house.failing.clear()  # and a failure is not remembered
    house.use(pool, "a")
    assert pool.loaded() == ("a",)


def test_a_model_that_nobody_can_resolve_is_unavailable(house: House) -> None:
    with pytest.raises(ModelUnavailableError, match="not configured"):
        house.use(house.pool(), "/etc")


def test_an_error_inside_lets_go_of_the_model(house: House) -> None:
    pool = house.pool(room=1)
    with pytest.raises(KeyError), pool.hold("a"):
        raise KeyError
    house.use(pool, "b")
    assert pool.loaded() == ("b",)


# --- The budget


def test_the_least_recently_used_goes_first(house: House) -> None:
    pool = house.pool(room=2)
    house.use(pool, "a", "b", "a", "c")
    assert pool.loaded() == ("a", "c")
    house.use(pool, "b")
    assert pool.loaded() == ("b", "c")
    assert house.loads() == ["+a", "+b", "-b", "+c", "-a", "+b"]


def test_no_more_goes_than_has_to(house: House) -> None:
    pool = house.pool(room=2)
    house.use(pool, "small", "a", "b")  # 30 + 100 + 100 of 200: small alone is enough
    assert pool.loaded() == ("a", "b")
    house.use(pool, "small")
    assert pool.loaded() == ("b", "small")


def test_what_is_held_stays(house: House) -> None:
    pool = house.pool(room=2)
    with pool.hold("a"):
        house.use(pool, "b", "c", "d")
        assert pool.loaded() == ("a", "d")


def test_a_load_waits_until_a_holder_lets_go(house: House) -> None:
    pool = house.pool(room=1)
    with pool.hold("a"):
        waiting = house.begin_to_use(pool, "b")
        assert pool.loaded() == ("a",)
        assert house.loads() == ["+a"]
    waiting.result(PATIENCE_S)
    assert house.loads() == ["+a", "-a", "+b"]


def test_idle_models_do_not_go_in_vain(house: House) -> None:
    pool = house.pool(room=1.3)
    house.use(pool, "small")
    with pool.hold("a"):
        waiting = house.begin_to_use(pool, "b")
        assert pool.loaded() == ("a", "small")
        house.use(pool, "small")
    waiting.result(PATIENCE_S)
    assert house.loads()[:2] == ["+small", "+a"]
    assert "+b" in house.loads()


def test_a_preloaded_model_goes_last_but_goes(house: House) -> None:
    pool = house.pool(room=2)
    pool.preload(["a"])
    house.use(pool, "b", "c")
    assert pool.loaded() == ("a", "c")
    with pool.hold("c"):
        house.use(pool, "d")
    assert pool.loaded() == ("c", "d")
    house.use(pool, "a")
    assert house.loads()[-2:] == ["-c", "+a"]


def test_of_preloaded_models_that_do_not_fit_the_first_stay(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    pool = house.pool(room=2)
    pool.preload(["a", "b", "c"])
    assert pool.loaded() == ("a", "b")
    assert "MODEL_MEMORY_BYTES: c will be loaded on demand" in caplog.text


def test_a_model_larger_than_the_budget_names_the_setting(house: House) -> None:
    pool = house.pool(room=0)
    with pytest.raises(ModelUnavailableError, match=r"about 100 MB .* MODEL_MEMORY_BYTES"):
        house.use(pool, "a")
    assert house.events == []


def test_a_model_on_its_way_in_counts(house: House) -> None:
    pool = house.pool(room=1)
    first, gate = house.begin_to_load(pool, "a")
    second = house.begin_to_use(pool, "b")
    assert "b?" not in house.events
    gate.set()
    first.result(PATIENCE_S)
    second.result(PATIENCE_S)
    assert house.loads() == ["+a", "-a", "+b"]


def test_loads_get_room_in_the_order_they_came(house: House) -> None:
    pool = house.pool(room=1)
    with pool.hold("a"):
        waiting = [house.begin_to_use(pool, name) for name in ("b", "small", "c")]
    for future in waiting:
        future.result(PATIENCE_S)
    assert [event for event in house.loads() if event[0] == "+"] == ["+a", "+b", "+small", "+c"]


def test_a_busy_model_serves_others_until_those_have_gone_who_came_first(house: House) -> None:
    pool = house.pool(room=1)
    with ExitStack() as newer:
        with pool.hold("a"):
            load = house.begin_to_use(pool, "b")
            newer.enter_context(pool.hold("a"))  # at once: it is in memory anyway
        assert house.waiting.acquire(timeout=PATIENCE_S)  # b's turn to look, and to wait on
        newcomer = house.begin_to_use(pool, "a")
        assert not newcomer.done()
        assert not load.done()
    load.result(PATIENCE_S)
    newcomer.result(PATIENCE_S)
    assert house.loads() == ["+a", "-a", "+b", "-b", "+a"]


def test_who_waits_in_vain_leaves_the_door_open(house: House) -> None:
    pool = house.pool(room=1)
    house.failing.add("b")
    with pool.hold("a"):
        load = house.begin_to_use(pool, "b")
    with pytest.raises(ModelUnavailableError, match="broken"):
        load.result(PATIENCE_S)
    house.use(pool, "a")
    assert pool.loaded() == ("a",)


@pytest.mark.parametrize("seed", range(3))
def test_a_crowd_never_exceeds_the_budget_and_all_are_served(house: House, seed: int) -> None:
    pool = house.pool(room=2)
    names = random.Random(seed).choices(["a", "alias-of-a", "b", "c", "d"], k=160)  # noqa: S311

    def use(name: str) -> bool:
        with pool.hold(name) as model:
            return model.whisper is not None and model.name in house.inside

    assert all(house.threads.map(use, names, timeout=PATIENCE_S))
    assert house.most <= 2


@pytest.mark.parametrize(
    ("compute_type", "megabytes"),
    [
        ("int8", 37),
        ("int8_float16", 37),
        ("float16", 57),
        ("bfloat16", 57),
        ("float32", 100),
        ("default", 100),
    ],
)
def test_the_estimate_depends_on_the_compute_type(
    house: House, compute_type: str, megabytes: int
) -> None:
    pool = ModelPool(house.resolver, device="cpu", compute_type=compute_type, load=house.load)
    with pool.hold("a") as model:
        assert model.size_bytes // MB == megabytes
    pool.close()


# --- Idleness


def test_a_model_that_was_idle_for_long_is_unloaded(house: House) -> None:
    pool = house.pool(idle_s=60.0)
    house.use(pool, "a", "b")
    house.now += 59
    pool.unload_idle()  # or the timer's thread was first, which looks at the same clock
    assert pool.loaded() == ("b",)
    house.now += 1
    pool.unload_idle()
    assert pool.loaded() == ()
    assert house.loads() == ["+a", "+b", "-a", "-b"]


def test_what_is_held_is_not_idle_and_time_counts_from_letting_go(house: House) -> None:
    pool = house.pool(idle_s=60.0)
    with pool.hold("a"):
        house.now += 1000
        assert pool.unload_idle() == []
    assert pool.unload_idle() == []
    house.now += 60
    pool.unload_idle()  # or the timer's thread was first, which looks at the same clock
    assert pool.loaded() == ()


def test_a_preloaded_model_is_never_idle(house: House) -> None:
    pool = house.pool(idle_s=60.0)
    pool.preload(["alias-of-a"])
    house.use(pool, "a")
    house.now += 1000
    assert pool.unload_idle() == []
    assert pool.loaded() == ("a", "alias-of-a")


def test_without_a_limit_no_model_is_idle(house: House) -> None:
    pool = house.pool()
    house.use(pool, "a")
    house.now += 1e9
    assert pool.unload_idle() == []


def test_the_timer_unloads_by_itself_and_again(house: House) -> None:
    gone = threading.Semaphore(0)
    pool = house.pool(idle_s=0.02, clock=time.monotonic, on_unload=lambda _: gone.release())
    for _ in range(2):
        house.use(pool, "a", "b")
        for _ in range(2):
            assert gone.acquire(timeout=PATIENCE_S)
    pool.close()
    assert house.inside == set()
    assert sorted(house.loads()) == ["+a"] * 2 + ["+b"] * 2 + ["-a"] * 2 + ["-b"] * 2


# --- Those who want to know


def test_whoever_wants_to_know_is_told_before_first_use_and_before_the_end(house: House) -> None:
    def told(sign: str) -> Callable[[LoadedModel], None]:
        return lambda model: house.events.append(f"{sign} {model.name} {pool.loaded()}")

    pool = house.pool(room=1, on_load=told("in"), on_unload=told("out"))
    house.use(pool, "a", "b")
    assert house.events == ["a?", "+a", "in a ()", "out a ()", "-a", "b?", "+b", "in b ()"]


def test_who_cannot_take_a_model_in_gets_none(house: House) -> None:
    def refuse(_: LoadedModel) -> None:
        raise RuntimeError("no")

    pool = house.pool(on_load=refuse)
    with pytest.raises(RuntimeError, match="no"):
        house.use(pool, "a")
    assert house.loads() == ["+a", "-a"]
    assert pool.loaded() == ()


def test_who_cannot_let_a_model_go_does_not_keep_it(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(_: LoadedModel) -> None:
        raise RuntimeError("no")

    pool = house.pool(room=1, on_unload=refuse)
    house.use(pool, "a", "b")
    assert house.loads() == ["+a", "-a", "+b"]
    assert "against somebody's will" in caplog.text


# --- The end


def test_closing_unloads_what_nobody_holds_and_the_rest_when_it_is_let_go(house: House) -> None:
    pool = house.pool(idle_s=60.0)
    with pool.hold("a"):
        house.use(pool, "b")
        pool.close()
        assert house.inside == {"a"}
        with pytest.raises(ModelUnavailableError, match="stopping"):
            house.use(pool, "a")
    assert house.inside == set()
    pool.close()


def test_closing_wakes_those_who_wait(house: House) -> None:
    pool = house.pool(room=1)
    with pool.hold("a"):
        waiting = house.begin_to_use(pool, "b")
        pool.close()
        with pytest.raises(ModelUnavailableError, match="stopping"):
            waiting.result(PATIENCE_S)


def test_a_closed_pool_leaves_no_thread_behind(house: House) -> None:
    pool = house.pool(idle_s=60.0)
    house.use(pool, "a")
    names = {thread.name for thread in threading.enumerate()}
    assert "idle-models" in names
    pool.close()
    assert "idle-models" not in {thread.name for thread in threading.enumerate()}
