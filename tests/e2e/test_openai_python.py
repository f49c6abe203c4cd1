"""OpenAI's own Python client against the running service, unchanged but for address and key."""

import contextlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import OpenAI

from tests.e2e.client import Client
from tests.e2e.running import RunningStack
from tests.recordings import bundled, english_recording
from whisperdrop.service.api_keys import ApiKeys
from whisperdrop.service.clock import utc_now
from whisperdrop_local.sample import same_words

pytestmark = [pytest.mark.emulator, pytest.mark.speech]

MODEL = "whisper-1"
LONG_S = 120
PATIENCE = 100
"""Retries of the client's own: it gets 503 every second here, however slow the machine."""


Make = Callable[..., OpenAI]


@pytest.fixture
def make(openai_stack: RunningStack) -> Iterator[Make]:
    """Clients of the stack, with other settings where the test wants them."""
    openai_stack.revive()
    known = {"base_url": f"{openai_stack.address}/v1", "api_key": openai_stack.api_key}
    with contextlib.ExitStack() as open_clients:
        yield lambda **fields: open_clients.enter_context(
            OpenAI(**{**known, "max_retries": PATIENCE, **fields})
        )


@pytest.fixture
def client(make: Make) -> OpenAI:
    return make()


@pytest.fixture
def native(openai_stack: RunningStack) -> Iterator[Client]:
    client = Client(openai_stack.address, openai_stack.api_key)
    yield client
    client.session.close()


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return english_recording(tmp_path_factory.mktemp("long") / "long.wav", LONG_S)


def transcribe(client: OpenAI, **fields: Any) -> Any:
    known: dict[str, Any] = {"model": MODEL, "file": bundled().media}
    return client.audio.transcriptions.create(**known | fields)


def test_json_has_the_text_and_what_was_used(client: OpenAI) -> None:
    answer = transcribe(client)
    assert same_words(answer.text, bundled().text)
    assert (answer.usage.type, answer.usage.seconds) == ("duration", 3)


def test_text_srt_and_vtt_are_bare_strings(client: OpenAI) -> None:
    text = transcribe(client, response_format="text")
    srt = transcribe(client, response_format="srt")
    vtt = transcribe(client, response_format="vtt")
    assert same_words(text, bundled().text)
    assert srt.startswith("1\n00:00:0")
    assert vtt.startswith("WEBVTT\n\n")
    assert same_words(" ".join(srt.splitlines()[2:]), bundled().text)


@pytest.mark.parametrize("granularities", [["segment"], ["word"], ["word", "segment"]])
def test_verbose_json_has_the_times_that_were_asked_for(
    granularities: list[str], client: OpenAI
) -> None:
    answer = transcribe(
        client, response_format="verbose_json", timestamp_granularities=granularities
    )
    assert answer.language == "english"
    assert float(answer.duration) == pytest.approx(2.889, abs=0.01)
    assert (answer.segments is not None) == ("segment" in granularities)
    assert (answer.words is not None) == ("word" in granularities)
    for segment in answer.segments or []:
        assert None not in (segment.avg_logprob, segment.no_speech_prob, segment.tokens)
        assert 0 <= segment.start < segment.end <= answer.duration
    if answer.words:
        assert same_words(" ".join(word.word for word in answer.words), bundled().text)
        assert all(word.start <= word.end <= answer.duration for word in answer.words)


def test_log_probabilities_spell_the_text(client: OpenAI) -> None:
    answer = transcribe(client, include=["logprobs"])
    spelled = b"".join(bytes(int(byte) for byte in one.bytes) for one in answer.logprobs)
    assert spelled.decode().strip() == answer.text
    assert all(-20 < one.logprob <= 0 for one in answer.logprobs)
    assert sum(one.logprob for one in answer.logprobs) / len(answer.logprobs) > -1


