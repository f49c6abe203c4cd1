"""The engine on real speech: the text, the options, and stopping."""

import importlib.util
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faster_whisper import WhisperModel, decode_audio
from numpy.typing import NDArray

from whisperdrop.domain.job import Progress
from whisperdrop.domain.options import TranscribeOptions
from whisperdrop.errors import EmptyMediaError, InvalidValueError, ModelUnavailableError
from whisperdrop_worker.engine import EngineDefaults, EngineResult, FasterWhisperEngine
from whisperdrop_worker.models import ModelResolver

pytestmark = pytest.mark.speech

MODEL = "tiny.en"
Samples = NDArray[np.float32]


@pytest.fixture(scope="module")
def resolver(tmp_path_factory: pytest.TempPathFactory) -> ModelResolver:
    return ModelResolver(cache_dir=tmp_path_factory.mktemp("models"), aliases={"whisper-1": MODEL})


@pytest.fixture(scope="module")
def engine(resolver: ModelResolver) -> FasterWhisperEngine:
    engine = FasterWhisperEngine(resolver, device="cpu", cpu_threads=1, num_workers=2)
    engine.preload([MODEL])
    return engine


@pytest.fixture(scope="module")
def direct(resolver: ModelResolver) -> WhisperModel:
    """faster-whisper itself, with nothing of ours around it."""
    path = str(resolver.resolve(MODEL))
    return WhisperModel(path, device="cpu", compute_type="int8", cpu_threads=1)


@pytest.fixture(scope="module")
def recordings() -> dict[str, Samples]:
    spec = importlib.util.find_spec("pytest_audioeval")
    assert spec is not None
    assert spec.submodule_search_locations
    folder = Path(spec.submodule_search_locations[0]) / "samples" / "audio" / "en"
    return {path.stem: decode_audio(str(path)) for path in sorted(folder.glob("*.wav"))}


def blocks(audio: Samples) -> Iterator[Samples]:
    yield from (audio[start : start + 16000] for start in range(0, len(audio), 16000))


def ignore(_: Progress) -> None:
    """No interest in progress."""


def run(
    engine: FasterWhisperEngine, audio: Samples, *, model: str = MODEL, **options: Any
) -> EngineResult:
    return engine.transcribe(
        blocks(audio),
        job_id="job",
        model=model,
        options=TranscribeOptions.model_validate(options),
        on_progress=ignore,
    )


def test_the_words_are_right(engine: FasterWhisperEngine, recordings: dict[str, Samples]) -> None:
    result = run(engine, recordings["quick_brown_fox"])
    assert "quick brown fox jumps over the lazy dog" in result.transcript.text.lower()
    assert result.transcript.language == "en"
    assert result.transcript.duration == len(recordings["quick_brown_fox"]) / 16000
    assert result.engine_s > 0


@pytest.mark.parametrize(
    "options",
    [
        {"language": "en"},
        {"vad_filter": False, "beam_size": 1},
        {"word_timestamps": True},
        {"prompt": "A test of typewriters.", "hotwords": "lazy dog"},
    ],
    ids=["defaults", "greedy", "words", "prompted"],
)
def test_the_result_is_that_of_faster_whisper(
    engine: FasterWhisperEngine,
    direct: WhisperModel,
    recordings: dict[str, Samples],
    options: dict[str, Any],
) -> None:
    for audio in recordings.values():
        segments, info = direct.transcribe(
            audio,
            language="en",
            beam_size=1 if "beam_size" in options else 5,
            vad_filter=bool(options.get("vad_filter", True)),
            word_timestamps=bool(options.get("word_timestamps")),
            initial_prompt=options.get("prompt"),
            hotwords=options.get("hotwords"),
        )
        expected = list(segments)
        found = run(engine, audio, **options).transcript
        assert found.segments
        assert [s.text for s in found.segments] == [s.text for s in expected]
        assert [s.start for s in found.segments] == pytest.approx([s.start for s in expected])
        assert [s.end for s in found.segments] == pytest.approx([s.end for s in expected])
        assert [s.tokens for s in found.segments] == [tuple(s.tokens) for s in expected]
        assert found.duration_after_vad == info.duration_after_vad
        for mine, theirs in zip(found.segments, expected, strict=True):
            words = None if mine.words is None else [w.word for w in mine.words]
            assert words == (None if theirs.words is None else [w.word for w in theirs.words])


