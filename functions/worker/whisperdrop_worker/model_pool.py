"""The models in memory: loaded on demand, kept within a budget, given back when idle.

A model is in memory once, whatever it is called: names that lead to one directory share it. Who
works with a model holds it; what nobody holds may have to go. What goes takes its memory along.
"""

import ctypes
import gc
import itertools
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path

import ctranslate2
from faster_whisper import WhisperModel

from whisperdrop.errors import ModelUnavailableError
from whisperdrop.observability.catalogue import MODEL_LOAD_SECONDS, MODEL_LOADS, MODEL_UNLOADS
from whisperdrop.observability.metrics import record
from whisperdrop_worker.models import ModelResolver
from whisperdrop_worker.weights import MODEL_FILE

_logger = logging.getLogger(__name__)

__all__ = ["LoadedModel", "ModelPool"]

# What is left in memory for each byte of model.bin, whose weights are float16 in every published
# conversion, and what comes on top whatever the size (tokenizer and tables, mostly). Measured with
# ctranslate2 4.8.5 on x86-64 as growth of anonymous resident memory, trimmed, in MB, the same with
# 1, 2 and 4 workers:
#             model.bin   int8   float32
#   tiny.en       72       53      157
#   base         138       89      290
# so int8 is 0.55 x + 14 and float32 2.0 x + 13. Half precision cannot run on a CPU: 1 by the
# format. The buffers of calls in flight (40 to 80 MB each) belong to the calls.
_MEMORY_PER_FILE_BYTE = (("int8", 0.55), ("float16", 1.0), ("bfloat16", 1.0), ("int16", 1.1))
_MEMORY_PER_FILE_BYTE_OTHERWISE = 2.0  # float32, and what a CPU makes of "default"
_MEMORY_BESIDES = 14 * 2**20

