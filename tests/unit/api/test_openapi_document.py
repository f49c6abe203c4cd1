"""The OpenAPI document is whole: every route, a summary for each, an example for each body."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from pydantic import BaseModel
from starlette.routing import BaseRoute

from tests.clock import ManualClock
from tests.unit.api.services import services_over
from whisperdrop.adapters.memory import MemoryObjectStore
from whisperdrop_api.app import create_app

_CLOCK = ManualClock()
_APP = create_app(services_over(MemoryObjectStore(_CLOCK), _CLOCK))
_DOCUMENT = _APP.openapi()
_OPERATIONS = {
    f"{method.upper()} {path}": operation
    for path, item in _DOCUMENT["paths"].items()
    for method, operation in item.items()
}

# The page and its files are no API; the others say the same as their namesakes under /v1.
_UNDOCUMENTED = {
    *("/", "/assets/{version}/{name}"),
    *("/models", "/models/{model_id}", "/audio/transcriptions", "/audio/translations"),
}


def _routes(routes: list[BaseRoute]) -> Iterator[BaseRoute]:
    """Those of included routers too."""
    for route in routes:
        inner = getattr(route, "original_router", None)
        if inner is None:
            yield route
        else:
            yield from _routes(inner.routes)


def test_every_route_is_in_the_document() -> None:
    own = {"/openapi.json", "/docs", "/docs/oauth2-redirect", "/redoc"}
    found = {getattr(route, "path", "").replace(":path}", "}") for route in _routes(_APP.routes)}

    assert found - own - _UNDOCUMENTED == set(_DOCUMENT["paths"])
    assert found >= _UNDOCUMENTED


def test_operations_have_names_of_their_own_that_a_generated_client_can_use() -> None:
    names = [operation["operationId"] for operation in _OPERATIONS.values()]

    assert len(set(names)) == len(names)
    assert all(name.isidentifier() for name in names)


@pytest.mark.parametrize("name", _OPERATIONS)
def test_an_operation_has_a_summary_a_description_and_its_errors(name: str) -> None:
    operation = _OPERATIONS[name]

    assert operation["summary"]
    assert operation["description"]
    assert operation["tags"]
    if name != "GET /health":
        assert operation["responses"].keys() >= {"401", "403", "500", "503"}
        assert operation["security"]


@pytest.mark.parametrize(
    "name", [name for name, operation in _OPERATIONS.items() if "requestBody" in operation]
)
def test_a_body_has_an_example(name: str) -> None:
    for content_type, content in _OPERATIONS[name]["requestBody"]["content"].items():
        if content_type == "application/json":
            assert _examples(content["schema"])
            continue
        form = content["schema"]
        assert form["properties"]["file"]["description"]
        assert all(_examples(form["properties"][field]) for field in form["required"][1:])


@pytest.mark.parametrize("name", _OPERATIONS)
def test_an_answer_has_an_example(name: str) -> None:
    answers = [
        content
        for status, answer in _OPERATIONS[name]["responses"].items()
        if status.startswith("2")
        for content_type, content in answer.get("content", {}).items()
        if content_type == "application/json"
    ]

    for content in answers:
        assert "example" in content or _examples(content["schema"])


def test_an_example_is_one() -> None:
    shown = [
        (model, example)
        for model in _models(BaseModel)
        for example in (model.model_config.get("json_schema_extra") or {}).get("examples", ())
    ]

    assert len(shown) > 20
    for model, example in shown:
        assert model.model_validate(example)
        assert set(example) <= set(model.model_fields)


def _models(parent: type[BaseModel]) -> Iterator[Any]:
    """Those of the API, each once."""
    for model in parent.__subclasses__():
        if model.__module__.startswith("whisperdrop_api."):
            yield model
        yield from _models(model)


def _examples(schema: dict[str, Any]) -> list[Any]:
    """Of the schema, or of each alternative of it."""
    if "$ref" in schema:
        schema = _DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    for alternatives in ("anyOf", "oneOf"):
        chosen = [one for one in schema.get(alternatives, []) if one != {"type": "null"}]
        if chosen and all(_examples(one) for one in chosen):
            return _examples(chosen[0])
    return schema.get("examples") or ([schema["example"]] if "example" in schema else [])


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/v1/jobs", "GET, POST"),
        ("/v1/jobs/any", "GET, DELETE"),
        ("/v1/webhook", "GET, PUT, DELETE"),
        ("/v1/models/any", "GET"),
        ("/health", "GET"),
    ],
)
def test_a_wrong_method_is_told_all_the_right_ones(path: str, allowed: str) -> None:
    answer = TestClient(_APP).patch(path)

    assert answer.status_code == 405
    assert answer.headers["Allow"] == allowed
