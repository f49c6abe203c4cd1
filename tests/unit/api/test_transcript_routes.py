"""The transcript of a job in every format, over a bucket in memory."""

import json
from collections.abc import Iterator
from typing import Any, get_args
from urllib.parse import unquote

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from tests.builders import a_request, a_transcript, an_outcome, stored_job
from tests.clock import ManualClock
from tests.unit.api.services import services_over
from whisperdrop.adapters.memory import MemoryObjectStore
from whisperdrop.domain import keys
from whisperdrop.domain.formats import CONTENT_TYPES, FORMATS, CueRules, Format, render
from whisperdrop.domain.job import JobRequest, JobStatus
from whisperdrop.service.settlement import settle
from whisperdrop_api.app import create_app
from whisperdrop_api.attachment import attachment, file_name
from whisperdrop_api.routes import transcripts
from whisperdrop_api.routes.transcripts import TranscriptBody, VerboseBody

TEXTS = (
    " Where have you been all day?",
    " I was at the office, as I always am on a Monday morning.",
)


@pytest.fixture
def store(clock: ManualClock) -> MemoryObjectStore:
    return MemoryObjectStore(clock)


@pytest.fixture
def client(store: MemoryObjectStore, clock: ManualClock) -> Iterator[TestClient]:
    services = services_over(store, clock)
    key = services.api_keys.issue("acme", "test", scopes=("read",))
    with TestClient(create_app(services), headers={"Authorization": f"Bearer {key}"}) as client:
        yield client


def ended(store: MemoryObjectStore, **fields: Any) -> JobRequest:
    """A job that succeeded."""
    job = stored_job(store, a_request(**fields), media=b"audio")
    settle(store, an_outcome(job.ref, name=job.name), a_transcript(job.ref, *TEXTS))
    return job


def path(job: JobRequest) -> str:
    return f"/v1/jobs/{job.job_id}/transcript"


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_answered_as_what_it_is(
    name: Format, client: TestClient, store: MemoryObjectStore
) -> None:
    job = ended(store)
    answer = client.get(path(job), params={"format": name})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == CONTENT_TYPES[name]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "content-disposition" not in answer.headers
    assert answer.content == render(a_transcript(job.ref, *TEXTS), name).body


def test_json_is_the_default_and_both_documents_are_as_described(
    client: TestClient, store: MemoryObjectStore
) -> None:
    job = ended(store)
    assert set(TranscriptBody.model_validate(client.get(path(job)).json()).model_dump()) == set(
        client.get(path(job)).json()
    )
    verbose = client.get(path(job), params={"format": "verbose_json"}).json()
    assert json.loads(VerboseBody.model_validate(verbose).model_dump_json()) == verbose | {
        "words": []
    }


def test_the_rules_of_cues_are_parameters(client: TestClient, store: MemoryObjectStore) -> None:
    job = ended(store)
    rules = {"max_line_chars": 20, "max_lines": 1, "min_gap_seconds": 0.5, "max_cue_seconds": 3}
    answer = client.get(path(job), params={"format": "srt", **rules})
    expected = render(a_transcript(job.ref, *TEXTS), "srt", CueRules.model_validate(rules))
    assert answer.content == expected.body
    assert max(len(line) for line in answer.text.splitlines() if "-->" not in line) <= 20


@pytest.mark.parametrize(
    "wrong",
    [
        {"format": "docx"},
        {"format": ""},
        {"max_line_chars": "3"},
        {"max_line_chars": "many"},
        {"max_lines": "9"},
        {"max_cue_seconds": "inf"},
        {"max_chars_per_second": "nan"},
        {"min_cue_seconds": "9", "max_cue_seconds": "8"},
        {"download": "perhaps"},
    ],
)
def test_a_wrong_parameter_is_refused_by_its_name(
    wrong: dict[str, str], client: TestClient, store: MemoryObjectStore
) -> None:
    answer = client.get(path(ended(store)), params=wrong)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_value")
    assert next(iter(wrong)) in answer.json()["detail"]


@pytest.mark.parametrize(
    ("media", "name", "saved"),
    [
        ("meeting.mp3", "srt", "meeting.srt"),
        ("Grüße aus 東京.m4a", "vtt", "Grüße aus 東京.vtt"),
        ('quo"ted;%20.wav', "txt", 'quo"ted;%20.txt'),
        ("v1.2", "json", "v1.2.json"),
    ],
)
def test_a_download_is_named_like_its_media(
    media: str, name: str, saved: str, client: TestClient, store: MemoryObjectStore
) -> None:
    job = ended(store, name=media)
    answer = client.get(path(job), params={"format": name, "download": "true"})
    header = answer.headers["content-disposition"]
    assert header.startswith('attachment; filename="')
    assert header.isascii()
    extended = header.partition("filename*=UTF-8''")[2]
    plain = header.partition('filename="')[2].partition('"')[0]
    assert (unquote(extended) if extended else plain) == saved


def test_a_file_name_carries_nothing_but_a_name() -> None:
    assert file_name("a.mp3", "srt") == "a.srt"
    assert file_name(".mp3", "srt") == ".mp3.srt"
    assert file_name("no-extension", "srt") == "no-extension.srt"
    assert attachment("a.srt") == 'attachment; filename="a.srt"'
    assert attachment("é.srt") == "attachment; filename=\"e.srt\"; filename*=UTF-8''%C3%A9.srt"
    for hostile in (
        'a"; x="b.srt',
        "a\r\nSet-Cookie: b",
        "a\\b/c%41",
        "\u202egpj.srt",
        "\ud800",
        "",
    ):
        header = attachment(hostile)
        assert header.isascii()
        assert header.count('"') == 2
        assert not {"\r", "\n", "\\"} & set(header)


def test_a_job_without_a_transcript_says_so(client: TestClient, store: MemoryObjectStore) -> None:
    waiting = stored_job(store, a_request(), media=b"audio")
    answer = client.get(path(waiting))
    assert (answer.status_code, answer.json()["code"]) == (409, "not_ready")
    failed = stored_job(store, a_request(), media=b"audio")
    settle(store, an_outcome(failed.ref, JobStatus.FAILED))
    assert client.get(path(failed)).status_code == 409


def test_another_tenants_transcript_is_not_there(
    client: TestClient, store: MemoryObjectStore
) -> None:
    other = a_request(tenant="umbrella", media_key="uploads/umbrella/x/a.mp3")
    settle(store, an_outcome(other.ref), a_transcript(other.ref))
    assert store.head(keys.transcript(other.ref)) is not None
    answer = client.get(path(other))
    assert (answer.status_code, answer.json()["code"]) == (404, "job_not_found")


def test_the_route_describes_what_it_answers() -> None:
    app = FastAPI()
    app.include_router(transcripts.router)
    route = app.openapi()["paths"]["/v1/jobs/{job_id}/transcript"]["get"]
    described = set(route["responses"]["200"]["content"])
    assert described == {value.partition(";")[0] for value in CONTENT_TYPES.values()}
    assert {"401", "403", "404", "409", "422", "503"} <= set(route["responses"])
    offered = {parameter["name"]: parameter["schema"] for parameter in route["parameters"]}
    assert set(CueRules.model_fields) | {"format", "download", "job_id"} == set(offered)
    assert tuple(offered["format"]["enum"]) == get_args(Format)
