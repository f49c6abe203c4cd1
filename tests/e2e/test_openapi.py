"""What the OpenAPI document promises, held against the running service.

Schemathesis reads the document, makes requests of every kind for every operation, right and wrong
ones, and compares each answer with what the document says of it. Names of jobs and models are
mostly exchanged for such as exist: made-up ones alone would see nothing but 404.
"""

import re
import zlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis import checks
from schemathesis.specs.openapi import checks as documented

from tests.builders import a_lease, a_request, a_transcript, an_outcome
from tests.clock import ManualClock
from tests.e2e.client import Client
from tests.e2e.running import RunningStack
from tests.recordings import bundled
from tests.unit.api.services import services_over
from whisperdrop.adapters.memory import MemoryObjectStore
from whisperdrop.domain import keys
from whisperdrop.domain.ids import JobRef, new_job_id
from whisperdrop.domain.job import JobStatus
from whisperdrop.domain.upload import MULTIPART_THRESHOLD_BYTES
from whisperdrop.service.documents import dump
from whisperdrop_api.app import create_app

pytestmark = [pytest.mark.emulator, pytest.mark.speech]

_TENANT = "document"
_EXAMPLES = 12
"""Requests that are drawn for each operation, beside those that go along its limits."""

# The document is the same over any store; asking the stack for it would start it to collect tests.
_CLOCK = ManualClock()
DOCUMENT = create_app(services_over(MemoryObjectStore(_CLOCK), _CLOCK)).openapi()
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)
OPERATIONS = [
    f"{method.upper()} {path}" for path, item in DOCUMENT["paths"].items() for method in item
]

# What is not here does not fit. positive_data_acceptance: some rules no schema can say, such as
# that a webhook leads to the public internet, or that one field is not more than another.
# use_after_free, ensure_resource_availability and object_level_authorization follow links, and the
# document has none; tests/unit/api/ has tests of what they look for.
_CHECKS = [
    checks.not_a_server_error,
    documented.status_code_conformance,
    documented.content_type_conformance,
    documented.response_headers_conformance,
    documented.response_schema_conformance,
    documented.negative_data_rejection,
    documented.missing_required_header,
    documented.unsupported_method,
    documented.allow_header_conformance,
    documented.ignored_auth,
]
# A batch answers a bad item in its place. Whisper servers and OpenAI pass over form fields that
# they do not know, and read "" as "not given"; unknown parameters are passed over everywhere.
_EXCLUDED: dict[str, Any] = {
    operation: [documented.negative_data_rejection]
    for operation in (
        "GET /v1/jobs",
        "POST /transcribe/{model}",
        "POST /transcribe-{model}",
        "POST /v1/audio/transcriptions",
        "POST /v1/audio/translations",
    )
} | {
    # GET and DELETE are allowed there: as for a job of that name, which is never found.
    "POST /v1/jobs/batch": [
        documented.negative_data_rejection,
        documented.allow_header_conformance,
    ]
}


_SUITS = {
    "events": "succeeded",
    "transcript": "succeeded",
    "media": "succeeded",
    "upload": "multipart",
}
"""In which state a job has what the end of a path names."""


