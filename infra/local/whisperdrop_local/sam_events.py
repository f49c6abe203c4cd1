"""Events as Lambda's poller hands them to a function: messages of a queue, with S3's inside."""

import json
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote_plus

from whisperdrop.domain import keys
from whisperdrop.domain.ids import JobRef
from whisperdrop_local.sam_storage import SamLocalError, SamStorage

_REGION = "us-east-1"


def of_job(
    storage: SamStorage, function: str, job_id: str, tenant: str = "default"
) -> dict[str, Any]:
    """What tells ``function`` of a job: the worker of its upload, others of its end.

    Raises SamLocalError when the job has not come so far.
    """
    try:
        ref = JobRef(tenant, job_id)
    except ValueError as error:
        raise SamLocalError(f"{job_id!r} is no id of a job") from error
    if function == "WorkerFunction":
        listed = storage.s3().list_objects_v2(Bucket=storage.bucket, Prefix=keys.upload(ref, ""))
        found = [entry["Key"] for entry in listed.get("Contents", [])]
    else:
        found = [keys.outcome(ref)]
    if not found:
        raise SamLocalError(f"nothing has been uploaded for the job {job_id}")
    return sqs_event(_message(s3_event(storage.bucket, found[0])))


def s3_event(bucket: str, key: str) -> dict[str, Any]:
    """As S3 writes it; its keys are URL-encoded."""
    entity = {"bucket": {"name": bucket}, "object": {"key": quote_plus(key, safe="/")}}
    record = {"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": entity}
    return {"Records": [record]}


def sqs_event(*messages: Mapping[str, Any], queue: str = "local") -> dict[str, Any]:
    """Messages as SQS answers them, as Lambda's poller writes them."""
    records = [
        {
            "messageId": message["MessageId"],
            "receiptHandle": message["ReceiptHandle"],
            "body": message["Body"],
            "attributes": message["Attributes"],
            "messageAttributes": {},
            "md5OfBody": message.get("MD5OfBody", ""),
            "eventSource": "aws:sqs",
            "eventSourceARN": f"arn:aws:sqs:{_REGION}:000000000000:{queue}",
            "awsRegion": _REGION,
        }
        for message in messages
    ]
    return {"Records": records}


def _message(body: Mapping[str, Any]) -> dict[str, Any]:
    now = str(int(time.time() * 1000))
    return {
        "MessageId": "1",
        "ReceiptHandle": "none: this message was never in a queue",
        "Body": json.dumps(body),
        "Attributes": {
            "ApproximateReceiveCount": "1",
            "SentTimestamp": now,
            "SenderId": "local",
            "ApproximateFirstReceiveTimestamp": now,
        },
    }
