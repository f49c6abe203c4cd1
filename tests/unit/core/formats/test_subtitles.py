"""What others' parsers read in our subtitles."""

import html
import re

import pysubs2
import pytest
import srt
import webvtt
from hypothesis import given, settings

from tests.builders import a_ref, a_transcript
from tests.unit.core.formats.test_cues import transcripts
from whisperdrop.domain.formats import Cue, cues, render
from whisperdrop.domain.formats.subtitles import srt as write_srt
from whisperdrop.domain.formats.subtitles import vtt as write_vtt
from whisperdrop.domain.transcript import Segment, Transcript

Row = tuple[int, int, str]
HOSTILE = [
    "1\n00:00:01,000 --> 00:00:02,000\nNot a cue",
    "an arrow --> here",
    "2",
    "first\n\n\nsecond",
    "NOTE this is no note",
    "WEBVTT",
    "a < b & c > d <i>not italic</i> &amp;",
    "مرحبا بالعالم هذا نص طويل بما فيه الكفاية ليكون في سطرين اثنين",
    "שלום עולם",
    "👩\u200d👩\u200d👧\u200d👦 🇫🇷 👍🏽",
    "\u202eright to left",
    "line\u2028separator\x0bvertical\x1cfile\x85next",
    "nul\0here",
]


def talk(*texts: str) -> Transcript:
    segments = tuple(
        Segment(id=n, seek=0, start=9.0 * n, end=9.0 * n + 5, text=f" {text}")
        for n, text in enumerate(texts)
    )
    return a_transcript(a_ref(), segments=segments, duration=9.0 * len(texts))


def ours(found: tuple[Cue, ...]) -> list[Row]:
    return [(round(cue.start * 1000), round(cue.end * 1000), words(cue.text)) for cue in found]


def words(text: str) -> str:
    return " ".join(text.replace("\u2060", "").split())


def by_srt(text: str) -> list[Row]:
    return [
        (
            round(sub.start.total_seconds() * 1000),
            round(sub.end.total_seconds() * 1000),
            words(sub.content),
        )
        for sub in srt.parse(text)
    ]


def by_pysubs2(text: str, name: str) -> list[Row]:
    found = pysubs2.SSAFile.from_string(text, format_=name, keep_html_tags=True)
    return [(event.start, event.end, words(event.text.replace("\\N", "\n"))) for event in found]


def by_webvtt(text: str) -> list[Row]:
    return [
        (
            millis(caption.start_time),
            millis(caption.end_time),
            words(html.unescape(caption.raw_text)),
        )
        for caption in webvtt.from_string(text).captions
    ]


def millis(time: webvtt.models.Timestamp) -> int:
    return ((time.hours * 60 + time.minutes) * 60 + time.seconds) * 1000 + time.milliseconds


def test_two_parsers_read_srt_as_it_was_meant() -> None:
    found = cues(talk("Hello there, General.", "a < b & c", "Grüße aus Köln, 東京"))
    text = write_srt(found)
    assert by_srt(text) == by_pysubs2(text, "srt") == ours(found)


def test_two_parsers_read_vtt_as_it_was_meant() -> None:
    found = cues(talk("Hello there, General.", "a < b & c > d", "Grüße aus Köln, 東京"))
    text = write_vtt(found)
    assert by_webvtt(text) == ours(found)
    assert [
        (start, end, html.unescape(line)) for start, end, line in by_pysubs2(text, "vtt")
    ] == ours(found)


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_text_makes_no_cue_and_breaks_none(hostile: str) -> None:
    transcript = talk("before it.", hostile, "after it.")
    found = cues(transcript)
    assert words(" ".join(cue.text for cue in found)) == words(
        f"before it. {hostile} after it.".replace("\0", "\ufffd")
    )
    text = render(transcript, "srt").body.decode()
    assert by_srt(text) == ours(found)
    assert len(by_pysubs2(text, "srt")) == len(found)
    text = render(transcript, "vtt").body.decode()
    assert by_webvtt(text) == ours(found)
    assert len(by_pysubs2(text, "vtt")) == len(found)


@given(transcripts())
@settings(max_examples=80, deadline=None)
def test_parsers_find_every_cue_of_any_transcript(transcript: Transcript) -> None:
    found = cues(transcript)
    text = render(transcript, "srt").body.decode()
    assert [row[2] for row in by_srt(text)] == [row[2] for row in ours(found)]
    text = render(transcript, "vtt").body.decode()
    assert [row[2] for row in by_webvtt(text)] == [row[2] for row in ours(found)]


def test_silence_is_an_empty_srt_and_a_vtt_with_its_header() -> None:
    silence = talk()
    assert render(silence, "srt").body == b""
    assert render(silence, "vtt").body == b"WEBVTT\n"
    assert by_webvtt("WEBVTT\n") == []


def test_hours_have_as_many_digits_as_they_need() -> None:
    late = (Cue(359_999.9996, 360_001.5, ("late",)), Cue(36_000.25, 36_001, ("ten hours",)))
    assert "100:00:00,000 --> 100:00:01,500" in write_srt(late)
    assert "100:00:00.000 --> 100:00:01.500" in write_vtt(late)
    assert "10:00:00,250 --> 10:00:01,000" in write_srt(late)
    assert by_srt(write_srt(late))[0][:2] == (360_000_000, 360_001_500)
    assert by_webvtt(write_vtt(late))[0][:2] == (360_000_000, 360_001_500)


def test_vtt_escapes_what_would_be_markup() -> None:
    body = write_vtt((Cue(0, 1, ("<b>a</b> & b --> c",)),))
    assert body.endswith("\n&lt;b&gt;a&lt;/b&gt; &amp; b --&gt; c\n")


def test_srt_is_numbered_from_one_with_a_blank_line_between() -> None:
    body = write_srt((Cue(0, 1, ("one", "two")), Cue(1.5, 2.25, ("three",))))
    assert body == (
        "1\n00:00:00,000 --> 00:00:01,000\none\ntwo\n\n2\n00:00:01,500 --> 00:00:02,250\nthree\n"
    )
    assert not re.search(r"\n\n\n", body)
