"""The ways of transcribing that are compared. All use the same weights and compute type."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from faster_whisper import BatchedInferencePipeline, WhisperModel
from threadpoolctl import threadpool_limits

from bench.engine import BATCH_SETTING, LocalEngine, worker_settings
from bench.recordings import Recording
from bench.workspace import cores
from whisperdrop_worker.models import ModelResolver

OPTIONS: dict[str, Any] = {"beam_size": 5, "vad_filter": True}
"""Of faster-whisper's calls, and the worker's own defaults."""

DEFAULT = "faster-whisper, its default"
BEST = "faster-whisper, its best"
BATCHED = "faster-whisper, batched"
OURS = "whisperdrop"


@dataclass(frozen=True)
class Device:
    """Where and how the models compute."""

    name: str = "cpu"
    compute_type: str = "int8"


def weights(model: str) -> Path:
    """The directory of ``model``: a directory, an installed package, or the hub."""
    if Path(model).is_dir():
        return Path(model).resolve()
    return ModelResolver(cache_dir=worker_settings(model).model_dir).resolve(model)


class Contender(ABC):
    """Loads on entering; transcribes lists of files."""

    name: str

    @abstractmethod
    def __enter__(self) -> Self: ...

    @abstractmethod
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    @abstractmethod
    def transcribe(self, recordings: Sequence[Recording]) -> list[str]:
        """The text of each, when all are done."""


class Sequential(Contender):
    """``WhisperModel.transcribe``, with ``in_flight`` files side by side."""

    def __init__(
        self, name: str, model: str, device: Device, *, threads: int = 0, in_flight: int = 1
    ) -> None:
        """``threads`` of one call; 0 is the library's default."""
        self.name = name
        self._model = model
        self._device = device
        self._threads = threads
        self._in_flight = in_flight

    def __enter__(self) -> Self:
        self._whisper = WhisperModel(
            str(weights(self._model)),
            device=self._device.name,
            compute_type=self._device.compute_type,
            cpu_threads=self._threads,
            num_workers=self._in_flight,
            local_files_only=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        del self._whisper

    def transcribe(self, recordings: Sequence[Recording]) -> list[str]:
        """See ``Contender``."""
        # Whisperdrop's engine in this process has taken NumPy's threads away.
        with (
            threadpool_limits(cores(), user_api="blas"),
            ThreadPoolExecutor(self._in_flight) as pool,
        ):
            return list(pool.map(self._one, recordings))

    def _one(self, recording: Recording) -> str:
        segments, _ = self._whisper.transcribe(
            str(recording.path), language=recording.language, **OPTIONS
        )
        return _text(segments)


class Batched(Sequential):
    """``BatchedInferencePipeline``, one file after the other, in the library's default layout."""

    def __init__(self, model: str, device: Device, *, batch_size: int = 8) -> None:
        super().__init__(BATCHED, model, device)
        self._batch_size = batch_size

    def __enter__(self) -> Self:
        super().__enter__()
        self._pipeline = BatchedInferencePipeline(self._whisper)
        return self

    def __exit__(self, *_: object) -> None:
        del self._pipeline
        super().__exit__()

    def _one(self, recording: Recording) -> str:
        segments, _ = self._pipeline.transcribe(
            str(recording.path),
            language=recording.language,
            batch_size=self._batch_size,
            **OPTIONS,
        )
        return _text(segments)


class Whisperdrop(Contender):
    """The worker's decoder and engine, with as many files in flight as it has interactive slots."""

    def __init__(
        self,
        model: str,
        device: Device,
        *,
        name: str = OURS,
        in_flight: int | None = None,
        batch_size: int | None = None,
    ) -> None:
        self.name = name
        self._in_flight = in_flight or worker_settings(model).interactive_slots
        changed: dict[str, Any] = {
            "whisper_device": device.name,
            "whisper_compute_type": device.compute_type,
        }
        if batch_size is not None:
            changed[BATCH_SETTING] = batch_size
        self._settings = worker_settings(model, **changed)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._engine = self._stack.enter_context(LocalEngine(self._settings))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        del self._engine

    def transcribe(self, recordings: Sequence[Recording]) -> list[str]:
        """See ``Contender``."""
        with ThreadPoolExecutor(self._in_flight) as pool:
            return list(pool.map(self._engine.transcribe, recordings))


def default(model: str, device: Device | None = None) -> Sequential:
    """One file after the other, threads as the library chooses them."""
    return Sequential(DEFAULT, model, device or Device())


def best(model: str, device: Device | None = None) -> Sequential:
    """A worker of one thread for each core, each with a file of its own: the fastest layout
    of faster-whisper that is known for many files on a CPU."""
    return Sequential(BEST, model, device or Device(), threads=1, in_flight=cores())


def on_cpu(model: str, *, files: int) -> list[Contender]:
    """All, for a set of so many files; a single file leaves nothing to put beside it."""
    side_by_side: list[Contender] = [best(model)] if files > 1 else []
    return [default(model), *side_by_side, Batched(model, Device()), Whisperdrop(model, Device())]


def _text(segments: Any) -> str:
    return "".join(segment.text for segment in segments).strip()
