import json
from typing import get_args

import pytest

from tests.builders import a_ref, a_transcript
from whisperdrop.domain.formats import FORMATS, Format, render
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
