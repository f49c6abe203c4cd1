"""The fields of OpenAI's forms, in every spelling."""

import io
from typing import Any

import pytest
from starlette.datastructures import FormData, UploadFile

from whisperdrop.domain.options import TranscribeOptions
from whisperdrop.errors import InvalidValueError
from whisperdrop_api.routes.openai.form import AudioRequest, Task, parse


def asked(*fields: tuple[str, Any], task: Task = "transcribe") -> AudioRequest:
    return parse(FormData([("model", "whisper-1"), *fields]), task)


def refused(*fields: tuple[str, Any], task: Task = "transcribe") -> InvalidValueError:
    with pytest.raises(InvalidValueError) as caught:
        asked(*fields, task=task)
    return caught.value


def test_a_model_is_enough() -> None:
    assert asked() == AudioRequest("whisper-1", TranscribeOptions())
    with pytest.raises(InvalidValueError) as caught:
        parse(FormData([("model", "")]), "transcribe")
    assert caught.value.param == "model"


def test_what_is_empty_or_unknown_is_passed_over() -> None:
    fields = [("language", ""), ("prompt", ""), ("temperature", ""), ("stream", "")]
    unknown = [("seed", "7"), ("metadata[a]", "b"), ("user", "me")]
    assert asked(*fields, *unknown) == asked()


def test_every_option_of_a_transcription_reaches_the_job() -> None:
    request = asked(
        ("language", "DE"),
        ("prompt", "Ein Gespräch."),
        ("temperature", "0.4"),
        ("keywords[]", "Zürich"),
        ("keywords[]", "Müller"),
        ("response_format", "verbose_json"),
        ("timestamp_granularities[]", "word"),
        ("chunking_strategy", "auto"),
    )
    assert request.options == TranscribeOptions(
        language="de",
        prompt="Ein Gespräch.",
        temperature=0.4,
        hotwords="Zürich, Müller",
        vad_filter=True,
        word_timestamps=True,
    )
    assert request.response_format == "verbose_json"
    assert request.granularities == {"word"}


@pytest.mark.parametrize("name", ["keywords", "keywords[]", "keywords[0]"])
def test_lists_are_read_in_every_spelling(name: str) -> None:
    assert asked((name, "a"), (name.replace("0", "1"), "b")).options.hotwords == "a, b"


def test_both_granularities_may_be_asked_for() -> None:
    both = asked(
        ("response_format", "verbose_json"),
        ("timestamp_granularities", "segment"),
        ("timestamp_granularities", "word"),
    )
    assert both.granularities == {"segment", "word"}


@pytest.mark.parametrize(("said", "meant"), [("true", True), ("True", True), ("false", False)])
def test_booleans_are_words(said: str, meant: bool) -> None:
    assert asked(("stream", said)).stream is meant


VAD = '{"type": "server_vad", "threshold": 0.5, "silence_duration_ms": 200}'


@pytest.mark.parametrize(
    "fields",
    [
        [("chunking_strategy", "auto")],
        [("chunking_strategy", '"auto"')],
        [("chunking_strategy", VAD)],
        [("chunking_strategy[type]", "server_vad"), ("chunking_strategy[threshold]", "0.5")],
    ],
)
def test_a_chunking_strategy_is_a_word_or_json_or_nested_fields(
    fields: list[tuple[str, str]],
) -> None:
    assert asked(*fields).options.vad_filter is True


@pytest.mark.parametrize("nothing", ["", "null"])
def test_without_a_chunking_strategy_the_worker_decides(nothing: str) -> None:
    assert asked(("chunking_strategy", nothing)).options.vad_filter is None


def test_one_of_several_languages_is_the_language_and_more_are_for_the_model_to_choose() -> None:
    assert asked(("languages[]", "fr")).options.language == "fr"
    assert asked(("languages[]", "fr"), ("languages[]", "de")).options.language is None


def test_of_a_long_prompt_the_end_counts() -> None:
    prompt = asked(("prompt", "a" * 5000 + "end")).options.prompt
    assert prompt is not None
    assert (len(prompt), prompt[-4:]) == (4000, "aend")


def test_logprobs_are_asked_for_with_include() -> None:
    assert asked(("include[]", "logprobs")).options.logprobs
    assert not asked().options.logprobs


WRONG: list[tuple[str, list[tuple[str, Any]]]] = [
    ("response_format", [("response_format", "yaml")]),
    ("response_format", [("response_format", "diarized_json")]),
    ("temperature", [("temperature", "1.5")]),
    ("temperature", [("temperature", "warm")]),
    ("temperature", [("temperature", "nan")]),
    ("language", [("language", "klingon")]),
    ("languages", [("languages[]", "en"), ("language", "en")]),
    ("languages", [("languages[]", "en"), ("languages[]", "xx")]),
    ("keywords", [("keywords[]", "<script>")]),
    ("keywords", [("keywords[]", "two\nlines")]),
    ("keywords", [("keywords[]", "x" * 1001)]),
    ("prompt", [("prompt", "<|endoftext|>")]),
    ("include", [("include[]", "segments")]),
    ("include", [("include[]", "logprobs"), ("response_format", "text")]),
    ("timestamp_granularities", [("timestamp_granularities[]", "word")]),
    (
        "timestamp_granularities",
        [("timestamp_granularities[]", "letter"), ("response_format", "verbose_json")],
    ),
    ("stream", [("stream", "perhaps")]),
    ("stream", [("stream", "true"), ("response_format", "srt")]),
    ("chunking_strategy", [("chunking_strategy", "often")]),
    ("chunking_strategy", [("chunking_strategy", "[" * 100_000)]),
    ("chunking_strategy", [("chunking_strategy", '{"type": "manual"}')]),
    ("chunking_strategy", [("chunking_strategy", '{"type": "server_vad", "threshold": 2}')]),
    ("known_speaker_names", [("known_speaker_names[]", "Ada")]),
    ("known_speaker_references", [("known_speaker_references[]", "data:audio/wav;base64,AA")]),
    ("prompt", [("prompt", UploadFile(io.BytesIO()))]),
    ("keywords", [("keywords[]", UploadFile(io.BytesIO()))]),
]


@pytest.mark.parametrize(("param", "fields"), WRONG)
def test_a_wrong_value_is_refused_by_its_name(param: str, fields: list[tuple[str, Any]]) -> None:
    error = refused(*fields)
    assert error.param == param
    assert param.partition("_")[0] in error.message


def test_a_translation_has_few_fields_and_no_speakers() -> None:
    more = [("stream", "true"), ("include[]", "logprobs"), ("language", "de")]
    request = asked(*more, ("temperature", "0.2"), task="translate")
    assert request == AudioRequest(
        "whisper-1", TranscribeOptions(task="translate", temperature=0.2)
    )
    assert refused(("response_format", "diarized_json"), task="translate").param == (
        "response_format"
    )
