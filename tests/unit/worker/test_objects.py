"""Objects of any bucket, without the service: which ones, whereto, and what a second run does."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.clock import ManualClock
from tests.engines import IdleEngine, NoDecoder
from whisperdrop.adapters.memory import MemoryObjectStore
from whisperdrop.domain.options import TranscribeOptions
from whisperdrop.domain.transcript import Segment, Transcript
from whisperdrop.errors import InvalidValueError, MediaError, NotFoundError
from whisperdrop_worker.engine import EngineResult
from whisperdrop_worker.objects import Address, Errand, ObjectTranscriber, errand, errands

OUT = Address("out", "texts/")
ASKED = TranscribeOptions()


class SayingEngine(IdleEngine):
    """Says the name of what it hears, and refuses what is named ``bad``."""

    def transcribe(self, *_: Any, **given: Any) -> EngineResult:
        if "bad" in given["job_id"]:
            raise MediaError("not audio that can be decoded")
        segment = Segment(id=0, seek=0, start=0, end=1, text=given["job_id"])
        transcript = Transcript(
            job_id=given["job_id"],
            model=given["model"],
            task="transcribe",
            language="en",
            duration=1,
            duration_after_vad=1,
            segments=(segment,),
        )
        return EngineResult(transcript=transcript, engine_s=0.5, load_s=0)


class Buckets:
    """By name, in memory."""

    def __init__(self, scratch: Path) -> None:
        clock = ManualClock()
        self.stores = {name: MemoryObjectStore(clock) for name in ("in", "out")}
        self.said: list[dict[str, Any]] = []
        self.transcriber = ObjectTranscriber(
            NoDecoder(),
            SayingEngine(),
            lambda name: self.stores[name],
            scratch=scratch,
            max_bytes=100,
            say=lambda line: self.said.append(json.loads(line)),
        )

    def run(self, *work: Errand) -> int:
        return self.transcriber.run(work, model="tiny.en", options=ASKED, format_="txt")

    def text(self, key: str) -> str:
        found = self.stores["out"].get(key)
        assert found is not None, key
        return found.body.decode()


@pytest.fixture
def buckets(tmp_path: Path) -> Buckets:
    return Buckets(tmp_path / "scratch")


def _named(key: str) -> Errand:
    return errand(Address("in", key), OUT, "txt")


@pytest.mark.parametrize(
    "text", ["", "in/a.mp3", "s3://", "s3://in", "s3://in/", "s3:///a.mp3", "https://in/a.mp3"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidValueError):
        Address.of(text)


def test_a_key_may_hold_what_separates_the_parts_of_a_url() -> None:
    address = Address.of("s3://in/what? #1://x.mp3")

    assert address == Address("in", "what? #1://x.mp3")
    assert str(address) == "s3://in/what? #1://x.mp3"


def test_a_folder_takes_the_transcript_under_the_name_of_the_media() -> None:
    assert _named("calls/a.mp3").output == Address("out", "texts/calls/a.mp3.txt")
    named = errand(Address("in", "a.mp3"), Address("out", "b.srt"), "srt")
    assert named.output == Address("out", "b.srt")


def test_every_line_of_a_list_belongs_to_one_piece() -> None:
    lines = ["s3://in/0.mp3", "", "  s3://in/1.mp3 ", "s3://in/2.mp3", "s3://in/3.mp3\n", ""]

    pieces = [errands(lines, OUT, "txt", index=i, size=3) for i in range(3)]

    assert [[e.media.key for e in piece] for piece in pieces] == [
        ["0.mp3", "1.mp3", "2.mp3"],
        ["3.mp3"],
        [],
    ]


def test_a_list_needs_a_folder() -> None:
    with pytest.raises(InvalidValueError, match="slash"):
        errands(["s3://in/a.mp3"], Address("out", "one.txt"), "txt", index=0, size=1)


def test_a_list_that_is_not_there_says_so(buckets: Buckets) -> None:
    with pytest.raises(NotFoundError, match=r"s3://in/list\.txt"):
        buckets.transcriber.lines(Address("in", "list.txt"))


def test_a_transcript_is_written_next_to_nothing_else(buckets: Buckets) -> None:
    buckets.stores["in"].put("a.mp3", b"sound")

    assert buckets.run(_named("a.mp3")) == 0

    assert buckets.text("texts/a.mp3.txt").strip() == "a.mp3"
    assert [o.key for o in buckets.stores["out"].list("")] == ["texts/a.mp3.txt"]
    assert buckets.said[0]["audio_s"] == 1


def test_who_is_started_again_goes_on_where_the_one_before_died(buckets: Buckets) -> None:
    for key in ("a.mp3", "b.mp3"):
        buckets.stores["in"].put(key, b"sound")
    buckets.stores["out"].put("texts/a.mp3.txt", b"there already")

    assert buckets.run(_named("a.mp3"), _named("b.mp3")) == 0

    assert buckets.text("texts/a.mp3.txt") == "there already"
    assert buckets.text("texts/b.mp3.txt").strip() == "b.mp3"
    assert buckets.said[0]["skipped"] == "it is there"


def test_a_file_that_cannot_be_transcribed_fails_alone(buckets: Buckets) -> None:
    for key, body in (("bad.mp3", b"x"), ("big.mp3", b"x" * 101), ("good.mp3", b"x")):
        buckets.stores["in"].put(key, body)

    failed = buckets.run(*map(_named, ("bad.mp3", "big.mp3", "missing.mp3", "good.mp3")))

    assert failed == 3
    codes = ["undecodable_media", "media_too_large", "media_missing"]
    assert [said.get("error") for said in buckets.said] == [*codes, None]
    assert buckets.text("texts/good.mp3.txt").strip() == "good.mp3"
