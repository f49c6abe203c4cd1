"""Managing API keys over HTTP: an admin's key its own tenant's, the operator's key everybody's."""

from datetime import datetime
from typing import Annotated, Any, Self

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from whisperdrop.service.api_keys import ApiKey, Scope, digest_of
from whisperdrop_api.dependencies import Admin, ServicesDep
from whisperdrop_api.errors import refusals

_ERRORS = refusals(400, 401, 403, 413, 422, 500, 503)

router = APIRouter(prefix="/v1/keys", tags=["keys"], responses=_ERRORS)

_Name = Annotated[str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True)]
_Model = Annotated[str, StringConstraints(min_length=1, max_length=200)]
_DIGEST = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
_KEY_EXAMPLE: dict[str, Any] = {
    "digest": _DIGEST,
    "tenant": "acme",
    "name": "subtitles, night shift",
    "scopes": ["read", "write"],
    "models": None,
    "max_upload_bytes": None,
    "created_at": "2030-01-01T12:00:00Z",
    "revoked_at": None,
}


class CreateKey(BaseModel):
    """What the new key may do."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"name": "subtitles, night shift"}]}
    )

    name: _Name = Field(description="What the key is for")
    scopes: list[Scope] = Field(
        default=["read", "write"],
        min_length=1,
        max_length=3,
        description="`admin` manages keys; it gives neither `read` nor `write`",
    )
    models: list[_Model] | None = Field(
        None, min_length=1, max_length=100, description="Only these models; all when absent"
    )
    max_upload_bytes: int | None = Field(None, ge=1, le=2**53 - 1)  # what any JSON parser reads
    tenant: str | None = Field(
        None, max_length=63, description="Whose key; only the operator's key may name another"
    )


class KeyBody(BaseModel):
    """What is known of a key: never the key itself."""

    model_config = ConfigDict(json_schema_extra={"examples": [_KEY_EXAMPLE]})

    digest: str = Field(description="SHA-256 of the key in hex: its name in this API")
    tenant: str
    name: str
    scopes: list[Scope]
    models: list[str] | None
    max_upload_bytes: int | None
    created_at: datetime
    revoked_at: datetime | None

    @classmethod
    def of(cls, digest: str, document: ApiKey, **more: str) -> Self:
        """From the domain."""
        return cls.model_validate({"digest": digest, **document.model_dump(), **more})


class CreatedKeyBody(KeyBody):
    """A new key. It is shown this once and stored nowhere."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"key": "wd_…", **_KEY_EXAMPLE}]})

    key: str


class KeyList(BaseModel):
    """Keys, those that were revoked too."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"data": [_KEY_EXAMPLE]}]})

    data: list[KeyBody]


@router.post("", status_code=201, responses=refusals(404))
def create_key(body: CreateKey, services: ServicesDep, issuer: Admin) -> CreatedKeyBody:
    """Make a key. The answer has it, and nothing else ever will.

    It cannot do more than the key that made it: that one's models and upload size bound it.
    """
    models = None if body.models is None else tuple(dict.fromkeys(body.models))
    for model in models or ():
        services.catalog.admit(model)
    key = services.api_keys.issue_for(
        issuer,
        body.name,
        scopes=tuple(dict.fromkeys(body.scopes)),
        models=models,
        max_upload_bytes=body.max_upload_bytes,
        tenant=body.tenant,
    )
    digest = digest_of(key)
    return CreatedKeyBody.of(digest, services.api_keys.find(digest), key=key)


@router.get("")
def list_keys(services: ServicesDep, issuer: Admin) -> KeyList:
    """The keys of the caller's tenant; with the operator's key, every tenant's."""
    found = services.api_keys.list(_tenant(issuer))
    return KeyList(data=[KeyBody.of(digest, key) for digest, key in found])


@router.delete("/{digest}", status_code=204, responses=refusals(404))
def revoke_key(
    digest: Annotated[str, Path(max_length=64, examples=[_DIGEST])],
    services: ServicesDep,
    issuer: Admin,
) -> None:
    """Refuse a key from now on, within 30 seconds everywhere. May be repeated."""
    services.api_keys.revoke(digest, _tenant(issuer))


def _tenant(issuer: ApiKey) -> str | None:
    return None if issuer.operator else issuer.tenant
