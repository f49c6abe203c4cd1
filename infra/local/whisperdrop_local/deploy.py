"""Deploys infra/storage.yaml through CloudFormation, into whatever ``AWS_ENDPOINT_URL`` names."""

import argparse
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudformation.type_defs import StackTypeDef

TEMPLATE = Path(__file__).resolve().parents[2] / "storage.yaml"
STACK = "whisperdrop-storage"
BUCKET = "whisperdrop-local"
_TIMEOUT_S = 120.0


class DeployError(Exception):
    """The stack could not be made; the message has CloudFormation's reason."""


@dataclass(frozen=True)
class Storage:
    """Outputs of the storage stack."""

    bucket: str
    interactive_queue_url: str
    bulk_queue_url: str

    @property
    def environment(self) -> dict[str, str]:
        """As every process reads it."""
        return {
            "BUCKET": self.bucket,
            "INTERACTIVE_QUEUE_URL": self.interactive_queue_url,
            "BULK_QUEUE_URL": self.bulk_queue_url,
        }


def deploy(
    cloudformation: "CloudFormationClient", *, visibility_s: int, bucket: str = BUCKET
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
    try:
        cloudformation.create_stack(**arguments)  # type: ignore[arg-type]
    except cloudformation.exceptions.AlreadyExistsException:
        try:
            cloudformation.update_stack(**arguments)  # type: ignore[arg-type]
        except ClientError as error:
            if "No updates" not in str(error):
                raise DeployError(str(error)) from error
    return _outputs(_wait(cloudformation))


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
    )


def main() -> None:
    """Deploy and print the environment of the processes, one variable a line."""
    parser = argparse.ArgumentParser(prog="whisperdrop_local.deploy", description=__doc__)
    parser.add_argument("--bucket", default=os.environ.get("BUCKET", BUCKET))
    parser.add_argument("--visibility", type=int, default=120, help="seconds")
    options = parser.parse_args()
    storage = deploy(
        boto3.client("cloudformation"), visibility_s=options.visibility, bucket=options.bucket
    )
    for name, value in storage.environment.items():
        print(f"{name}={value}")


if __name__ == "__main__":
    main()
