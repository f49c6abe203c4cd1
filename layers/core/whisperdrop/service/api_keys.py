"""API keys: stored as SHA-256, compared in constant time, each tied to one tenant."""

import hashlib
import hmac
import re
import secrets
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import ClassVar, Literal

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

Scope = Literal["read", "write", "admin"]
"""`admin` manages the keys of its own tenant; it gives neither of the other two."""

DEFAULT_TENANT = "default"
"""The tenant of the key in the environment."""

CACHE_TTL = timedelta(seconds=30)
"""A revoked key works this much longer, so that a request does not cost a read of the store."""

_DIGEST = re.compile(r"[0-9a-f]{64}")
_CACHE_ENTRIES = 10_000
_KEY_BYTES = 32


class ApiKey(BaseModel):
    """``keys/{sha256}.json``; never the key itself."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    operator: ClassVar[bool] = False
    """Whether it may manage every tenant's keys: no stored key can say that of itself."""

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


class OperatorKey(ApiKey):
    """The key of the environment: every scope, every tenant's keys."""

    operator: ClassVar[bool] = True

    scopes: tuple[Scope, ...] = ("read", "write", "admin")


def digest_of(key: str) -> str:
    """SHA-256 in hex. Keys are 256 random bits, so no salt or stretching is needed."""
    return hashlib.sha256(key.encode()).hexdigest()


class ApiKeys:
    """Who is asking? Safe to share among threads."""

    def __init__(self, store: ObjectStore, *, environment_key: str | None, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._environment_digest = digest_of(environment_key) if environment_key else None
        self._environment_principal = OperatorKey(
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

    def issue_for(
        self,
        issuer: ApiKey,
        name: str,
        *,
        scopes: tuple[Scope, ...] = ("read", "write"),
        models: tuple[str, ...] | None = None,
        max_upload_bytes: int | None = None,
        tenant: str | None = None,
    ) -> str:
        """A key on behalf of ``issuer``, which cannot give away more than it has.

        It is of the issuer's tenant, and the issuer's own models and upload size bound it; the
        operator may name a tenant. Raises ForbiddenError.
        """
        if tenant is not None and tenant != issuer.tenant and not issuer.operator:
            raise ForbiddenError("only the operator's key may make keys for another tenant")
        if issuer.models is not None:
            if beyond := set(models or ()) - set(issuer.models):
                raise ForbiddenError(f"this API key may not use {', '.join(sorted(beyond))} itself")
            models = issuer.models if models is None else models
        if issuer.max_upload_bytes is not None:
            if (max_upload_bytes or 0) > issuer.max_upload_bytes:
                raise ForbiddenError(
                    f"this API key itself may upload {issuer.max_upload_bytes:,} bytes at most"
                )
            max_upload_bytes = max_upload_bytes or issuer.max_upload_bytes
        return self.issue(
            tenant or issuer.tenant,
            name,
            scopes=scopes,
            models=models,
            max_upload_bytes=max_upload_bytes,
        )

    def find(self, digest: str, tenant: str | None = None) -> ApiKey:
        """The document of one key. Raises NotFoundError, also for another than ``tenant``'s."""
        document = None
        if _DIGEST.fullmatch(digest):
            document = read(self._store, ApiKey, keys.api_key(digest))
        if document is None or tenant not in {None, document.tenant}:
            raise NotFoundError(f"there is no key with the digest {digest[:64]}")
        return document

    def list(self, tenant: str | None = None) -> Iterator[tuple[str, ApiKey]]:
        """Every key's digest and document; those of one ``tenant`` alone. One read for each key."""
        for info in self._store.list(keys.API_KEYS):
            document = read(self._store, ApiKey, info.key)
            if document is not None and tenant in {None, document.tenant}:
                yield info.key.removeprefix(keys.API_KEYS).removesuffix(".json"), document

    def revoke(self, digest: str, tenant: str | None = None) -> None:
        """Refuse the key from now on; its document stays as a record. May be repeated.

        Raises NotFoundError, also when it is another than ``tenant``'s.
        """
        document = self.find(digest, tenant)
        if document.revoked_at is not None:
            return
        revoked = document.model_copy(update={"revoked_at": self._clock()})
        self._store.put(keys.api_key(digest), dump(revoked), "application/json")
        with self._lock:
            self._cache.pop(digest, None)
