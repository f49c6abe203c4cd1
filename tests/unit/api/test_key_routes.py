"""Managing API keys over HTTP, over a bucket in memory."""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from tests.clock import ManualClock
from whisperdrop.adapters.memory import MemoryObjectStore
from whisperdrop.domain.models import ModelCatalog
from whisperdrop.service.api_keys import ApiKeys, digest_of
from whisperdrop_api import errors
from whisperdrop_api.routes import keys
from whisperdrop_api.settings import ApiSettings

OPERATOR = "the operator's key"
Caller = Callable[..., TestClient]


class _Services:
    """What these routes call of the services."""

    def __init__(self, api_keys: ApiKeys) -> None:
        settings = ApiSettings.model_validate(
            {
                "bucket": "media",
                "interactive_queue_url": "none",
                "bulk_queue_url": "none",
                "whisper_models": "tiny.en,base",
            }
        )
        self.api_keys = api_keys
        self.catalog: ModelCatalog = settings.catalog


@pytest.fixture
def api_keys(clock: ManualClock) -> ApiKeys:
    return ApiKeys(MemoryObjectStore(clock), environment_key=OPERATOR, clock=clock)


@pytest.fixture
def call(api_keys: ApiKeys) -> Caller:
    """A client with the key that is given, or with a new one of ``tenant``."""
    app = FastAPI()
    app.state.services = _Services(api_keys)
    errors.install(app)
    app.include_router(keys.router)

    def client(tenant: str = "acme", *, key: str | None = None, **fields: Any) -> TestClient:
        fields = {"scopes": ("admin",)} | fields
        token = key or api_keys.issue(tenant, "caller", **fields)
        return TestClient(app, headers={"Authorization": f"Bearer {token}"})

    return client


def test_an_admin_makes_a_key_of_its_own_tenant_that_is_shown_once(
    call: Caller, api_keys: ApiKeys
) -> None:
    admin = call()

    created = admin.post("/v1/keys", json={"name": "laptop"})

    assert created.status_code == 201
    body = created.json()
    key = api_keys.authenticate(f"Bearer {body['key']}")
    assert (key.tenant, key.name, key.scopes) == ("acme", "laptop", ("read", "write"))
    assert body["digest"] == digest_of(body["key"])
    listed = admin.get("/v1/keys")
    assert body["key"] not in listed.text
    assert [k["name"] for k in listed.json()["data"] if k["digest"] == body["digest"]] == ["laptop"]


@pytest.mark.parametrize("scopes", [("read",), ("write",), ("read", "write")])
def test_a_key_without_the_admin_scope_manages_nothing(
    call: Caller, scopes: tuple[str, ...]
) -> None:
    plain = call(scopes=scopes)

    answers = [
        plain.get("/v1/keys"),
        plain.post("/v1/keys", json={"name": "x"}),
        plain.delete(f"/v1/keys/{'0' * 64}"),
    ]

    assert [(a.status_code, a.json()["code"]) for a in answers] == [(403, "forbidden")] * 3


def test_an_admin_sees_and_revokes_no_other_tenants_keys(call: Caller, api_keys: ApiKeys) -> None:
    others = api_keys.issue("globex", "theirs")
    admin = call("acme")

    seen = {k["tenant"] for k in admin.get("/v1/keys").json()["data"]}
    refused = admin.post("/v1/keys", json={"name": "x", "tenant": "globex"})
    revoked = admin.delete(f"/v1/keys/{digest_of(others)}")

    assert seen == {"acme"}
    assert refused.status_code == 403
    assert revoked.status_code == 404
    assert api_keys.authenticate(f"Bearer {others}").revoked_at is None


def test_the_operator_manages_every_tenants_keys(call: Caller, api_keys: ApiKeys) -> None:
    operator = call(key=OPERATOR)

    made = operator.post("/v1/keys", json={"name": "x", "tenant": "globex"}).json()
    seen = {k["tenant"] for k in operator.get("/v1/keys").json()["data"]}
    gone = operator.delete(f"/v1/keys/{made['digest']}")

    assert made["tenant"] == "globex"
    assert seen == {"globex"}
    assert gone.status_code == 204
    assert api_keys.find(made["digest"]).revoked_at is not None


def test_a_revoked_key_is_refused_at_once_here_and_revoking_may_be_repeated(
    call: Caller, api_keys: ApiKeys, clock: ManualClock
) -> None:
    admin = call()
    made = admin.post("/v1/keys", json={"name": "x", "scopes": ["admin"]}).json()
    theirs = call(key=made["key"])
    assert theirs.get("/v1/keys").status_code == 200
    at = clock()

    first = admin.delete(f"/v1/keys/{made['digest']}")
    clock.advance(60)
    second = admin.delete(f"/v1/keys/{made['digest']}")

    assert (first.status_code, second.status_code) == (204, 204)
    assert theirs.get("/v1/keys").status_code == 403
    assert api_keys.find(made["digest"]).revoked_at == at


def test_a_key_gives_away_no_more_than_it_has(call: Caller, api_keys: ApiKeys) -> None:
    bounded = call(models=("base",), max_upload_bytes=1000)

    inherited = bounded.post("/v1/keys", json={"name": "x"}).json()
    other_model = bounded.post("/v1/keys", json={"name": "x", "models": ["tiny.en"]})
    larger = bounded.post("/v1/keys", json={"name": "x", "max_upload_bytes": 1001})

    assert (inherited["models"], inherited["max_upload_bytes"]) == (["base"], 1000)
    assert (other_model.status_code, larger.status_code) == (403, 403)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 422),
        ({"name": " "}, 422),
        ({"name": "x", "scopes": []}, 422),
        ({"name": "x", "scopes": ["root"]}, 422),
        ({"name": "x", "models": ["no-such-model"]}, 404),
        ({"name": "x", "max_upload_bytes": 0}, 422),
        ({"name": "x", "unknown": 1}, 422),
        ({"name": "x", "tenant": "Not A Tenant"}, 422),
    ],
)
def test_a_key_that_makes_no_sense_is_refused(
    call: Caller, body: dict[str, Any], status: int
) -> None:
    answer = call(key=OPERATOR).post("/v1/keys", json=body)
    assert answer.status_code == status
    assert answer.json()["detail"]


@pytest.mark.parametrize("digest", ["0" * 64, "x", "..", "E3B0" + "0" * 60])
def test_a_digest_of_no_key_is_not_found(call: Caller, digest: str) -> None:
    assert call().delete(f"/v1/keys/{digest}").status_code in {404, 405}
