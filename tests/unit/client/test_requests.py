"""What is sent, what is made of the answers, and when it is sent again."""

import json
from typing import Any

import httpx
import pytest

from tests.unit.client.conftest import Call, a_job
from whisperdrop.errors import WhisperdropError as ServerTree
from whisperdrop_client import (
    ApiError,
    AsyncWhisperdrop,
    AuthenticationError,
    BadRequestError,
    ConflictError,
    ForbiddenError,
    GoneError,
    IdempotencyError,
    InvalidValueError,
    Job,
    JobFailedError,
    NotConfiguredError,
    NotFoundError,
    NotReadyError,
    RateLimitError,
    ServerError,
    TooLargeError,
    UnreachableError,
    WaitTimeoutError,
    Whisperdrop,
)
from whisperdrop_client.flows import Policy


class Server:
    """Answers one thing after the other, the last one for ever, and keeps what was asked."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.seen: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.seen.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)


def says(status: int, body: Any = None, **headers: str) -> httpx.Response:
    return httpx.Response(
        status, json=body, headers={k.replace("_", "-"): v for k, v in headers.items()}
    )


def no(status: int, code: str, **headers: str) -> httpx.Response:
    return says(status, {"detail": "because", "code": code}, **headers)


def test_the_key_goes_along_and_the_answer_becomes_a_job(call: Call) -> None:
    progress = {"stage": "transcribing", "percent": 40, "done_s": 4, "total_s": 10, "eta_s": None}
    server = Server(says(200, a_job(progress=progress, metadata={"a": "b"})))

    job = call(server, lambda client: client.jobs.get("j/1", wait=7))

    assert isinstance(job, Job)
    assert job.progress is not None
    assert (job.progress.percent, job.ended, job.metadata) == (40.0, False, {"a": "b"})
    assert job.created_at.tzinfo is not None
    request = server.seen[0]
    assert request.headers["authorization"] == "Bearer wd_test"
    assert request.url.raw_path == b"/v1/jobs/j%2F1?wait=7"


def test_fields_of_a_newer_server_are_passed_over_and_kept_raw(call: Call) -> None:
    server = Server(says(200, a_job(mood="good", progress={"stage": "new", "x": 1}, status="odd")))

    job = call(server, lambda client: client.jobs.get("j1"))

    assert job.status == "odd"
    assert job.raw["mood"] == "good"


@pytest.mark.parametrize("content", [b"<html>hello</html>", b"[]", b'{"hello": 1}'])
def test_an_answer_of_something_else_says_that_the_address_may_be_wrong(
    call: Call, content: bytes
) -> None:
    server = Server(httpx.Response(200, content=content))
    with pytest.raises(ServerError, match="is the address right"):
        call(server, lambda client: client.jobs.get("j1"))


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (400, "bad_request", BadRequestError),
        (401, "missing_api_key", AuthenticationError),
        (403, "invalid_api_key", AuthenticationError),
        (403, "forbidden", ForbiddenError),
        (404, "job_not_found", NotFoundError),
        (409, "conflict", ConflictError),
        (409, "not_ready", NotReadyError),
        (409, "idempotency_conflict", IdempotencyError),
        (410, "cancelled", GoneError),
        (413, "too_large", TooLargeError),
        (415, "undecodable_media", BadRequestError),
        (422, "invalid_value", InvalidValueError),
        (418, "of_tomorrow", BadRequestError),
        (429, "slow_down", RateLimitError),
        (500, "internal_error", ServerError),
    ],
)
def test_every_refusal_has_its_class_its_code_and_its_reason(
    call: Call, status: int, code: str, error: type[ApiError]
) -> None:
    server = Server(no(status, code, x_request_id="r1"))

    with pytest.raises(error, match="because") as caught:
        call(server, lambda client: client.jobs.get("j1"))

    assert type(caught.value) is error
    assert (caught.value.status, caught.value.code) == (status, code)
    assert caught.value.request_id == "r1"


def test_every_error_of_the_server_has_a_class_of_its_kind() -> None:
    from whisperdrop.errors import _walk
    from whisperdrop_client.errors import api_error

    for cls in _walk(ServerTree):
        body = json.dumps({"detail": "x", "code": cls.code}).encode()
        found = api_error(cls.status, {}, body)
        assert isinstance(found, ServerError) == (cls.status >= 500), cls


def test_an_error_in_openais_form_and_one_of_a_gateway_are_understood(call: Call) -> None:
    openai = Server(says(404, {"error": {"message": "no such", "code": "model_not_found"}}))
    gateway = Server(httpx.Response(413, content=b"<h1>too big</h1>"))

    with pytest.raises(NotFoundError, match="no such"):
        call(openai, lambda client: client.models())
    with pytest.raises(TooLargeError, match="413"):
        call(gateway, lambda client: client.models())


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_server_in_trouble_is_asked_again(call: Call, status: int) -> None:
    server = Server(no(status, "x"), no(status, "x"), says(200, a_job()))
    assert call(server, lambda client: client.jobs.get("j1")).job_id == "j1"
    assert len(server.seen) == 3


def test_it_is_not_asked_for_ever(call: Call) -> None:
    server = Server(no(503, "x"))
    with pytest.raises(ServerError):
        call(server, lambda client: client.jobs.get("j1"))
    assert len(server.seen) == 4


def test_a_refusal_is_not_asked_again(call: Call) -> None:
    server = Server(no(404, "job_not_found"))
    with pytest.raises(NotFoundError):
        call(server, lambda client: client.jobs.get("j1"))
    assert len(server.seen) == 1


def test_a_lost_connection_is_made_again_where_that_does_no_harm(call: Call) -> None:
    lost = httpx.ReadError("gone")
    reading = Server(lost, says(200, a_job()))
    making = Server(lost, says(201, {}))
    refused = Server(httpx.ConnectError("refused"), no(422, "invalid_value"))

    assert call(reading, lambda client: client.jobs.get("j1")).job_id == "j1"
    with pytest.raises(UnreachableError, match="gone"):
        call(making, lambda client: client.keys.create("x"))
    with pytest.raises(InvalidValueError):  # it was never sent, so it may be sent now
        call(refused, lambda client: client.keys.create("x"))


def test_a_job_is_created_once_however_often_the_request_is_sent(call: Call) -> None:
    created = a_job(status="awaiting_upload", upload=None, deduplicated=True)
    server = Server(httpx.ReadError("gone"), no(500, "internal_error"), says(201, created))

    job = call(server, lambda client: client.jobs.create("a.mp3", size=3, language="en"))

    assert job.deduplicated
    assert len({request.headers["idempotency-key"] for request in server.seen}) == 1
    assert json.loads(server.seen[0].content) == {"filename": "a.mp3", "size": 3, "language": "en"}


def test_pauses_grow_and_are_what_the_server_asked_for() -> None:
    policy = Policy(first_s=1, longest_s=8)
    for attempt, ceiling in enumerate([1, 2, 4, 8, 8]):
        assert ceiling / 2 <= policy.pause(attempt, None) <= ceiling
    assert 20 <= policy.pause(0, 20) <= 21


def test_a_server_that_asks_for_an_hour_is_not_waited_for(call: Call) -> None:
    server = Server(no(503, "try_again", retry_after="3600"))
    with pytest.raises(ServerError) as caught:
        call(server, lambda client: client.jobs.get("j1"))
    assert caught.value.retry_after == 3600
    assert len(server.seen) == 1


def test_a_list_goes_on_over_short_and_empty_pages(call: Call) -> None:
    server = Server(
        says(200, {"data": [a_job(job_id="1")], "next_cursor": "x"}),
        says(200, {"data": [], "next_cursor": "y"}),
        says(200, {"data": [a_job(job_id="2"), a_job(job_id="3")], "next_cursor": None}),
    )

    jobs = call(server, lambda client: client.jobs.list(status=["failed", "running"], q="mp3"))

    assert [job.job_id for job in jobs] == ["1", "2", "3"]
    queries = [dict(request.url.params.multi_items()) for request in server.seen]
    assert [query.get("cursor") for query in queries] == [None, "x", "y"]
    assert server.seen[0].url.params.get_list("status") == ["failed", "running"]


def test_a_list_of_two_asks_for_two(call: Call) -> None:
    page = {"data": [a_job(job_id="1"), a_job(job_id="2")], "next_cursor": "x"}
    server = Server(says(200, page))
    assert len(call(server, lambda client: client.jobs.list(limit=2))) == 2
    assert [request.url.params["limit"] for request in server.seen] == ["2"]


def test_a_batch_tells_which_items_were_refused(call: Call) -> None:
    refused = {"detail": "no audio", "code": "unsupported_media_type"}
    made = a_job(status="awaiting_upload")
    items = [{"index": 0, "job": made, "error": None}, {"index": 1, "job": None, "error": refused}]
    server = Server(says(200, {"jobs": items}))

    first, second = call(
        server, lambda client: client.jobs.batch([{"filename": "a.mp3"}, {"filename": "b.txt"}])
    )

    assert first.job.job_id == "j1"
    assert second.error.code == "unsupported_media_type"


def test_waiting_ends_with_the_job_and_shows_it_on_the_way(call: Call) -> None:
    server = Server(says(200, a_job()), says(200, a_job(status="succeeded")))
    seen: list[str] = []

    job = call(
        server,
        lambda client: client.jobs.wait("j1", on_job=lambda j: seen.append(j.status), every=0.001),
    )

    assert job.succeeded
    assert seen == ["running", "succeeded"]


def test_waiting_has_an_end(call: Call) -> None:
    with pytest.raises(WaitTimeoutError, match="still running"):
        call(Server(says(200, a_job())), lambda client: client.jobs.wait("j1", timeout=0))


def test_a_running_job_is_deleted_when_it_has_stopped(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("whisperdrop_client.jobs._DELETE_PAUSE_S", 0)
    server = Server(says(202, a_job()), says(202, a_job()), httpx.Response(204))
    assert call(server, lambda client: client.jobs.delete("j1")) is None
    assert [request.method for request in server.seen] == ["DELETE"] * 3


def test_a_failed_transcription_raises_its_job(call: Call) -> None:
    failed = a_job(status="failed", error={"code": "undecodable_media", "message": "no audio"})
    server = Server(says(200, a_job(status="queued", deduplicated=True)), says(200, failed))
    with pytest.raises(JobFailedError, match="no audio") as caught:
        call(server, lambda client: client.transcribe(b"...", filename="a.mp3"))
    assert caught.value.code == "undecodable_media"


def test_what_was_transcribed_before_is_not_sent(call: Call) -> None:
    text = {"text": "hi", "language": "en", "duration": 1, "segments": [], "later": 1}
    server = Server(
        says(200, a_job(status="succeeded", deduplicated=True, upload=None)),
        says(200, a_job(status="succeeded")),
        says(200, text),
    )
    transcript = call(server, lambda client: client.transcribe(b"RIFF", filename="a.wav"))
    assert (transcript.text, transcript.duration) == ("hi", 1.0)
    assert [request.method for request in server.seen] == ["POST", "GET", "GET"]


def test_environment_and_arguments_say_where_and_with_which_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(NotConfiguredError, match="WHISPERDROP_API_KEY"):
        Whisperdrop("http://x")
    with pytest.raises(NotConfiguredError, match="no address"):
        Whisperdrop("ftp://x", "k")
    monkeypatch.setenv("WHISPERDROP_URL", "https://there/base/")
    monkeypatch.setenv("WHISPERDROP_API_KEY", "k1")
    server = Server(says(200, {"data": []}))
    with Whisperdrop(transport=httpx.MockTransport(server)) as client:
        assert client.models() == ()
    assert str(server.seen[0].url) == "https://there/base/v1/models"
    assert server.seen[0].headers["authorization"] == "Bearer k1"


def test_both_clients_have_the_same_methods_with_documentation() -> None:
    one, other = Whisperdrop("http://x", "k"), AsyncWhisperdrop("http://x", "k")
    for sync, asynchronous in [
        (one, other),
        (one.jobs, other.jobs),
        (one.keys, other.keys),
        (one.webhook, other.webhook),
    ]:
        methods = {name for name in dir(sync) if not name.startswith("_")}
        assert methods - {"close"} == {n for n in dir(asynchronous) if n[0] != "_"} - {"aclose"}
        for name in methods:
            member = getattr(sync, name)
            assert not callable(member) or member.__doc__, name
    one.close()


def test_webhooks_keys_and_usage_have_their_requests(call: Call) -> None:
    server = Server(says(200, {"url": "https://x", "secret": "whsec_1", "data": []}))

    hook = call(server, lambda client: client.webhook.set("https://x"))
    call(server, lambda client: client.webhook.delete())
    call(server, lambda client: client.webhook.test())
    call(server, lambda client: client.jobs.deliveries("j1"))
    call(server, lambda client: client.jobs.redeliver("j1"))
    call(server, lambda client: client.keys.revoke("abc"))

    assert (hook.url, hook.secret) == ("https://x", "whsec_1")
    assert "whsec_1" not in repr(hook)
    assert [(request.method, request.url.path) for request in server.seen] == [
        ("PUT", "/v1/webhook"),
        ("DELETE", "/v1/webhook"),
        ("POST", "/v1/webhook/test"),
        ("GET", "/v1/jobs/j1/deliveries"),
        ("POST", "/v1/jobs/j1/redeliver"),
        ("DELETE", "/v1/keys/abc"),
    ]
    assert json.loads(server.seen[0].content) == {"url": "https://x"}
