"""`make deploy`, `make destroy`, `make push-gpu-image`: what they do around SAM, and refuse."""

import json
import os
import secrets
import shutil
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from moto import mock_aws
from mypy_boto3_cloudformation import CloudFormationClient
from mypy_boto3_s3 import S3Client

from tests.emulator import CREDENTIALS, Emulator
from tests.templates import ROOT, STORAGE
from whisperdrop_local import registry, stage

OF_OTHERS = ("AWS_PROFILE", "AWS_REGION", "AWS_SESSION_TOKEN", *CREDENTIALS)

MANIFEST = {
    "schemaVersion": 2,
    "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
    "config": {"digest": "sha256:1"},
    "layers": [],
}
# Only the recipes: what they need is installed, or another test's affair.
MAKE = (shutil.which("make") or "make", "--silent", "-o", ".venv-sam/done", "-o", ".venv/run.done")


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """An environment in which nobody is signed in to AWS."""
    for name in OF_OTHERS:
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return monkeypatch


@dataclass(frozen=True)
class Deployed:
    """A stage whose stack has a bucket with one transcript in it."""

    name: str
    bucket: str
    s3: S3Client
    cloudformation: CloudFormationClient

    def run(self, *arguments: str) -> int:
        return stage.main(["destroy", "--stage", self.name, *arguments])

    @property
    def stack_is_there(self) -> bool:
        try:
            stacks = self.cloudformation.describe_stacks(StackName=f"whisperdrop-{self.name}")
        except self.cloudformation.exceptions.ClientError:
            return False
        return stacks["Stacks"][0]["StackStatus"] != "DELETE_COMPLETE"

    @property
    def keys(self) -> list[str] | None:
        """None where there is no bucket."""
        if self.bucket not in [b["Name"] for b in self.s3.list_buckets()["Buckets"]]:
            return None
        return [o["Key"] for o in self.s3.list_objects_v2(Bucket=self.bucket).get("Contents", [])]


@pytest.fixture
def deployed(emulator: Emulator, nobody: pytest.MonkeyPatch) -> Deployed:
    for name, value in emulator.environ.items():
        nobody.setenv(name, value)
    return _deploy(f"t{secrets.token_hex(3)}")


def _deploy(name: str) -> Deployed:
    cloudformation: CloudFormationClient = boto3.client("cloudformation")
    where = stage.place(boto3.Session(), name)
    bucket = stage.usual_bucket(where)
    given = {"BucketName": bucket, "QueuePrefix": where.stack, "RequireTls": "false"}
    cloudformation.create_stack(
        StackName=where.stack,
        TemplateBody=STORAGE.read_text(),
        Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in given.items()],
    )
    cloudformation.get_waiter("stack_create_complete").wait(
        StackName=where.stack, WaiterConfig={"Delay": 1, "MaxAttempts": 30}
    )
    s3: S3Client = boto3.client("s3", config=Config(s3={"addressing_style": "path"}))
    s3.put_object(Bucket=bucket, Key="results/t/j/transcript.json", Body=b"{}")
    return Deployed(name, bucket, s3, cloudformation)


