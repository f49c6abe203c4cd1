"""The queues of infra/storage.yaml by boto3, where SQS comes without CloudFormation.

A test compares them with those that the template makes.
"""

import json
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.literals import QueueAttributeNameType

_RETENTION_S = 4 * 24 * 3600
_DEAD_LETTER_RETENTION_S = 14 * 24 * 3600
_MAX_RECEIVES = 5

Attributes = dict["QueueAttributeNameType", str]


def ensure_queues(sqs: "SQSClient", names: dict[str, int]) -> bool:
    """Make those of ``names`` that are missing, each with its dead letters; whether any was.

    ``names`` maps each queue to how long its messages stay hidden, in seconds.
    """
    made = [_ensure(sqs, name, visibility_s) for name, visibility_s in names.items()]
    return any(made)


def _ensure(sqs: "SQSClient", name: str, visibility_s: int) -> bool:
    if _url(sqs, name) is not None:
        return False
    dead_letters = f"{name}-dlq"
    url = _url(sqs, dead_letters)
    if url is None:
        url = _create(sqs, dead_letters, {"MessageRetentionPeriod": str(_DEAD_LETTER_RETENTION_S)})
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"][
        "QueueArn"
    ]
    source = f"{arn.rpartition(':')[0]}:{name}"
    allowed = {"redrivePermission": "byQueue", "sourceQueueArns": [source]}
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"RedriveAllowPolicy": json.dumps(allowed)})
    redrive = {"deadLetterTargetArn": arn, "maxReceiveCount": _MAX_RECEIVES}
    _create(
        sqs,
        name,
        {
            "VisibilityTimeout": str(visibility_s),
            "MessageRetentionPeriod": str(_RETENTION_S),
            "RedrivePolicy": json.dumps(redrive),
        },
    )
    return True


def _create(sqs: "SQSClient", name: str, attributes: Attributes) -> str:
    with_encryption: Attributes = {**attributes, "SqsManagedSseEnabled": "true"}
    return sqs.create_queue(QueueName=name, Attributes=with_encryption)["QueueUrl"]


def _url(sqs: "SQSClient", name: str) -> str | None:
    try:
        return sqs.get_queue_url(QueueName=name)["QueueUrl"]
    except ClientError as error:
        if (
            error.response.get("Error", {})
            .get("Code", "")
            .endswith(("NonExistentQueue", "QueueDoesNotExist"))
        ):
            return None
        raise
