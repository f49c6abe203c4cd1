"""Where SQS puts what was received too often."""

import json
from typing import TYPE_CHECKING

from whisperdrop.adapters.aws import store_errors
from whisperdrop.adapters.sqs import SqsJobQueue
from whisperdrop.errors import StoreError

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


def dead_letters_of(client: "SQSClient", url: str) -> SqsJobQueue:
    """The dead-letter queue of the queue at ``url``. Raises StoreError where it has none."""
    with store_errors("reading the queue's policy"):
        answer = client.get_queue_attributes(QueueUrl=url, AttributeNames=["RedrivePolicy"])
        policy = answer.get("Attributes", {}).get("RedrivePolicy")
        if not policy:
            raise StoreError(f"the queue {url.rpartition('/')[2]} has no dead-letter queue")
        name = json.loads(policy)["deadLetterTargetArn"].rpartition(":")[2]
        return SqsJobQueue(client, client.get_queue_url(QueueName=name)["QueueUrl"])
