"""Following a job by its events: what to ask, what to make of the bytes, when to go on again."""

import json
from urllib.parse import quote

from whisperdrop_client.decoding import decode
from whisperdrop_client.errors import UnreachableError, WhisperdropError
from whisperdrop_client.flows import Policy, Request
from whisperdrop_client.models import Event, Job, JobEvent, Segment, SegmentEvent
from whisperdrop_client.sse import EventParser, ServerEvent

_KEEP_ALIVE_S = 15


class Tail:
    """One job's events over as many connections as it takes, each segment once."""

    def __init__(self, job_id: str, policy: Policy, after: str = "") -> None:
        self._path = f"/v1/jobs/{quote(job_id, safe='')}/events"
        self._policy = policy
        self._parser = EventParser()
        self._failures = 0
        self.last_id = after
        self.ended = False

    def request(self) -> Request:
        """The next connection; it goes on after the last event that was seen."""
        retry_s, self._parser = self._parser.retry_s, EventParser()
        self._parser.retry_s = retry_s
        self._parser._id = self.last_id
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        if self.last_id:
            headers["Last-Event-ID"] = self.last_id
        return Request("GET", self._path, headers=headers, waits_s=_KEEP_ALIVE_S)

    def feed(self, piece: bytes) -> list[Event]:
        """The events that ``piece`` completes."""
        events = []
        for sent in self._parser.feed(piece):
            self._failures = 0
            self.last_id = sent.last_id
            if event := self._event(sent):
                events.append(event)
        return events

    def _event(self, sent: ServerEvent) -> Event | None:
        if sent.type == "segment":
            return SegmentEvent(decode(Segment, json.loads(sent.data)))
        if sent.type in {"job", "end"}:
            self.ended = sent.type == "end"
            return JobEvent(decode(Job, json.loads(sent.data)), end=self.ended)
        return None  # of a newer server

    def pause(self, error: WhisperdropError | None) -> float:
        """Seconds before the next connection; raises ``error`` when there have been too many.

        Without an error the connection just ended, as it does behind gateways.
        """
        if error is None:
            return self._parser.retry_s or 0.1
        asked: float | None = getattr(error, "retry_after", None)
        passing = isinstance(error, UnreachableError) or getattr(error, "status", 0) in {
            429,
            500,
            502,
            503,
            504,
        }
        if not passing or self._failures >= self._policy.retries:
            raise error
        self._failures += 1
        return self._policy.pause(self._failures - 1, asked or self._parser.retry_s)
