"""One window and a model that says what the test has written."""

import numpy as np
import pytest

from tests.unit.worker.engine.scripted import (
    a_piece,
    a_window,
    an_answer,
    an_encoding,
    converse,
)
from whisperdrop_worker.engine.attempts import (
    CONTINUED,
    REDECODED,
    SAMPLED,
    Encoding,
    Finished,
    repeats,
    transcribe,
)
from whisperdrop_worker.engine.guard import Guard
from whisperdrop_worker.engine.recognizer import FULL_S, Answer, Ask, Prompt, Style
from whisperdrop_worker.engine.windows import Window

ENCODING = Encoding()
SAID = " the quick brown fox jumps over the lazy dog and runs away fast"
GOOD = an_answer(a_piece(SAID))
LOOP = an_answer(a_piece(" and so on" * 30), compression_ratio=9.0)


def attempt(
    window: Window,
    *answers: Answer,
    prompt: Prompt | None = None,
    style: Style | None = None,
    guard: Guard | None = None,
) -> tuple[list[Ask], Finished]:
    """What is asked where the model gives ``answers``, and what comes of it."""
    conversation = transcribe(
        window,
        prompt or Prompt("en"),
        style=style or Style(),
        guard=guard or Guard(),
        encoding=ENCODING,
    )
    return converse(conversation, *answers)


def text(finished: Finished) -> str:
    return "".join(segment.text for segment in finished.segments)


@pytest.mark.parametrize(
    ("window_s", "encoded_s"),
    [(0.5, 6), (3.0, 6), (3.1, 9), (6.0, 9), (9.0, 12), (17.5, 21), (26.0, 30), (27.0, 30)],
)
def test_a_window_is_encoded_with_some_silence_behind_it(window_s: float, encoded_s: float) -> None:
    assert ENCODING.seconds(window_s) == encoded_s


def test_a_clean_answer_is_asked_for_once() -> None:
    window = a_window(10)

    [ask], finished = attempt(window, GOOD)

    assert ask.audio is window.audio
    assert ask.encoded_s == 15
    assert ask.max_tokens == Guard().token_budget(window)
    assert text(finished) == SAID
    assert finished.segments[0].flags == ()


def test_times_are_those_of_the_recording() -> None:
    word = (" dog", 1.0, 2.5, 0.9)
    answer = an_answer(
        a_piece(SAID, start=0.5, end=9.9, words=(word,)),
        language="de",
        languages=(("de", 0.95), ("en", 0.05)),
    )

    _, finished = attempt(a_window(10, start_s=100), answer, prompt=Prompt(None))

    [segment] = finished.segments
    assert (segment.start, segment.end, segment.seek) == (100.5, 109.9, 10_000)
    assert segment.words is not None
    assert [(one.word, one.start, one.end) for one in segment.words] == [(" dog", 101.0, 102.5)]
    assert (finished.language, finished.language_probability) == ("de", 0.95)


def test_a_loop_is_decoded_again_at_full_length() -> None:
    (first, second), finished = attempt(a_window(10), LOOP, GOOD)

    assert (first.encoded_s, second.encoded_s) == (15, FULL_S)
    assert second.style.temperature == 0
    assert second.max_tokens == 224
    assert text(finished) == SAID
    assert finished.segments[0].flags == (REDECODED,)


def test_the_second_attempt_is_in_the_language_of_the_first() -> None:
    loop = an_answer(*LOOP.pieces, compression_ratio=9.0, language="fr")

    (_, second), _ = attempt(a_window(10), loop, GOOD, prompt=Prompt(None))

    assert second.prompt.language == "fr"


def test_what_stays_hopeless_climbs_the_ladder_on_one_encoding() -> None:
    encoded = an_encoding()
    hopeless = [
        an_answer(*LOOP.pieces, compression_ratio=9.0, temperature=at, encoded=encoded)
        for at in (0.0, 0.2, 0.4)
    ]
    good = an_answer(a_piece(SAID), temperature=0.6, encoded=encoded)

    asks, finished = attempt(a_window(10), LOOP, *hopeless, good)

    assert [ask.style.temperature for ask in asks] == [0.0, 0.0, 0.2, 0.4, 0.6]
    assert [ask.encoded for ask in asks] == [None, None, encoded, encoded, encoded]
    assert text(finished) == SAID
    assert finished.segments[0].temperature == 0.6
    assert finished.segments[0].flags == (REDECODED, SAMPLED)