_M_ARENA_MAX = -8  # of glibc's malloc.h


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model that is in memory, one for all its names; compared and hashed by identity.

    ``name`` is the one it was loaded under. ``size_bytes`` is an estimate of what its weights take
    on ``device``, without the buffers of calls in flight.
    """

    name: str
    directory: Path
    whisper: WhisperModel
    device: str
    compute_type: str
    size_bytes: int


Load = Callable[[str, Path], WhisperModel]
"""Name and directory to a model. Raises ModelUnavailableError."""

OnModel = Callable[[LoadedModel], None]


class _State(Enum):
    WAITING = auto()  # for room; takes none yet
    LOADING = auto()
    READY = auto()
    LEAVING = auto()  # takes its room until it has gone


@dataclass(eq=False)
class _Entry:
    """One directory of weights in memory, on its way in, or on its way out."""

    name: str
    size_bytes: int
    state: _State = _State.WAITING
    model: LoadedModel | None = None
    failure: str | None = None
    holds: set[int] = field(default_factory=set)
    used_at: float = 0.0
    closed: bool = False  # to newcomers, because a load waits for its room


class ModelPool:
    """Models in memory. Safe to use from several threads; close it at the end."""

    def __init__(
        self,
        resolver: ModelResolver,
        *,
        device: str = "auto",
        compute_type: str | None = None,
        cpu_threads: int = 1,
        num_workers: int = 2,
        memory_bytes: int | None = None,
        idle_s: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        on_load: OnModel | None = None,
        on_unload: OnModel | None = None,
        load: Load | None = None,
    ) -> None:
        """``compute_type`` None means int8 on a CPU and float16 on a GPU. Each model runs up to
        ``num_workers`` calls at once on ``cpu_threads`` threads each.

        ``memory_bytes`` is what all models together may take; None means half of the machine's
        memory on a CPU and no limit on a GPU. A model that was not preloaded and that nobody has
        held for ``idle_s`` seconds by ``clock`` is unloaded; None keeps it.

        ``on_load`` is called before anybody holds the model, ``on_unload`` after everybody has let
        go and before the weights leave memory: the model must not be used afterwards. Both run in
        whatever thread loads or unloads and may call the pool, but not hold a model. ``load``
        stands in for faster-whisper.
        """
        if device == "auto":
            device = "cuda" if ctranslate2.get_cuda_device_count() else "cpu"
        self._resolver = resolver
        self.device = device
        """Where models run: ``cpu`` or ``cuda``."""
        self._compute_type = compute_type or ("float16" if device == "cuda" else "int8")
        self._cpu_threads = cpu_threads
        self._num_workers = num_workers
        if memory_bytes is None and device == "cpu":
            memory_bytes = _machine_memory_bytes() // 2
        self._memory_bytes = memory_bytes
        self._idle_s = idle_s
        self._clock = clock
        self._on_load = on_load
        self._on_unload = on_unload
        self._load = load or self._load_whisper
        self._directories: dict[str, Path] = {}
        self._preloaded: set[Path] = set()
        self._entries: dict[Path, _Entry] = {}
        self._numbers = itertools.count()  # of holds and turns, in the order they came
        self._turns: list[int] = []  # of loads that wait for room, first come, first served
        self._changed = threading.Condition(threading.Lock())
        self._timer: threading.Thread | None = None
        self._closed = False
        _use_one_heap()

    @contextmanager
    def hold(self, name: str) -> Iterator[LoadedModel]:
        """The model, in memory for as long as the ``with`` block runs.

        Loads it if need be. That waits for room where models that others hold leave none; so a
        thread that holds one model must not ask for a second.

        Raises ModelUnavailableError for a model that cannot be had, or is larger than the budget.
        """
        directory = self._directory(name)
        hold = next(self._numbers)
        entry, model = self._pin(name, directory, hold)
        try:
            yield model
        finally:
            del model  # an exception on its way out keeps this frame
            self._unpin(directory, entry, hold)

    def preload(self, names: Iterable[str]) -> None:
        """Load ``names`` now, and never unload them for being idle.

        Where they do not fit together the first ones stay, and the others are loaded when they are
        asked for. Raises ModelUnavailableError for one that cannot be had.
        """
        names = tuple(names)
        for name in reversed(names):  # what is loaded last is evicted last
            directory = self._directory(name)
            with self._changed:
                self._preloaded.add(directory)
            with self.hold(name):
                pass
        absent = [name for name in names if name not in self.loaded()]
        if absent:
            _logger.warning(
                "the preloaded models do not fit together in MODEL_MEMORY_BYTES: %s will be loaded "
                "on demand",
                ", ".join(absent),
            )

    def loaded(self) -> tuple[str, ...]:
        """Names under which models in memory were asked for, sorted."""
        with self._changed:
            return tuple(
                sorted(
                    name
                    for name, directory in self._directories.items()
                    if (entry := self._entries.get(directory)) and entry.state is _State.READY
                )
            )

    def unload_idle(self) -> list[str]:
        """Unload what was idle for too long; the timer calls this, nobody else has to.

        The names they were loaded under, sorted.
        """
        with self._changed:
            return self._unload_idle()

    def close(self) -> None:
        """Refuse new holds, and unload: what is held goes as soon as its holders let go."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            self._unload(
                [(d, e) for d, e in self._entries.items() if self._is_idle(e)],
                "the worker stops",
            )
            timer = self._timer
        if timer is not None and timer is not threading.current_thread():
            timer.join()

    def _directory(self, name: str) -> Path:
        # The resolver fetches models, one at a time: who knows his need not wait for that.
        known = self._directories.get(name)
        if known is None:
            known = self._resolver.resolve(name)
            with self._changed:
                self._directories[name] = known
        return known

    def _pin(self, name: str, directory: Path, hold: int) -> tuple[_Entry, LoadedModel]:
        with self._changed:
            while True:
                self._refuse_if_closed()
                entry = self._entries.get(directory)
                if entry is None:
                    entry = _Entry(name, self._size(name, directory))
                    self._entries[directory] = entry
                    self._bring_in(directory, entry, hold)
                if entry.state is _State.READY and entry.model and not entry.closed:
                    entry.holds.add(hold)
                    entry.used_at = self._clock()
                    return entry, entry.model
                self._changed.wait()
                if entry.failure is not None:  # somebody else tried to load it meanwhile
                    raise ModelUnavailableError(entry.failure)

    def _unpin(self, directory: Path, entry: _Entry, hold: int) -> None:
        with self._changed:
            entry.holds.discard(hold)
            entry.used_at = self._clock()
            self._changed.notify_all()
            if self._closed and self._is_idle(entry):
                self._unload([(directory, entry)], "the worker stops")
            elif self._timer is None and self._idle_until(directory, entry) is not None:
                self._start_timer()

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise ModelUnavailableError("the worker is stopping and loads no more models")

    # --- In. The lock is held, except while a model is loaded.

    def _bring_in(self, directory: Path, entry: _Entry, turn: int) -> None:
        """Make ``entry`` READY, or remove it and raise."""
        try:
            self._make_room(entry, turn)
            entry.state = _State.LOADING
            self._changed.release()
            try:
                entry.model = self._loaded(directory, entry)
            finally:
                self._changed.acquire()
            entry.state = _State.READY
            entry.used_at = self._clock()
        except BaseException as error:
            del self._entries[directory]
            if isinstance(error, ModelUnavailableError):
                entry.failure = error.message
            raise
        finally:
            self._changed.notify_all()

    def _make_room(self, entry: _Entry, turn: int) -> None:
        """Evict until ``entry`` fits; waits for its turn, and for holders to let go."""
        if self._memory_bytes is None:
            return
        self._turns.append(turn)
        try:
            while not (self._turns[0] == turn and self._evict_for(entry, turn)):
                self._changed.wait()
                self._refuse_if_closed()
        finally:
            self._turns.remove(turn)
            self._close_to_newcomers(())
            self._changed.notify_all()

    def _evict_for(self, entry: _Entry, turn: int) -> bool:
        """Whether ``entry`` fits now; if not, something has to change first.

        What is held has to be waited for. It stays open to newcomers while one of those holds it
        who were there before this load: it is in memory anyway. Then it closes, and drains; else a
        busy model would never go.
        """
        while (missing := self._missing(entry)) > 0:
            if any(other.state is _State.LEAVING for other in self._entries.values()):
                return False
            victims = self._victims(missing)
            waited_for = [hold for _, other in victims for hold in other.holds]
            if waited_for or missing > sum(other.size_bytes for _, other in victims):
                # None of the idle ones goes in vain.
                patient = any(hold < turn for hold in waited_for)
                self._close_to_newcomers(() if patient else [other for _, other in victims])
                return False
            self._unload(victims[:1], f"room for {entry.name}")  # others may come meanwhile
        return True

    def _victims(self, missing: int) -> list[tuple[Path, _Entry]]:
        """Who has to go for ``missing`` bytes: the idle first, the preloaded last, by last use."""
        ready = [item for item in self._entries.items() if item[1].state is _State.READY]
        ready.sort(
            key=lambda item: (bool(item[1].holds), item[0] in self._preloaded, item[1].used_at)
        )
        room = itertools.accumulate((entry.size_bytes for _, entry in ready), initial=0)
        return [item for item, gained in zip(ready, room, strict=False) if gained < missing]

    def _close_to_newcomers(self, entries: Sequence[_Entry]) -> None:
        for entry in self._entries.values():
            if entry.closed and entry not in entries:
                self._changed.notify_all()
            entry.closed = entry in entries

    def _missing(self, entry: _Entry) -> int:
        taken = sum(e.size_bytes for e in self._entries.values() if e.state is not _State.WAITING)
        return taken + entry.size_bytes - (self._memory_bytes or 0)

    def _size(self, name: str, directory: Path) -> int:
        """Estimated bytes in memory; refuses what could never fit."""
        try:
            file_bytes = (directory / MODEL_FILE).stat().st_size
        except OSError as error:
            raise ModelUnavailableError(f"model {name!r} has lost its weights") from error
        factors = (f for kind, f in _MEMORY_PER_FILE_BYTE if self._compute_type.startswith(kind))
        factor = next(factors, _MEMORY_PER_FILE_BYTE_OTHERWISE)
        size = round(file_bytes * factor) + _MEMORY_BESIDES
        if self._memory_bytes is not None and size > self._memory_bytes:
            raise ModelUnavailableError(
                f"model {name!r} takes about {size // 2**20} MB of memory, and MODEL_MEMORY_BYTES "
                f"allows {self._memory_bytes // 2**20} MB"
            )
        return size

    def _loaded(self, directory: Path, entry: _Entry) -> LoadedModel:
        started = time.perf_counter()
        whisper = self._load(entry.name, directory)
        model = LoadedModel(
            entry.name, directory, whisper, self.device, self._compute_type, entry.size_bytes
        )
        _give_memory_back()  # what only the loading needed: 84 MB for base
        try:
            if self._on_load is not None:
                self._on_load(model)
        except BaseException:
            _destroy(whisper)
            raise
        seconds, megabytes = time.perf_counter() - started, model.size_bytes // 2**20
        said = {"model": model.name, "load_s": round(seconds, 3), "megabytes": megabytes}
        _logger.info("model_loaded", extra=said)
        record(MODEL_LOADS, model=model.name)
        record(MODEL_LOAD_SECONDS, seconds)
        return model

    def _load_whisper(self, name: str, directory: Path) -> WhisperModel:
        try:
            whisper = WhisperModel(
                str(directory),
                device=self.device,
                compute_type=self._compute_type,
                cpu_threads=self._cpu_threads,
                num_workers=self._num_workers,
                local_files_only=True,
            )
        except Exception as error:
            # CTranslate2 and tokenizers raise whatever they like, with paths in it.
            _logger.exception("a model cannot be loaded")
            raise ModelUnavailableError(
                f"model {name!r} cannot be loaded with compute type {self._compute_type} on "
                f"{self.device}; the worker's log says why"
            ) from error
        mels, wanted = len(whisper.feature_extractor.mel_filters), whisper.model.n_mels
        if mels != wanted:
            _destroy(whisper)
            raise ModelUnavailableError(
                f"model {name!r} lacks its preprocessor_config.json: it wants {wanted} mel bands "
                f"and would get {mels}"
            )
        return whisper

    # --- Out. The lock is held, except while a model is unloaded.

    def _is_idle(self, entry: _Entry) -> bool:
        return entry.state is _State.READY and not entry.holds

    def _unload(self, leaving: Sequence[tuple[Path, _Entry]], reason: str) -> None:
        """Unload what is idle."""
        if not leaving:
            return
        for _, entry in leaving:
            entry.state = _State.LEAVING
        self._changed.release()
        try:
            for _, entry in leaving:
                self._let_go(entry, reason)
            _give_memory_back()
        finally:
            self._changed.acquire()
            for directory, _ in leaving:
                del self._entries[directory]
            self._changed.notify_all()

    def _unload_idle(self) -> list[str]:
        now = self._clock()
        idle = [
            (directory, entry)
            for directory, entry in self._entries.items()
            if (until := self._idle_until(directory, entry)) is not None and until <= now
        ]
        self._unload(idle, "idle")
        return sorted(entry.name for _, entry in idle)

    def _let_go(self, entry: _Entry, reason: str) -> None:
        model, entry.model = entry.model, None
        if model is None:
            return
        try:
            if self._on_unload is not None:
                self._on_unload(model)
        except Exception:
            _logger.exception("a model was unloaded against somebody's will")
        _destroy(model.whisper)
        _logger.info("model_unloaded", extra={"model": model.name, "reason": reason})
        record(MODEL_UNLOADS, model=model.name)

    def _idle_until(self, directory: Path, entry: _Entry) -> float | None:
        """When it will have been idle for too long, by the clock; None if that does not apply."""
        if self._idle_s is None or directory in self._preloaded or not self._is_idle(entry):
            return None
        return entry.used_at + self._idle_s

    def _start_timer(self) -> None:
        # A daemon: a process that forgets to close the pool ends all the same.
        self._timer = threading.Thread(target=self._time, name="idle-models", daemon=True)
        self._timer.start()

    def _time(self) -> None:
        """Unload what is idle when its time has come, until nothing is left to wait for."""
        with self._changed:
            while not self._closed:
                times = [self._idle_until(*item) for item in self._entries.items()]
                ends = [end for end in times if end is not None]
                if not ends:
                    break
                remaining = min(ends) - self._clock()
                if remaining > 0:
                    self._changed.wait(min(remaining, threading.TIMEOUT_MAX))
                else:
                    self._unload_idle()
            self._timer = None