def test_progress_goes_through_all_stages(
    engine: FasterWhisperEngine, recordings: dict[str, Samples]
) -> None:
    audio = recordings["counting"]
    seen: list[Progress] = []
    engine.transcribe(
        blocks(audio),
        job_id="job",
        model=MODEL,
        options=TranscribeOptions.model_validate({}),
        on_progress=seen.append,
    )
    assert list(dict.fromkeys(p.stage for p in seen)) == ["loading", "decoding", "transcribing"]
    assert [p for p in seen if p.stage == "decoding"][-1].done_s == len(audio) / 16000
    last = seen[-1]
    assert last.total_s == len(audio) / 16000
    assert 0 < last.done_s <= last.total_s


class StopError(Exception):
    """Raised by a caller who wants no more."""


@pytest.mark.parametrize("stage", ["loading", "decoding", "transcribing"])
def test_what_on_progress_raises_stops_the_work_and_closes_the_blocks(
    engine: FasterWhisperEngine, recordings: dict[str, Samples], stage: str
) -> None:
    calls: list[str] = []
    source = blocks(np.tile(recordings["counting"], 5))

    def stop(progress: Progress) -> None:
        calls.append(progress.stage)
        if progress.stage == stage:
            raise StopError

    with pytest.raises(StopError):
        engine.transcribe(
            source,
            job_id="job",
            model=MODEL,
            options=TranscribeOptions.model_validate({}),
            on_progress=stop,
        )
    assert calls.count(stage) == 1
    assert next(source, None) is None


def test_an_error_of_the_decoder_comes_out_as_it_is(engine: FasterWhisperEngine) -> None:
    def failing() -> Iterator[Samples]:
        yield np.zeros(16000, np.float32)
        raise EmptyMediaError("as it is")

    with pytest.raises(EmptyMediaError, match="as it is"):
        engine.transcribe(
            failing(),
            job_id="job",
            model=MODEL,
            options=TranscribeOptions.model_validate({}),
            on_progress=ignore,
        )


def test_no_samples_are_an_empty_recording(engine: FasterWhisperEngine) -> None:
    with pytest.raises(EmptyMediaError):
        run(engine, np.zeros(0, np.float32))


@pytest.mark.parametrize("count", [1, 4000])
@pytest.mark.parametrize("vad_filter", [True, False])
def test_a_very_short_recording_is_transcribed(
    engine: FasterWhisperEngine, recordings: dict[str, Samples], count: int, vad_filter: bool
) -> None:
    result = run(engine, recordings["counting"][:count], vad_filter=vad_filter)
    assert result.transcript.duration == count / 16000


def test_silence_has_an_empty_transcript(engine: FasterWhisperEngine) -> None:
    transcript = run(engine, np.zeros(5 * 16000, np.float32)).transcript
    assert transcript.segments == ()
    assert transcript.text == ""
    assert transcript.duration_after_vad == 0
    assert transcript.language == "en"


def test_an_english_model_refuses_what_it_would_get_silently_wrong(
    engine: FasterWhisperEngine,
) -> None:
    silence = np.zeros(16000, np.float32)
    with pytest.raises(InvalidValueError, match="cannot translate"):
        run(engine, silence, task="translate")
    with pytest.raises(InvalidValueError, match="only knows English"):
        run(engine, silence, language="de")


def test_a_default_language_does_not_concern_an_english_model(resolver: ModelResolver) -> None:
    engine = FasterWhisperEngine(resolver, cpu_threads=1, defaults=EngineDefaults(language="de"))
    assert run(engine, np.zeros(16000, np.float32)).transcript.language == "en"


def test_an_alias_shares_the_model_in_memory(
    engine: FasterWhisperEngine, recordings: dict[str, Samples]
) -> None:
    result = run(engine, recordings["hello_world"], model="whisper-1")
    assert result.load_s < 0.2
    assert result.transcript.model == "whisper-1"
    assert engine.loaded() == (MODEL, "whisper-1")


def test_a_model_that_cannot_be_loaded_is_a_clear_error(tmp_path: Path) -> None:
    for name in ("model.bin", "config.json", "tokenizer.json", "vocabulary.txt"):
        (tmp_path / name).write_bytes(b"{}")
    resolver = ModelResolver(cache_dir=tmp_path, aliases={"broken": str(tmp_path)})
    with pytest.raises(ModelUnavailableError, match="'broken' cannot be loaded") as caught:
        FasterWhisperEngine(resolver, device="cpu").preload(["broken"])
    assert str(tmp_path) not in caught.value.message


def test_calls_in_flight_together_give_the_same_texts(
    engine: FasterWhisperEngine, recordings: dict[str, Samples]
) -> None:
    alone = [run(engine, audio).transcript for audio in recordings.values()]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda a: run(engine, a).transcript, recordings.values()))
    assert together == alone
