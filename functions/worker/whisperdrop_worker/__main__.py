"""``python -m whisperdrop_worker serve`` polls the queues; ``transcribe`` does one file."""

import argparse
import functools
import os
import sys
import tempfile
import threading
from contextlib import closing
from pathlib import Path
from urllib.parse import urlparse

from pydantic import ValidationError

from whisperdrop.adapters.aws import s3_client
from whisperdrop.adapters.s3 import S3ObjectStore
from whisperdrop.domain.formats import FORMATS, render
from whisperdrop.domain.ids import JobRef
from whisperdrop.domain.job import JobStatus
from whisperdrop.domain.keys import parse_media_key
from whisperdrop.domain.options import TranscribeOptions
from whisperdrop.errors import StoreError, WhisperdropError
from whisperdrop.observability import log_to_stderr
from whisperdrop.service.leases import LeaseBusyError
from whisperdrop_worker.composition import build, build_engine, logger
from whisperdrop_worker.objects import Address, ObjectTranscriber, errand, errands
from whisperdrop_worker.processor import AttemptFailedError
from whisperdrop_worker.serve import serve
from whisperdrop_worker.settings import WorkerSettings

_LOCAL = {"bucket": "none", "interactive_queue_url": "none", "bulk_queue_url": "none"}
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_TRY_AGAIN = 75  # EX_TEMPFAIL of sysexits.h: a batch service may start the job again


def main(arguments: list[str] | None = None) -> int:
    """Parse, run, and answer with an exit status."""
    parser = argparse.ArgumentParser(prog="whisperdrop_worker", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("serve", help="poll the queues until SIGTERM")
    one = verbs.add_parser("transcribe", help="transcribe one file, or do one uploaded job")
    one.add_argument(
        "media",
        help="a file; or s3://BUCKET/uploads/... or s3://BUCKET/inbox/..., the job that it belongs"
        " to; or, with --output, any s3:// object",
    )
    one.add_argument("-m", "--model", help="default: the first of WHISPER_MODELS")
    one.add_argument("-l", "--language", help="default: detected")
    one.add_argument("--task", choices=["transcribe", "translate"], default="transcribe")
    one.add_argument("--word-timestamps", action="store_true")
    one.add_argument("-f", "--format", choices=FORMATS, default="txt")
    one.add_argument(
        "-o", "--output", help="s3://... for the transcript; ending with / a folder for it"
    )
    one.add_argument(
        "--list",
        action="store_true",
        help="MEDIA is a text object that names objects, one s3://... a line",
    )
    one.add_argument("--lines", type=_count, default=1, help="of the list, as many as these")
    one.add_argument(
        "--index",
        type=int,
        default=int(os.environ.get("AWS_BATCH_JOB_ARRAY_INDEX", "0")),
        help="which of the pieces of so many lines, from 0; default: AWS_BATCH_JOB_ARRAY_INDEX",
    )
    options = parser.parse_args(arguments)
    try:
        if options.verb == "serve":
            return serve(WorkerSettings())
        if options.output is not None:
            return _transcribe_objects(options)
        if options.media.startswith("s3://"):
            return _do_job(options.media)
        return _transcribe(options)
    except ValidationError as error:
        for problem in error.errors():
            field = ".".join(str(part) for part in problem["loc"])
            print(f"error: {field}: {problem['msg']}", file=sys.stderr)
        return EXIT_USAGE
    except StoreError as error:
        print(f"error: {error.message}", file=sys.stderr)
        return EXIT_TRY_AGAIN
    except WhisperdropError as error:
        print(f"error: {error.message}", file=sys.stderr)
        return EXIT_FAILED


def _transcribe(options: argparse.Namespace) -> int:
    source = Path(options.media)
    if not source.is_file():
        print(f"error: there is no file {source}", file=sys.stderr)
        return EXIT_USAGE
    settings = WorkerSettings.model_validate(_LOCAL)
    decoder, engine = build_engine(settings)
    with (
        closing(decoder),
        closing(engine),
        tempfile.TemporaryDirectory(prefix="whisperdrop-") as private,
    ):
        media = Path(private) / "media"
        media.symlink_to(source.resolve())
        result = engine.transcribe(
            decoder.decode(media),
            job_id=source.name,
            model=settings.catalog.default if options.model is None else options.model,
            options=_asked(options),
            on_progress=lambda _: None,
        )
    sys.stdout.buffer.write(render(result.transcript, options.format).body)
    return 0


def _transcribe_objects(options: argparse.Namespace) -> int:
    """Objects of any bucket: no job is made of them, and no queue is asked."""
    settings = WorkerSettings.model_validate(_LOCAL)
    media, output = Address.of(options.media), Address.of(options.output)
    decoder, engine = build_engine(settings)
    with closing(decoder), closing(engine):
        transcriber = ObjectTranscriber(
            decoder,
            engine,
            lambda name: S3ObjectStore(
                s3_client(addressing_style=settings.s3_addressing_style), name
            ),
            scratch=settings.scratch_dir,
            max_bytes=settings.max_media_bytes,
            say=functools.partial(print, flush=True),
        )
        if options.list:
            lines = transcriber.lines(media)
            work = errands(lines, output, options.format, index=options.index, size=options.lines)
        else:
            work = [errand(media, output, options.format)]
        failed = transcriber.run(
            work,
            model=settings.catalog.default if options.model is None else options.model,
            options=_asked(options),
            format_=options.format,
        )
    return EXIT_FAILED if failed else 0


def _asked(options: argparse.Namespace) -> TranscribeOptions:
    return TranscribeOptions(
        language=options.language, task=options.task, word_timestamps=options.word_timestamps
    )


def _count(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError("it takes at least one")
    return number


def _do_job(address: str) -> int:
    """One job of the bucket, as AWS Batch or an operator would run it."""
    parts = urlparse(address)
    work = parse_media_key(parts.path.lstrip("/"))
    settings = WorkerSettings()
    if work is None or parts.netloc != settings.bucket:
        print(
            f"error: {address} is neither under uploads/ nor inbox/ of the bucket in BUCKET",
            file=sys.stderr,
        )
        return EXIT_USAGE
    log_to_stderr(logger)
    worker = build(settings)
    with closing(worker.decoder), closing(worker.engine):
        try:
            outcome = worker.processor.process(
                work, keep_message=lambda: None, stop=threading.Event()
            )
        except (AttemptFailedError, LeaseBusyError) as error:
            print(f"error: not now: {error}", file=sys.stderr)
            return EXIT_TRY_AGAIN
    if outcome is None:
        what = work.job_id if isinstance(work, JobRef) else work.key
        print(f"error: there is no job for {what}", file=sys.stderr)
        return EXIT_FAILED
    print(outcome.model_dump_json(exclude_none=True))
    return 0 if outcome.status is JobStatus.SUCCEEDED else EXIT_FAILED


if __name__ == "__main__":
    sys.exit(main())
