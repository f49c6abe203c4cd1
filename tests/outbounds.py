"""The outbound port without a network: names and answers are a test's to choose."""

from collections.abc import Callable
from dataclasses import dataclass, field

from whisperdrop.ports import Endpoint, HttpAnswer, NotConnectedError, UnreachableError

PUBLIC = "93.184.216.34"


@dataclass(frozen=True)
class Posted:
    """One request."""

    endpoint: Endpoint
    headers: dict[str, str]
    body: bytes
    timeout_s: float


@dataclass
class FakeOutbound:
    """Answers 200 under a public address unless told otherwise."""

    names: dict[str, tuple[str, ...]] = field(default_factory=dict)
    answers: list[HttpAnswer | Exception] = field(default_factory=list)
    """What comes of the next requests, one each; then 200."""
    posted: list[Posted] = field(default_factory=list)
    lookups: list[str] = field(default_factory=list)
    closed: set[str] = field(default_factory=set)
    """Addresses that accept no connection."""
    meanwhile: Callable[[], object] | None = None
    """What happens in the world while a request is under way."""

    def resolve(self, host: str, *, timeout_s: float) -> tuple[str, ...]:
        self.lookups.append(host)
        found = self.names.get(host, (PUBLIC,))
        if not found:
            raise UnreachableError(f"the name {host} cannot be resolved")
        return found

    def post(
        self, endpoint: Endpoint, headers: dict[str, str], body: bytes, *, timeout_s: float
    ) -> HttpAnswer:
        if endpoint.address in self.closed:
            raise NotConnectedError("the target does not accept connections")
        self.posted.append(Posted(endpoint, headers, body, timeout_s))
        if self.meanwhile is not None:
            self.meanwhile()
        answer = self.answers.pop(0) if self.answers else HttpAnswer(200)
        if isinstance(answer, Exception):
            raise answer
        return answer
