"""The page's files and the headers that they are answered with."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

import whisperdrop_api
from whisperdrop.domain.languages import LANGUAGE_NAMES
from whisperdrop_api import errors
from whisperdrop_api.routes import page

_FOLDER = Path(whisperdrop_api.__file__).parent / "page"
_SCRIPTS = sorted(_FOLDER.glob("*.js"))


class _Services:
    """All that the page asks of the services."""

    def storage_origins(self) -> tuple[str, ...]:
        return ("https://media.s3.eu-west-1.amazonaws.com",)


@pytest.fixture
def client() -> Iterator[TestClient]:
    app = FastAPI()
    app.state.services = _Services()
    errors.install(app)
    app.include_router(page.router)
    with TestClient(app) as client:
        yield client


def addresses(html: str) -> list[str]:
    """What the page loads."""
    return re.findall(r'(?:src|href)="([^"#]+)"', html)


def policy(client: TestClient) -> dict[str, list[str]]:
    header = client.get("/").headers["content-security-policy"]
    directives = (part.strip().split() for part in header.split(";"))
    return {name: values for name, *values in directives}


def test_the_page_may_load_only_its_own_files_and_talk_only_to_us_and_the_storage(
    client: TestClient,
) -> None:
    storage = "https://media.s3.eu-west-1.amazonaws.com"
    assert policy(client) == {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "connect-src": ["'self'", storage],
        "media-src": ["'self'", "blob:", storage],
        "base-uri": ["'none'"],
        "form-action": ["'none'"],
        "frame-ancestors": ["'none'"],
        "require-trusted-types-for": ["'script'"],
        "trusted-types": ["'none'"],
    }


def test_everything_that_the_page_loads_is_there_with_its_type(client: TestClient) -> None:
    found = addresses(client.get("/").text)
    types = {client.get(f"/{address}").headers["content-type"] for address in found}
    assert types == {"image/svg+xml", "text/css; charset=utf-8", "text/javascript; charset=utf-8"}
    for address in found:
        answer = client.get(f"/{address}")
        assert answer.status_code == 200
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"


def test_every_module_is_fetched_at_once_and_none_waits_for_another(client: TestClient) -> None:
    named = {address.rpartition("/")[2] for address in addresses(client.get("/").text)}
    assert {script.name for script in _SCRIPTS} <= named


def test_what_has_not_changed_is_not_sent_again(client: TestClient) -> None:
    for path in ("/", "/" + addresses(client.get("/").text)[0]):
        first = client.get(path)
        again = client.get(path, headers={"If-None-Match": f'"other", W/{first.headers["etag"]}'})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == first.headers["etag"]


def test_the_page_is_asked_for_each_time_and_its_files_are_kept_for_ever(
    client: TestClient,
) -> None:
    index = client.get("/")
    assert index.headers["cache-control"] == "no-cache"
    assert "{version}" not in index.text
    current = addresses(index.text)[0]
    assert "immutable" in client.get(f"/{current}").headers["cache-control"]


def test_a_page_from_before_an_update_finds_its_files_and_keeps_none(client: TestClient) -> None:
    answer = client.get("/assets/0123456789abcdef/main.js")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-cache"


def test_head_answers_as_get_does(client: TestClient) -> None:
    head, get = client.head("/"), client.get("/")
    assert head.status_code == 200
    assert head.headers["content-length"] == str(len(get.content))
    assert head.headers["content-security-policy"] == get.headers["content-security-policy"]


@pytest.mark.parametrize("name", ["index.html", "nothing.js", "..%2fapp.py", "%2e%2e/app.py"])
def test_nothing_else_can_be_fetched(client: TestClient, name: str) -> None:
    assert client.get(f"/assets/0123456789abcdef/{name}").status_code == 404


def test_the_page_is_no_part_of_the_documented_api(client: TestClient) -> None:
    assert client.get("/openapi.json").json()["paths"] == {}


def test_no_script_turns_text_into_markup_or_code() -> None:
    sinks = re.compile(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|srcdoc"
        r"|DOMParser|createContextualFragment|setHTML"
    )
    for script in _SCRIPTS:
        assert not sinks.search(script.read_text()), script.name


def test_nothing_is_inline_and_nothing_comes_from_elsewhere() -> None:
    html = (_FOLDER / "index.html").read_text()
    assert re.findall(r"<script(?![^>]*\ssrc=)", html) == []
    assert re.findall(r"<style|\sstyle=|\son[a-z]+=", html) == []
    for file in _FOLDER.iterdir():
        text = file.read_text().replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?:|[\"'`(]//", text), file.name


def test_the_page_offers_the_languages_that_the_service_knows() -> None:
    listed = re.search(
        r"LANGUAGES =\s*((?:\"[^\"]*\"[ +\n]*)+);", (_FOLDER / "options.js").read_text()
    )
    assert listed
    codes = " ".join(re.findall(r'"([^"]*)"', listed[1])).split()
    assert set(codes) == set(LANGUAGE_NAMES)
    assert len(codes) == len(set(codes))
