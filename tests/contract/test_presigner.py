from urllib.parse import quote

import pytest
import requests

from tests.contract.conftest import PresignerUnderTest
from whisperdrop.ports import PresignedUpload

BODY = b"0123456789"
TYPE = "audio/mpeg"
NAMES = ["speech.mp3", "имя файла ünï dev 日本.flac", "a+b 100% & co.mp3"]


def signed_put(signing: PresignerUnderTest, name: str = "speech.mp3") -> PresignedUpload:
    return signing.presigner.presign_put(
        signing.prefix + name, size=len(BODY), content_type=TYPE, expires_s=300
    )


def signed_post(
    signing: PresignerUnderTest, name: str = "speech.mp3", max_size: int = 20
) -> PresignedUpload:
    return signing.presigner.presign_post(
        signing.prefix + name, max_size=max_size, content_type=TYPE, expires_s=300
    )


def put(
    upload: PresignedUpload, body: bytes = BODY, changes: dict[str, str | None] | None = None
) -> int:
    """Status of the upload as the instructions say, except for ``changes`` of headers."""
    headers = upload.headers | {"Content-Length": str(len(body))} | (changes or {})
    sent = {name: value for name, value in headers.items() if value is not None}
    answer = requests.put(upload.url, data=body, headers=sent, timeout=10)
    return answer.status_code


def post(upload: PresignedUpload, body: bytes = BODY, changes: dict[str, str] | None = None) -> int:
    fields = upload.fields | (changes or {})
    answer = requests.post(upload.url, data=fields, files={"file": ("x.mp3", body)}, timeout=10)
    return answer.status_code


def stored(signing: PresignerUnderTest, name: str = "speech.mp3") -> bytes | None:
    found = signing.store.get(signing.prefix + name)
    return found.body if found else None


@pytest.mark.parametrize("name", NAMES)
def test_the_right_put_is_accepted(name: str, signing: PresignerUnderTest) -> None:
    upload = signed_put(signing, name)
    assert upload.method == "PUT"
    assert put(upload) == 200
    assert stored(signing, name) == BODY
    info = signing.store.head(signing.prefix + name)
    assert info is not None
    assert info.content_type == TYPE


def test_the_instructions_alone_are_enough_for_a_put(signing: PresignerUnderTest) -> None:
    upload = signed_put(signing)
    answer = requests.put(upload.url, data=BODY, headers=upload.headers, timeout=10)
    assert answer.status_code == 200
    assert upload.fields == {}


@pytest.mark.parametrize("body", [BODY[:-1], BODY + b"x", b""])
def test_a_put_of_another_length_is_refused(body: bytes, signing: PresignerUnderTest) -> None:
    assert put(signed_put(signing), body) == 403
    assert stored(signing) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"Content-Type": "text/html"},
        {"Content-Type": None},
        {"If-None-Match": None},
        {"If-None-Match": '"etag"'},
    ],
    ids=["other type", "no type", "no condition", "other condition"],
)
def test_a_put_with_other_headers_is_refused(
    changes: dict[str, str | None], signing: PresignerUnderTest
) -> None:
    assert put(signed_put(signing), changes=changes) == 403
    assert stored(signing) is None


def test_a_second_put_does_not_replace_the_first(signing: PresignerUnderTest) -> None:
    upload = signed_put(signing)
    assert put(upload) == 200
    assert put(upload, BODY[::-1]) == 412
    assert stored(signing) == BODY


@pytest.mark.parametrize("part", ["key", "signature", "expiry"])
def test_an_altered_address_is_refused(part: str, signing: PresignerUnderTest) -> None:
    upload = signed_put(signing)
    altered = {
        "key": upload.url.replace("speech.mp3", "other.mp3"),
        "signature": upload.url[:-1] + ("0" if upload.url[-1] != "0" else "1"),
        "expiry": upload.url.replace("X-Amz-Expires=300", "X-Amz-Expires=600000"),
    }[part]
    assert altered != upload.url
    assert put(PresignedUpload("PUT", altered, upload.headers, {})) == 403
    assert stored(signing) is None
    assert stored(signing, "other.mp3") is None


def test_every_promise_of_a_put_is_in_its_signature(signing: PresignerUnderTest) -> None:
    signed = quote("content-length;content-type;host;if-none-match")
    assert f"X-Amz-SignedHeaders={signed}" in signed_put(signing).url


@pytest.mark.parametrize("name", NAMES)
def test_the_right_post_is_accepted(name: str, signing: PresignerUnderTest) -> None:
    upload = signed_post(signing, name)
    assert upload.method == "POST"
    assert post(upload) in {200, 201, 204}
    assert stored(signing, name) == BODY
    info = signing.store.head(signing.prefix + name)
    assert info is not None
    assert info.content_type == TYPE


METADATA = {"correlation-id": "request-1", "traceparent": "00-1-2-01"}


