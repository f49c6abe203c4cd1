"""Deploys infra/storage.yaml through CloudFormation, into whatever ``AWS_ENDPOINT_URL`` names."""

import argparse
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudformation.type_defs import StackTypeDef, WaiterConfigTypeDef
    from mypy_boto3_s3 import S3Client

TEMPLATE = Path(__file__).resolve().parents[2] / "storage.yaml"
STACK = "whisperdrop-storage"
_ADOPT = "adopt-bucket"
BUCKET = "whisperdrop-local"
PATH_STYLE = Config(s3={"addressing_style": "path"})
"""For emulators: a bucket in the host name would not resolve."""

_TIMEOUT_S = 120.0
_OFTEN: "WaiterConfigTypeDef" = {"Delay": 1, "MaxAttempts": 120}
_WITHOUT_BUCKET = {None, "ROLLBACK_COMPLETE", "REVIEW_IN_PROGRESS", "CREATE_FAILED"}


class DeployError(Exception):
    """The stack could not be made; the message has CloudFormation's reason."""


@dataclass(frozen=True)
class Storage:
    """Outputs of the storage stack."""

    bucket: str
    interactive_queue_url: str
    bulk_queue_url: str
    notify_queue_url: str

    @property
    def environment(self) -> dict[str, str]:
        """As every process reads it."""
        return {
            "BUCKET": self.bucket,
            "INTERACTIVE_QUEUE_URL": self.interactive_queue_url,
            "BULK_QUEUE_URL": self.bulk_queue_url,
            "NOTIFY_QUEUE_URL": self.notify_queue_url,
        }


def deploy(
    cloudformation: "CloudFormationClient",
    s3: "S3Client",
    *,
    visibility_s: int,
    bucket: str = BUCKET,
) -> Storage:
    """Create the stack, or bring it up to date. Raises DeployError."""
    parameters = {
        "BucketName": bucket,
        "VisibilityTimeoutSeconds": str(visibility_s),
        "RequireTls": "false",  # emulators on loopback speak plain HTTP
    }
    arguments = {
        "StackName": STACK,
        "TemplateBody": TEMPLATE.read_text(),
        "Parameters": [
            {"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()
        ],
    }
    if _kept(s3, bucket) and _status(cloudformation) in _WITHOUT_BUCKET:
        _adopt(cloudformation, bucket)
    try:
        cloudformation.create_stack(**arguments)  # type: ignore[arg-type]
    except cloudformation.exceptions.AlreadyExistsException:
        try:
            cloudformation.update_stack(**arguments)  # type: ignore[arg-type]
        except ClientError as error:
            if "No updates" not in str(error):
                raise DeployError(str(error)) from error
    return _outputs(_wait(cloudformation))


def _kept(s3: "S3Client", bucket: str) -> bool:
    """Whether the bucket outlived its stack: the emulator keeps objects and forgets stacks."""
    try:
        s3.head_bucket(Bucket=bucket)
    except ClientError:
        return False
    return True


def _status(cloudformation: "CloudFormationClient") -> str | None:
    try:
        return cloudformation.describe_stacks(StackName=STACK)["Stacks"][0]["StackStatus"]
    except ClientError:
        return None


def _adopt(cloudformation: "CloudFormationClient", bucket: str) -> None:
    """Make a stack of the kept bucket alone, as one would on AWS; the update adds the rest.

    CloudFormation refuses to create a bucket that exists, and an import may hold nothing else.
    """
    cloudformation.delete_stack(StackName=STACK)  # what a failed creation left behind
    cloudformation.get_waiter("stack_delete_complete").wait(StackName=STACK, WaiterConfig=_OFTEN)
    resource = {
        "Type": "AWS::S3::Bucket",
        "DeletionPolicy": "Retain",
        "Properties": {"BucketName": bucket},
    }
    cloudformation.create_change_set(
        StackName=STACK,
        ChangeSetName=_ADOPT,
        ChangeSetType="IMPORT",
        TemplateBody=json.dumps({"Resources": {"Bucket": resource}}),
        ResourcesToImport=[
            {
                "ResourceType": "AWS::S3::Bucket",
                "LogicalResourceId": "Bucket",
                "ResourceIdentifier": {"BucketName": bucket},
            }
        ],
    )
    created = cloudformation.get_waiter("change_set_create_complete")
    created.wait(StackName=STACK, ChangeSetName=_ADOPT, WaiterConfig=_OFTEN)
    cloudformation.execute_change_set(StackName=STACK, ChangeSetName=_ADOPT)
    imported = cloudformation.get_waiter("stack_import_complete")
    imported.wait(StackName=STACK, WaiterConfig=_OFTEN)


def _wait(cloudformation: "CloudFormationClient") -> "StackTypeDef":
    deadline = time.monotonic() + _TIMEOUT_S
    while time.monotonic() < deadline:
        stack = cloudformation.describe_stacks(StackName=STACK)["Stacks"][0]
        status = stack["StackStatus"]
        if status in {"CREATE_COMPLETE", "UPDATE_COMPLETE"}:
            return stack
        if status.endswith(("FAILED", "ROLLBACK_COMPLETE")):
            raise DeployError(f"{status}: {stack.get('StackStatusReason', 'no reason given')}")
        time.sleep(0.05)
    raise DeployError(f"the storage stack was not ready after {_TIMEOUT_S:.0f} s")


def _outputs(stack: "StackTypeDef") -> Storage:
    outputs = {o["OutputKey"]: o["OutputValue"] for o in stack.get("Outputs", [])}
    return Storage(
        bucket=outputs["BucketName"],
        interactive_queue_url=outputs["InteractiveQueueUrl"],
        bulk_queue_url=outputs["BulkQueueUrl"],
        notify_queue_url=outputs["NotifyQueueUrl"],
    )


def main() -> None:
    """Deploy and print the environment of the processes, one variable a line."""
    parser = argparse.ArgumentParser(prog="whisperdrop_local.deploy", description=__doc__)
    parser.add_argument("--bucket", default=os.environ.get("BUCKET", BUCKET))
    parser.add_argument("--visibility", type=int, default=120, help="seconds")
    options = parser.parse_args()
    storage = deploy(
        boto3.client("cloudformation"),
        boto3.client("s3", config=PATH_STYLE),
        visibility_s=options.visibility,
        bucket=options.bucket,
    )
    for name, value in storage.environment.items():
        print(f"{name}={value}")


if __name__ == "__main__":
    main()
