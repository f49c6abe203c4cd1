import re
from collections.abc import Callable

import pytest

from tests.builders import keys_in
from tests.clock import ManualClock
from whisperdrop.adapters.memory import MemoryObjectStore
from whisperdrop.errors import (
    ForbiddenError,
    InvalidValueError,
    MissingKeyError,
    NotFoundError,
    WrongKeyError,
)
from whisperdrop.ports import StoredObject
from whisperdrop.service.api_keys import CACHE_TTL, DEFAULT_TENANT, ApiKey, ApiKeys, digest_of

ENVIRONMENT_KEY = "the key of the environment"


class CountingStore(MemoryObjectStore):
    """Counts reads."""

    reads = 0

    def get(self, key: str) -> StoredObject | None:
        self.reads += 1
        return super().get(key)


@pytest.fixture
def store(clock: ManualClock) -> CountingStore:
    return CountingStore(clock)


@pytest.fixture
def make(store: CountingStore, clock: ManualClock) -> Callable[..., ApiKeys]:
    def _make(environment_key: str | None = ENVIRONMENT_KEY) -> ApiKeys:
        return ApiKeys(store, environment_key=environment_key, clock=clock)

    return _make


@pytest.fixture
def api_keys(make: Callable[..., ApiKeys]) -> ApiKeys:
    return make()


@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "Bearer ", "Bearer   ", "Basic dTpw", ENVIRONMENT_KEY, "Bearerx y"],
)
def test_without_a_bearer_token_the_key_is_missing(header: str | None, api_keys: ApiKeys) -> None:
    with pytest.raises(MissingKeyError):
        api_keys.authenticate(header)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_key_of_the_environment_has_every_right(scheme: str, api_keys: ApiKeys) -> None:
    key = api_keys.authenticate(f"{scheme} {ENVIRONMENT_KEY}")
    assert key.tenant == DEFAULT_TENANT
    assert key.models is None
    key.demand("read")
    key.demand("write")


@pytest.mark.parametrize(
    "token", ["wrong", ENVIRONMENT_KEY + "x", "ключ", "../../jobs", "x" * 9999]
)
def test_a_wrong_key_is_refused_without_being_repeated(token: str, api_keys: ApiKeys) -> None:
    with pytest.raises(WrongKeyError) as refusal:
        api_keys.authenticate(f"Bearer {token}")
    assert token not in refusal.value.message


def test_without_a_key_in_the_environment_no_token_is_its_key(
    make: Callable[..., ApiKeys],
) -> None:
    for none in (None, ""):
        with pytest.raises(WrongKeyError):
            make(none).authenticate("Bearer x")


def test_an_issued_key_leads_to_its_tenant(api_keys: ApiKeys, clock: ManualClock) -> None:
    token = api_keys.issue("acme", "laptop", models=("small",), max_upload_bytes=7)
    key = api_keys.authenticate(f"Bearer {token}")
    assert key == ApiKey(
        tenant="acme", name="laptop", models=("small",), max_upload_bytes=7, created_at=clock()
    )


def test_keys_are_long_random_and_different(api_keys: ApiKeys) -> None:
    tokens = {api_keys.issue("acme", "same name") for _ in range(20)}
    assert len(tokens) == 20
    assert all(re.fullmatch(r"wd_[A-Za-z0-9_-]{43}", token) for token in tokens)


def test_the_key_itself_is_stored_nowhere(api_keys: ApiKeys, store: CountingStore) -> None:
    token = api_keys.issue("acme", "laptop")
    for key in keys_in(store):
        assert token not in key
        assert token.encode() not in store.get(key).body  # type: ignore[union-attr]


def test_a_digest_stays_the_same_for_ever() -> None:
    # SHA-256 of "abc", FIPS 180-2, appendix B.1: stored keys must outlive every release.
    assert digest_of("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.parametrize("tenant", ["", "Acme", "a/b", "-x", "acme\n"])
def test_a_key_for_a_malformed_tenant_is_not_issued(
    tenant: str, api_keys: ApiKeys, store: CountingStore
) -> None:
    with pytest.raises(InvalidValueError):
        api_keys.issue(tenant, "laptop")
    assert keys_in(store) == []


def test_a_key_without_a_scope_may_not_do_it(api_keys: ApiKeys) -> None:
    key = api_keys.authenticate("Bearer " + api_keys.issue("acme", "reader", scopes=("read",)))
    key.demand("read")
    with pytest.raises(ForbiddenError, match="'write'"):
        key.demand("write")


def test_a_revoked_key_works_no_longer_than_the_cache(
    api_keys: ApiKeys, clock: ManualClock
) -> None:
    token = api_keys.issue("acme", "laptop")
    api_keys.authenticate(f"Bearer {token}")
    api_keys.revoke(digest_of(token))
    clock.advance(CACHE_TTL.total_seconds())
    with pytest.raises(WrongKeyError):
        api_keys.authenticate(f"Bearer {token}")


def test_a_revoked_key_is_refused_at_once_where_nobody_remembers_it(
    api_keys: ApiKeys, make: Callable[..., ApiKeys]
) -> None:
    token = api_keys.issue("acme", "laptop")
    api_keys.revoke(digest_of(token))
    with pytest.raises(WrongKeyError):
        make().authenticate(f"Bearer {token}")


def test_a_key_is_read_once_within_the_cache_time(
    api_keys: ApiKeys, store: CountingStore, clock: ManualClock
) -> None:
    token = api_keys.issue("acme", "laptop")
    before = store.reads
    for _ in range(5):
        api_keys.authenticate(f"Bearer {token}")
        clock.advance(CACHE_TTL.total_seconds() / 5)
    assert store.reads == before + 1
    api_keys.authenticate(f"Bearer {token}")
    assert store.reads == before + 2


def test_a_stranger_cannot_make_every_request_read_the_store(
    api_keys: ApiKeys, store: CountingStore
) -> None:
    before = store.reads
    for _ in range(5):
        with pytest.raises(WrongKeyError):
            api_keys.authenticate("Bearer guess")
    assert store.reads == before + 1


def test_keys_are_listed_by_digest_with_those_that_were_revoked(
    api_keys: ApiKeys, clock: ManualClock
) -> None:
    kept, gone = api_keys.issue("acme", "kept"), api_keys.issue("acme", "gone")
    api_keys.revoke(digest_of(gone))
    listed = dict(api_keys.list())
    assert listed[digest_of(kept)].revoked_at is None
    assert listed[digest_of(gone)].revoked_at == clock()
    assert len(listed) == 2


def test_a_key_that_was_never_issued_cannot_be_revoked(api_keys: ApiKeys) -> None:
    with pytest.raises(NotFoundError):
        api_keys.revoke(digest_of("never"))
