import pytest

from bench.scoring import Errors, errors, total, unit


@pytest.mark.parametrize(
    ("said", "heard", "expected"),
    [
        ("the cat sat", "the cat sat", Errors(0, 0, 0, 3)),
        ("the cat sat", "the dog sat", Errors(1, 0, 0, 3)),
        ("the cat sat", "the sat", Errors(0, 1, 0, 3)),
        ("the cat sat", "the big cat sat", Errors(0, 0, 1, 3)),
        ("the cat sat", "", Errors(0, 3, 0, 3)),
    ],
)
def test_words_are_substituted_deleted_and_inserted(
    said: str, heard: str, expected: Errors
) -> None:
    assert errors(said, heard, "en") == expected


def test_english_spelling_case_and_numbers_are_no_errors() -> None:
    said = "Mister Thornton won't colour twenty-two doors."

    assert errors(said, "mr thornton will not color 22 doors", "en").count == 0


def test_what_is_written_without_spaces_is_counted_by_characters() -> None:
    assert unit("ja") == "CER"
    assert errors("客観的 実在", "客観的実材", "ja") == Errors(1, 0, 0, 5)


def test_other_languages_are_counted_by_words() -> None:
    assert unit("de") == "WER"
    assert errors("Über den Wolken!", "über den wolken", "de") == Errors(0, 0, 0, 3)


def test_in_a_set_each_word_counts_the_same() -> None:
    whole = total([Errors(1, 0, 0, 1), Errors(0, 1, 1, 99)])

    assert whole == Errors(1, 1, 1, 100)
    assert whole.rate == 0.03


def test_nothing_said_has_no_rate_to_divide() -> None:
    assert total([]).rate == 0.0
