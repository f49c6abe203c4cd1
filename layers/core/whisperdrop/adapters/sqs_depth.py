"""How many messages an SQS queue has, and its dead-letter queue."""

import json
from typing import TYPE_CHECKING, Final

from whisperdrop.adapters.aws import store_errors
from whisperdrop.errors import StoreError
from whisperdrop.ports import QueueDepth

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

_VISIBLE: Final = "ApproximateNumberOfMessages"
_IN_FLIGHT: Final = "ApproximateNumberOfMessagesNotVisible"
_REDRIVE: Final = "RedrivePolicy"


class SqsQueueMeter:
    """Two requests a look: one for the queue, one for its dead letters."""

    def __init__(self, client: "SQSClient", url: str) -> None:
        self._client = client
        self._url = url

    def depth(self) -> QueueDepth:
        with store_errors("counting the queue"):
            found = self._client.get_queue_attributes(
                QueueUrl=self._url, AttributeNames=[_VISIBLE, _IN_FLIGHT, _REDRIVE]
            )["Attributes"]
        dead = self._dead(found.get(_REDRIVE, ""))
        return QueueDepth(int(found[_VISIBLE]), int(found[_IN_FLIGHT]), dead)

    def _dead(self, policy: str) -> int | None:
        """None where there is none, or this process may not look: only a metric depends on it."""
        try:
            name = json.loads(policy or "{}")["deadLetterTargetArn"].rpartition(":")[2]
            url = f"{self._url.rpartition('/')[0]}/{name}"  # of the same account and region
            with store_errors("counting the dead letters"):
                counts = self._client.get_queue_attributes(QueueUrl=url, AttributeNames=[_VISIBLE])
        except (StoreError, KeyError, ValueError):
            return None
        return int(counts["Attributes"][_VISIBLE])
