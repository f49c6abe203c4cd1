"""Documents of the domain in the object store."""

from typing import TypeVar

from pydantic import BaseModel, ValidationError

from whisperdrop.errors import LostRaceError, StoreError
from whisperdrop.ports import ObjectStore

Document = TypeVar("Document", bound=BaseModel)


class DamagedDocumentError(StoreError):
    """A stored document cannot be read, as after a crash of a store without atomic writes."""

    def __init__(self, key: str, etag: str) -> None:
        super().__init__("a stored document is damaged; the operator's log names it")
        self.key = key
        self.etag = etag


def dump(document: BaseModel) -> bytes:
    """A document as it is stored."""
    return document.model_dump_json(exclude_none=True).encode()


def read_with_etag(
    store: ObjectStore, kind: type[Document], key: str
) -> tuple[Document, str] | None:
    """The document under ``key`` and its ETag, or None. Raises DamagedDocumentError."""
    found = store.get(key)
    if found is None:
        return None
    try:
        return kind.model_validate_json(found.body), found.etag
    except ValidationError as error:
        raise DamagedDocumentError(key, found.etag) from error


def read(store: ObjectStore, kind: type[Document], key: str) -> Document | None:
    """The document under ``key``, or None. Raises DamagedDocumentError."""
    found = read_with_etag(store, kind, key)
    return found[0] if found else None


def read_intact(store: ObjectStore, kind: type[Document], key: str) -> Document | None:
    """The document under ``key``; None when it is damaged too, for readers that can go on."""
    try:
        return read(store, kind, key)
    except DamagedDocumentError:
        return None


def write_once(store: ObjectStore, key: str, document: Document) -> Document:
    """Write ``document`` unless one is there; returns the one that is there from now on.

    A damaged document counts as none and is swapped for ``document``. Raises LostRaceError when
    somebody else did the same at the same time.
    """
    try:
        store.create(key, dump(document))
    except LostRaceError:
        try:
            winner = read(store, type(document), key)
        except DamagedDocumentError as damaged:
            store.replace(key, dump(document), damaged.etag)
            return document
        if winner is None:  # deleted in between: the caller's next try will write it
            raise
        return winner
    return document