def test_a_put_brings_the_metadata_that_it_was_signed_for(signing: PresignerUnderTest) -> None:
    key = signing.prefix + "speech.mp3"
    upload = signing.presigner.presign_put(
        key, size=len(BODY), content_type=TYPE, expires_s=300, metadata=METADATA
    )
    name = "x-amz-meta-correlation-id"
    assert upload.headers[name] == "request-1"
    for change in (None, "request-2"):
        assert put(upload, changes={name: change}) == 403
    assert put(upload) == 200
    info = signing.store.head(key)
    assert info is not None
    assert info.metadata == METADATA


def test_a_post_brings_the_metadata_that_it_was_signed_for(signing: PresignerUnderTest) -> None:
    key = signing.prefix + "speech.mp3"
    upload = signing.presigner.presign_post(
        key, max_size=20, content_type=TYPE, expires_s=300, metadata=METADATA
    )
    name = "x-amz-meta-correlation-id"
    assert upload.fields[name] == "request-1"
    assert post(upload, changes={name: "request-2"}) == 403
    assert post(upload) in {200, 201, 204}
    info = signing.store.head(key)
    assert info is not None
    assert info.metadata == METADATA


@pytest.mark.parametrize("size", [1, 20])
def test_a_post_at_the_ends_of_the_range_is_accepted(
    size: int, signing: PresignerUnderTest
) -> None:
    assert post(signed_post(signing), b"x" * size) in {200, 201, 204}
    assert stored(signing) == b"x" * size


@pytest.mark.parametrize("size", [0, 21])
def test_a_post_outside_of_the_range_is_refused(size: int, signing: PresignerUnderTest) -> None:
    assert post(signed_post(signing), b"x" * size) == 400
    assert stored(signing) is None


@pytest.mark.parametrize("change", ["Content-Type", "key", "policy", "x-amz-signature"])
def test_a_post_with_an_altered_field_is_refused(change: str, signing: PresignerUnderTest) -> None:
    upload = signed_post(signing)
    value = {
        "Content-Type": "text/html",
        "key": signing.prefix + "other.mp3",
        "policy": upload.fields["policy"][:-8] + "AAAAAAA=",
        "x-amz-signature": "0" * 64,
    }[change]
    assert 400 <= post(upload, changes={change: value}) < 500
    assert stored(signing) is None
    assert stored(signing, "other.mp3") is None


def signed_part(signing: PresignerUnderTest, upload_id: str, number: int = 1) -> PresignedUpload:
    return signing.presigner.presign_part(
        signing.prefix + "speech.mp3",
        upload_id=upload_id,
        number=number,
        size=len(BODY),
        expires_s=300,
    )


def test_a_part_arrives_and_may_be_sent_again(signing: PresignerUnderTest) -> None:
    key = signing.prefix + "speech.mp3"
    upload_id = signing.store.create_multipart(key, TYPE)
    for _ in range(2):
        upload = signed_part(signing, upload_id)
        answer = requests.put(upload.url, data=BODY, headers=upload.headers, timeout=10)
        assert (upload.method, answer.status_code) == ("PUT", 200)
    parts = signing.store.list_multipart(key, upload_id)
    assert parts is not None
    assert [(part.number, part.size) for part in parts] == [(1, len(BODY))]
    assert signing.store.complete_multipart(key, upload_id, parts)
    assert stored(signing) == BODY


@pytest.mark.parametrize("body", [BODY[:-1], BODY + b"x"])
def test_a_part_of_another_length_is_refused(body: bytes, signing: PresignerUnderTest) -> None:
    key = signing.prefix + "speech.mp3"
    upload_id = signing.store.create_multipart(key, TYPE)
    assert put(signed_part(signing, upload_id), body) == 403
    assert signing.store.list_multipart(key, upload_id) == ()


def test_the_address_of_a_part_is_of_that_part_alone(signing: PresignerUnderTest) -> None:
    key = signing.prefix + "speech.mp3"
    upload_id = signing.store.create_multipart(key, TYPE)
    upload = signed_part(signing, upload_id)
    altered = upload.url.replace("partNumber=1", "partNumber=2")
    assert altered != upload.url
    assert put(PresignedUpload("PUT", altered, upload.headers, {})) == 403
    assert signing.store.list_multipart(key, upload_id) == ()


@pytest.mark.parametrize("name", NAMES)
def test_media_is_read_and_saved_under_its_name(name: str, signing: PresignerUnderTest) -> None:
    key = signing.prefix + name
    signing.store.put(key, BODY, TYPE)
    url = signing.presigner.presign_get(key, name=name, expires_s=300)
    answer = requests.get(url, timeout=10)
    assert (answer.status_code, answer.content) == (200, BODY)
    assert answer.headers["Content-Type"] == TYPE
    disposition = f"attachment; filename*=UTF-8''{quote(name, '')}"
    assert answer.headers["Content-Disposition"] == disposition
    some = requests.get(url, headers={"Range": "bytes=2-3"}, timeout=10)
    assert (some.status_code, some.content) == (206, BODY[2:4])
    assert requests.get(url[:-1] + ("0" if url[-1] != "0" else "1"), timeout=10).status_code == 403
