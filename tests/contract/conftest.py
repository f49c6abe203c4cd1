"""Every adapter of a port, one after the other: in memory, moto, the emulator, and any endpoint.

CONTRACT_ENDPOINT_URL, CONTRACT_BUCKET and the usual AWS variables add a store of your own; its
objects are written under contract/ and deleted again.
"""

import contextlib
import functools
import os
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest
from moto import mock_aws

from tests.clock import ManualClock
from tests.emulator import CREDENTIALS, Emulator, run_emulator
from whisperdrop.adapters.aws import s3_client, sqs_client
from whisperdrop.adapters.memory import MemoryJobQueue, MemoryObjectStore
from whisperdrop.adapters.s3 import S3ObjectStore, S3Presigner
from whisperdrop.adapters.sqs import SqsJobQueue
from whisperdrop.ports import JobQueue, ObjectStore, Presigner

ENDPOINT = "CONTRACT_ENDPOINT_URL"
BUCKET = "contract"

_EMULATOR = pytest.param("ministack", marks=pytest.mark.emulator)
_OWN = ["endpoint"] if ENDPOINT in os.environ else []
STORES = ["memory", "moto", _EMULATOR, *_OWN]
SIGNING_STORES = [_EMULATOR, *_OWN]  # moto checks neither signatures nor policies
QUEUES = ["memory", "moto", _EMULATOR, *_OWN]


@functools.cache
def _session(name: str) -> boto3.Session:
    """Remembers credentials, so there is one for each kind; a new one takes a while to build."""
    return boto3.Session()


@contextlib.contextmanager
def _environ(name: str, variables: dict[str, str]) -> Iterator[None]:
    """Clients that are made inside see ``variables``."""
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in variables.items():
            patch.setenv(variable, value)
        patch.setattr(boto3, "DEFAULT_SESSION", _session(name))
        yield


@contextlib.contextmanager
def _backend(name: str, request: pytest.FixtureRequest) -> Iterator[None]:
    if name == "ministack":
        emulator: Emulator = request.getfixturevalue("strict_emulator")
        with _environ(name, emulator.environ):
            yield
    elif name == "moto":
        with pytest.MonkeyPatch.context() as patch:
            patch.delenv("AWS_ENDPOINT_URL", raising=False)
            with mock_aws(), _environ(name, CREDENTIALS):
                yield
    elif name == "endpoint":
        with _environ(name, {"AWS_ENDPOINT_URL": os.environ[ENDPOINT]}):
            yield
    else:
        yield


@pytest.fixture(scope="session")
def strict_emulator(
    emulator_program: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Emulator]:
    """An emulator that checks the signature of everything, form POSTs included."""
    directory = tmp_path_factory.mktemp("strict-emulator")
    with run_emulator(emulator_program, directory, auth=True) as emulator:
        yield emulator


@dataclass(frozen=True)
class StoreUnderTest:
    """A store, and a prefix of its own for each test."""

    name: str
    store: ObjectStore
    prefix: str
    put_with_metadata: Callable[[str, dict[str, str]], None]
    put_part: Callable[[str, str, int, bytes], None]

    def key(self, name: str) -> str:
        """A key that no other test uses."""
        return f"{self.prefix}{name}"


@pytest.fixture(params=STORES)
def under_test(request: pytest.FixtureRequest) -> Iterator[StoreUnderTest]:
    """An object store of every kind."""
    name = request.param
    prefix = f"contract/{secrets.token_hex(8)}/"
    with _backend(name, request):
        if name == "memory":
            memory = MemoryObjectStore(ManualClock())

            def put_with_metadata_here(key: str, metadata: dict[str, str]) -> None:
                memory.put(key, b"x", metadata=metadata)

            yield StoreUnderTest(name, memory, prefix, put_with_metadata_here, memory.put_part)
            return
        client = s3_client(addressing_style="path")
        bucket = _bucket(name)
        store = S3ObjectStore(client, bucket)

        def put_part(key: str, upload_id: str, number: int, body: bytes) -> None:
            client.upload_part(
                Bucket=bucket, Key=key, UploadId=upload_id, PartNumber=number, Body=body
            )

        def put_with_metadata(key: str, metadata: dict[str, str]) -> None:
            client.put_object(Bucket=bucket, Key=key, Body=b"x", Metadata=metadata)

        yield StoreUnderTest(name, store, prefix, put_with_metadata, put_part)
        if name == "endpoint":
            for info in store.list(prefix):
                store.delete(info.key)


def _bucket(name: str) -> str:
    if name == "endpoint":
        return os.environ["CONTRACT_BUCKET"]
    s3_client(addressing_style="path").create_bucket(Bucket=BUCKET)
    return BUCKET


@dataclass(frozen=True)
class PresignerUnderTest:
    """A presigner, and the store in which its uploads arrive."""

    name: str
    presigner: Presigner
    store: ObjectStore
    prefix: str


@pytest.fixture(params=SIGNING_STORES)
def signing(request: pytest.FixtureRequest) -> Iterator[PresignerUnderTest]:
    """A presigner of every kind whose store checks what was signed."""
    with _backend(request.param, request):
        client = s3_client(addressing_style="path")
        bucket = _bucket(request.param)
        prefix = f"contract/{secrets.token_hex(8)}/"
        store = S3ObjectStore(client, bucket)
        yield PresignerUnderTest(request.param, S3Presigner(client, bucket), store, prefix)
        if request.param == "endpoint":
            for info in store.list(prefix):
                store.delete(info.key)


@dataclass(frozen=True)
class QueueUnderTest:
    """A queue, and a way to let a second of visibility pass where no real time does."""

    name: str
    queue: JobQueue
    let_a_second_pass: Callable[[], None]


@pytest.fixture(params=QUEUES)
def queue_under_test(request: pytest.FixtureRequest) -> Iterator[QueueUnderTest]:
    """A job queue of every kind."""
    name = request.param
    with _backend(name, request):
        if name == "memory":
            clock = ManualClock()
            yield QueueUnderTest(name, MemoryJobQueue(clock), lambda: clock.advance(1))
            return
        client = sqs_client()
        url = client.create_queue(QueueName=f"contract-{secrets.token_hex(8)}")["QueueUrl"]
        # Real time passes while a receiver waits for the message.
        yield QueueUnderTest(name, SqsJobQueue(client, url), lambda: None)
        client.delete_queue(QueueUrl=url)