def test_every_other_field_is_taken(client: OpenAI) -> None:
    answer = transcribe(
        client,
        model="gpt-4o-transcribe",
        language="en",
        prompt="A pangram.",
        temperature=0,
        chunking_strategy={"type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 300},
        extra_body={"keywords": ["fox", "dog"], "nobody_knows": "this"},
    )
    assert same_words(answer.text, bundled().text)


def test_a_file_without_a_name_is_known_by_its_bytes(client: OpenAI) -> None:
    assert same_words(transcribe(client, file=bundled().media.read_bytes()).text, bundled().text)


def test_text_streams_while_the_audio_is_still_being_transcribed(
    client: OpenAI, native: Client, recording: Path
) -> None:
    raw = client.audio.transcriptions.with_raw_response.create(
        model=MODEL, file=recording, stream=True
    )
    job_id = raw.headers["x-whisperdrop-job"]
    stream: Iterator[Any] = iter(raw.parse())
    first = next(stream)
    job = native.job(job_id)
    *more, done = stream

    assert first.type == "transcript.text.delta"
    assert job["status"] == "running"
    assert "finished_at" not in job
    assert done.type == "transcript.text.done"
    assert {event.type for event in more} == {"transcript.text.delta"}
    assert "".join(event.delta for event in [first, *more]) == done.text
    assert len(more) > 3
    assert native.get(f"/v1/jobs/{job_id}/transcript").json()["text"] == done.text
    again = list(transcribe(client, file=recording, stream=True))
    assert again[-1].text == done.text


def test_a_long_file_outlives_the_first_wait_and_is_fetched_by_the_clients_own_retry(
    client: OpenAI, openai_stack: RunningStack, recording: Path
) -> None:
    before = _starts(openai_stack)
    answered = len(_answers(openai_stack))

    # Another option than in the stream above: another job.
    answer = transcribe(client, file=recording, language="en")

    assert len(answer.text) > 500
    # A line is logged when its answer has left, which may be after the client has it.
    deadline = time.monotonic() + 10
    while (statuses := _answers(openai_stack)[answered:])[-1:] != [200]:
        assert time.monotonic() < deadline, statuses
        time.sleep(0.05)
    assert statuses[:-1] == [503] * (len(statuses) - 1)
    assert len(statuses) >= 2
    assert len(_starts(openai_stack) - before) == 1

    assert transcribe(client, file=recording, language="en", response_format="text").strip() == (
        answer.text
    )
    assert len(_starts(openai_stack) - before) == 1
    claims = [openai_stack.document(key) for key in openai_stack.keys("idempotency/default/")]
    assert [claim["job_id"] for claim in claims if claim["job_id"] not in before] == list(
        _starts(openai_stack) - before
    )


def _starts(stack: RunningStack) -> set[str]:
    """Jobs that the worker has begun; each once, or this fails."""
    begun = [line["job_id"] for line in stack.log("worker") if line["message"] == "job_started"]
    assert len(begun) == len(set(begun))
    return set(begun)


def _answers(stack: RunningStack) -> list[int]:
    """Statuses of the route, in order."""
    return [
        line["status"]
        for line in stack.log("api")
        if line["message"] == "request" and line["path"] == "/v1/audio/transcriptions"
    ]


# The client calls them deprecated, since OpenAI shuts them down. Here they stay.
@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")
def test_speech_is_translated_to_english(client: OpenAI) -> None:
    media = bundled("bonjour_monde", "fr").media
    answer = client.audio.translations.create(model="base", file=media)
    verbose: Any = client.audio.translations.create(
        model="base", file=media, response_format="verbose_json"
    )
    assert "world" in answer.text.lower()
    assert (verbose.text, verbose.language) == (answer.text, "english")


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")
def test_a_model_that_cannot_translate_says_so(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="multilingual"):
        client.audio.translations.create(model=MODEL, file=bundled().media)


def test_models_are_listed_and_retrieved(client: OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["tiny.en", "base"]
    assert client.models.retrieve(MODEL).owned_by == "whisperdrop"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("large-v9")


Raise = Callable[[Make], object]


ERRORS: list[tuple[Raise, type[openai.APIStatusError], str, str | None]] = [
    (
        lambda make: transcribe(make(), response_format="yaml"),
        openai.BadRequestError,
        "invalid_value",
        "response_format",
    ),
    (
        lambda make: transcribe(make(), response_format="diarized_json"),
        openai.BadRequestError,
        "invalid_value",
        "response_format",
    ),
    (
        lambda make: transcribe(make(), file=("notes.txt", b"hello")),
        openai.BadRequestError,
        "unsupported_media_type",
        "file",
    ),
    (
        lambda make: transcribe(make(), file=("speech.wav", b"this is no audio")),
        openai.BadRequestError,
        "undecodable_media",
        "file",
    ),
    (
        lambda make: transcribe(make(api_key="wrong")),
        openai.AuthenticationError,
        "invalid_api_key",
        None,
    ),
    (
        lambda make: transcribe(make(), model="gpt-4o-transcribe-diarize"),
        openai.NotFoundError,
        "model_not_found",
        "model",
    ),
    (
        lambda make: transcribe(make(), file=("speech.wav", bytes(26 * 1024**2))),
        openai.APIStatusError,
        "too_large",
        "file",
    ),
]


@pytest.mark.parametrize(("act", "kind", "code", "param"), ERRORS)
def test_an_error_is_raised_as_the_clients_own(
    act: Raise,
    kind: type[openai.APIStatusError],
    code: str,
    param: str | None,
    make: Make,
) -> None:
    with pytest.raises(kind) as caught:
        act(make)
    assert (caught.value.code, caught.value.param) == (code, param)
    assert caught.value.type == "invalid_request_error"
    assert caught.value.request_id
    assert int(caught.value.response.headers["openai-processing-ms"]) >= 0


def test_a_key_that_may_only_read_is_denied(make: Make, openai_stack: RunningStack) -> None:
    keys = ApiKeys(openai_stack.store, environment_key=None, clock=utc_now)
    reader = make(api_key=keys.issue("default", "reader", scopes=("read",)))
    with pytest.raises(openai.PermissionDeniedError) as caught:
        transcribe(reader)
    assert (caught.value.status_code, caught.value.code) == (403, "forbidden")
    assert next(iter(reader.models.list())).id == "tiny.en"


def test_a_wait_that_is_over_is_an_internal_server_error_where_nobody_retries(
    make: Make, native: Client, recording: Path
) -> None:
    with pytest.raises(openai.InternalServerError) as caught:
        transcribe(make(max_retries=0), file=recording, temperature=0.1)
    assert (caught.value.status_code, caught.value.code) == (503, "try_again")
    assert int(caught.value.response.headers["Retry-After"]) <= 120
    job_id = caught.value.response.headers["x-whisperdrop-job"]
    assert native.post(f"/v1/jobs/{job_id}/cancel").ok


def test_too_many_requests_at_once_are_a_rate_limit_error(make: Make) -> None:
    client = make(max_retries=0)

    def begun(_: int) -> openai.APIStatusError | None:
        try:
            transcribe(client, file=bundled("counting").media, temperature=0.3)
        except openai.APIStatusError as error:
            return error
        return None

    with ThreadPoolExecutor(12) as beside:
        errors = list(beside.map(begun, range(12)))

    refused = [error for error in errors if isinstance(error, openai.RateLimitError)]
    assert refused
    assert (refused[0].status_code, refused[0].code) == (429, "rate_limit_exceeded")
    headers = refused[0].response.headers
    assert int(headers["Retry-After"]) > 0
    assert headers["x-ratelimit-limit-requests"] == "4"
    assert headers["x-ratelimit-remaining-requests"] == "0"
    assert refused[0].response.json()["error"].keys() == {"message", "type", "param", "code"}
