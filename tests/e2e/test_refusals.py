"""Bad input gets a clear answer with the right status, in one shape, and never a 5xx."""

from pathlib import Path
from typing import Any

import pytest
import requests

from tests.e2e.client import TIMEOUT_S, Client
from tests.e2e.running import RunningStack
from tests.recordings import bundled
from whisperdrop.service.api_keys import ApiKeys
from whisperdrop.service.clock import utc_now

pytestmark = pytest.mark.emulator


def _refused(response: requests.Response, status: int, code: str) -> str:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert body.keys() == {"detail", "code"}
    assert body["code"] == code
    assert "Traceback" not in body["detail"]
    return str(body["detail"])


@pytest.fixture
def key_of(stack: RunningStack) -> Any:
    """Issues keys for other tenants."""
    keys = ApiKeys(stack.store, environment_key=None, clock=utc_now)
    return lambda tenant, **kwargs: keys.issue(tenant, "test", **kwargs)


PROTECTED = [
    ("POST", "/v1/jobs"),
    ("GET", "/v1/jobs/zzzz"),
    ("GET", "/v1/jobs/zzzz/transcript"),
    ("POST", "/transcribe/tiny.en"),
    ("POST", "/transcribe-tiny.en"),
    ("GET", "/results/zzzz"),
    ("GET", "/v1/jobs/zzzz/events"),
]


@pytest.mark.parametrize(("method", "path"), PROTECTED)
def test_no_key_is_401(client: Client, method: str, path: str) -> None:
    response = requests.request(method, client.address + path, timeout=TIMEOUT_S)

    assert "Bearer" in _refused(response, 401, "missing_api_key")
    assert response.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(("method", "path"), PROTECTED)
def test_a_wrong_key_is_403(client: Client, method: str, path: str) -> None:
    headers = {"Authorization": "Bearer change-you"}
    response = requests.request(method, client.address + path, headers=headers, timeout=TIMEOUT_S)

    _refused(response, 403, "invalid_api_key")


def test_a_key_is_checked_before_the_body_is_taken(client: Client) -> None:
    def endless() -> Any:
        yield b"--x\r\n"
        raise AssertionError("the server asked for more before it refused the key")

    response = requests.post(
        f"{client.address}/transcribe/tiny.en",
        data=iter([b"--x\r\n"]),
        headers={"Content-Type": "multipart/form-data; boundary=x", "Authorization": "Bearer no"},
        timeout=TIMEOUT_S,
    )

    _refused(response, 403, "invalid_api_key")


def test_another_tenants_job_does_not_exist(client: Client, key_of: Any) -> None:
    job_id = client.create(bundled().media)["job_id"]
    stranger = Client(client.address, key_of("stranger"))

    for path in (f"/v1/jobs/{job_id}", f"/v1/jobs/{job_id}/transcript", f"/results/{job_id}"):
        _refused(stranger.get(path), 404, "job_not_found")
        assert client.get(path).status_code != 404


def test_a_key_that_may_only_read_may_not_create(client: Client, key_of: Any) -> None:
    reader = Client(client.address, key_of("readers", scopes=("read",)))

    _refused(reader.post("/v1/jobs", json={"filename": "a.mp3", "size": 1}), 403, "forbidden")


def test_a_key_is_held_to_its_models_and_its_size(client: Client, key_of: Any) -> None:
    narrow = Client(client.address, key_of("narrow", models=("base",), max_upload_bytes=10))

    body = {"filename": "a.mp3", "size": 1, "model": "tiny.en"}
    _refused(narrow.post("/v1/jobs", json=body), 404, "model_not_found")
    wide = Client(client.address, key_of("small", max_upload_bytes=10))
    _refused(wide.post("/v1/jobs", json=body | {"size": 11}), 413, "too_large")
    assert wide.transcribe(bundled().media).status_code == 413


@pytest.mark.parametrize(
    "path", ["/transcribe/large-v3", "/transcribe-large-v3", "/transcribe/%00"]
)
def test_a_model_that_is_not_served_is_404(client: Client, path: str) -> None:
    response = client.post(path, files={"file": ("a.wav", b"RIFF")})

    _refused(response, 404, "model_not_found")


def test_a_file_type_that_is_not_supported_is_400(client: Client) -> None:
    response = client.post("/transcribe/tiny.en", files={"file": ("notes.txt", b"hello")})

    assert "mp3" in _refused(response, 400, "unsupported_media_type")
    body = {"filename": "notes.txt", "size": 5}
    _refused(client.post("/v1/jobs", json=body), 400, "unsupported_media_type")


@pytest.mark.speech
def test_media_that_cannot_be_decoded_is_415(client: Client) -> None:
    response = client.post("/transcribe/tiny.en", files={"file": ("a.mp3", b"no audio" * 100)})

    _refused(response, 415, "undecodable_media")


