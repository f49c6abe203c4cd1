"""``python -m store_emulator``: the emulator's S3, and MinIO's way of telling of new objects.

The emulator itself tells a queue of its own. From there each event goes into a file, as with
MinIO's ``queue_dir``, and from the file to the webhook: one at a time, again every second until it
is taken. The variables are MinIO's.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from store_emulator.payload import webhook

_ENDPOINT = os.environ.get("MINIO_NOTIFY_WEBHOOK_ENDPOINT_WHISPERDROP", "")
_TOKEN = os.environ.get("MINIO_NOTIFY_WEBHOOK_AUTH_TOKEN_WHISPERDROP", "")
_QUEUE = Path(os.environ.get("MINIO_NOTIFY_WEBHOOK_QUEUE_DIR_WHISPERDROP", "/queue"))
_EVENTS = "store-events"
_RETRY_S = 1.0
_SELF = f"http://127.0.0.1:{os.environ.get('GATEWAY_PORT', '4566')}"
_HASTY = Config(connect_timeout=3, read_timeout=30, retries={"total_max_attempts": 1})


def main() -> int:
    """Run until the emulator ends; its exit status."""
    emulator = subprocess.Popen(["ministack"])  # noqa: S607 - of this image
    signal.signal(signal.SIGTERM, lambda *_: emulator.terminate())
    for work in (_collect, _send):
        threading.Thread(target=work, name=work.__name__, daemon=True).start()
    return emulator.wait()


def _collect() -> None:
    """From the emulator's queue into files; an event is acknowledged when its file is there."""
    sqs = boto3.client("sqs", endpoint_url=_SELF, config=_HASTY)
    style = Config(s3={"addressing_style": "path"})
    s3 = boto3.client("s3", endpoint_url=_SELF, config=_HASTY.merge(style))
    url = ""
    while True:
        try:
            url = url or _make_queue(sqs)
            got = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=2)
            for message in got.get("Messages", []):
                for body in _bodies(s3, message["Body"]):
                    _keep(body)
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        except (BotoCoreError, ClientError):  # it is still starting
            time.sleep(0.2)


def _make_queue(sqs: Any) -> str:
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "s3.amazonaws.com"},
                "Action": "sqs:SendMessage",
                "Resource": f"arn:aws:sqs:us-east-1:000000000000:{_EVENTS}",
            }
        ],
    }
    made = sqs.create_queue(QueueName=_EVENTS, Attributes={"Policy": json.dumps(policy)})
    return str(made["QueueUrl"])


def _bodies(s3: Any, text: str) -> Iterator[dict[str, Any]]:
    for record in json.loads(text).get("Records", []):
        bucket = record["s3"]["bucket"]["name"]
        key = unquote_plus(record["s3"]["object"]["key"])
        try:
            head = s3.head_object(Bucket=bucket, Key=key)
        except ClientError:  # deleted by now
            head = {}
        yield webhook(
            bucket,
            key,
            event=record["eventName"].removeprefix("s3:"),
            time=record["eventTime"],
            size=record["s3"]["object"].get("size", 0),
            etag=record["s3"]["object"].get("eTag", ""),
            content_type=head.get("ContentType", "binary/octet-stream"),
            metadata=head.get("Metadata"),
        )


def _keep(body: dict[str, Any]) -> None:
    name = f"{time.time_ns():020d}"
    unfinished = _QUEUE / f"{name}.tmp"
    unfinished.write_text(json.dumps(body))
    unfinished.rename(_QUEUE / f"{name}.event")


def _send() -> None:
    """From files to the webhook, in order; what is refused holds up what stands behind it."""
    while True:
        for path in sorted(_QUEUE.glob("*.event")):
            while not _taken(path.read_bytes()):
                time.sleep(_RETRY_S)
            path.unlink()
        time.sleep(0.05)


def _taken(body: bytes) -> bool:
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {_TOKEN}"}
    request = urllib.request.Request(_ENDPOINT, body, headers)  # noqa: S310 - the bridge
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            return bool(200 <= answer.status < 300)
    except (urllib.error.URLError, OSError) as error:
        print(f"unable to send event: {error}", file=sys.stderr)
        return False


if __name__ == "__main__":
    sys.exit(main())
