"""Storage and queues for containers that have the network of this machine."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import boto3
from mypy_boto3_s3 import S3Client
from mypy_boto3_sqs import SQSClient

from tests.emulator import CREDENTIALS, Emulator
from whisperdrop_local.deploy import PATH_STYLE, Storage, deploy
from whisperdrop_local.sample import bundled

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient


@dataclass(frozen=True)
class Backend:
    """Storage and queues on the loopback interface."""

    emulator: Emulator
    storage: Storage
    s3: S3Client
    sqs: SQSClient

    @property
    def environ(self) -> dict[str, str]:
        """As a deployment sets it."""
        return (
            self.emulator.environ
            | self.storage.environment
            | {"S3_ADDRESSING_STYLE": "path", "AWS_EC2_METADATA_DISABLED": "true"}
        )

    def drop(self, name: str) -> str:
        """Put the sample into the inbox; where its text will lie."""
        key = f"inbox/default/{name}.wav"
        self.s3.upload_file(str(bundled().media), self.storage.bucket, key)
        return f"outbox/default/{name}.wav.txt"

    def text(self, key: str) -> str:
        """An object, waited for."""
        waiter = self.s3.get_waiter("object_exists")
        waiter.wait(
            Bucket=self.storage.bucket, Key=key, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
        )
        return self.s3.get_object(Bucket=self.storage.bucket, Key=key)["Body"].read().decode()

    def take(self, name: str) -> str:
        """The message of the bulk queue that tells of ``name``."""
        url = self.storage.bulk_queue_url
        while True:  # the bucket's first message tells that there is a queue
            [message] = self.sqs.receive_message(QueueUrl=url, WaitTimeSeconds=10)["Messages"]
            self.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            if name in message["Body"]:
                return message["Body"]


def new_backend(emulator: Emulator, bucket: str) -> Backend:
    """The storage template, deployed with a bucket of that name."""
    session = boto3.Session(
        aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        region_name=CREDENTIALS["AWS_DEFAULT_REGION"],
    )
    endpoint = emulator.endpoint
    s3: S3Client = session.client("s3", endpoint_url=endpoint, config=PATH_STYLE)
    cloudformation: CloudFormationClient = session.client("cloudformation", endpoint_url=endpoint)
    storage = deploy(cloudformation, s3, visibility_s=120, bucket=bucket)
    return Backend(emulator, storage, s3, session.client("sqs", endpoint_url=endpoint))
