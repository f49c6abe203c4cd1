"""Does the store keep the two promises that everything here is built on?"""

import secrets

from whisperdrop.errors import LostRaceError, UnsafeStoreError
from whisperdrop.ports import ObjectStore


def prove_conditional_writes(store: ObjectStore) -> None:
    """Refuse to run on a store that accepts a second create or a stale swap.

    Without these, two workers would hold one job and an outcome could be overwritten. Writes one
    small object under ``proof/`` and deletes it. Raises UnsafeStoreError.
    """
    key = f"proof/{secrets.token_hex(16)}"
    first = store.create(key, b"1")
    try:
        try:
            store.create(key, b"2")
        except LostRaceError:
            pass
        else:
            raise UnsafeStoreError(
                "this object store ignores If-None-Match on PutObject: a job could end twice. "
                "Use a store with conditional writes (S3, MinIO, Ceph, R2)"
            )
        store.replace(key, b"3", first)
        try:
            store.replace(key, b"4", first)
        except LostRaceError:
            pass
        else:
            raise UnsafeStoreError(
                "this object store ignores If-Match on PutObject: two workers could hold one job. "
                "Use a store with conditional writes (S3, MinIO, Ceph, R2)"
            )
    finally:
        store.delete(key)
