"""``make push-gpu-image``: build the worker for CUDA, push it to ECR, say its digest.

SAM builds and pushes images of functions only; the template takes this one by its digest.
"""

import argparse
import base64
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from whisperdrop_local.stage import StageError, place

ROOT = Path(__file__).resolve().parents[3]
REPOSITORY = "whisperdrop-worker"


class Docker:
    """The command line of a Docker engine, or of what passes for one in ``DOCKER``."""

    def __init__(self, program: str) -> None:
        self._program = program

    def run(self, *arguments: str, typed: str | None = None) -> None:
        """Raises StageError when it fails; its own output is shown."""
        try:
            done = subprocess.run(
                [self._program, *arguments], input=typed, text=True, check=False, cwd=ROOT
            )
        except OSError as error:
            raise StageError(f"{self._program} cannot be started: {error}") from error
        if done.returncode:
            raise StageError(f"{self._program} {arguments[0]} failed")


def push(session: boto3.Session, docker: Docker, *, tag: str, build: Sequence[str]) -> str:
    """Build, push, and return ``REPOSITORY_URI@sha256:...``. ``build`` goes to `docker build`."""
    ecr = session.client("ecr")
    uri = _repository(ecr)
    docker.run(
        *("build", "--target", "cuda", "-f", "docker/worker.Dockerfile", "-t", f"{uri}:{tag}"),
        *build,
        ".",
    )
    given = ecr.get_authorization_token()["authorizationData"][0]
    user, _, password = base64.b64decode(given["authorizationToken"]).decode().partition(":")
    # By standard input: an argument would show in the list of processes.
    docker.run("login", "--username", user, "--password-stdin", uri.split("/")[0], typed=password)
    docker.run("push", f"{uri}:{tag}")
    found = ecr.describe_images(repositoryName=REPOSITORY, imageIds=[{"imageTag": tag}])
    return f"{uri}@{found['imageDetails'][0]['imageDigest']}"


def _repository(ecr: Any) -> str:
    """The address of the repository, made where there is none."""
    try:
        made = ecr.create_repository(
            repositoryName=REPOSITORY,
            imageScanningConfiguration={"scanOnPush": True},
            tags=[{"Key": "project", "Value": "whisperdrop"}],
        )
    except ecr.exceptions.RepositoryAlreadyExistsException:
        found = ecr.describe_repositories(repositoryNames=[REPOSITORY])
        return str(found["repositories"][0]["repositoryUri"])
    return str(made["repository"]["repositoryUri"])


def main(arguments: list[str] | None = None) -> int:
    """Parse, push, print the digest, and answer with an exit status."""
    parser = argparse.ArgumentParser(prog="whisperdrop_local.registry", description=__doc__)
    parser.add_argument("--stage", required=True)
    parser.add_argument("--tag", required=True)
    parser.add_argument("build", nargs="*", help="more for docker build, after --")
    options = parser.parse_args(arguments)
    try:
        session = boto3.Session()
        where = place(session, options.stage)
        print(f"account {where.account}, region {where.region}", file=sys.stderr)
        docker = Docker(os.environ.get("DOCKER", "docker"))
        print(f"GpuImageUri={push(session, docker, tag=options.tag, build=options.build)}")
    except (StageError, ClientError, BotoCoreError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
