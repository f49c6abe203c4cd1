"""``python -m whisperdrop_local.keeper``: sees to it that bucket and queues are there, and sweeps.

LocalStack forgets its queues when it ends, and whoever starts it again cannot know who needs them.
So the keeper looks every two seconds, makes what is missing, and has the sweep queue again every
job that waits: its messages went with the queues. The sweep is a child, started anew whenever
something was gone; each of its steps can be repeated. That costs duplicates, which find their job's
lease or outcome, and loses nothing.
"""

import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from pydantic import ValidationError

from whisperdrop.observability import Logger, configure
from whisperdrop_local.bucket import describe_bucket, ensure_bucket, ensure_events
from whisperdrop_local.queues import ensure_queues
from whisperdrop_local.settings import KeeperSettings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

logger = Logger(service="keeper")

_SWEEP = [sys.executable, "-m", "whisperdrop_dispatcher", "--queues-are-new"]
_STOP_S = 20.0
_NOTIFY_VISIBILITY_S = 360  # as in infra/storage.yaml


class Keeper:
    """Makes what is missing, and knows whether anything was."""

    def __init__(self, s3: "S3Client", sqs: "SQSClient", settings: KeeperSettings) -> None:
        self._s3 = s3
        self._sqs = sqs
        self._settings = settings
        self._described = False
        hidden_s = settings.queue_visibility_seconds
        self._queues = {
            _name(settings.interactive_queue_url): hidden_s,
            _name(settings.bulk_queue_url): hidden_s,
            _name(settings.notify_queue_url): max(hidden_s, _NOTIFY_VISIBILITY_S),
        }
        self._lost = False

    def look(self) -> bool | None:
        """One look: whether anything had been gone since the last good one; None without an answer.

        The store being away keeps nobody from making the queues again.
        """
        answered = [
            self._keep("queues", self._keep_queues),
            self._keep("bucket", self._keep_bucket),
        ]
        if not all(answered):
            return None
        lost, self._lost = self._lost, False
        return lost

    def _keep(self, what: str, keep: Callable[[], bool]) -> bool:
        try:
            made = keep()
        except (BotoCoreError, ClientError) as error:
            logger.warning("not_kept", extra={"what": what, "error": str(error)})
            return False
        if made:
            logger.info("made", extra={"what": what})
            self._lost = True
        return True

    def _keep_queues(self) -> bool:
        return ensure_queues(self._sqs, self._queues)

    def _keep_bucket(self) -> bool:
        bucket, arn = self._settings.bucket, self._settings.store_events_arn
        made = ensure_bucket(self._s3, bucket)
        if made or not self._described:
            retention = self._settings.media_retention_days
            describe_bucket(self._s3, bucket, media_retention_days=retention)
            self._described = True
        if arn and ensure_events(self._s3, bucket, arn):
            made = True
        return made


def keep(keeper: Keeper, settings: KeeperSettings, stop: threading.Event) -> int:
    """Look and sweep until ``stop``; the exit status is that of a sweep that ended by itself."""
    sweep: subprocess.Popen[bytes] | None = None
    try:
        while not stop.is_set():
            lost = keeper.look()
            if lost is not None:
                settings.kept_file.touch()
                if sweep is None or lost:
                    _end(sweep)
                    sweep = subprocess.Popen(_SWEEP)
            if sweep is not None and (status := sweep.poll()) is not None:
                logger.error("sweep_ended", extra={"status": status})
                return status or 1
            stop.wait(settings.keep_interval_seconds)
    finally:
        _end(sweep)
    return 0


def _end(sweep: subprocess.Popen[bytes] | None) -> None:
    if sweep is None or sweep.poll() is not None:
        return
    sweep.terminate()
    try:
        sweep.wait(_STOP_S)
    except subprocess.TimeoutExpired:  # hanging on a store that is away; nothing is lost with it
        sweep.kill()
        sweep.wait()


def _name(url: str) -> str:
    return url.rpartition("/")[2]


def main() -> int:
    """Keep until SIGTERM or SIGINT; the exit status."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        settings = KeeperSettings()
    except ValidationError as error:
        for problem in error.errors():
            field = ".".join(str(part) for part in problem["loc"]).upper()
            print(f"error: {field}: {problem['msg']}", file=sys.stderr)
        return 2
    configure(logger, settings)
    # The next look is the retry.
    hasty = Config(connect_timeout=3, read_timeout=5, retries={"total_max_attempts": 1})
    style = Config(s3={"addressing_style": settings.s3_addressing_style})
    keeper = Keeper(
        boto3.client("s3", config=hasty.merge(style)), boto3.client("sqs", config=hasty), settings
    )
    return keep(keeper, settings, stop)


if __name__ == "__main__":
    sys.exit(main())
