"""Lambda's poller between queues and functions, which `sam local` does not have.

One message a batch, and one batch a function at a time: `sam local` keeps one warm container for
each. A message that the answer does not call done stays, and comes back when its visibility ends.
"""

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import requests
from botocore.exceptions import BotoCoreError, ClientError

from whisperdrop.observability import Logger
from whisperdrop_local.sam_events import sqs_event

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

logger = Logger(service="sam-queues")

_WAIT_S = 1
_LONGEST_S = 930.0  # a function ends after 900
_CALM_S = 1.0
_ATTEMPTS = 5


class Feed(threading.Thread):
    """Feeds one function from its queues; the first queue goes before the others."""

    def __init__(self, sqs: "SQSClient", queues: Sequence[str], invocations: str) -> None:
        """``invocations`` is the URL at which the function is called."""
        super().__init__(daemon=True)
        self._sqs = sqs
        self._queues = queues
        self._invocations = invocations
        self._stop = threading.Event()

    def run(self) -> None:
        """Until :meth:`stop`."""
        while not self._stop.is_set():
            try:
                self._once()
            except (BotoCoreError, ClientError, requests.RequestException) as error:
                logger.warning("not_fed", extra={"error": str(error)})
                self._stop.wait(_CALM_S)

    def stop(self) -> None:
        """Take no more messages."""
        self._stop.set()

    def _once(self) -> None:
        for queue in self._queues:
            answer = self._sqs.receive_message(
                QueueUrl=queue,
                MaxNumberOfMessages=1,
                WaitTimeSeconds=_WAIT_S,
                AttributeNames=["All"],
            )
            for message in answer.get("Messages", []):
                if self._handled(message, queue):
                    self._sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
                return  # to the first queue again

    def _handled(self, message: "MessageTypeDef", queue: str) -> bool:
        event = sqs_event(message, queue=queue.rsplit("/", 1)[-1])
        # Without an answer, SAM has found a container whose program was not listening yet.
        for _ in range(_ATTEMPTS):
            response = requests.post(self._invocations, json=event, timeout=_LONGEST_S)
            if (response.ok and response.content) or self._stop.wait(_CALM_S):
                break
        done = response.ok and all_done(response.json())
        if not done:
            logger.warning("not_done", extra={"answer": response.text[:500]})
        return done


def all_done(answer: Any) -> bool:
    """Whether a function that reports partial failures reports none; its error is no answer."""
    return isinstance(answer, dict) and answer.get("batchItemFailures") == []