def test_what_is_sampled_may_not_ramble_on() -> None:
    hopeless = [an_answer(*LOOP.pieces, compression_ratio=9.0, temperature=n / 5) for n in range(6)]
    window = a_window(2)

    asks, _ = attempt(window, LOOP, *hopeless)

    limits = [ask.max_tokens for ask in asks]
    budget = Guard().token_budget(window)
    assert limits == [budget, 224, *[2 * budget] * 5]


def test_at_the_end_of_the_ladder_the_best_is_kept() -> None:
    answers = [
        an_answer(a_piece(f"{SAID} {n}"), avg_logprob=logprob, temperature=n / 5)
        for n, logprob in enumerate((-1.5, -1.2, -1.4, -1.3, -1.6, -1.7))
    ]
    first = an_answer(a_piece(" what"), avg_logprob=-1.8)

    asks, finished = attempt(a_window(10), first, *answers)

    assert [ask.style.temperature for ask in asks] == [0, 0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert text(finished) == f"{SAID} 1"


def test_a_loop_is_worse_than_a_doubt() -> None:
    doubtful = [an_answer(a_piece(SAID), avg_logprob=-1.5, temperature=n / 5) for n in range(6)]

    _, finished = attempt(a_window(10), LOOP, *doubtful)

    assert text(finished) == SAID


def test_missing_words_are_worth_a_second_opinion_and_no_ladder() -> None:
    short = an_answer(a_piece(" the lazy dog"))

    asks, finished = attempt(a_window(10), short, GOOD)

    assert [ask.encoded_s for ask in asks] == [15, FULL_S]
    assert text(finished) == SAID


def test_a_second_opinion_that_is_no_better_leaves_the_first() -> None:
    short = an_answer(a_piece(" the lazy dog"))
    worse = an_answer(a_piece(" a lazy dog"), avg_logprob=-0.9)

    asks, finished = attempt(a_window(10), short, worse)

    assert len(asks) == 2
    assert text(finished) == " the lazy dog"
    assert finished.segments[0].flags == ()


def test_who_names_a_temperature_gets_no_other() -> None:
    asks, _ = attempt(
        a_window(10), LOOP, LOOP, style=Style(temperature=0.3), guard=Guard(ladder=())
    )

    assert [ask.style.temperature for ask in asks] == [0.3, 0.3]


def test_text_over_silence_is_dropped() -> None:
    thanks = an_answer(a_piece(" Thank you."), no_speech_prob=0.9, avg_logprob=-1.5)

    asks, finished = attempt(a_window(10, speech_s=2), thanks)

    assert len(asks) == 1
    assert finished.segments == ()


def test_it_goes_on_where_the_model_stopped_although_more_is_said() -> None:
    window = a_window(16, start_s=50)
    first = an_answer(a_piece(SAID + SAID, end=9.6))
    more = an_answer(a_piece(" but the cat sat still on its mat", start=0.5, end=6.0))

    (_, ask), finished = attempt(window, first, more)

    assert len(ask.audio) == len(window.audio) - round(9.6 * 16_000)
    assert ask.encoded_s == 12
    assert ask.prompt.previous == first.pieces[0].tokens
    assert ask.prompt.language == "en"
    before, after = finished.segments
    assert (before.start, before.end, before.flags) == (50.0, 59.6, ())
    assert (after.start, after.end, after.flags) == (60.1, 65.6, (CONTINUED,))
    assert after.seek == 5960


def test_it_goes_on_as_often_as_need_be_and_not_for_ever() -> None:
    def sentence(n: int) -> Answer:
        said = f" a{n} b{n} c{n} d{n} e{n} f{n} g{n} h{n}"
        return an_answer(a_piece(said, end=1.0))

    guard = Guard(min_words_per_s=None)

    asks, finished = attempt(a_window(20), *[sentence(n) for n in range(7)], guard=guard)

    assert len(asks) == 7
    assert [round(one.start) for one in finished.segments] == [0, 1, 2, 3, 4, 5, 6]
    assert len(asks[-1].prompt.previous) == 6 * 8


def test_nothing_is_asked_after_the_last_of_the_speech() -> None:
    first = an_answer(a_piece(SAID, end=8.0))

    asks, _ = attempt(a_window(16, speech_s=8.7), first)

    assert len(asks) == 1


def test_a_model_that_claims_to_have_covered_nothing_is_not_asked_to_go_on() -> None:
    first = an_answer(a_piece(SAID, end=0.3))

    asks, _ = attempt(a_window(10), first)

    assert len(asks) == 1


@pytest.mark.parametrize(
    "more",
    [
        an_answer(a_piece(" runs away fast", end=6.0)),
        an_answer(a_piece(" I do not know what this is at all", end=6.0), avg_logprob=-1.4),
        an_answer(a_piece(" no no no no no no no no", end=6.0), compression_ratio=4.0),
        an_answer(a_piece(" it is late it is late", end=6.0)),
        an_answer(a_piece(" Thanks.", end=6.0), no_speech_prob=0.9, avg_logprob=-1.2),
    ],
    ids=["repeats", "is not confident", "loops", "says itself twice", "is silence"],
)
def test_what_goes_on_is_dropped_when_it(more: Answer) -> None:
    first = an_answer(a_piece(SAID + SAID, end=9.6))

    asks, finished = attempt(a_window(16), first, more)

    assert len(asks) == 2
    assert text(finished) == SAID + SAID


@pytest.mark.parametrize(
    ("said", "more", "same"),
    [
        ("we went to the sea", "to the sea", True),
        ("We went to the sea.", "The SEA!", True),
        ("we went to the sea", "and we swam", False),
        ("we went to the sea", "the mountains too", False),
        ("sea", "sea", True),
        ("anything", "come on come on", True),
        ("they are about to give with the answer", "and they are about to give with it", True),
        ("he told me what they said", "what they said was nothing that she had told me", True),
        ("what they said", "but she told me what they said", False),
        ("I know what they said to him", "so I asked her what they said to him and left", False),
        ("to the sea " + "far away and long ago in a land of kings and queens", "to the", False),
    ],
)
def test_a_repetition_begins_with_what_was_said_last(said: str, more: str, same: bool) -> None:
    assert repeats(said, more) is same


def test_a_language_that_is_a_guess_is_listened_to_at_full_length() -> None:
    spanish = an_answer(a_piece(SAID), language="es", languages=(("es", 0.6), ("pt", 0.4)))
    heard = an_answer(language="pt", languages=(("pt", 0.7), ("es", 0.3)))
    portuguese = an_answer(a_piece(SAID), language="pt", languages=(("pt", 1.0),))

    asks, finished = attempt(a_window(4), spanish, heard, portuguese, prompt=Prompt(None))

    assert [ask.detect_only for ask in asks] == [False, True, False]
    assert asks[1].encoded_s == FULL_S
    assert asks[2].prompt.language == "pt"
    assert (finished.language, finished.language_probability) == ("pt", 0.7)


def test_a_language_that_full_length_confirms_costs_no_second_transcription() -> None:
    spanish = an_answer(a_piece(SAID), language="es", languages=(("es", 0.6), ("pt", 0.4)))
    heard = an_answer(language="es", languages=(("es", 0.8), ("pt", 0.2)))

    asks, finished = attempt(a_window(4), spanish, heard, prompt=Prompt(None))

    assert len(asks) == 2
    assert (finished.language, finished.language_probability) == ("es", 0.8)


def test_a_window_that_was_encoded_in_full_is_not_asked_the_same_again() -> None:
    asks, _ = attempt(a_window(26, speech_s=9), LOOP, GOOD)

    assert [ask.style.temperature for ask in asks] == [0.0, 0.2]


def test_what_is_finished_keeps_no_samples() -> None:
    _, finished = attempt(a_window(10), GOOD)

    kept = [value for value in vars(finished).values() if isinstance(value, np.ndarray | Window)]
    assert kept == []  # three hours of them would be 700 MB
