import json
from typing import get_args

import pytest

from tests.builders import a_ref, a_transcript
from whisperdrop.domain.formats import CONTENT_TYPES, FORMATS, Format, render, verbose_json
from whisperdrop.domain.languages import LANGUAGE_NAMES
from whisperdrop.domain.transcript import Segment, Word


def test_json_holds_the_text_and_the_segments() -> None:
    ref = a_ref()
    rendering = render(a_transcript(ref), "json")
    document = json.loads(rendering.body)
    assert rendering.content_type == "application/json"
    assert document["text"] == "Hello there. General Kenobi."
    assert document["job_id"] == ref.job_id
    assert [segment["text"] for segment in document["segments"]] == [
        " Hello there.",
        " General Kenobi.",
    ]
    assert "words" not in document["segments"][0]


def test_json_holds_words_where_they_were_asked_for() -> None:
    word = Word(word=" Hello", start=0.0, end=0.5, probability=0.9)
    segment = Segment(id=0, seek=0, start=0, end=1, text=" Hello", words=(word,))
    document = json.loads(render(a_transcript(a_ref(), segments=(segment,)), "json").body)
    assert document["segments"][0]["words"] == [word.model_dump()]


def test_json_writes_letters_as_they_are() -> None:
    assert "日本".encode() in render(a_transcript(a_ref(), "日本"), "json").body


def test_txt_is_one_line_a_segment_without_empty_ones() -> None:
    rendering = render(a_transcript(a_ref(), " Hello there.", " ", " Grüße."), "txt")
    assert rendering.content_type == "text/plain; charset=utf-8"
    assert rendering.body.decode() == "Hello there.\nGrüße.\n"


@pytest.mark.parametrize("name", FORMATS)
def test_silence_renders_in_every_format(name: Format) -> None:
    assert b"Hello" not in render(a_transcript(a_ref(), segments=()), name).body


def test_the_formats_that_the_doors_offer_are_those_that_can_be_rendered() -> None:
    assert get_args(Format) == FORMATS


SEGMENT_FIELDS = {
    "id",
    "seek",
    "start",
    "end",
    "text",
    "tokens",
    "temperature",
    "avg_logprob",
    "compression_ratio",
    "no_speech_prob",
}


def test_verbose_json_has_every_field_that_openai_requires() -> None:
    document = json.loads(render(a_transcript(a_ref(), duration=61.25), "verbose_json").body)
    assert document["task"] == "transcribe"
    assert document["language"] == "english"
    assert document["duration"] == 61.25
    assert document["text"] == "Hello there. General Kenobi."
    assert document["usage"] == {"type": "duration", "seconds": 62}
    assert "words" not in document
    for segment in document["segments"]:
        assert set(segment) == SEGMENT_FIELDS


def test_verbose_json_has_words_under_word_and_in_the_document() -> None:
    words = (
        Word(word=" Hello", start=0.0, end=0.5, probability=0.9),
        Word(word=" ", start=0.5, end=0.5, probability=0.9),
    )
    segment = Segment(id=0, seek=0, start=0, end=1, text=" Hello", avg_logprob=-0.25, words=words)
    transcript = a_transcript(a_ref(), segments=(segment,))
    document = verbose_json(transcript)
    assert document["words"] == [{"word": "Hello", "start": 0.0, "end": 0.5}]
    assert document["segments"][0]["avg_logprob"] == -0.25
    assert "words" not in verbose_json(transcript, words=False)
    assert "segments" not in verbose_json(transcript, segments=False)


def test_a_translation_is_english_whatever_was_spoken() -> None:
    spoken = a_transcript(a_ref(), language="de")
    assert verbose_json(spoken)["language"] == "german"
    assert verbose_json(spoken.model_copy(update={"task": "translate"}))["language"] == "english"


def test_tsv_has_milliseconds_and_no_tab_or_line_end_in_its_text() -> None:
    segment = Segment(id=0, seek=0, start=1.2345, end=0.5, text=" one\ttwo\nthree ")
    rendering = render(a_transcript(a_ref(), segments=(segment,)), "tsv")
    assert rendering.content_type == "text/tab-separated-values; charset=utf-8"
    assert rendering.body.decode() == "start\tend\ttext\n1234\t1234\tone two three\n"


def test_a_segment_is_one_line_of_txt_whatever_is_in_it() -> None:
    body = render(a_transcript(a_ref(), " one\n\ntwo\u2028three"), "txt").body.decode()
    assert body == "one two three\n"


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_says_what_it_is(name: Format) -> None:
    rendering = render(a_transcript(a_ref()), name)
    assert rendering.content_type == CONTENT_TYPES[name]
    assert rendering.extension == ("json" if name == "verbose_json" else name)


def test_every_language_has_a_name() -> None:
    assert len(LANGUAGE_NAMES) == 100
    assert len(set(LANGUAGE_NAMES.values())) == 100
    assert all(name == name.lower() and name for name in LANGUAGE_NAMES.values())
    assert LANGUAGE_NAMES["de"] == "german"
