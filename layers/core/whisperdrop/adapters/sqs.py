"""The job queue port on SQS."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from whisperdrop.adapters.aws import store_errors
from whisperdrop.ports import Message

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


class SqsJobQueue:
    """One queue, through a client that is safe to share among threads."""

    def __init__(self, client: "SQSClient", url: str) -> None:
        self._client = client
        self._url = url

    def send(self, body: str, *, delay_s: int = 0) -> None:
        with store_errors("queueing the job"):
            self._client.send_message(QueueUrl=self._url, MessageBody=body, DelaySeconds=delay_s)

    def receive(self, *, wait_s: int, visibility_s: int) -> Message | None:
        with store_errors("reading the queue"):
            answer = self._client.receive_message(
                QueueUrl=self._url,
                MaxNumberOfMessages=1,
                WaitTimeSeconds=wait_s,
                VisibilityTimeout=visibility_s,
                MessageSystemAttributeNames=["ApproximateReceiveCount", "SentTimestamp"],
            )
        messages = answer.get("Messages", [])
        if not messages:
            return None
        raw = messages[0]
        attributes = raw.get("Attributes", {})
        receives = int(attributes.get("ApproximateReceiveCount", "1"))
        sent_at = sent_at_of(attributes.get("SentTimestamp", ""))
        return Message(raw["Body"], raw["ReceiptHandle"], receives, sent_at)

    def delete(self, message: Message) -> None:
        with store_errors("acknowledging a message"):
            self._client.delete_message(QueueUrl=self._url, ReceiptHandle=message.receipt)

    def extend(self, message: Message, visibility_s: int) -> None:
        with store_errors("keeping a message"):
            self._client.change_message_visibility(
                QueueUrl=self._url,
                ReceiptHandle=message.receipt,
                VisibilityTimeout=visibility_s,
            )


def sent_at_of(timestamp: str) -> datetime | None:
    """The moment that SQS writes as milliseconds since 1970."""
    return datetime.fromtimestamp(int(timestamp) / 1000, UTC) if timestamp.isdecimal() else None
