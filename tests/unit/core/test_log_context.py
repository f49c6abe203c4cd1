import io
import itertools
import json
import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from whisperdrop.observability import Logger, configure, in_context, log_also, logged_with
from whisperdrop.settings import CoreSettings

_numbers = itertools.count()
"""Powertools keeps one logger, and its stream, for each name."""


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def logger(stream: io.StringIO) -> Iterator[Logger]:
    logger = Logger(service=f"context-{next(_numbers)}", stream=stream)
    settings = CoreSettings(bucket="b", interactive_queue_url="i", bulk_queue_url="k")
    configure(logger, settings)
    configure(logger, settings)  # a process with two roots
    yield logger
    for package in ("whisperdrop", "whisperdrop_worker", "opentelemetry"):
        for handler in logger.handlers:
            logging.getLogger(package).removeHandler(handler)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_every_line_in_the_block_has_the_fields(logger: Logger, stream: io.StringIO) -> None:
    logger.info("before")
    with logged_with(correlation_id="c-1", tenant=None):
        logger.info("outer")
        with logged_with(job_id="j-1"):
            logger.info("inner")
    logger.info("after")
    before, outer, inner, after = lines(stream)
    assert "correlation_id" not in before
    assert (outer["correlation_id"], "tenant" in outer, "job_id" in outer) == ("c-1", False, False)
    assert (inner["correlation_id"], inner["job_id"]) == ("c-1", "j-1")
    assert "correlation_id" not in after


def test_a_line_that_says_a_field_itself_is_believed(logger: Logger, stream: io.StringIO) -> None:
    with logged_with(correlation_id="c-1"):
        logger.info("line", extra={"correlation_id": "c-2"})
    assert lines(stream)[0]["correlation_id"] == "c-2"


def test_jobs_side_by_side_have_their_own_fields(logger: Logger, stream: io.StringIO) -> None:
    both = threading.Barrier(2)

    def job(number: int) -> None:
        with logged_with(correlation_id=f"c-{number}"):
            both.wait(5)
            logger.info("at work", extra={"number": number})

    threads = [threading.Thread(target=job, args=(number,)) for number in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {line["number"]: line["correlation_id"] for line in lines(stream)} == {
        1: "c-1",
        2: "c-2",
    }


def test_a_thread_that_works_for_a_job_has_its_fields(logger: Logger, stream: io.StringIO) -> None:
    def beat() -> None:
        logger.info("heartbeat")

    with logged_with(correlation_id="c-1"):
        thread = threading.Thread(target=in_context(beat))
    thread.start()
    thread.join()
    assert lines(stream)[0]["correlation_id"] == "c-1"


def test_what_is_learnt_later_is_said_from_then_on(logger: Logger, stream: io.StringIO) -> None:
    with logged_with():
        logger.info("first")
        log_also(correlation_id="c-1")
        logger.info("second")
    logger.info("third")
    assert [line.get("correlation_id") for line in lines(stream)] == [None, "c-1", None]


def test_modules_that_know_no_process_log_as_it_does(logger: Logger, stream: io.StringIO) -> None:
    with logged_with(correlation_id="c-1"):
        logging.getLogger("whisperdrop_worker.model_pool").info(
            "model_loaded", extra={"model": "tiny.en"}
        )
    [line] = lines(stream)
    assert (line["message"], line["model"]) == ("model_loaded", "tiny.en")
    assert (line["service"], line["correlation_id"]) == (logger.service, "c-1")
