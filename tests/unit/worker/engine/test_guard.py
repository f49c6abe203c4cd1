"""What is wrong with an answer, sign by sign; each limit can be switched off."""

from typing import Any

import pytest

from tests.unit.worker.engine.scripted import a_piece, a_window, an_answer
from whisperdrop_worker.engine.guard import Fault, Guard, words

ENOUGH = a_piece(" one two three four five six seven eight nine ten eleven twelve thirteen")
"""As many words as ten seconds of speech have at least."""


def test_a_good_answer_has_no_fault() -> None:
    assert Guard().faults(an_answer(ENOUGH), a_window(10)) == frozenset()


@pytest.mark.parametrize(
    ("wrong", "fault", "limit"),
    [
        ({"compression_ratio": 2.1}, Fault.LOOP, "max_compression"),
        ({"tokens": tuple(range(99))}, Fault.LOOP, "max_tokens_per_s"),
        ({"avg_logprob": -1.01}, Fault.LOW_CONFIDENCE, "min_avg_logprob"),
        ({"text": "so few words"}, Fault.MISSING_WORDS, "min_words_per_s"),
        ({"no_speech_prob": 0.7, "avg_logprob": -1.1}, Fault.SILENCE, "max_no_speech"),
    ],
)
def test_a_fault_is_seen_unless_its_limit_is_off(
    wrong: dict[str, Any], fault: Fault, limit: str
) -> None:
    answer, window = an_answer(ENOUGH, **wrong), a_window(10)
    off: dict[str, Any] = {limit: None}

    assert Guard().faults(answer, window) == {fault}
    assert fault not in Guard(**off).faults(answer, window)


@pytest.mark.parametrize(
    "right",
    [
        {"compression_ratio": 2.0},
        {"tokens": tuple(range(97))},
        {"avg_logprob": -1.0},
        {"text": " ".join(["word"] * 12)},
        {"no_speech_prob": 0.99},
        {"no_speech_prob": 0.6, "avg_logprob": -1.0},
    ],
)
def test_what_is_at_a_limit_is_no_fault(right: dict[str, Any]) -> None:
    assert Guard().faults(an_answer(ENOUGH, **right), a_window(10)) == frozenset()


def test_several_things_may_be_wrong_at_once() -> None:
    answer = an_answer(compression_ratio=3.0, avg_logprob=-2.0)

    assert Guard().faults(answer, a_window(10)) == {
        Fault.LOOP,
        Fault.LOW_CONFIDENCE,
        Fault.MISSING_WORDS,
    }


def test_words_are_expected_of_speech_and_not_of_pauses() -> None:
    answer = an_answer(a_piece(" just three words"))

    assert Guard().faults(answer, a_window(20, speech_s=3)) == frozenset()
    assert Guard().faults(answer, a_window(20, speech_s=4)) == {Fault.MISSING_WORDS}


@pytest.mark.parametrize(
    ("wrong", "hopeless"),
    [
        ({"compression_ratio": 2.3}, False),
        ({"compression_ratio": 2.5}, True),
        ({"avg_logprob": -0.9}, False),
        ({"avg_logprob": -1.1}, True),
    ],
)
def test_whispers_own_limits_decide_whether_temperature_is_tried(
    wrong: dict[str, Any], hopeless: bool
) -> None:
    off = Guard(max_compression=None, min_avg_logprob=None)

    assert Guard().hopeless(an_answer(**wrong)) is hopeless
    assert off.hopeless(an_answer(**wrong)) is False


def test_the_token_budget_grows_with_the_window_up_to_whispers_own() -> None:
    budgets = [Guard().token_budget(a_window(seconds)) for seconds in (1, 5, 10, 26)]

    assert budgets == sorted(budgets)
    assert budgets[-1] == 224
    assert budgets[0] < 40
    assert Guard(max_tokens_per_s=None).token_budget(a_window(1)) == 224


@pytest.mark.parametrize("seconds", [0.5, 1, 3, 8])
def test_a_loop_that_the_budget_ends_is_seen_as_one(seconds: float) -> None:
    window = a_window(seconds)
    cut_short = an_answer(ENOUGH, tokens=tuple(range(Guard().token_budget(window))))

    assert Fault.LOOP in Guard().faults(cut_short, window)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        (" Well, it's done - isn't it?", 7),
        ("¿Qué tal, señor?", 3),
        ("Привет, мир", 2),
        ("안녕하세요 세계", 2),
        ("你好世界。", 2),
        ("こんにちは世界", 3.5),
        ("カタカナ", 2),
        ("สวัสดีชาว", 4.5),
        ("OpenAI 很好 2024", 3),
    ],
)
def test_words_are_counted_in_every_script(text: str, count: float) -> None:
    assert words(text) == count