def test_an_empty_file_is_415(client: Client) -> None:
    response = client.post("/transcribe/tiny.en", files={"file": ("a.mp3", b"")})

    _refused(response, 415, "empty_media")


def test_a_body_over_the_limit_is_413_and_names_the_presigned_route(client: Client) -> None:
    too_much = b"\0" * (26 * 1024 * 1024)

    declared = client.post("/transcribe/tiny.en", files={"file": ("a.wav", too_much)})

    assert "POST /v1/jobs" in _refused(declared, 413, "too_large")


def test_an_upload_over_the_limit_is_413(client: Client) -> None:
    body = {"filename": "a.mp3", "size": 6 * 2**40}

    _refused(client.post("/v1/jobs", json=body), 413, "too_large")


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ({}, "filename"),
        ({"filename": "a.mp3"}, "size"),
        ({"filename": "a.mp3", "size": 0}, "size"),
        ({"filename": "a.mp3", "size": "many"}, "size"),
        ({"filename": "a.mp3", "size": 1, "language": "klingon"}, "language"),
        ({"filename": "a.mp3", "size": 1, "task": "sing"}, "task"),
        ({"filename": "a.mp3", "size": 1, "temperature": 7}, "temperature"),
        ({"filename": "a.mp3", "size": 1, "beam_size": 0}, "beam_size"),
        ({"filename": "a.mp3", "size": 1, "surprise": 1}, "surprise"),
        ({"filename": "..", "size": 1}, "name"),
        ({"filename": "a.mp3", "size": 1, "content_type": "audio/mpeg\r\nX: y"}, "content type"),
        ({"filename": "a.mp3", "size": 1, "metadata": {"k": "v" * 513}}, "metadata"),
        ({"filename": "a\ud800.mp3", "size": 1}, ""),
        ([], ""),
        ("text", ""),
    ],
)
def test_a_field_that_is_wrong_is_422_and_named(client: Client, body: Any, names: str) -> None:
    response = client.post("/v1/jobs", json=body)

    assert names in _refused(response, 422, "invalid_value")


@pytest.mark.parametrize("wait", ["-1", "soon", "nan"])
def test_a_wait_that_is_no_time_is_422(client: Client, wait: str) -> None:
    job_id = client.create(bundled().media)["job_id"]

    _refused(client.get(f"/v1/jobs/{job_id}", params={"wait": wait}), 422, "invalid_value")


def test_an_unknown_format_is_422_and_a_missing_transcript_409(client: Client) -> None:
    job_id = client.create(bundled().media)["job_id"]

    early = client.get(f"/v1/jobs/{job_id}/transcript")
    assert "awaiting_upload" in _refused(early, 409, "not_ready")
    unknown = client.get(f"/v1/jobs/{job_id}/transcript", params={"format": "docx"})
    assert "'srt', 'vtt' or 'tsv'" in _refused(unknown, 422, "invalid_value")


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b"{"),
        ("application/json", b"\xff\xfe"),
        ("application/json", b"[" * 10_000),
        ("multipart/form-data", b"--x"),
        ("multipart/form-data; boundary=x", b"--x\r\ngarbage"),
        ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="file"'),
        ("text/plain", b"hello"),
        ("", b""),
    ],
)
@pytest.mark.parametrize("path", ["/v1/jobs", "/transcribe/tiny.en"])
def test_a_body_that_cannot_be_read_is_the_callers_error(
    client: Client, path: str, content_type: str, body: bytes
) -> None:
    response = client.post(path, data=body, headers={"Content-Type": content_type})

    assert response.status_code in {400, 422}, response.text
    assert response.json().keys() == {"detail", "code"}


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/v1/jobs/%00",
        "/v1/jobs/../../etc/passwd",
        "/v1/jobs/" + "z" * 5000,
        "/results/💥",
    ],
)
def test_what_is_not_there_is_404(client: Client, path: str) -> None:
    response = client.get(path)

    assert response.status_code == 404
    assert response.json().keys() == {"detail", "code"}


def test_a_wrong_method_is_405_in_the_same_shape(client: Client) -> None:
    answer = client.session.patch(f"{client.address}/v1/jobs", timeout=10)

    _refused(answer, 405, "method_not_allowed")
    assert answer.headers["Allow"] == "GET, POST"


def test_a_second_upload_to_the_same_address_is_refused(client: Client, tmp_path: Path) -> None:
    media = bundled("hello_world").media
    created = client.create(media)

    assert client.put(created, media).ok
    assert client.put(created, media).status_code == 412


def test_an_upload_of_another_size_is_refused(client: Client, tmp_path: Path) -> None:
    media = bundled("hello_world").media
    created = client.create(media, size=media.stat().st_size + 1)
    wrong = created | {
        "upload": created["upload"] | {"headers": dict(created["upload"]["headers"])}
    }
    wrong["upload"]["headers"]["Content-Length"] = str(media.stat().st_size)

    assert client.put(wrong, media).status_code == 403
    assert client.job(created["job_id"])["status"] == "awaiting_upload"
