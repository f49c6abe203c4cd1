import math

import pytest
from pydantic import ValidationError

from tests.builders import a_ref, a_transcript
from whisperdrop.domain.transcript import Segment, Transcript, Word
from whisperdrop.service.documents import dump


def test_the_text_joins_segments_by_what_the_model_put_between_them() -> None:
    assert a_transcript(a_ref(), " Hello", " there.").text == "Hello there."
    assert a_transcript(a_ref(), "今日は", "晴れ").text == "今日は晴れ"


def test_silence_has_an_empty_text() -> None:
    assert a_transcript(a_ref(), segments=()).text == ""


def test_a_transcript_survives_storage() -> None:
    word = Word(word=" Hello", start=0.0, end=0.5, probability=0.9)
    segment = Segment(id=0, seek=0, start=0, end=1, text=" Hello", tokens=(1, 2), words=(word,))
    transcript = a_transcript(a_ref(), segments=(segment,))
    assert Transcript.model_validate_json(dump(transcript)) == transcript


def test_a_field_of_a_newer_version_is_passed_over() -> None:
    transcript = a_transcript(a_ref())
    newer = transcript.model_dump() | {"speakers": 2}
    assert Transcript.model_validate(newer) == transcript


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_json_cannot_hold_is_refused_before_it_is_stored(value: float) -> None:
    # JSON would hold null, and nobody could read the transcript again.
    with pytest.raises(ValidationError):
        Segment(id=0, seek=0, start=0, end=1, text="", avg_logprob=value)


def test_a_probability_lies_between_0_and_1() -> None:
    with pytest.raises(ValidationError):
        Word(word="a", start=0, end=1, probability=1.01)
