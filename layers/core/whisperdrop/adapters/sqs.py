"""The job queue port on SQS."""

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
                MessageSystemAttributeNames=["ApproximateReceiveCount"],
            )
        messages = answer.get("Messages", [])
        if not messages:
            return None
        raw = messages[0]
        receives = int(raw.get("Attributes", {}).get("ApproximateReceiveCount", "1"))
        return Message(raw["Body"], raw["ReceiptHandle"], receives)

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