def _destroy(whisper: WhisperModel) -> None:
    """Free weights and threads, whoever still has a reference to ``whisper``: a traceback, say.

    CTranslate2 has ``unload_model``, but right after a call that may do nothing, and it keeps the
    buffers. A call that runs in spite of all keeps the model until it returns.
    """
    del whisper.model


def _machine_memory_bytes() -> int:
    """Memory that this process may use: the machine's, or its container's if that is less."""
    found = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for limit in ("memory.max", "memory/memory.limit_in_bytes"):  # cgroups, version 2 and 1
        with suppress(OSError, ValueError):  # the first may say "max"
            found.append(int(Path("/sys/fs/cgroup", limit).read_text()))
    return min(found)


def _use_one_heap() -> None:
    """Let all threads allocate from one heap, where the C library is glibc.

    By default each thread has a heap, and what a thread of CTranslate2 leaves free at the end of
    its heap, up to 64 MB, is not the system's again even when asked for: of base and tiny.en 74 %
    came back; with one heap 96 %, and their peak was 25 % lower. Two calls in flight took the same
    time within 4 %, either way: the threads ask for few and large pieces. Fixed thresholds for
    mmap would give back as much and cost 25 % of the speed. An operator's MALLOC_ARENA_MAX is
    obeyed.
    """
    if "MALLOC_ARENA_MAX" not in os.environ:
        with suppress(AttributeError):  # not glibc
            ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def _give_memory_back() -> None:
    """Return free memory to the system; glibc alone keeps it for later, whatever its size."""
    gc.collect()
    with suppress(AttributeError):  # not glibc
        ctypes.CDLL(None).malloc_trim(0)
