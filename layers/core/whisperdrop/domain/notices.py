"""Messages of the queue that wakes the notifier: "this job has ended", from the bucket or from us.

They are hints. What is to be told, to whom and when is in the bucket.
"""

import json

from whisperdrop.domain.events import MalformedEventError, created_keys
from whisperdrop.domain.ids import JobRef
from whisperdrop.domain.keys import parse_outcome_key

_KIND = "whisperdrop.notification"


def notice(ref: JobRef) -> str:
    """The body of our own message for ``ref``."""
    return json.dumps({"kind": _KIND, "tenant": ref.tenant, "job_id": ref.job_id})


def parse_notice(text: str, *, bucket: str) -> list[JobRef]:
    """The jobs that a message names; none for test events and for other objects.

    Raises MalformedEventError for a message of no known kind.
    """
    try:
        body = json.loads(text)
        if isinstance(body, dict) and body.get("kind") == _KIND:
            return [JobRef(body["tenant"], body["job_id"])]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise MalformedEventError(f"not an event that we know: {text[:200]!r}") from error
    refs = map(parse_outcome_key, created_keys(text, bucket=bucket))
    return [ref for ref in refs if ref is not None]
