"""What to do, without doing it.

Every operation is a generator that yields steps and gets their answers. The sync client and the
async client are two small drivers that do the steps; requests, parsing, retries, uploads and
waiting are here once.
"""

import random
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar
from urllib.parse import urlsplit

from whisperdrop_client.bodies import Body
from whisperdrop_client.errors import (
    StorageError,
    UnreachableError,
    WhisperdropError,
    api_error,
    retry_after,
)

T = TypeVar("T")


@dataclass(frozen=True)
class Request:
    """One request, tried again as the policy says."""

    method: str
    path: str
    """Path on the server, or the whole address of a presigned upload."""
    params: Mapping[str, Any] = field(default_factory=dict)
    json: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Body | None = None
    repeatable: bool = True
    """Whether a second one does no harm when the first one's answer was lost."""
    waits_s: float = 0
    """How long the server may take on purpose."""

    @property
    def to_storage(self) -> bool:
        """Whether it goes to the object store, which must not see the API key."""
        return bool(urlsplit(self.path).scheme)


@dataclass(frozen=True)
class Answer:
    """What came back, whatever it says."""

    status: int
    headers: Mapping[str, str]
    content: bytes


@dataclass(frozen=True)
class Attempt:
    """Send once; raises UnreachableError when no answer comes."""

    request: Request


@dataclass(frozen=True)
class Pause:
    """Do nothing for so long."""

    seconds: float


@dataclass(frozen=True)
class Together:
    """Run flows side by side, ``at_once`` of them; the first error ends all."""

    flows: Iterable["Flow[None]"]
    at_once: int
    stop: Callable[[], None]
    """Makes those that are under way fail soon: threads cannot be ended from outside."""


Step = Request | Attempt | Pause | Together
Flow: TypeAlias = Generator[Step, Any, T]


@dataclass(frozen=True)
class Policy:
    """When to try again."""

    retries: int = 5
    first_s: float = 0.5
    longest_s: float = 30.0
    longest_retry_after_s: float = 120.0
    """A server that asks for a longer pause gets its error shown instead."""

    def pause(self, attempt: int, asked_s: float | None) -> float:
        """Seconds before the attempt after ``attempt``, from 0: doubling, with full jitter."""
        if asked_s is not None:
            return asked_s + random.uniform(0, self.first_s)  # noqa: S311 - no secret
        ceiling = min(self.longest_s, self.first_s * 2**attempt)
        return random.uniform(ceiling / 2, ceiling)  # noqa: S311 - no secret


DEFAULT_POLICY = Policy()

_ANYWAY = frozenset({429, 503})  # refused before anything was done
_REPEATED = frozenset({408, 425, 500, 502, 504})


def attempts(request: Request, policy: Policy) -> Flow[Answer]:
    """``request`` until it is answered well; raises the last error when that does not happen."""
    attempt = 0
    while True:
        error: WhisperdropError
        asked = None
        try:
            answer: Answer = yield Attempt(request)
        except UnreachableError as unreachable:
            error, again = unreachable, request.repeatable or not unreachable.sent
        else:
            if answer.status < 400:
                return answer
            error, asked = _refusal(request, answer), retry_after(answer.headers)
            again = answer.status in _ANYWAY or (request.repeatable and answer.status in _REPEATED)
            again = again and (asked or 0) <= policy.longest_retry_after_s
        if not again or attempt >= policy.retries:
            raise error
        yield Pause(policy.pause(attempt, asked))
        attempt += 1


def _refusal(request: Request, answer: Answer) -> WhisperdropError:
    if not request.to_storage:
        return api_error(answer.status, answer.headers, answer.content)
    said = answer.content[:4000].decode(errors="replace")
    code = said.partition("<Code>")[2].partition("</Code>")[0]
    return StorageError(
        f"the storage refused the upload: {answer.status} {code}".rstrip(), answer.status
    )
