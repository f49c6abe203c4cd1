"""What ``make deploy`` and ``make destroy`` do around SAM: who and where, outputs, and the end.

``python -m whisperdrop_local.stage ready|parameters|outputs|destroy --stage dev``. A stage is one
stack, ``whisperdrop-STAGE``. Deleting it never deletes the bucket; that takes the bucket's name.
"""

import argparse
import contextlib
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError, WaiterError

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudformation.type_defs import StackTypeDef
    from mypy_boto3_s3 import S3Client

SAMCONFIG = Path(__file__).resolve().parents[3] / "samconfig.toml"
_AT_ONCE = 1000  # objects that one request deletes


class StageError(Exception):
    """Why nothing was done, or what is left to do; the message says what helps."""


@dataclass(frozen=True)
class Place:
    """Where a stage is: account, region, and the name of its stack."""

    account: str
    region: str
    stage: str

    @property
    def stack(self) -> str:
        """The stack's name, as samconfig.toml has it."""
        return f"whisperdrop-{self.stage}"

    def __str__(self) -> str:
        return f"stack {self.stack}, account {self.account}, region {self.region}"


def place(session: boto3.Session, stage: str) -> Place:
    """Ask AWS who we are. Raises StageError without a region, or credentials that are accepted."""
    if session.region_name is None:
        raise StageError(
            "no region: set AWS_DEFAULT_REGION, or AWS_PROFILE to a profile that has one"
        )
    if session.get_credentials() is None:
        raise StageError(
            "no AWS credentials: sign in with `aws sso login` or `aws configure`, set AWS_PROFILE"
        )
    try:
        identity = session.client("sts").get_caller_identity()
    except (BotoCoreError, ClientError) as error:
        raise StageError(f"AWS does not accept these credentials: {error}") from error
    return Place(identity["Account"], session.region_name, stage)


def parameters(config: Path, stage: str, overrides: Sequence[str]) -> list[str]:
    """What samconfig.toml says for ``stage``, with ``overrides`` (NAME=VALUE) in its place.

    `sam deploy` takes the one or the other: whoever gives a parameter by hand loses the file's.
    """
    loaded = tomllib.loads(config.read_text(encoding="utf-8"))
    if stage not in loaded:
        raise StageError(f"samconfig.toml has no [{stage}.deploy.parameters]: copy those of dev")
    written = loaded[stage]["deploy"]["parameters"]["parameter_overrides"]
    merged: dict[str, str] = {}
    for pair in [*written, *overrides]:
        name, given, value = pair.partition("=")
        if not (name and given) or any(char.isspace() for char in value):
            raise StageError(f"{pair!r} is not NAME=VALUE, without blanks")
        merged[name] = value or '""'  # as SAM reads nothing
    return [f"{name}={value}" for name, value in merged.items()]


def outputs(session: boto3.Session, where: Place) -> dict[str, str]:
    """Of the stage's stack. Raises StageError where there is none."""
    stack = _stack(session.client("cloudformation"), where.stack)
    if stack is None:
        raise StageError(f"there is no {where}")
    return {o["OutputKey"]: o["OutputValue"] for o in stack.get("Outputs", [])}


def destroy(
    session: boto3.Session, where: Place, *, delete_data: str | None, say: Callable[[str], None]
) -> None:
    """Delete the stack and keep its bucket, unless ``delete_data`` is that bucket's name.

    May be run again where it was interrupted. Raises StageError before anything is deleted when the
    name is another one.
    """
    cloudformation: CloudFormationClient = session.client("cloudformation")
    stack = _stack(cloudformation, where.stack)
    known = {} if stack is None else outputs(session, where)
    bucket = known.get("BucketName") or usual_bucket(where)
    if delete_data is not None and delete_data != bucket:
        raise StageError(
            f"nothing was deleted: the bucket of {where} is {bucket}, not {delete_data}"
        )
    if stack is None:
        say(f"there is no {where}")
    else:
        hold_workers(session, known, say)
        _delete_stack(cloudformation, where, say)
    s3: S3Client = session.client("s3")
    if not _exists(s3, bucket):
        say(f"there is no bucket {bucket}")
    elif delete_data is None:
        say(
            f"all recordings and transcripts are still in s3://{bucket}\n"
            f"  to look:    aws s3 ls s3://{bucket}/results/ --recursive --summarize\n"
            f"  to copy:    aws s3 sync s3://{bucket}/ ./{bucket}/\n"
            f"  to delete:  make destroy STAGE={where.stage} DELETE_DATA={bucket}"
        )
    else:
        count = _empty(s3, bucket)
        s3.delete_bucket(Bucket=bucket)
        say(f"deleted {count} objects and the bucket {bucket}")


def usual_bucket(where: Place) -> str:
    """The bucket's name as template.yaml makes it where nobody gave another."""
    return f"whisperdrop-{where.stage}-{where.account}-{where.region}"