@pytest.mark.parametrize("verb", ["ready", "outputs", "destroy"])
def test_nobody_deploys_or_deletes_anything(
    nobody: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    arguments = [verb, "--stage", "dev", "--confirm", "whisperdrop-dev"]

    assert stage.main(arguments) == 1
    assert "no region" in capsys.readouterr().err
    nobody.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    assert stage.main(arguments) == 1
    assert "no AWS credentials" in capsys.readouterr().err


@pytest.mark.parametrize("target", ["deploy", "destroy", "push-gpu-image"])
def test_make_refuses_without_credentials_and_says_what_to_do(
    nobody: pytest.MonkeyPatch, target: str
) -> None:
    nobody.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    done = subprocess.run(
        [*MAKE, target, "STAGE=dev"],
        cwd=ROOT,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )

    assert done.returncode == 2
    assert "error: no AWS credentials" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.emulator
def test_make_deploy_builds_and_deploys_the_same_parameters_where_the_credentials_say(
    emulator: Emulator, nobody: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in emulator.environ.items():
        nobody.setenv(name, value)
    deployed = _deploy("dev")
    sam = tmp_path / "sam"
    sam.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\n')
    sam.chmod(0o755)

    done = subprocess.run(
        [
            *MAKE,
            "deploy",
            "STAGE=dev",
            "PARAMETERS=Workers=both",
            f"SAM_AT={sam}",
            f"SMALLER=echo smaller >> {tmp_path}/calls",  # of what nothing has built
        ],
        cwd=ROOT,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "account 000000000000, region us-east-1" in done.stderr
    build, smaller, deploy = (tmp_path / "calls").read_text().splitlines()
    assert smaller == "smaller"
    runtime = f"python{sys.version_info.major}.{sys.version_info.minor}"
    given = build.partition("--parameter-overrides ")[2].split()
    assert {"Stage=dev", f"PythonRuntime={runtime}", "Workers=both"} <= set(given)
    assert build.startswith("build --config-env dev --region us-east-1")
    assert deploy.startswith("deploy --config-env dev --region us-east-1")
    assert deploy.partition("--parameter-overrides ")[2].split() == given
    assert deployed.bucket in done.stdout
    deployed.run("--confirm", "whisperdrop-dev", "--delete-data", deployed.bucket)


@pytest.mark.emulator
def test_who_where_and_which_is_said_first(
    deployed: Deployed, capsys: pytest.CaptureFixture[str]
) -> None:
    assert stage.main(["ready", "--stage", deployed.name]) == 0

    said = capsys.readouterr()
    assert said.out == "us-east-1\n"
    assert f"stack whisperdrop-{deployed.name}, account 000000000000, region us-east-1" in said.err


@pytest.mark.emulator
def test_outputs_come_with_the_first_commands(
    deployed: Deployed, capsys: pytest.CaptureFixture[str]
) -> None:
    assert stage.main(["outputs", "--stage", deployed.name]) == 0

    said = capsys.readouterr().out
    assert deployed.bucket in said
    assert "curl" in said


@pytest.mark.emulator
def test_a_stage_is_deleted_and_its_bucket_is_not(
    deployed: Deployed, capsys: pytest.CaptureFixture[str]
) -> None:
    assert deployed.run("--confirm", f"whisperdrop-{deployed.name}") == 0

    assert not deployed.stack_is_there
    assert deployed.keys == ["results/t/j/transcript.json"]
    said = capsys.readouterr().out
    assert f"still in s3://{deployed.bucket}" in said
    assert f"DELETE_DATA={deployed.bucket}" in said


@pytest.mark.emulator
@pytest.mark.parametrize("typed", ["", "whisperdrop-prod", "yes"])
def test_nothing_is_deleted_without_the_stacks_name(deployed: Deployed, typed: str) -> None:
    assert deployed.run("--confirm", typed) == 1

    assert deployed.stack_is_there
    assert deployed.keys


@pytest.mark.emulator
def test_the_bucket_of_another_name_deletes_nothing_at_all(
    deployed: Deployed, capsys: pytest.CaptureFixture[str]
) -> None:
    confirmed = ("--confirm", f"whisperdrop-{deployed.name}")

    assert deployed.run(*confirmed, "--delete-data", "yes") == 1

    assert "nothing was deleted" in capsys.readouterr().err
    assert deployed.stack_is_there
    assert deployed.keys


@pytest.mark.emulator
def test_the_buckets_own_name_deletes_it_too_even_later(deployed: Deployed) -> None:
    confirmed = ("--confirm", f"whisperdrop-{deployed.name}")
    assert deployed.run(*confirmed) == 0

    assert deployed.run(*confirmed, "--delete-data", deployed.bucket) == 0

    assert deployed.keys is None


def test_what_is_given_by_hand_joins_what_the_file_says() -> None:
    merged = stage.parameters(
        ROOT / "samconfig.toml", "prod", ["Workers=gpu", "LogRetentionDays=7", "A=b=c", "B="]
    )

    assert "Stage=prod" in merged
    assert "LogRetentionDays=7" in merged
    assert "LogRetentionDays=90" not in merged
    assert merged[-3:] == ["Workers=gpu", "A=b=c", 'B=""']


@pytest.mark.parametrize(
    ("name", "given"), [("nowhere", "A=b"), ("dev", "Workers"), ("dev", "Workers=cpu gpu")]
)
def test_a_stage_or_a_parameter_that_is_none_is_refused(name: str, given: str) -> None:
    with pytest.raises(stage.StageError):
        stage.parameters(ROOT / "samconfig.toml", name, [given])


@pytest.fixture
def docker(tmp_path: Path) -> Path:
    """Notes what it is asked for, one call a line, and what it is told besides."""
    program = tmp_path / "docker"
    program.write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\n[ "$1" = login ] && cat > {tmp_path}/password\n'
        f'[ "$1" != "$(cat {tmp_path}/failing 2>/dev/null)" ]\n'
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return program


def test_the_gpu_image_is_built_pushed_and_named_by_its_digest(
    nobody: pytest.MonkeyPatch, docker: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in CREDENTIALS.items():
        nobody.setenv(name, value)
    nobody.setenv("DOCKER", str(docker))
    with mock_aws():
        ecr = boto3.client("ecr")
        ecr.create_repository(repositoryName=registry.REPOSITORY)  # from the time before
        pushed = ecr.put_image(
            repositoryName=registry.REPOSITORY,
            imageManifest=json.dumps(MANIFEST),
            imageManifestMediaType=MANIFEST["mediaType"],
            imageTag="abc",
        )["image"]["imageId"]["imageDigest"]

        done = registry.main(
            ["--stage", "dev", "--tag", "abc", "--", "--build-arg", "WITH_WEIGHTS=base"]
        )

    assert done == 0
    host = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
    assert capsys.readouterr().out == f"GpuImageUri={host}/{registry.REPOSITORY}@{pushed}\n"
    build, login, push = (docker.parent / "calls").read_text().splitlines()
    assert build == (
        f"build --target cuda -f docker/worker.Dockerfile -t {host}/{registry.REPOSITORY}:abc"
        " --build-arg WITH_WEIGHTS=base ."
    )
    assert login.endswith(f"--username AWS --password-stdin {host}")
    assert push == f"push {host}/{registry.REPOSITORY}:abc"
    assert (docker.parent / "password").read_text()


def test_an_image_that_cannot_be_built_is_not_pushed(
    nobody: pytest.MonkeyPatch, docker: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in CREDENTIALS.items():
        nobody.setenv(name, value)
    nobody.setenv("DOCKER", str(docker))
    (docker.parent / "failing").write_text("build")
    with mock_aws():
        assert registry.main(["--stage", "dev", "--tag", "abc"]) == 1

    assert "build failed" in capsys.readouterr().err
    assert len((docker.parent / "calls").read_text().splitlines()) == 1


def test_gpu_tasks_are_stopped_and_none_is_started_while_a_stage_is_deleted(
    nobody: pytest.MonkeyPatch,
) -> None:
    for name, value in CREDENTIALS.items():
        nobody.setenv(name, value)
    with mock_aws():
        session = boto3.Session()
        cluster, function = _fleet(session)
        said: list[str] = []

        stage.hold_workers(
            session, {"GpuCluster": cluster, "DispatcherFunction": function}, said.append
        )

        ecs, functions = session.client("ecs"), session.client("lambda")
        running = ecs.list_tasks(cluster=cluster, desiredStatus="RUNNING")
        assert running["taskArns"] == []
        held = functions.get_function_concurrency(FunctionName=function)
        assert held["ReservedConcurrentExecutions"] == 0
        assert len(said) == 1


def test_a_stage_without_gpus_has_nothing_to_hold(nobody: pytest.MonkeyPatch) -> None:
    with mock_aws():
        stage.hold_workers(boto3.Session(), {"BucketName": "b"}, pytest.fail)


def _fleet(session: boto3.Session) -> tuple[str, str]:
    """A cluster with a task, and a function beside it."""
    ecs = session.client("ecs")
    ec2: Any = session.client("ec2")
    iam: Any = session.client("iam")
    ecs.create_cluster(clusterName="whisperdrop-dev")
    ecs.register_task_definition(
        family="worker",
        cpu="256",
        memory="512",
        networkMode="awsvpc",
        requiresCompatibilities=["FARGATE"],
        containerDefinitions=[{"name": "worker", "image": "worker", "memory": 512}],
    )
    subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    ecs.run_task(
        cluster="whisperdrop-dev",
        taskDefinition="worker",
        launchType="FARGATE",
        networkConfiguration={"awsvpcConfiguration": {"subnets": [subnet], "securityGroups": []}},
    )
    assert len(ecs.list_tasks(cluster="whisperdrop-dev")["taskArns"]) == 1
    role = iam.create_role(RoleName="dispatcher", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    session.client("lambda").create_function(
        FunctionName="dispatcher",
        Role=role,
        Runtime="python3.13",
        Handler="handler.handler",
        Code={"ZipFile": b"PK\x05\x06" + bytes(18)},
    )
    return "whisperdrop-dev", "dispatcher"
