"""What the operator's verbs share: what they work on, how they answer, how they fail."""

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, TypeAlias, get_args

from pydantic import ValidationError

from whisperdrop.adapters.aws import s3_client, sqs_client
from whisperdrop.adapters.s3 import S3ObjectStore
from whisperdrop.adapters.sqs import SqsJobQueue
from whisperdrop.adapters.sqs_dead import dead_letters_of
from whisperdrop.adapters.sqs_depth import SqsQueueMeter
from whisperdrop.domain.ids import JobRef
from whisperdrop.errors import InvalidValueError, WhisperdropError
from whisperdrop.observability import log_to_stderr
from whisperdrop.service.sweep import SweepPolicy
from whisperdrop_dispatcher.composition import logger
from whisperdrop_dispatcher.settings import SweepSettings

EXIT_FAILED = 1
EXIT_USAGE = 2

QueueName = Literal["interactive", "bulk", "notify"]
QUEUES: tuple[QueueName, ...] = get_args(QueueName)

Verbs: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


@dataclass(frozen=True)
class Site:
    """The bucket and the queues that the environment names."""

    settings: SweepSettings

    @cached_property
    def store(self) -> S3ObjectStore:
        """The bucket."""
        client = s3_client(addressing_style=self.settings.s3_addressing_style)
        return S3ObjectStore(client, self.settings.bucket)

    @cached_property
    def _sqs(self) -> Any:  # the adapters know what a client is
        return sqs_client()

    @property
    def urls(self) -> dict[QueueName, str]:
        """Of the queues that there are."""
        found: dict[QueueName, str | None] = {
            "interactive": self.settings.interactive_queue_url,
            "bulk": self.settings.bulk_queue_url,
            "notify": self.settings.notify_queue_url,
        }
        return {name: url for name, url in found.items() if url is not None}

    @property
    def policy(self) -> SweepPolicy:
        """When the sweep acts."""
        return SweepPolicy(
            requeue_after_s=self.settings.requeue_after_seconds,
            upload_grace_s=self.settings.upload_grace_seconds,
            drop_window_s=self.settings.drop_window_seconds,
        )

    def queue(self, name: QueueName) -> SqsJobQueue:
        """Raises InvalidValueError where the environment names no such queue."""
        return SqsJobQueue(self._sqs, self._url(name))

    def dead(self, name: QueueName) -> SqsJobQueue:
        """The dead letters of that queue. Raises InvalidValueError, StoreError."""
        return dead_letters_of(self._sqs, self._url(name))

    def meter(self, name: QueueName) -> SqsQueueMeter:
        """Raises InvalidValueError where the environment names no such queue."""
        return SqsQueueMeter(self._sqs, self._url(name))

    def _url(self, name: QueueName) -> str:
        if name not in self.urls:
            raise InvalidValueError(f"set {name.upper()}_QUEUE_URL to the queue's address")
        return self.urls[name]


@dataclass(frozen=True)
class Answer:
    """What a verb found: for a person, and for a program (``--json``)."""

    lines: list[str]
    data: Mapping[str, Any]
    failed: bool = False


Action = Callable[[Site, argparse.Namespace], Answer]


def add(
    verbs: Verbs,
    name: str,
    action: Action,
    *,
    help: str,  # noqa: A002 - argparse's own name
) -> argparse.ArgumentParser:
    """A verb's parser, with ``--json`` and what runs it."""
    parser = verbs.add_parser(name, help=help, description=action.__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of text")
    parser.set_defaults(run=lambda options: _run(action, options))
    return parser


def job_ref(text: str) -> JobRef:
    """``TENANT/ID``, as logs and folders have it."""
    tenant, _, job_id = text.strip("/").partition("/")
    try:
        return JobRef(tenant, job_id)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"a job is TENANT/ID, and {text!r} is none") from error


def _run(action: Action, options: argparse.Namespace) -> int:
    log_to_stderr(logger)  # what is asked for goes to standard output, and nothing else
    try:
        answer = action(Site(SweepSettings()), options)
    except ValidationError as error:
        for problem in error.errors():
            field = ".".join(str(part) for part in problem["loc"]).upper()
            print(f"error: {field}: {problem['msg']}", file=sys.stderr)
        return EXIT_USAGE
    except WhisperdropError as error:
        print(f"error: {error.message}", file=sys.stderr)
        return EXIT_FAILED
    print(json.dumps(answer.data, indent=2) if options.json else "\n".join(answer.lines))
    return EXIT_FAILED if answer.failed else 0


def table(rows: list[tuple[str, ...]]) -> list[str]:
    """Rows with their columns under each other."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