@dataclass
class Jobs:
    """A tenant's jobs in every state, made when the first is asked for."""

    stack: RunningStack
    client: Client
    ids: dict[str, str] = field(default_factory=dict)

    def pick(self, case: schemathesis.Case[Any]) -> str:
        """A job's id: that of a job which the operation is for in half of the cases."""
        if not self.ids:
            self._make()
        drawn = _drawn(case)
        named = re.search(r"/(events|transcript|media|upload)", case.path)
        state = _SUITS[named[1]] if named and drawn % 2 else None
        if named and named[1] == "events":
            # Following a job that goes on takes until it has ended.
            state = ("succeeded", "failed")[drawn % 2]
        states = [*self.ids]
        return self.ids[state or states[drawn // 2 % len(states)]]

    def _make(self) -> None:
        now = datetime.now(UTC)
        ids = {name: self._stored(name, now) for name in ("succeeded", "failed", "running")}
        media = {"filename": "speech.mp3", "size": 1000}
        large = media | {"size": MULTIPART_THRESHOLD_BYTES + 1}
        for name, body in (("awaiting_upload", media), ("multipart", large)):
            ids[name] = self.client.post("/v1/jobs", json=body).json()["job_id"]
        self.ids = ids

    def _stored(self, state: str, now: datetime) -> str:
        """Written to the store as a worker would have left it."""
        store = self.stack.store
        ref = JobRef(_TENANT, new_job_id(now))
        request = a_request(ref, created_at=now, upload_expires_at=now + timedelta(hours=1))
        store.create(keys.request(ref), dump(request))
        if state == "running":
            lease = a_lease(now + timedelta(hours=1), acquired_at=now)
            store.create(keys.lease(ref), dump(lease))
        else:
            times = {"created_at": now, "started_at": now, "finished_at": now}
            store.create(keys.transcript(ref), dump(a_transcript(ref)))
            store.create(keys.outcome(ref), dump(an_outcome(ref, JobStatus(state), **times)))
        # Last of all: it raises an event, and a worker looks at the job.
        store.put(request.media_key, b"no audio", request.content_type)
        return ref.job_id


@pytest.fixture(scope="session")
def tenant(shared_stack: RunningStack) -> Client:
    """With a key of a tenant that no other test looks at."""
    operator = Client(shared_stack.address, shared_stack.api_key)
    wanted = {"name": "document", "tenant": _TENANT, "scopes": ["read", "write", "admin"]}
    answer = operator.post("/v1/keys", json=wanted)
    assert answer.status_code == 201, answer.text
    return Client(shared_stack.address, answer.json()["key"])


@pytest.fixture
def jobs(shared_stack: RunningStack, tenant: Client) -> Jobs:
    """Fresh ones for each operation: some delete them."""
    return Jobs(shared_stack, tenant)


@SCHEMA.parametrize()
@settings(
    max_examples=_EXAMPLES,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_the_service_answers_as_its_document_says(
    case: schemathesis.Case[Any], tenant: Client, jobs: Jobs
) -> None:
    _make_real(case, jobs)
    case.call_and_validate(
        base_url=tenant.address,
        headers={"Authorization": f"Bearer {tenant.key}"},
        checks=_CHECKS,
        excluded_checks=_EXCLUDED.get(case.operation.label, []),
        timeout=30,
    )


def _make_real(case: schemathesis.Case[Any], jobs: Jobs) -> None:
    """Puts in what exists, where the document can only say that it is a text."""
    named = case.path_parameters
    drawn = _drawn(case)
    mostly = drawn % 4 > 0
    if "job_id" in named and mostly:
        named["job_id"] = jobs.pick(case)
    for name in {"model", "model_id"} & named.keys():
        named[name] = "tiny.en" if mostly else named[name]
    if isinstance(case.query, dict) and _seconds(case.query.get("wait")) > 0.05:
        case.query["wait"] = 0.05
    if isinstance(case.body, dict):
        body: dict[str, Any] = case.body
        for field_name in ("url", "webhook_url"):
            if str(body.get(field_name)).startswith("https://"):
                # RFC 6761: nobody is ever reached under this name.
                body[field_name] = "https://hooks.invalid/whisperdrop"
        # Speech in some of them: each takes a worker a moment, and both /transcribe are one route.
        if "file" in body and drawn % 8 in {1, 2} and "transcribe-" not in case.path:
            body["file"] = bundled().media.read_bytes()
        if isinstance(body.get("language"), str) and mostly:
            body["language"] = "en"


def _drawn(case: schemathesis.Case[Any]) -> int:
    """A number that is the same for the same case."""
    said = (case.method, case.path_parameters, case.query, case.headers, case.body)
    return zlib.crc32(repr(said).encode())


def _seconds(value: object) -> float:
    try:
        return float(str(value))
    except ValueError:
        return 0


@pytest.mark.parametrize("operation", [name for name in OPERATIONS if name != "GET /health"])
def test_without_a_key_nothing_is_answered(operation: str, shared_stack: RunningStack) -> None:
    method, path = operation.split()
    path = re.sub(r"{\w+}", "any", path)

    answer = requests.request(method, shared_stack.address + path, timeout=30)

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