def hold_workers(
    session: boto3.Session, known: Mapping[str, str], say: Callable[[str], None]
) -> None:
    """Keep new GPU tasks from starting and end those that run: a cluster in use is not deleted."""
    cluster = known.get("GpuCluster")
    if cluster is None:
        return
    session.client("lambda").put_function_concurrency(
        FunctionName=known["DispatcherFunction"], ReservedConcurrentExecutions=0
    )
    ecs = session.client("ecs")
    for page in ecs.get_paginator("list_tasks").paginate(cluster=cluster):
        for task in page["taskArns"]:
            say(f"stopping {task.rpartition('/')[2]}; its jobs wait in the bucket")
            ecs.stop_task(cluster=cluster, task=task, reason="the stage is being deleted")


def _delete_stack(
    cloudformation: "CloudFormationClient", where: Place, say: Callable[[str], None]
) -> None:
    say(f"deleting {where} ...")
    cloudformation.delete_stack(StackName=where.stack)
    try:
        cloudformation.get_waiter("stack_delete_complete").wait(
            StackName=where.stack, WaiterConfig={"Delay": 5, "MaxAttempts": 480}
        )
    except WaiterError as error:
        raise StageError(
            f"{where} was not deleted: {error}\nIts events say why:"
            f" aws cloudformation describe-stack-events --stack-name {where.stack}\n"
            "GPU instances take some minutes to end; run this again then."
        ) from error


def _stack(cloudformation: "CloudFormationClient", name: str) -> "StackTypeDef | None":
    try:
        stack = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        if "does not exist" in str(error):
            return None
        raise
    return None if stack["StackStatus"] == "DELETE_COMPLETE" else stack


def _exists(s3: "S3Client", bucket: str) -> bool:
    try:
        s3.head_bucket(Bucket=bucket)
    except ClientError as error:
        if error.response["Error"]["Code"] in {"404", "NoSuchBucket"}:
            return False
        raise
    return True


def _empty(s3: "S3Client", bucket: str) -> int:
    """Delete every version of every object; how many there were."""
    count = 0
    batch: list[Any] = []
    for version in _versions(s3, bucket):
        batch.append(version)
        if len(batch) == _AT_ONCE:
            count += _delete(s3, bucket, batch)
            batch = []
    return count + _delete(s3, bucket, batch)


def _versions(s3: "S3Client", bucket: str) -> Iterator[dict[str, str]]:
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        for found in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]:
            yield {"Key": found["Key"], "VersionId": found["VersionId"]}


def _delete(s3: "S3Client", bucket: str, batch: list[Any]) -> int:
    if batch:
        done = s3.delete_objects(Bucket=bucket, Delete={"Objects": batch, "Quiet": True})
        if failed := done.get("Errors"):
            raise StageError(f"{len(failed)} objects of {bucket} were not deleted: {failed[0]}")
    return len(batch)


def _confirm(where: Place, typed: str | None) -> None:
    if typed is None:
        if not sys.stdin.isatty():
            raise StageError(f"nothing was deleted: confirm with CONFIRM={where.stack}")
        typed = input(f"This deletes {where}, and keeps its bucket. Type {where.stack}: ")
    if typed != where.stack:
        raise StageError(f"nothing was deleted: {typed!r} is not {where.stack}")


def _show(known: Mapping[str, str]) -> None:
    for name, value in sorted(known.items()):
        print(f"{name:32} {value}")
    print("\nThe key, and a first transcript:\n")
    if secret := known.get("ApiKeySecret"):
        print(
            "  export API_KEY=$(aws secretsmanager get-secret-value --query SecretString"
            f" --output text \\\n    --secret-id {secret})"
        )
    print(
        f"  export API_URL={known.get('ApiUrl', '')}\n"
        '  curl -H "Authorization: Bearer $API_KEY" -F file=@recording.mp3'
        " $API_URL/v1/audio/transcriptions -F model=whisper-1"
    )


def main(arguments: list[str] | None = None) -> int:
    """Parse, do, and answer with an exit status."""
    parser = argparse.ArgumentParser(prog="whisperdrop_local.stage", description=__doc__)
    parser.add_argument("verb", choices=["ready", "parameters", "outputs", "destroy"])
    parser.add_argument("--stage", required=True)
    parser.add_argument("--confirm", help="the stack's name, where nobody can be asked")
    parser.add_argument(
        "--delete-data", metavar="BUCKET", help="delete the bucket of this name too"
    )
    parser.add_argument("override", nargs="*", help="NAME=VALUE, for parameters")
    options = parser.parse_args(arguments)
    try:
        if options.verb == "parameters":
            print(" ".join(parameters(SAMCONFIG, options.stage, options.override)))
            return 0
        session = boto3.Session()
        where = place(session, options.stage)
        match options.verb:
            case "ready":
                print(where, file=sys.stderr)
                print(where.region)  # for SAM
            case "outputs":
                _show(outputs(session, where))
            case "destroy":
                _confirm(where, options.confirm or None)
                destroy(session, where, delete_data=options.delete_data or None, say=print)
    except (StageError, ClientError, BotoCoreError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        sys.exit(main())
