"""API keys: stored as SHA-256, compared in constant time, each tied to one tenant."""

import hashlib
import hmac
import secrets
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict

from whisperdrop.domain import keys
from whisperdrop.domain.ids import is_tenant
from whisperdrop.errors import (
    ForbiddenError,
    InvalidValueError,
    MissingKeyError,
    NotFoundError,
    WrongKeyError,
)
from whisperdrop.ports import Clock, ObjectStore
from whisperdrop.service.documents import dump, read

Scope = Literal["read", "write"]

DEFAULT_TENANT = "default"
"""The tenant of the key in the environment."""

CACHE_TTL = timedelta(seconds=30)
"""A revoked key works this much longer, so that a request does not cost a read of the store."""

_CACHE_ENTRIES = 10_000
_KEY_BYTES = 32


class ApiKey(BaseModel):
    """``keys/{sha256}.json``; never the key itself."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    tenant: str
    name: str
    scopes: tuple[Scope, ...] = ("read", "write")
    models: tuple[str, ...] | None = None
    """Names of models that this key may use; None for all."""
    max_upload_bytes: int | None = None
    created_at: AwareDatetime
    revoked_at: AwareDatetime | None = None

    def demand(self, scope: Scope) -> None:
        """Raises ForbiddenError when the key lacks ``scope``."""
        if scope not in self.scopes:
            raise ForbiddenError(f"this API key has no {scope!r} scope")


def digest_of(key: str) -> str:
    """SHA-256 in hex. Keys are 256 random bits, so no salt or stretching is needed."""
    return hashlib.sha256(key.encode()).hexdigest()


class ApiKeys:
    """Who is asking? Safe to share among threads."""

    def __init__(self, store: ObjectStore, *, environment_key: str | None, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._environment_digest = digest_of(environment_key) if environment_key else None
        self._environment_principal = ApiKey(
            tenant=DEFAULT_TENANT, name="environment", created_at=clock()
        )
        self._cache: dict[str, tuple[datetime, ApiKey | None]] = {}
        self._lock = threading.Lock()

    def authenticate(self, authorization: str | None) -> ApiKey:
        """The key behind an ``Authorization`` header.

        Raises MissingKeyError without a bearer token, WrongKeyError for an unknown or revoked one.
        """
        scheme, _, token = (authorization or "").partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            raise MissingKeyError("send your API key as 'Authorization: Bearer <key>'")
        digest = digest_of(token)
        if self._environment_digest and hmac.compare_digest(digest, self._environment_digest):
            return self._environment_principal
        found = self._lookup(digest)
        if found is None or found.revoked_at is not None:
            raise WrongKeyError("this API key is not valid here")
        return found

    def _lookup(self, digest: str) -> ApiKey | None:
        now = self._clock()
        with self._lock:
            cached = self._cache.get(digest)
        if cached and now - cached[0] < CACHE_TTL:
            return cached[1]
        found = read(self._store, ApiKey, keys.api_key(digest))
        with self._lock:
            if len(self._cache) >= _CACHE_ENTRIES:
                self._cache.clear()
            self._cache[digest] = (now, found)
        return found

    def issue(
        self,
        tenant: str,
        name: str,
        *,
        scopes: tuple[Scope, ...] = ("read", "write"),
        models: tuple[str, ...] | None = None,
        max_upload_bytes: int | None = None,
    ) -> str:
        """Make a key; it is returned once and stored nowhere."""
        if not is_tenant(tenant):
            raise InvalidValueError(
                "a tenant is 1 to 63 of a-z, 0-9 and '-', not starting with '-'"
            )
        key = "wd_" + secrets.token_urlsafe(_KEY_BYTES)
        document = ApiKey(
            tenant=tenant,
            name=name,
            scopes=scopes,
            models=models,
            max_upload_bytes=max_upload_bytes,
            created_at=self._clock(),
        )
        self._store.create(keys.api_key(digest_of(key)), dump(document))
        return key

    def list(self) -> Iterator[tuple[str, ApiKey]]:
        """Every key's digest and document."""
        for info in self._store.list(keys.API_KEYS):
            if document := read(self._store, ApiKey, info.key):
                yield info.key.removeprefix(keys.API_KEYS).removesuffix(".json"), document

    def revoke(self, digest: str) -> None:
        """Refuse the key from now on; its document stays as a record. Raises NotFoundError."""
        document = read(self._store, ApiKey, keys.api_key(digest))
        if document is None:
            raise NotFoundError(f"there is no key with the digest {digest[:64]}")
        revoked = document.model_copy(update={"revoked_at": self._clock()})
        self._store.put(keys.api_key(digest), dump(revoked), "application/json")
